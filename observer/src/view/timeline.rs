//! The Timeline's panel.

use ratatui::layout::Rect;

use super::paint::{Paint, wrap};
use crate::layout;
use crate::prepare::timeline::{DETAIL, Timeline};
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Timeline) {
    let mut note = super::processes::shown(&v.table);
    if v.lost > 0 {
        note = format!("{note} · {} lost before they were read", v.lost);
    }
    let parts = layout::list(area, DETAIL);
    let inside = paint.panel(parts.table, "Timeline", &note);
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, "nothing has happened yet");
    }
    if !parts.detail.is_empty() {
        let title = v.detail.as_ref().map_or("Event", |d| d.title.as_str());
        let inside = paint.panel(parts.detail, title, "");
        if let Some(detail) = &v.detail {
            paint.details(inside, &detail.lines);
        }
        let rows = inside.rows().skip(1);
        for (line, row) in wrap(&v.words, inside.width.saturating_sub(2)).iter().zip(rows) {
            paint.pieces(row, &[(" ", Tone::Plain), (line, Tone::Plain)]);
        }
    }
}
