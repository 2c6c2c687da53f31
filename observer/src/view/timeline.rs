//! The Timeline's panel.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::measure::wrap;
use crate::prepare::timeline::{DETAIL, STOPWATCH, Stopwatch, Timeline};
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Timeline) {
    let mut note = super::processes::shown(&v.table);
    if v.lost > 0 {
        note = format!("{note} · {} lost before they were read", v.lost);
    }
    let parts = layout::timeline(area, DETAIL, STOPWATCH, v.stopwatch.is_some());
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
    if !parts.stopwatch.is_empty()
        && let Some(watch) = &v.stopwatch
    {
        stopwatch(paint, parts.stopwatch, watch);
    }
}

/// Columns of the phases, their times, and the figures of all.
const PHASE: u16 = 18;
const TIME: u16 = 9;

/// Draws a failover, a phase a line: its time, the figures of all, and a bar that begins where the one before ends.
fn stopwatch(paint: &mut Paint<'_>, area: Rect, watch: &Stopwatch) {
    let inside = paint.panel(area, "Failover", &watch.title);
    let mut rows = inside.rows();
    let cell = |row: Rect, i: u16| Rect {
        x: row.x + 1 + PHASE + i * TIME,
        width: TIME.min(row.width.saturating_sub(1 + PHASE + i * TIME)),
        ..row
    };
    let Some(head) = rows.next() else { return };
    for (i, title) in ["this", "p50", "p99"].into_iter().enumerate() {
        paint.right(cell(head, i as u16), title, Tone::Head);
    }
    let mut begun = 0.0;
    for (i, (phase, row)) in watch.phases.iter().zip(rows).enumerate() {
        let [name, this, p50, p99] = phase;
        let last = i + 1 == watch.phases.len();
        let tone = if last { Tone::Strong } else { Tone::Plain };
        let label = Rect {
            x: row.x + 1,
            width: PHASE.min(row.width),
            ..row
        };
        paint.text(label, name, tone);
        for (i, text) in [this, p50, p99].into_iter().enumerate() {
            paint.right(cell(row, i as u16), text, if i == 0 { tone } else { Tone::Dim });
        }
        if let Some(share) = watch.shares.get(i) {
            let room = Rect {
                x: row.x + 2 + PHASE + 3 * TIME,
                width: row.width.saturating_sub(3 + PHASE + 3 * TIME),
                ..row
            };
            let from = (begun * f64::from(room.width)) as u16;
            let width = ((share * f64::from(room.width)).ceil() as u16).min(room.width.saturating_sub(from));
            let bar = Rect {
                x: room.x + from,
                width,
                ..room
            };
            paint.text(bar, &"█".repeat(usize::from(width)), Tone::Accent);
            begun += share;
        }
    }
}
