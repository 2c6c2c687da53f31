//! The Registry's panel.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::prepare::registry::Registry;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Registry) {
    let mut note = super::processes::shown(&v.table);
    if v.omitted > 0 {
        note = format!("{note} · {} left out by the nodes' limit", v.omitted);
    }
    let inside = paint.panel(area, "Registry", &note);
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, "nothing is registered yet");
    }
}
