//! The panel of traces.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::prepare::traces::TraceList;
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &TraceList) {
    let mut note = format!("{} · times in UTC", super::processes::shown(&v.table));
    if v.left > 0 {
        note = format!("{note} · {} still to be searched", v.left);
    }
    if let Some(until) = &v.until {
        note = format!("{note} · up to {until}");
    }
    if v.evicted > 0 {
        note = format!("{note} · {} older ones gone", v.evicted);
    }
    let mut inside = paint.panel(area, "Traces", &note);
    let foot = layout::bottom(&mut inside, v.sources.len() as u16);
    paint.table(inside, &v.table);
    for ((text, tone), row) in v.sources.iter().zip(foot.rows()) {
        paint.pieces(row, &[(" ", Tone::Plain), (text, *tone)]);
    }
    if v.table.total == 0 && v.table.unfiltered == 0 || v.until.is_some() && v.table.lines.is_empty() {
        let first = inside.height.saturating_sub(v.hint.len() as u16) / 2;
        for (text, row) in v.hint.iter().zip(inside.rows().skip(usize::from(first.max(1)))) {
            paint.centre(row, text, Tone::Dim);
        }
    }
}
