//! The Exchanges' panels: the table, and the selected exchange.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::prepare::exchanges::{DETAIL, Exchanges};

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Exchanges) {
    let parts = layout::list(area, DETAIL);
    let inside = paint.panel(parts.table, "Exchanges", &super::processes::shown(&v.table));
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, "no exchange yet: squall exchange declare NAME");
    }
    if !parts.detail.is_empty() {
        let title = v.detail.as_ref().map_or("Exchange", |d| d.title.as_str());
        let inside = paint.panel(parts.detail, title, "");
        if let Some(detail) = &v.detail {
            paint.details(inside, &detail.lines);
        }
    }
}
