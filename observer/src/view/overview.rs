//! The Overview's panels: nodes, load, health.

use ratatui::layout::Rect;

use super::paint::{Paint, width};
use crate::cluster::events::MarkKind;
use crate::cluster::health::{Finding, Level};
use crate::layout;
use crate::prepare::overview::{Load, Overview};
use crate::theme::Tone;
use crate::units::count;

const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Overview) {
    let parts = layout::overview(area, v.load.len() as u16, v.findings.len() as u16);
    let mut inside = paint.panel(parts.nodes, "Nodes", &super::processes::shown(&v.nodes));
    let under = layout::bottom(&mut inside, 1);
    paint.table(inside, &v.nodes);
    paint.under(under, &v.nodes, &v.totals);
    if !parts.load.is_empty() {
        load(paint, parts.load, v);
    }
    if !parts.health.is_empty() {
        health(paint, parts.health, &v.findings);
    }
}

fn load(paint: &mut Paint<'_>, area: Rect, v: &Overview) {
    let inside = paint.panel(area, "Load", "messages in per second · one column a second");
    let name = v
        .load
        .iter()
        .map(|l| width(&l.node))
        .max()
        .unwrap_or(0)
        .clamp(4, 12);
    let chart = inside.width.saturating_sub(name + 2 + 8);
    if chart < 8 || inside.height < 3 {
        return;
    }
    let rows = ((inside.height - 2) / (v.load.len() as u16).max(1)).clamp(1, 8);
    let bars_high = if rows >= 3 { rows - 1 } else { rows };
    let plot = Rect {
        x: inside.x + 1 + name + 1,
        width: chart,
        ..inside
    };
    // One scale for all, so that nodes can be compared.
    let shown = |l: &Load| {
        l.samples
            .iter()
            .rev()
            .take(chart.into())
            .flatten()
            .copied()
            .fold(0.0, f32::max)
    };
    let top = v.load.iter().map(shown).fold(1.0, f32::max);
    marks(paint, Rect { height: 1, ..plot }, v);
    for (i, l) in v.load.iter().enumerate() {
        let y = inside.y + 1 + i as u16 * rows;
        if y + rows > inside.y + inside.height - 1 {
            break;
        }
        let label = Rect {
            x: inside.x + 1,
            y: y + rows - 1,
            width: name,
            height: 1,
        };
        paint.text(label, &l.node, if l.up { Tone::Accent } else { Tone::Dim });
        bars(
            paint,
            Rect {
                y: y + rows - bars_high,
                height: bars_high,
                ..plot
            },
            l,
            top,
        );
        let value = Rect {
            x: plot.x + chart + 1,
            y: y + rows - 1,
            width: 7,
            height: 1,
        };
        paint.right(value, &l.last, if l.up { Tone::Strong } else { Tone::Dim });
    }
    axis(
        paint,
        Rect {
            y: inside.y + inside.height - 1,
            height: 1,
            ..plot
        },
        top,
    );
}

fn bars(paint: &mut Paint<'_>, area: Rect, l: &Load, top: f32) {
    let tone = if l.up { Tone::Good } else { Tone::Dim };
    for (back, sample) in l.samples.iter().rev().take(area.width.into()).enumerate() {
        let x = area.x + area.width - 1 - back as u16;
        let Some(value) = sample else {
            let spot = Rect {
                x,
                y: area.y + area.height - 1,
                width: 1,
                height: 1,
            };
            paint.text(spot, "·", Tone::Dim);
            continue;
        };
        let eighths = (value / top * f32::from(area.height) * 8.0).round().max(1.0) as u16;
        for row in 0..area.height {
            let filled = eighths.saturating_sub(row * 8).min(8);
            if filled > 0 {
                let spot = Rect {
                    x,
                    y: area.y + area.height - 1 - row,
                    width: 1,
                    height: 1,
                };
                paint.text(spot, BARS[usize::from(filled) - 1], tone);
            }
        }
    }
}

/// Failovers, faults and losses over the second in which they happened.
fn marks(paint: &mut Paint<'_>, row: Rect, v: &Overview) {
    for (ago, kind) in v.marks.iter().rev() {
        if *ago >= u64::from(row.width) {
            continue;
        }
        let x = row.x + row.width - 1 - *ago as u16;
        let (glyph, tone) = match kind {
            MarkKind::Failover => ("▲", Tone::Warn),
            MarkKind::Fault => ("✶", Tone::Warn),
            MarkKind::Lost => ("✖", Tone::Bad),
        };
        paint.text(Rect { x, width: 1, ..row }, glyph, tone);
    }
}

fn axis(paint: &mut Paint<'_>, row: Rect, top: f32) {
    paint.right(row, "now", Tone::Dim);
    for ago in (30..u64::from(row.width)).step_by(30) {
        let label = if ago % 60 == 0 {
            format!("{}m", ago / 60)
        } else {
            format!("{ago}s")
        };
        let label = if ago < 60 {
            format!("{ago}s")
        } else if ago % 60 == 30 {
            String::new()
        } else {
            label
        };
        let x = row.x + row.width - 1 - ago as u16;
        if x > row.x + 12 {
            paint.text(
                Rect {
                    x,
                    width: row.x + row.width - x,
                    ..row
                },
                &label,
                Tone::Dim,
            );
        }
    }
    paint.text(
        Rect {
            width: row.width.min(12),
            ..row
        },
        &format!("top {}/s", count(top.round() as u64)),
        Tone::Dim,
    );
}

fn many(n: usize, word: &str) -> String {
    if n == 1 {
        format!("1 {word}")
    } else {
        format!("{n} {word}s")
    }
}

fn health(paint: &mut Paint<'_>, area: Rect, findings: &[Finding]) {
    let alerts = findings.iter().filter(|f| f.level == Level::Alert).count();
    let note = match findings.len() {
        0 => String::new(),
        n => format!("{} · {}", many(alerts, "alert"), many(n - alerts, "notice")),
    };
    let inside = paint.panel(area, "Health", &note);
    let mut rows: Vec<Rect> = inside.rows().collect();
    if findings.is_empty() {
        if let Some(row) = rows.first() {
            paint.pieces(*row, &[(" ✔ ", Tone::Good), ("all well", Tone::Good)]);
        }
        return;
    }
    let more = findings.len().saturating_sub(rows.len());
    let last = if more > 0 { rows.pop() } else { None };
    for (finding, row) in findings.iter().zip(&rows) {
        let (mark, tone) = match finding.level {
            Level::Alert => (" ✖ ", Tone::Bad),
            Level::Notice => (" ▲ ", Tone::Warn),
        };
        paint.pieces(*row, &[(mark, tone), (&finding.text, Tone::Plain)]);
    }
    if let Some(row) = last {
        paint.text(row, &format!("   … and {} more", more + 1), Tone::Dim);
    }
}
