//! The mouse: the wheel moves the selection, a click opens a tab, or selects a row, a cell of a matrix, or a line that leads on; one on
//! a heading sorts.
//!
//! What does not live here: where things stand (`layout`), and the keys.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::typing;
use crate::layout;
use crate::model::{Cmd, Model, Overlay, Screen};
use crate::prepare::{self, Body};
use crate::table::{Motion, RowId, fitted};

/// Rows that a turn of the wheel moves.
const WHEEL: isize = 3;

/// Takes a click or a turn of the wheel; boxes that lie over the view are left alone.
pub(super) fn mouse(model: &mut Model, event: MouseEvent) -> Vec<Cmd> {
    if model.overlay != Overlay::None {
        return Vec::new();
    }
    match event.kind {
        MouseEventKind::ScrollUp => wheel(model, -WHEEL),
        MouseEventKind::ScrollDown => wheel(model, WHEEL),
        MouseEventKind::Down(MouseButton::Left) => click(model, Position::new(event.column, event.row)),
        _ => {}
    }
    Vec::new()
}

fn wheel(model: &mut Model, by: isize) {
    match &mut model.page {
        Some(page) => page.motion = Motion::Scroll(by),
        None => model.pane_mut().cursor.motion = Motion::Scroll(by),
    }
}

fn click(model: &mut Model, at: Position) {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let shell = prepare::shell(&model.prepared.head, model.status.is_some(), area);
    let tabs = layout::tabs(shell.tabs, model.screen);
    if let Some(tab) = tabs.into_iter().find(|tab| tab.area.contains(at)) {
        model.open(tab.screen);
    } else if shell.body.contains(at) {
        body(model, shell.body, at);
    }
}

/// A click into the view, or on the page over it.
fn body(model: &mut Model, body: Rect, at: Position) {
    // Below the border.
    let line = usize::from(at.y).checked_sub(usize::from(body.y) + 1);
    match &model.prepared.body {
        Body::Mesh(v) => {
            let Some((from, Some(to))) = v.grid.at(at) else {
                return;
            };
            if from != to
                && let (Some(from), Some(to)) = (v.nodes.get(from), v.nodes.get(to))
            {
                let id = RowId::Link(from.0.clone(), to.0.clone());
                model.pane_mut().cursor.hold(id);
            }
        }
        Body::Leaders(v) => {
            let Some((row, column)) = v.grid.at(at) else {
                return;
            };
            let Some(exchange) = v.rows.get(row - v.first).map(|row| row.exchange.clone()) else {
                return;
            };
            let node = column.and_then(|i| v.nodes.get(i)).map(|(node, _)| node.clone());
            let pane = model.pane_mut();
            pane.cursor.hold(RowId::Exchange(exchange));
            pane.column = node;
        }
        Body::Chaos(v) => match v.at(at) {
            Some(id) => model.pane_mut().cursor.hold(id),
            None => table(model, body, at),
        },
        Body::Page(v) => {
            let sought = line.map(|line| line + v.first);
            let id = v.leads.iter().find(|(line, _)| Some(*line) == sought);
            let id = id.map(|(_, id)| id.clone());
            if let (Some(page), Some(id)) = (&mut model.page, id) {
                page.chosen = Some(id);
            }
        }
        Body::Waterfall(v) => {
            if let (Some(line), Some(selected), Some(page)) = (line, v.selected, &mut model.page)
                && line < v.lines.len()
            {
                page.motion = Motion::By(line as isize - selected as isize);
            }
        }
        _ => table(model, body, at),
    }
}

/// A click on a heading sorts by its column, as the key does; one on a row selects it.
fn table(model: &mut Model, body: Rect, at: Position) {
    let Some((table, top)) = prepare::table_on(&model.prepared, body) else {
        return;
    };
    if at.y + 1 == top {
        let x = at.x.saturating_sub(body.x + 1);
        let column = fitted::heading_at(table, body.width.saturating_sub(2), x);
        if let Some(column) = column {
            typing::sort_by_column(model, column);
        }
    } else if at.y >= top
        && usize::from(at.y - top) < table.lines.len()
        && let Some(selected) = table.selected
    {
        let place = table.first + usize::from(at.y - top);
        model.pane_mut().cursor.motion = Motion::By(place as isize - selected as isize);
    }
}

const _: () = assert!(Screen::COUNT < 10, "a digit for each tab");
