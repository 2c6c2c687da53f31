//! The mouse: the wheel moves the selection, a click opens a tab or selects a row.
//!
//! What does not live here: where things stand (`layout`), and the keys.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use crate::layout;
use crate::model::{Cmd, Model, Overlay, Screen};
use crate::prepare;
use crate::table::Motion;

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
        Some(page) => page.motion = Motion::By(by),
        None => model.pane_mut().cursor.motion = Motion::By(by),
    }
}

fn click(model: &mut Model, at: Position) {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let shell = prepare::shell(&model.prepared.head, model.status.is_some(), area);
    if let Some(tab) = layout::tabs(shell.tabs, model.screen)
        .into_iter()
        .find(|tab| tab.area.contains(at))
    {
        model.open(tab.screen);
    } else if let Some((table, top)) = prepare::table_on(&model.prepared, shell.body)
        && let Some(selected) = table.selected
        && at.y >= top
        && usize::from(at.y - top) < table.lines.len()
    {
        let place = table.first + usize::from(at.y - top);
        model.pane_mut().cursor.motion = Motion::By(place as isize - selected as isize);
    }
}

const _: () = assert!(Screen::COUNT < 10, "a digit for each tab");
