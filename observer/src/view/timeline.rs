//! The Timeline's panel.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::prepare::timeline::Timeline;
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Timeline) {
    let mut note = super::processes::shown(&v.table);
    if v.lost > 0 {
        note = format!("{note} · {} lost before they were read", v.lost);
    }
    let inside = paint.panel(area, "Timeline", &note);
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.centre(
            Rect {
                y: inside.y + inside.height / 2,
                height: 1,
                ..inside
            },
            "nothing has happened yet",
            Tone::Dim,
        );
    }
}
