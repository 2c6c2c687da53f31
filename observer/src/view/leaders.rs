//! The Leaders' panels: the registry's own leader, the matrix of opinions, the selected exchange.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::facts::LeaderFact;
use crate::layout;
use crate::measure::width;
use crate::prepare::leaders::{Leaders, Row, role, rows_of};
use crate::theme::Tone;
use crate::units::millis;

/// Draws the view.
pub fn draw(paint: &mut Paint<'_>, area: Rect, v: &Leaders) {
    let parts = layout::leaders(area, v.nodes.len() as u16, rows_of(v.total));
    let inside = paint.panel(parts.registry, "Registry", "as each node sees it");
    paint.table(inside, &v.registry);
    matrix(paint, parts.matrix, v);
    if !parts.detail.is_empty() {
        let title = v.chosen.as_deref().unwrap_or("Exchange");
        let inside = paint.panel(parts.detail, title, "");
        paint.table(inside, &v.detail);
    }
    if !parts.history.is_empty() {
        let title = format!("{} · history", v.chosen.as_deref().unwrap_or("Exchange"));
        let inside = paint.panel(parts.history, &title, &super::health::shows_all());
        super::health::events(paint, inside, &v.history);
        if v.history.is_empty() {
            paint.text(inside, " no event of it is kept", Tone::Dim);
        }
    }
}

fn matrix(paint: &mut Paint<'_>, area: Rect, v: &Leaders) {
    let inside = paint.panel(area, "Opinions", &v.note);
    let grid = &v.grid;
    let head_style = paint.theme.style(Tone::Head);
    paint.styled(grid.corner(), "exchange", head_style);
    let columns = grid.first_column..v.nodes.len().min(grid.first_column + grid.columns);
    for column in columns.clone() {
        let (node, up) = &v.nodes[column];
        let label = if *up {
            node.clone()
        } else {
            format!("{node} (stale)")
        };
        paint.styled(grid.heading(column), &label, head_style);
    }
    for (i, row) in (v.first..).zip(&v.rows) {
        name(paint, grid.name(i), row);
        for column in columns.clone() {
            opinion(paint, grid.cell(i, column), row.cells[column].as_ref());
        }
        match (v.selected == Some(i), v.column) {
            (false, _) => {}
            (true, None) => paint.mark(grid.row(i)),
            (true, Some(column)) => {
                paint.point(grid.row(i));
                paint.select(grid.cell(i, column));
            }
        }
    }
    if v.total == 0 {
        paint.nothing(inside, "no exchange yet");
    }
}

fn name(paint: &mut Paint<'_>, spot: Rect, row: &Row) {
    let (mark, tone) = match (row.split, row.ownerless) {
        (true, _) => ("! ", Tone::Bad),
        (false, true) => ("✖ ", Tone::Bad),
        (false, false) => ("", Tone::Accent),
    };
    paint.pieces(spot, &[(mark, tone), (&row.exchange, tone)]);
}

/// One opinion, with as much of it as fits.
fn opinion(paint: &mut Paint<'_>, room: Rect, fact: Option<&LeaderFact>) {
    let Some(f) = fact else {
        paint.text(room, "·", Tone::Dim);
        return;
    };
    let (glyph, word, tone) = role(f);
    let epoch = format!("e{}", f.epoch);
    // A router's word is the node it sends to: that is what it would act on.
    let word = match (f.role, &f.believed_owner) {
        ("router", Some(owner)) if f.stale_ms.is_none() => owner.as_str(),
        _ => word,
    };
    let leader = f.leader.clone().unwrap_or_default();
    let lease = if f.lease_left_ms > 0 {
        millis(f.lease_left_ms)
    } else {
        String::new()
    };
    let said = |parts: &[&str]| {
        let said: Vec<&str> = parts.iter().copied().map(str::trim).collect();
        said.join(" ").replace("  ", " ").trim_end().to_owned()
    };
    // How long it may act so is worth more than who leads: that stands below, too.
    let forms = [
        said(&[glyph, word, &epoch, &leader, &lease]),
        said(&[
            glyph,
            word,
            &epoch,
            if lease.is_empty() { &leader } else { &lease },
        ]),
        said(&[glyph, word, &epoch]),
        said(&[glyph, &epoch]),
    ];
    let fits = forms.iter().find(|text| width(text) <= room.width);
    let text = fits.unwrap_or(&forms[3]);
    paint.text(room, text, tone);
}
