//! The Overview's panels on how the cluster fares: what is wrong in words, what must hold with its figures,
//! and what happened last.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::cluster::checks::Check;
use crate::cluster::health::Level;
use crate::measure::width;
use crate::model::Screen;
use crate::prepare::overview::Overview;
use crate::theme::Tone;

/// Draws what is wrong first, then what holds.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Overview) {
    let inside = paint.panel(area, "Health", &v.note);
    let mut rows: Vec<Rect> = inside.rows().collect();
    let more = v.findings.len().saturating_sub(rows.len());
    let last = if more > 0 { rows.pop() } else { None };
    let mut rows = rows.into_iter();
    for (finding, row) in v.findings.iter().zip(rows.by_ref()) {
        let (mark, tone) = match finding.level {
            Level::Alert => (" ✖ ", Tone::Bad),
            Level::Notice => (" ▲ ", Tone::Warn),
        };
        paint.pieces(row, &[(mark, tone), (&finding.text, tone)]);
    }
    for (check, row) in v.checks.iter().zip(rows) {
        self::check(paint, row, check);
    }
    if let Some(row) = last {
        paint.text(row, &format!("   … and {} more", more + 1), Tone::Dim);
    }
}

/// The tab that shows all events, by its number.
pub(super) fn shows_all() -> String {
    format!("{} shows all", Screen::Timeline as usize + 1)
}

/// Draws the newest events.
pub fn latest(paint: &mut Paint<'_>, area: Rect, v: &Overview) {
    let inside = paint.panel(area, "Latest", &shows_all());
    events(paint, inside, &v.latest);
}

/// Draws events, one a line: time, node, words.
pub(super) fn events(paint: &mut Paint<'_>, inside: Rect, all: &[(String, String, String)]) {
    for ((time, node, text), row) in all.iter().zip(inside.rows()) {
        // Tenths of seconds are for the Timeline.
        let time = time.get(..8).unwrap_or(time);
        let node = format!("{node:<3}");
        paint.pieces(
            row,
            &[
                (" ", Tone::Plain),
                (time, Tone::Dim),
                ("  ", Tone::Plain),
                (&node, Tone::Accent),
                (" ", Tone::Plain),
                (text, Tone::Plain),
            ],
        );
    }
}

fn check(paint: &mut Paint<'_>, row: Rect, check: &Check) {
    let (mark, tone, figure) = if check.holds {
        (" ✔ ", Tone::Good, Tone::Plain)
    } else {
        (" ▲ ", Tone::Warn, Tone::Warn)
    };
    let gap = " ".repeat(usize::from(10u16.saturating_sub(width(check.name))));
    paint.pieces(
        row,
        &[
            (mark, tone),
            (check.name, Tone::Dim),
            (&gap, Tone::Plain),
            (&check.figure, figure),
        ],
    );
}
