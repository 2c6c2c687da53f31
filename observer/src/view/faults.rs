//! The Chaos view's panels: the faults that act, what must hold meanwhile, and what happened lately.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::measure::width;
use crate::prepare::faults::{Faults, bar_rows};
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Faults) {
    let parts = layout::faults(area, bar_rows(area.width));
    let inside = paint.panel(parts.table, "Faults", &super::processes::shown(&v.table));
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, v.why_none);
    }
    bar(paint, parts.bar, v);
    if !parts.lately.is_empty() {
        let inside = paint.panel(parts.lately, "Lately", &super::health::shows_all());
        super::health::events(paint, inside, &v.lately);
        if v.lately.is_empty() {
            paint.text(inside, " nothing has happened", Tone::Dim);
        }
    }
}

/// What must hold, side by side, as far as it fits.
fn bar(paint: &mut Paint<'_>, area: Rect, v: &Faults) {
    let inside = paint.panel(area, "What must hold", "");
    let mut spot = inside.rows().next().unwrap_or_default();
    let mut used = 1;
    for (text, holds) in &v.bar {
        let (mark, tone) = if *holds {
            ("✔ ", Tone::Good)
        } else {
            ("▲ ", Tone::Warn)
        };
        let needed = width(mark) + width(text) + 2;
        if used + needed > spot.width && used > 1 {
            (spot.y, used) = (spot.y + 1, 1);
        }
        if spot.y >= inside.bottom() {
            return;
        }
        let rest = Rect {
            x: spot.x + used.min(spot.width),
            width: spot.width.saturating_sub(used),
            ..spot
        };
        let words = if *holds { Tone::Plain } else { Tone::Warn };
        paint.pieces(rest, &[(mark, tone), (text, words)]);
        used += needed;
    }
}
