//! The help page, made from the table of keys.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::keymap::{Context, Keymap};
use crate::layout::centred;
use crate::theme::Tone;

const GLYPHS: [&str; 3] = [
    "● fine   ○ said long ago   ◐ overdue, no lease   ✖ down, none   ⊘ refused",
    "★ leads   ☆ says it leads, hears no majority   → routes   ! two owners",
    "✶ fault   ▲ failover or notice   ▶ selected   – not known or not measured",
];

/// Draws the page.
pub fn draw(paint: &mut Paint<'_>, area: Rect, keymap: &Keymap) {
    let here = keymap.bindings().iter();
    let lines: Vec<_> = here
        .filter(|b| b.contexts.contains(&Context::Main) && !b.keys.is_empty())
        .collect();
    // Two columns where one is too long.
    let room = area.height.saturating_sub(2 + 4);
    let columns = (lines.len() as u16).div_ceil(room.max(1)).clamp(1, 2);
    let rows = (lines.len() as u16).div_ceil(columns);
    let inside = paint.overlay(centred(area, 80, rows + 2 + 4), "Keys");
    let half = inside.width / columns;
    for (i, binding) in lines.into_iter().enumerate() {
        let (column, row) = (i as u16 / rows, i as u16 % rows);
        if row >= inside.height {
            continue;
        }
        let spot = Rect {
            x: inside.x + column * half,
            y: inside.y + row,
            width: half.saturating_sub(1),
            height: 1,
        };
        paint.text(Rect { width: 8, ..spot }, &binding.label, Tone::Accent);
        paint.text(
            Rect {
                x: spot.x + 9,
                width: spot.width.saturating_sub(9),
                ..spot
            },
            binding.help,
            Tone::Plain,
        );
    }
    for (text, row) in GLYPHS.iter().zip(inside.rows().skip(usize::from(rows) + 1)) {
        paint.text(row, text, Tone::Dim);
    }
}
