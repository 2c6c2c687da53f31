//! The Overview's panel of nodes, and where its other panels stand.

use ratatui::layout::Rect;

use super::paint::Paint;
use super::{health, load};
use crate::layout;
use crate::prepare::overview::Overview;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Overview) {
    let (wrong, said) = (v.findings.len(), v.findings.len() + v.checks.len());
    let parts = layout::overview(area, v.load.len() as u16, wrong as u16, said as u16);
    let mut inside = paint.panel(parts.nodes, "Nodes", &super::processes::shown(&v.nodes));
    let under = layout::bottom(&mut inside, 1);
    paint.table(inside, &v.nodes);
    paint.under(under, &v.nodes, &v.totals);
    if !parts.load.is_empty() {
        load::draw(paint, parts.load, v);
    }
    if !parts.health.is_empty() {
        health::draw(paint, parts.health, v);
    }
    if !parts.latest.is_empty() {
        health::latest(paint, parts.latest, v);
    }
}
