//! The help page: the keys, what they do, and what signs mean. Keys that do nothing here are grey.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout::centred;
use crate::prepare::keys::{HELP_EXTRA, HELP_WIDTH, Help};
use crate::theme::Tone;

/// Columns of the keys themselves.
const KEYS: u16 = 9;

/// Draws the page.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Help) {
    let note = if v.rows < v.total {
        let last = v.first + v.rows;
        format!("{}–{last} of {} · grey: not here", v.first + 1, v.total)
    } else {
        "grey: not here".to_owned()
    };
    let room = centred(area, HELP_WIDTH, v.rows as u16 + HELP_EXTRA);
    let inside = paint.overlay(room, "Keys", &note);
    let half = inside.width / v.columns.max(1) as u16;
    for (i, (label, help, here)) in v.lines.iter().enumerate() {
        let (column, row) = ((i / v.rows) as u16, (i % v.rows) as u16);
        if row >= inside.height {
            continue;
        }
        let spot = Rect {
            x: inside.x + column * half,
            y: inside.y + row,
            width: half.saturating_sub(1),
            height: 1,
        };
        let (keys, words) = if *here {
            (Tone::Accent, Tone::Plain)
        } else {
            (Tone::Dim, Tone::Dim)
        };
        paint.text(
            Rect {
                width: KEYS.min(spot.width),
                ..spot
            },
            label,
            keys,
        );
        let rest = Rect {
            x: spot.x + KEYS.min(spot.width),
            width: spot.width.saturating_sub(KEYS),
            ..spot
        };
        paint.text(rest, help, words);
    }
}
