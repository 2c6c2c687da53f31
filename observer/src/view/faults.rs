//! The Chaos view's panel: the faults that act.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::prepare::faults::Faults;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Faults) {
    let inside = paint.panel(area, "Faults", &super::processes::shown(&v.table));
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, v.why_none);
    }
}
