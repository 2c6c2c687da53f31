//! The Mesh's panels: the matrix of directed links, the ring, the selected link.

use ratatui::layout::Rect;

use super::paint::{Paint, width};
use crate::cluster::State;
use crate::layout;
use crate::prepare::mesh::{Mesh, MeshCell};
use crate::theme::Tone;

/// Narrowest column of the matrix: a glyph.
const CELL_MIN: u16 = 3;
/// Widest: everything, with air.
const CELL_MAX: u16 = 20;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Mesh) {
    let parts = layout::mesh(area);
    matrix(paint, parts.matrix, v);
    if !parts.ring.is_empty() {
        super::ring::draw(paint, parts.ring, v);
    }
    let title = v
        .detail
        .as_ref()
        .map_or_else(|| "Link".to_owned(), |d| format!("Link {}", d.title));
    let inside = paint.panel(parts.detail, &title, "");
    if let Some(detail) = &v.detail {
        paint.details(inside, &detail.lines);
    }
}

fn matrix(paint: &mut Paint<'_>, area: Rect, v: &Mesh) {
    let inside = paint.panel(
        area,
        "Links",
        "row sends to column · p50 round trip · φ suspicion",
    );
    if v.nodes.len() < 2 {
        paint.nothing(inside, "one node has no links");
        return;
    }
    let names = v
        .nodes
        .iter()
        .map(|(n, _)| width(n))
        .max()
        .unwrap_or(0)
        .clamp(7, 14)
        + 2;
    let room = inside.width.saturating_sub(names + 2);
    let shown = (room / CELL_MIN).clamp(1, v.nodes.len() as u16);
    let cell = (room / shown).min(CELL_MAX);
    // The selection stays in sight where not all columns and rows fit.
    let (row, col) = v.selected.unwrap_or((0, 0));
    let left = (col + 1).saturating_sub(shown.into());
    let lines = usize::from(inside.height.saturating_sub(1));
    let up = (row + 1).saturating_sub(lines.max(1));
    let mut rows = inside.rows();
    let Some(head) = rows.next() else { return };
    let head_style = paint.theme.style(Tone::Head);
    paint.styled(
        Rect {
            x: head.x + 2,
            width: names,
            ..head
        },
        "from\\to",
        head_style,
    );
    for (i, (name, _)) in v.nodes.iter().skip(left).take(shown.into()).enumerate() {
        paint.styled(shrink(place(head, names, cell, i)), name, head_style);
    }
    for (f, line) in (up..v.nodes.len()).zip(rows) {
        let (name, state) = &v.nodes[f];
        let tone = if *state == State::Up {
            Tone::Accent
        } else {
            Tone::Dim
        };
        paint.text(
            Rect {
                x: line.x + 2,
                width: names - 1,
                ..line
            },
            name,
            tone,
        );
        for i in 0..usize::from(shown).min(v.nodes.len() - left) {
            let spot = place(line, names, cell, i);
            one(paint, shrink(spot), v.cells[f][left + i].as_ref(), f == left + i);
            if v.selected == Some((f, left + i)) {
                paint.text(
                    Rect {
                        x: line.x,
                        width: 1,
                        ..line
                    },
                    "▶",
                    Tone::Strong,
                );
                paint.select(shrink(spot));
            }
        }
    }
}

fn one(paint: &mut Paint<'_>, room: Rect, cell: Option<&MeshCell>, own: bool) {
    let Some(c) = cell else {
        paint.text(room, if own { "—" } else { "·" }, Tone::Dim);
        return;
    };
    let tone = if c.stale { Tone::Dim } else { c.tone };
    let long = format!("{} {:>6}  φ{}", c.glyph, c.rtt, c.phi);
    let short = format!(
        "{} {}",
        c.glyph,
        if c.word == "up" { c.rtt.as_str() } else { c.word }
    );
    let text = match room.width {
        w if w >= width(&long) && c.word == "up" => long,
        w if w >= width(&short) => short,
        _ => c.glyph.to_owned(),
    };
    paint.text(room, &text, tone);
}

fn place(row: Rect, names: u16, cell: u16, i: usize) -> Rect {
    let x = (row.x + 2 + names).saturating_add(cell.saturating_mul(i as u16));
    let end = row.x + row.width;
    Rect {
        x: x.min(end),
        width: cell.min(end.saturating_sub(x)),
        ..row
    }
}

fn shrink(spot: Rect) -> Rect {
    Rect {
        width: spot.width.saturating_sub(1).max(1.min(spot.width)),
        ..spot
    }
}
