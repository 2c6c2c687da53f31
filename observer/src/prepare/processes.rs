//! The Processes of all nodes. There may be a hundred thousand: only the rows that show are put in order
//! and written out.

pub mod detail;
pub mod order;

use super::{Detail, Source};
use crate::facts::{self, ProcessFact};
use crate::layout;
use crate::model::Pane;
use crate::table::{Align, Cell, Column, Line, RowId, Sort, Table, titled};
use crate::theme::Tone;
use crate::units::{count, micros, millis, percent, rate, whole_seconds};

/// Columns that show totals instead of rates, when that is asked for.
const TOTALS: &[(&str, &str)] = &[("in/s", "in"), ("out/s", "out")];

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("pid", 8, 20, 0),
    Column::words("name", 8, 28, 0),
    Column::words("kind", 8, 12, 4),
    Column::words("node", 4, 12, 6),
    Column::number("mailbox", 8, 0),
    Column::number("growth/s", 8, 2),
    Column::number("drain", 7, 2).millis(),
    Column::number("oldest", 7, 5).micros(),
    Column::number("in/s", 6, 1),
    Column::number("out/s", 6, 1),
    Column::number("busy", 5, 3).percent(),
    Column::number("restarts", 8, 7),
    Column::number("dropped", 7, 8),
    Column::number("age", 7, 9).millis(),
];

/// The fullest mailbox first.
pub const OWN_SORT: Sort = Sort {
    column: 4,
    descending: true,
};

/// The Processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Processes {
    /// The table.
    pub table: Table,
    /// Rows left out by the nodes' limits.
    pub omitted: u64,
    /// The selected process in full.
    pub detail: Option<Detail>,
}

/// The columns, under the headings that they have now.
#[must_use]
pub fn titles(totals: bool) -> Vec<Column> {
    titled(COLUMNS, TOTALS, totals)
}

/// How a column is called on the wire.
#[must_use]
pub fn wire_word(title: &str) -> &'static str {
    match title {
        "pid" => "pid",
        "name" => "name",
        "kind" => "kind",
        "growth/s" => "growth",
        "drain" => "drain",
        "oldest" => "oldest",
        "in" => "enqueued",
        "out" => "dequeued",
        "in/s" => "in-rate",
        "out/s" => "out-rate",
        "busy" => "busy-rate",
        "restarts" => "restarts",
        "dropped" => "dropped",
        "age" => "age",
        _ => "mailbox",
    }
}

/// The word of a column by which nodes choose their first rows, and whether they choose the last: by themselves they begin
/// with the largest figures, and with words from A.
#[must_use]
pub fn wire_sort(column: &Column, descending: bool) -> (&'static str, bool) {
    // All processes of a node are of that node.
    if column.title == "node" {
        return ("mailbox", false);
    }
    let begins_so = column.align == Align::Right;
    (wire_word(column.title), descending != begins_so)
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Processes {
    let omitted = source.cluster.nodes.values().map(|n| n.rows_omitted).sum();
    let height = layout::lines(layout::list(source.body, detail::ROWS).table);
    let table = table(source, pane, height.max(1));
    let detail = detail::prepare(source, pane);
    Processes {
        table,
        omitted,
        detail,
    }
}

/// The table, cut to `height` lines.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let Source { cluster, now, .. } = source;
    let sort = pane.sort.unwrap_or(OWN_SORT);
    let mut ordered = pane.order.of(cluster, sort, &pane.filter, pane.totals);
    let total = ordered.total();
    let found = match &pane.cursor.id {
        Some(RowId::Process(node, pid)) if pane.cursor.follows() => ordered.rank(node, pid),
        _ => None,
    };
    let selected = pane.cursor.place(total, found, height);
    let first = pane.cursor.first();
    let window = ordered.window(first, height);
    let lines: Vec<Line> = window
        .map(|(n, p)| line(&facts::process(n, p, now), pane.totals.then_some(&p.row)))
        .collect();
    pane.cursor.id = selected.and_then(|i| lines.get(i - first)).map(|l| l.id.clone());
    Table {
        columns: titles(pane.totals),
        lines,
        first,
        total,
        unfiltered: cluster.nodes.values().map(|n| n.processes.all().len()).sum(),
        selected,
        sort: Some(sort),
    }
}

fn line(p: &ProcessFact, totals: Option<&squall_proto::v1::ProcessRow>) -> Line {
    let share = if p.bound == 0 {
        0.0
    } else {
        p.mailbox as f64 / p.bound as f64
    };
    let fullness = match share {
        s if s >= 0.9 => Tone::Bad,
        s if s >= 0.5 => Tone::Warn,
        _ => Tone::Plain,
    };
    // What a node told last is no figure of now.
    let stale = p.stale_ms.is_some();
    let optional = |v: Option<f64>, text: fn(Option<f64>) -> String| match stale {
        true => Cell::unknown("–").tone(Tone::Dim),
        false => Cell::perhaps(v, text(v)),
    };
    let warn = |n: u64| if n > 0 { Tone::Warn } else { Tone::Dim };
    Line {
        id: RowId::Process(p.node.clone(), p.pid.clone()),
        cells: vec![
            Cell::new(p.pid.clone()).tone(Tone::Accent),
            Cell::new(p.name.clone()),
            Cell::new(p.kind.clone()).tone(Tone::Dim),
            Cell::new(p.node.clone()),
            Cell::number(
                p.mailbox as f64,
                if fullness == Tone::Bad {
                    format!("! {}", count(p.mailbox))
                } else {
                    count(p.mailbox)
                },
            )
            .tone(fullness),
            optional(p.growth_per_s, |v| v.map_or_else(soon, signed)),
            p.drain_eta_ms.map_or_else(
                || Cell::unknown("–").tone(Tone::Dim),
                |ms| Cell::number(ms as f64, millis(ms)),
            ),
            Cell::number(p.oldest_us as f64, micros(p.oldest_us)),
            // Side by side they say since when nothing was heard, at every width.
            match (p.stale_ms, totals) {
                (Some(_), _) => Cell::unknown("stale").tone(Tone::Warn),
                (None, Some(row)) => flow(row.enqueued),
                (None, None) => optional(p.in_per_s, per_s),
            },
            match (p.stale_ms, totals) {
                (Some(ms), _) => Cell::unknown(whole_seconds(ms)).tone(Tone::Warn),
                (None, Some(row)) => flow(row.dequeued),
                (None, None) => optional(p.out_per_s, per_s),
            },
            optional(p.busy_percent, |v| v.map_or_else(soon, percent)),
            Cell::number(p.restarts as f64, count(p.restarts)).tone(warn(p.restarts)),
            Cell::number(p.dropped as f64, count(p.dropped)).tone(warn(p.dropped)),
            Cell::number(p.age_ms as f64, millis(p.age_ms)).tone(Tone::Dim),
        ],
        dim: p.stale_ms.is_some(),
    }
}

/// A total that is asked for in place of a rate.
fn flow(total: u64) -> Cell {
    Cell::number(total as f64, count(total))
}

/// A rate; it takes a second until it is known.
fn per_s(v: Option<f64>) -> String {
    v.map_or_else(soon, |v| rate(Some(v)))
}

fn soon() -> String {
    "…".to_owned()
}

fn signed(v: f64) -> String {
    match v {
        v if v.abs() < 0.5 => "0".to_owned(),
        v if v > 0.0 => format!("+{}", count(v.round() as u64)),
        v => format!("-{}", count(v.abs().round() as u64)),
    }
}
