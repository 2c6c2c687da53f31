//! The Processes of all nodes. There may be a hundred thousand: only keys are compared, only the first of
//! them are put in order, and only the rows that show are written out.

use std::cmp::Ordering;

use super::Source;
use crate::cluster::node::{Node, Process};
use crate::facts::{self, ProcessFact};
use crate::layout;
use crate::limits::SORTED_AHEAD;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Sort, Table};
use crate::theme::Tone;
use crate::units::{count, micros, millis, percent, rate};

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("pid", 8, 20, 0),
    Column::words("name", 8, 28, 0),
    Column::words("kind", 8, 12, 3),
    Column::words("node", 4, 12, 4),
    Column::number("mailbox", 8, 0),
    Column::number("growth/s", 8, 5),
    Column::number("oldest", 7, 3),
    Column::number("in/s", 6, 1),
    Column::number("out/s", 6, 1),
    Column::number("busy", 5, 2),
    Column::number("restarts", 8, 6),
    Column::number("dropped", 7, 7),
    Column::number("age", 7, 8),
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
}

/// How a column is called on the wire.
#[must_use]
pub fn wire_word(title: &str) -> &'static str {
    match title {
        "pid" => "pid",
        "name" => "name",
        "kind" => "kind",
        "oldest" => "oldest",
        "in/s" => "enqueued",
        "out/s" => "dequeued",
        "busy" => "busy",
        "restarts" => "restarts",
        "dropped" => "dropped",
        "age" => "age",
        _ => "mailbox",
    }
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Processes {
    let omitted = source.cluster.nodes.values().map(|n| n.rows_omitted).sum();
    Processes {
        table: table(source, pane, layout::lines(source.body).max(1)),
        omitted,
    }
}

/// The table, cut to `height` lines.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let Source { cluster, now, .. } = source;
    let sort = pane.sort.unwrap_or(OWN_SORT);
    let all = || {
        cluster
            .nodes
            .values()
            .flat_map(|n| n.processes.values().map(move |p| (n, p)))
    };
    let wanted = |(n, p): &(&Node, &Process)| {
        pane.filter
            .matches([p.row.pid.as_str(), &p.row.name, &p.row.kind, &n.name].into_iter())
    };
    let unfiltered = cluster.nodes.values().map(|n| n.processes.len()).sum();
    let mut keys: Vec<Key<'_>> = all()
        .filter(wanted)
        .map(|(n, p)| Key::new(n, p, sort.column))
        .collect();
    let found = match &pane.cursor.id {
        Some(RowId::Process(node, pid)) => rank(&keys, node, pid, sort),
        _ => None,
    };
    let selected = pane.cursor.place(keys.len(), found, height);
    let first = pane.cursor.first();
    order(
        &mut keys,
        first.saturating_add(height).saturating_add(SORTED_AHEAD),
        sort,
    );
    pane.cursor.id = selected.map(|i| keys[i].id());
    let lines = keys.iter().skip(first).take(height);
    let lines = lines
        .map(|k| line(&facts::process(k.node, k.process, now)))
        .collect();
    let total = keys.len();
    Table {
        columns: COLUMNS.to_vec(),
        lines,
        first,
        total,
        unfiltered,
        selected,
        sort: Some(sort),
    }
}

/// What a process is sorted by.
struct Key<'a> {
    node: &'a Node,
    process: &'a Process,
    number: f64,
    text: &'a str,
}

impl<'a> Key<'a> {
    fn new(node: &'a Node, process: &'a Process, column: usize) -> Self {
        let (p, at) = (process, node.taken_ms);
        let (number, text) = match column {
            0 => (0.0, p.row.pid.as_str()),
            1 => (0.0, p.row.name.as_str()),
            2 => (0.0, p.row.kind.as_str()),
            3 => (0.0, node.name.as_str()),
            4 => (p.mailbox() as f64, ""),
            5 => (p.growth(at).unwrap_or(f64::MIN), ""),
            6 => (p.row.oldest_us as f64, ""),
            7 => (p.rate_in.per_s(at).unwrap_or(-1.0), ""),
            8 => (p.rate_out.per_s(at).unwrap_or(-1.0), ""),
            9 => (p.busy_percent(at).unwrap_or(-1.0), ""),
            10 => (p.row.restarts as f64, ""),
            11 => (p.row.dropped as f64, ""),
            _ => (p.row.age_ms as f64, ""),
        };
        Self {
            node,
            process,
            number,
            text,
        }
    }

    fn id(&self) -> RowId {
        RowId::Process(self.node.name.clone(), self.process.row.pid.clone())
    }

    fn compare(&self, other: &Self, sort: Sort) -> Ordering {
        let order = self
            .number
            .total_cmp(&other.number)
            .then_with(|| self.text.cmp(other.text));
        let order = if sort.descending { order.reverse() } else { order };
        // Equal keys keep an order of their own, so that rows do not jump about.
        order
            .then_with(|| self.node.name.cmp(&other.node.name))
            .then_with(|| self.process.row.pid.cmp(&other.process.row.pid))
    }
}

/// Where a process stands: as many as come before it. No sort is needed for that.
fn rank(keys: &[Key<'_>], node: &str, pid: &str, sort: Sort) -> Option<usize> {
    let own = keys
        .iter()
        .find(|k| k.node.name == node && k.process.row.pid == pid)?;
    Some(
        keys.iter()
            .filter(|k| k.compare(own, sort) == Ordering::Less)
            .count(),
    )
}

/// Puts the first `count` in order; the others stay as they are.
fn order(keys: &mut [Key<'_>], count: usize, sort: Sort) {
    if count < keys.len() {
        keys.select_nth_unstable_by(count, |a, b| a.compare(b, sort));
    }
    let end = count.min(keys.len());
    keys[..end].sort_unstable_by(|a, b| a.compare(b, sort));
}

fn line(p: &ProcessFact) -> Line {
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
    let growth = p.growth_per_s.map_or_else(|| "–".to_owned(), signed);
    let optional = |v: Option<f64>, text: String| Cell::number(v.unwrap_or(-1.0), text);
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
            optional(p.growth_per_s, growth),
            Cell::number(p.oldest_us as f64, micros(p.oldest_us)),
            optional(p.in_per_s, rate(p.in_per_s)),
            optional(p.out_per_s, rate(p.out_per_s)),
            optional(p.busy_percent, percent(p.busy_percent.unwrap_or(-1.0))),
            Cell::number(p.restarts as f64, count(p.restarts)).tone(warn(p.restarts)),
            Cell::number(p.dropped as f64, count(p.dropped)).tone(warn(p.dropped)),
            Cell::number(p.age_ms as f64, millis(p.age_ms)).tone(Tone::Dim),
        ],
        dim: p.stale_ms.is_some(),
    }
}

fn signed(v: f64) -> String {
    match v {
        v if v.abs() < 0.5 => "0".to_owned(),
        v if v > 0.0 => format!("+{}", count(v.round() as u64)),
        v => format!("-{}", count(v.abs().round() as u64)),
    }
}
