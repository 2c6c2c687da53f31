//! The commands that fit what is typed, above the line where it is typed.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::palette::Entry;
use crate::theme::Tone;

const WIDTH: u16 = 64;
const LINES: u16 = 10;

/// Draws the list.
pub fn draw(paint: &mut Paint<'_>, area: Rect, chosen: usize, fitting: &[Entry]) {
    let lines = (fitting.len() as u16).clamp(1, LINES.min(area.height.saturating_sub(3)).max(1));
    let height = (lines + 2).min(area.height);
    let width = WIDTH.min(area.width);
    let over = Rect {
        x: area.x,
        y: area.y + area.height - height,
        width,
        height,
    };
    let inside = paint.overlay(over, "Commands", "");
    if fitting.is_empty() {
        paint.text(inside, "no command fits", Tone::Warn);
        return;
    }
    let chosen = chosen.min(fitting.len() - 1);
    let first = (chosen + 1).saturating_sub(usize::from(lines));
    let shown = fitting.iter().enumerate().skip(first);
    for ((i, entry), row) in shown.zip(inside.rows()) {
        let room = |x: u16| Rect {
            x: row.x + x.min(row.width),
            width: row.width.saturating_sub(x),
            ..row
        };
        paint.text(
            Rect {
                width: 16.min(row.width),
                ..row
            },
            entry.name,
            Tone::Accent,
        );
        paint.text(
            Rect {
                width: 9.min(room(17).width),
                ..room(17)
            },
            &entry.label,
            Tone::Dim,
        );
        paint.text(room(27), entry.help, Tone::Plain);
        if i == chosen {
            paint.select(row);
        }
    }
}
