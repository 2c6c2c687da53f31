//! The Leaders' panels: the registry's own leader, the matrix of opinions, the selected exchange.

use ratatui::layout::Rect;

use super::paint::{Paint, width};
use crate::facts::LeaderFact;
use crate::layout;
use crate::prepare::leaders::{Leaders, Row, role, rows_of};
use crate::theme::Tone;
use crate::units::millis;

/// Narrowest column of the matrix: a glyph and an epoch.
const CELL_MIN: u16 = 9;

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
    let splits = v.rows.iter().filter(|r| r.split).count();
    let note = match splits {
        0 => "what each node would act on now".to_owned(),
        n => format!("! {n} SPLIT"),
    };
    let inside = paint.panel(area, "Opinions", &note);
    let names = v
        .rows
        .iter()
        .map(|r| width(&r.exchange))
        .max()
        .unwrap_or(0)
        .clamp(8, 24)
        + 2;
    let room = inside.width.saturating_sub(names + 2);
    let shown = (room / CELL_MIN).min(v.nodes.len() as u16).max(1);
    let cell = (room / shown).min(40);
    let mut rows = inside.rows();
    let Some(head) = rows.next() else { return };
    let head_style = paint.theme.style(Tone::Head);
    paint.styled(
        Rect {
            x: head.x + 2,
            width: names,
            ..head
        },
        "exchange",
        head_style,
    );
    for (i, (node, up)) in v.nodes.iter().take(shown.into()).enumerate() {
        let label = if *up {
            node.clone()
        } else {
            format!("{node} (stale)")
        };
        paint.styled(column(head, names, cell, i), &label, head_style);
    }
    for ((i, row), spot) in v.rows.iter().enumerate().zip(rows) {
        name(
            paint,
            Rect {
                x: spot.x + 2,
                width: names - 1,
                ..spot
            },
            row,
        );
        for (k, fact) in row.cells.iter().take(shown.into()).enumerate() {
            opinion(paint, column(spot, names, cell, k), fact.as_ref());
        }
        if v.selected == Some(v.first + i) {
            paint.mark(spot);
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
fn opinion(paint: &mut Paint<'_>, spot: Rect, fact: Option<&LeaderFact>) {
    let room = Rect {
        width: spot.width.saturating_sub(1),
        ..spot
    };
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
    let mut text = format!("{glyph} {word} {epoch}");
    if room.width < width(&text) {
        text = format!("{glyph} {epoch}");
    }
    for more in [leader, lease] {
        if !more.is_empty() && width(&text) + 1 + width(&more) <= room.width {
            text = format!("{text} {more}");
        }
    }
    paint.text(room, &text, tone);
}

fn column(row: Rect, names: u16, cell: u16, i: usize) -> Rect {
    let x = (row.x + 2 + names).saturating_add(cell.saturating_mul(i as u16));
    let end = row.x + row.width;
    Rect {
        x: x.min(end),
        width: cell.min(end.saturating_sub(x)),
        ..row
    }
}
