//! The Overview's charts: the load of each node over the last minutes, all on one scale.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::cluster::events::MarkKind;
use crate::layout;
use crate::measure::width;
use crate::prepare::overview::{Load, Overview};
use crate::theme::Tone;
use crate::units::count;

const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Highest chart of one node.
const ROWS_MAX: u16 = 16;
/// Narrowest chart.
const CHART_MIN: u16 = 8;

/// Draws the panel.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Overview) {
    paint.panel(area, "Load", v.scale);
    let names = v.load.iter().map(|l| width(&l.node)).max().unwrap_or(0);
    let (inside, plot) = layout::chart(area, names);
    if plot.width < CHART_MIN || inside.height < 3 {
        return;
    }
    let rows = ((inside.height - 2) / (v.load.len() as u16).max(1)).clamp(1, ROWS_MAX);
    marks(paint, Rect { height: 1, ..plot }, v);
    let mut end = inside.y + 1;
    for l in &v.load {
        if end + rows > inside.y + inside.height - 1 {
            break;
        }
        let block = Rect {
            x: inside.x + 1,
            y: end,
            width: inside.width.saturating_sub(1),
            height: rows,
        };
        node(paint, block, plot, l, v.top);
        end += rows;
    }
    axis(
        paint,
        Rect {
            y: end,
            height: 1,
            ..plot
        },
        v,
    );
}

/// A node's name, its load now, its bars, and their scale.
fn node(paint: &mut Paint<'_>, block: Rect, plot: Rect, l: &Load, top: f32) {
    let (name, value) = if l.up {
        (Tone::Accent, Tone::Strong)
    } else {
        (Tone::Dim, Tone::Dim)
    };
    // With room enough a line stands under the bars, and the name beside their middle.
    let line = u16::from(block.height >= 3);
    let high = block.height - line;
    let area = Rect {
        y: block.y,
        height: high,
        ..plot
    };
    let row = |y: u16, x: u16, width: u16| Rect {
        x,
        y,
        width,
        height: 1,
    };
    let (left, right) = (plot.x - block.x - 1, plot.x + plot.width + 1);
    let room = (block.x + block.width).saturating_sub(right);
    let now = format!("{}/s", l.last);
    if high >= 2 {
        let middle = block.y + (high - 1) / 2;
        paint.text(row(middle, block.x, left), &l.node, name);
        paint.text(row(middle + 1, block.x, left), &now, value);
        paint.text(row(block.y, right, room), &count(top.round() as u64), Tone::Dim);
        paint.text(row(block.y + high - 1, right, room), "0", Tone::Dim);
    } else {
        paint.text(row(block.y, block.x, left), &l.node, name);
        paint.text(row(block.y, right, room), &now, value);
    }
    if line == 1 {
        let under = row(block.y + high, plot.x, plot.width);
        paint.text(under, &"─".repeat(plot.width.into()), Tone::Dim);
    }
    bars(paint, area, l, top);
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
    for (back, kind) in v.marks.iter().rev() {
        let (glyph, tone) = match kind {
            MarkKind::Failover => ("▲", Tone::Warn),
            MarkKind::Fault => ("✶", Tone::Warn),
            MarkKind::Lost => ("✖", Tone::Bad),
        };
        paint.text(from_right(row, *back), glyph, tone);
    }
}

fn axis(paint: &mut Paint<'_>, row: Rect, v: &Overview) {
    paint.right(row, "now", Tone::Dim);
    for (back, label) in &v.axis {
        paint.text(from_right(row, *back), label, Tone::Dim);
    }
}

/// What is left of a row from so many columns before its end.
fn from_right(row: Rect, back: u16) -> Rect {
    let width = (back + 1).min(row.width);
    Rect {
        x: row.x + row.width - width,
        width,
        ..row
    }
}
