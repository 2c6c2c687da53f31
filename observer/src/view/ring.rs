//! The ring: nodes on an ellipse, a line per pair of nodes in the tone of its worse direction.

use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::widgets::Widget as _;
use ratatui::widgets::canvas::{Canvas, Line};

use super::paint::{Paint, width};
use crate::cluster::State;
use crate::prepare::mesh::{Mesh, MeshCell};
use crate::theme::Tone;

/// Draws the ring.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Mesh) {
    let inside = paint.panel(area, "Ring", "the worse direction counts");
    let points: Vec<(f64, f64)> = (0..v.nodes.len()).map(|i| point(i, v.nodes.len())).collect();
    let mut lines = Vec::new();
    for (i, a) in points.iter().enumerate() {
        for (k, b) in points.iter().enumerate().skip(i + 1) {
            if let Some(tone) = worse(v.cells[i][k].as_ref(), v.cells[k][i].as_ref()) {
                let color = paint.theme.style(tone).fg.unwrap_or(Color::Reset);
                lines.push((
                    Line {
                        x1: a.0,
                        y1: a.1,
                        x2: b.0,
                        y2: b.1,
                        color,
                    },
                    tone,
                    (*a, *b),
                ));
            }
        }
    }
    Canvas::default()
        .x_bounds([-1.0, 1.0])
        .y_bounds([-1.0, 1.0])
        .paint(|canvas| lines.iter().for_each(|(line, ..)| canvas.draw(line)))
        .render(inside, paint.buf);
    for (_, tone, (a, b)) in &lines {
        if *tone != Tone::Good {
            let (x, y) = cell(inside, ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0));
            let glyph = if *tone == Tone::Bad { " ✖ " } else { " ▲ " };
            centred(paint, inside, x, y, glyph, *tone);
        }
    }
    for ((name, state), at) in v.nodes.iter().zip(&points) {
        let (x, y) = cell(inside, *at);
        let (glyph, tone) = match state {
            State::Up => ("●", Tone::Good),
            State::Suspect => ("◐", Tone::Warn),
            State::Down => ("✖", Tone::Bad),
        };
        centred(paint, inside, x, y, &format!(" {glyph} {name} "), tone);
    }
}

/// A place on the ellipse, the first at the top.
fn point(i: usize, of: usize) -> (f64, f64) {
    let angle = std::f64::consts::TAU * i as f64 / of.max(1) as f64;
    (angle.sin() * 0.8, angle.cos() * 0.8)
}

fn cell(area: Rect, (x, y): (f64, f64)) -> (u16, u16) {
    let column = (x + 1.0) / 2.0 * f64::from(area.width.saturating_sub(1));
    let row = (1.0 - y) / 2.0 * f64::from(area.height.saturating_sub(1));
    (area.x + column.round() as u16, area.y + row.round() as u16)
}

fn centred(paint: &mut Paint<'_>, area: Rect, x: u16, y: u16, text: &str, tone: Tone) {
    let width = width(text).min(area.width);
    let left = x
        .saturating_sub(width / 2)
        .clamp(area.x, area.x + area.width - width);
    paint.text(
        Rect {
            x: left,
            y,
            width,
            height: 1,
        },
        text,
        tone,
    );
}

fn worse(a: Option<&MeshCell>, b: Option<&MeshCell>) -> Option<Tone> {
    let bad = |t: Tone| match t {
        Tone::Bad => 2,
        Tone::Warn => 1,
        _ => 0,
    };
    a.into_iter()
        .chain(b)
        .filter(|c| !c.stale)
        .map(|c| c.tone)
        .max_by_key(|t| bad(*t))
}
