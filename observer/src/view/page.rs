//! The page of one row.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::prepare::page::PageView;
use crate::theme::Tone;

/// Draws the page.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &PageView) {
    let note = if v.lines.len() < v.total {
        format!("{}–{} of {} lines", v.first + 1, v.first + v.lines.len(), v.total)
    } else {
        String::new()
    };
    let inside = paint.panel(area, &v.title, &note);
    for (i, (line, all)) in v.lines.iter().zip(inside.rows()).enumerate() {
        let row = all;
        let pieces: Vec<(&str, Tone)> = line.iter().map(|(text, tone)| (text.as_str(), *tone)).collect();
        let row = Rect {
            x: row.x + 1.min(row.width),
            width: row.width.saturating_sub(1),
            ..row
        };
        paint.pieces(row, &pieces);
        if v.chosen == Some(i) {
            paint.mark(all);
        }
    }
}
