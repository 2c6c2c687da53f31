//! The Exchanges: a line per exchange, and the selected one in full.

use super::{Detail, Source};
use crate::facts::{self, ExchangeFact};
use crate::layout;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Sort, Table, titled};
use crate::theme::Tone;
use crate::units::{count, micros, millis, rate};

/// Columns that show totals instead of rates, when that is asked for.
const TOTALS: &[(&str, &str)] = &[("req/s", "requests")];

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("exchange", 8, 28, 0),
    Column::words("strategy", 8, 12, 2),
    Column::words("owner", 6, 20, 0),
    Column::number("epoch", 5, 1),
    Column::number("handlers", 8, 3),
    Column::number("req/s", 6, 0),
    Column::number("p50", 6, 2).micros(),
    Column::number("p99", 6, 1).micros(),
    Column::number("in flight", 9, 4),
    Column::number("declined", 8, 5),
    Column::number("refused", 7, 3),
    Column::words("failover", 8, 30, 6),
    Column::words("pattern", 7, 18, 7),
];

/// By name.
pub const OWN_SORT: Sort = Sort {
    column: 0,
    descending: false,
};
/// Rows of the details with their borders.
pub const DETAIL: u16 = 6;

/// The Exchanges.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchanges {
    /// The table.
    pub table: Table,
    /// The selected exchange in full.
    pub detail: Option<Detail>,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Exchanges {
    let facts = facts::exchanges(source.cluster, source.now);
    let height = layout::lines(layout::list(source.body, DETAIL).table);
    let table = of(&facts, pane, height);
    let chosen = facts
        .iter()
        .find(|e| pane.cursor.id == Some(RowId::Exchange(e.name.clone())));
    Exchanges {
        table,
        detail: chosen.map(detail),
    }
}

/// The table alone.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    of(&facts::exchanges(source.cluster, source.now), pane, height)
}

fn of(facts: &[ExchangeFact], pane: &mut Pane, height: usize) -> Table {
    let lines = facts.iter().map(|e| line(e, pane.totals)).collect();
    let sort = Some(pane.sort.unwrap_or(OWN_SORT));
    Table::new(
        &titled(COLUMNS, TOTALS, pane.totals),
        lines,
        &pane.filter,
        sort,
        &mut pane.cursor,
        height,
    )
}

fn line(e: &ExchangeFact, totals: bool) -> Line {
    let owner = match (&e.owner, e.split, e.handlers) {
        (_, true, _) => Cell::new("! SPLIT").tone(Tone::Bad),
        (None, ..) => Cell::new("✖ none").tone(Tone::Bad),
        (Some(owner), ..) if e.moving_to.is_some() => {
            let to = e.moving_to.as_deref().unwrap_or_default();
            Cell::new(format!("⇄ {owner} → {to} moving")).tone(Tone::Warn)
        }
        // Registered, but it does not act as owner: no lease yet, or not reached.
        (Some(owner), _, None) => Cell::new(format!("◐ {owner}")).tone(Tone::Warn),
        (Some(owner), _, Some(_)) => Cell::new(format!("● {owner}")).tone(Tone::Good),
    };
    let figure = |v: Option<u64>, text: fn(u64) -> String| match v {
        Some(v) => Cell::number(v as f64, text(v)),
        None => Cell::unknown("–").tone(Tone::Dim),
    };
    let wrong = |cell: Cell, n: u64| if n > 0 { cell.tone(Tone::Warn) } else { cell };
    Line {
        id: RowId::Exchange(e.name.clone()),
        cells: vec![
            Cell::new(e.name.clone()).tone(Tone::Accent),
            Cell::new(strategy(e)),
            owner.word(e.owner.clone().unwrap_or_else(|| "none".to_owned())),
            Cell::number(e.epoch as f64, e.epoch.to_string()),
            figure(e.handlers, count),
            if totals {
                figure(e.requests, count)
            } else {
                Cell::perhaps(e.requests_per_s, rate(e.requests_per_s)).tone(Tone::Strong)
            },
            figure(e.p50_us, micros),
            figure(e.p99_us, micros),
            figure(e.in_flight, count),
            figure(e.declined, count),
            wrong(Cell::number(e.refused as f64, count(e.refused)), e.refused),
            Cell::new(e.failover.join(" ")).tone(Tone::Dim),
            Cell::new(e.pattern.clone()).tone(Tone::Dim),
        ],
        dim: e.stale_ms.is_some(),
    }
}

fn strategy(e: &ExchangeFact) -> String {
    e.strategy.clone().unwrap_or_else(|| "–".to_owned())
}

fn detail(e: &ExchangeFact) -> Detail {
    let or_dash = |v: Option<u64>| v.map_or_else(|| "–".to_owned(), count);
    let owner = e.owner.clone().unwrap_or_else(|| "none".to_owned());
    let mut first = vec![
        ("pattern", e.pattern.clone(), Tone::Plain),
        ("strategy", strategy(e), Tone::Plain),
        (
            "owner",
            owner,
            if e.owner.is_some() {
                Tone::Strong
            } else {
                Tone::Bad
            },
        ),
        ("epoch", e.epoch.to_string(), Tone::Plain),
    ];
    if let Some(ms) = e.stale_ms {
        first.push(("stale", millis(ms), Tone::Warn));
    }
    let failover = if e.failover.is_empty() {
        "the cluster chooses".to_owned()
    } else {
        e.failover.join(" → ")
    };
    let mut second = vec![
        ("failover", failover, Tone::Plain),
        ("takeover", e.takeover.clone(), Tone::Plain),
    ];
    if let Some(node) = &e.prefers {
        second.push(("prefers", node.clone(), Tone::Warn));
    }
    if let Some(to) = &e.moving_to {
        second.push(("moving to", to.clone(), Tone::Warn));
    }
    let third = vec![
        ("requests", or_dash(e.requests), Tone::Plain),
        ("replies", or_dash(e.replies), Tone::Plain),
        ("declined", or_dash(e.declined), Tone::Plain),
        (
            "refused by all nodes",
            count(e.refused),
            if e.refused > 0 { Tone::Warn } else { Tone::Plain },
        ),
    ];
    Detail {
        title: e.name.clone(),
        lines: vec![first, second, third],
    }
}
