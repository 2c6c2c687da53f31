//! The graph: nodes as boxes on an ellipse, and each direction of a link as the half of a line that begins at its sender.

use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::widgets::Widget as _;
use ratatui::widgets::canvas::{Canvas, Line};

use super::paint::Paint;
use crate::cluster::State;
use crate::layout;
use crate::measure::width;
use crate::prepare::mesh::{Mesh, Way};
use crate::theme::Tone;

/// Pairs that differ are said in words on so many lines.
const WORDS: usize = 3;
/// Rows from which nodes stand in boxes.
const BOXES_FROM: u16 = 11;
/// How far from its sender the sign of a direction stands, as a share of the whole link.
const SIGN_AT: f64 = 0.3;

/// Draws the graph.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Mesh) {
    let mut inside = paint.panel(area, "Graph", "half a line is what its end sends");
    let words = layout::bottom(&mut inside, v.uneven.len().min(WORDS) as u16);
    for ((text, tone), row) in v.uneven.iter().zip(words.rows()) {
        paint.pieces(row, &[(" ! ", *tone), (text, *tone)]);
    }
    if inside.is_empty() {
        return;
    }
    let points: Vec<(f64, f64)> = (0..v.nodes.len()).map(|i| point(i, v.nodes.len())).collect();
    let half = |way: &Way| {
        let (from, to) = (points[way.from], points[way.to]);
        let color = paint.theme.style(way.tone).fg.unwrap_or(Color::Reset);
        Line {
            x1: from.0,
            y1: from.1,
            x2: f64::midpoint(from.0, to.0),
            y2: f64::midpoint(from.1, to.1),
            color,
        }
    };
    let lines: Vec<Line> = v.ways.iter().map(half).collect();
    Canvas::default()
        .x_bounds([-1.0, 1.0])
        .y_bounds([-1.0, 1.0])
        .paint(|canvas| lines.iter().for_each(|line| canvas.draw(line)))
        .render(inside, paint.buf);
    for way in &v.ways {
        sign(paint, inside, way, points[way.from], points[way.to]);
    }
    let boxes = inside.height >= BOXES_FROM;
    for ((name, state), at) in v.nodes.iter().zip(&points) {
        node(paint, inside, name, *state, place(inside, *at), boxes);
    }
}

/// The state of a direction that is not as it should be, with where it goes; and the one that is selected.
fn sign(paint: &mut Paint<'_>, inside: Rect, way: &Way, from: (f64, f64), to: (f64, f64)) {
    let sign = match (way.sign, way.selected) {
        (Some(sign), _) => sign,
        (None, true) => "●",
        (None, false) => return,
    };
    let between = |a: f64, b: f64| a + (b - a) * SIGN_AT;
    let (x, y) = place(inside, (between(from.0, to.0), between(from.1, to.1)));
    let (a, b) = (place(inside, from), place(inside, to));
    let text = format!("{sign}{}", arrow(a, b));
    let spot = centred(inside, x, y, &text);
    paint.text(spot, &text, way.tone);
    if way.selected {
        paint.select(spot);
    }
}

/// Which way it goes, on a screen whose rows are twice as high as its columns are wide.
fn arrow(from: (u16, u16), to: (u16, u16)) -> &'static str {
    let across = i32::from(to.0) - i32::from(from.0);
    let down = (i32::from(to.1) - i32::from(from.1)) * 2;
    match (across.abs() >= down.abs(), across > 0, down > 0) {
        (true, true, _) => "→",
        (true, false, _) => "←",
        (false, _, true) => "↓",
        (false, _, false) => "↑",
    }
}

fn node(paint: &mut Paint<'_>, inside: Rect, name: &str, state: State, at: (u16, u16), boxed: bool) {
    let (glyph, tone) = match state {
        State::Up => ("●", Tone::Good),
        State::Suspect => ("◐", Tone::Warn),
        State::Down => ("✖", Tone::Bad),
    };
    let text = format!(" {glyph} {name} ");
    let middle = centred(inside, at.0, at.1, &text);
    if boxed {
        let left = middle.x.saturating_sub(1).max(inside.x);
        let width = (middle.width + 2).min(inside.right() - left);
        let top = middle.y.saturating_sub(1).clamp(inside.y, inside.bottom() - 3);
        let room = Rect::new(left, top, width, 3);
        let within = paint.frame(room, tone);
        paint.text(within, &text, tone);
    } else {
        paint.text(middle, &text, tone);
    }
}

/// A place on the ellipse, the first at the top.
fn point(i: usize, of: usize) -> (f64, f64) {
    let angle = std::f64::consts::TAU * i as f64 / of.max(1) as f64;
    (angle.sin() * 0.8, angle.cos() * 0.85)
}

fn place(area: Rect, (x, y): (f64, f64)) -> (u16, u16) {
    let column = (x + 1.0) / 2.0 * f64::from(area.width.saturating_sub(1));
    let row = (1.0 - y) / 2.0 * f64::from(area.height.saturating_sub(1));
    (area.x + column.round() as u16, area.y + row.round() as u16)
}

fn centred(area: Rect, x: u16, y: u16, text: &str) -> Rect {
    let width = width(text).min(area.width);
    let left = x
        .saturating_sub(width / 2)
        .clamp(area.x, area.x + area.width - width);
    Rect {
        x: left,
        y,
        width,
        height: 1,
    }
}
