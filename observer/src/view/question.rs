//! The box in which something is asked before it is done.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout::{bottom, centred};
use crate::prepare::keys::Hint;
use crate::prepare::page::Piece;
use crate::prepare::question::Asked;

/// Draws the box.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Asked, keys: &[Hint]) {
    let note = if v.scrolls() {
        format!("{}–{} of {} lines", v.first + 1, v.first + v.lines.len(), v.total)
    } else {
        String::new()
    };
    let mut inside = paint.overlay(centred(area, v.size.0, v.size.1), &v.title, &note);
    let last = bottom(&mut inside, 1);
    super::chaos::hints(paint, last, keys);
    let foot = bottom(&mut inside, u16::try_from(v.foot.len()).unwrap_or(u16::MAX));
    lines(paint, foot, &v.foot);
    lines(paint, inside, &v.lines);
}

/// Draws lines of pieces, each in a row.
pub(super) fn lines(paint: &mut Paint<'_>, area: Rect, lines: &[Vec<Piece>]) {
    for (line, row) in lines.iter().zip(area.rows()) {
        let pieces: Vec<_> = line.iter().map(|(text, tone)| (text.as_str(), *tone)).collect();
        paint.pieces(row, &pieces);
    }
}
