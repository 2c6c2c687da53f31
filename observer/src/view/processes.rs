//! The Processes' panel, and the note that tables have in their corner.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::layout;
use crate::prepare::processes::Processes;
use crate::prepare::processes::detail::ROWS;
use crate::table::Table;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Processes) {
    let mut note = shown(&v.table);
    if v.omitted > 0 {
        note = format!("{note} · {} left out by the nodes' limit", v.omitted);
    }
    let parts = layout::list(area, ROWS);
    let inside = paint.panel(parts.table, "Processes", &note);
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, "no process yet");
    }
    if !parts.detail.is_empty() {
        let title = v.detail.as_ref().map_or("Process", |d| d.title.as_str());
        let inside = paint.panel(parts.detail, title, "");
        if let Some(detail) = &v.detail {
            paint.details(inside, &detail.lines);
        }
    }
}

/// Where the window stands in the table: `12–31 of 480`, and what the filter hides.
#[must_use]
pub fn shown(table: &Table) -> String {
    let hidden = table.unfiltered.saturating_sub(table.total);
    let hidden = if hidden > 0 {
        format!(" · filter hides {hidden}")
    } else {
        String::new()
    };
    if table.lines.len() >= table.total {
        return format!("{}{hidden}", table.total);
    }
    format!(
        "{}–{} of {}{hidden}",
        table.first + 1,
        table.first + table.lines.len(),
        table.total
    )
}
