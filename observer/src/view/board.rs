//! The Chaos view's panels: what must hold, what was broken, the faults that act, scenarios and their runs, and what happened lately.

use ratatui::layout::Rect;

use super::paint::Paint;
use super::question::lines;
use crate::prepare::board::BoardView;
use crate::prepare::board::scenarios::{ScenarioLine, Side};
use crate::theme::Tone;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &BoardView) {
    // Where everything stands was found out for this area.
    debug_assert!(area.contains(v.parts.bar.as_position()) || v.parts.bar.is_empty());
    bar(paint, v);
    breach(paint, v);
    faults(paint, v);
    scenarios(paint, v);
    for side in &v.sides {
        beside(paint, side, &v.told);
    }
    lately(paint, v);
}

fn bar(paint: &mut Paint<'_>, v: &BoardView) {
    let inside = paint.panel(v.parts.bar, "What must hold", &v.bar.note);
    lines(paint, indent(inside), &v.bar.rows);
    if v.bar_selected
        && let Some(row) = inside.rows().next()
    {
        paint.mark(row);
    }
}

fn breach(paint: &mut Paint<'_>, v: &BoardView) {
    if v.parts.breach.is_empty() {
        return;
    }
    let (said, whole) = &v.breach;
    let note = match (whole, v.bar_selected) {
        (true, _) => "",
        (false, true) => "Enter shows all",
        (false, false) => "Enter above shows all",
    };
    let inside = paint.alarm(v.parts.breach, "Broken", note);
    lines(paint, indent(inside), said);
}

fn faults(paint: &mut Paint<'_>, v: &BoardView) {
    if v.parts.table.is_empty() {
        return;
    }
    let inside = match &v.lock {
        Some(lock) => paint.alarm(v.parts.table, "Faults", lock),
        None => paint.panel(v.parts.table, "Faults", &super::processes::shown(&v.table)),
    };
    paint.table(inside, &v.table);
    if v.table.unfiltered == 0 {
        paint.nothing(inside, &v.why_none);
    }
}

fn scenarios(paint: &mut Paint<'_>, v: &BoardView) {
    if v.parts.scenarios.is_empty() {
        return;
    }
    // They do not change.
    let age = std::mem::take(&mut paint.age);
    let inside = paint.panel(v.parts.scenarios, "Scenarios", &v.scenarios_note);
    paint.age = age;
    for (line, row) in v.scenarios.iter().zip(inside.rows()) {
        scenario(paint, row, line);
    }
}

fn scenario(paint: &mut Paint<'_>, row: Rect, line: &ScenarioLine) {
    let used = paint.text(indent(row), &line.name, Tone::Accent) + 2;
    if let Some((words, tone)) = &line.state {
        let rest = Rect {
            x: row.x + used.min(row.width),
            width: row.width.saturating_sub(used),
            ..row
        };
        paint.right(rest, words, *tone);
    }
    if line.selected {
        paint.mark(row);
    }
}

fn beside(paint: &mut Paint<'_>, side: &Side, told: &str) {
    let age = std::mem::take(&mut paint.age);
    let note = if side.aged { told } else { &side.note };
    let inside = paint.panel(side.area, &side.title, note);
    paint.age = age;
    lines(paint, indent(inside), &side.lines);
}

fn lately(paint: &mut Paint<'_>, v: &BoardView) {
    if v.parts.lately.is_empty() {
        return;
    }
    let inside = paint.panel(v.parts.lately, "Lately", &super::health::shows_all());
    super::health::events(paint, inside, &v.lately);
    if v.lately.is_empty() {
        paint.text(inside, " nothing has happened", Tone::Dim);
    }
}

/// Leaves room for the mark of the selection.
fn indent(area: Rect) -> Rect {
    Rect {
        x: area.x + 1.min(area.width),
        width: area.width.saturating_sub(1),
        ..area
    }
}
