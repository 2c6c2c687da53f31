//! The page of a trace.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::prepare::waterfall::{DURATION, SpanLine, Waterfall};
use crate::theme::Tone;

/// Draws the page.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Waterfall) {
    let parts = layout::waterfall(area);
    let inside = paint.panel(parts.table, &v.title, &v.note);
    for (i, (line, row)) in v.lines.iter().zip(inside.rows()).enumerate() {
        span(paint, row, v, line);
        if v.selected == Some(i) {
            paint.mark(row);
        }
    }
    if parts.detail.is_empty() {
        return;
    }
    let note = match v.more {
        0 => String::new(),
        n => format!("{n} more lines"),
    };
    let inside = paint.panel(parts.detail, &v.about, &note);
    for (line, row) in v.detail.iter().zip(inside.rows()) {
        let pieces: Vec<(&str, Tone)> = line.iter().map(|(text, tone)| (text.as_str(), *tone)).collect();
        let row = Rect {
            x: row.x + 1.min(row.width),
            width: row.width.saturating_sub(1),
            ..row
        };
        paint.pieces(row, &pieces);
    }
}

fn span(paint: &mut Paint<'_>, row: Rect, v: &Waterfall, line: &SpanLine) {
    let mut x = 2;
    let mut spot = |width: u16| {
        let at = x.min(row.width);
        x += width + 1;
        Rect {
            x: row.x + at,
            width: width.min(row.width - at),
            ..row
        }
    };
    let path = spot(1);
    if line.critical {
        paint.text(path, "◆", Tone::Strong);
    }
    paint.text(spot(v.columns.name), &line.name, line.tone);
    if v.columns.node > 0 {
        paint.text(spot(v.columns.node), &line.node, Tone::Accent);
    }
    paint.right(spot(DURATION), &line.duration, Tone::Plain);
    let tone = match (line.tone, line.critical) {
        (Tone::Bad, _) => Tone::Bad,
        (_, true) => Tone::Strong,
        (_, false) => Tone::Dim,
    };
    paint.text(spot(v.columns.bar), &line.bar, tone);
}
