//! What exists, by name: nodes, exchanges with the functions and exchanges that they use, and what is attached to them.

pub mod order;

use super::Source;
use crate::facts::RegistryFact;
use crate::layout;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Sort, Table};
use crate::theme::Tone;
use crate::units::{millis, whole_seconds};

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("kind", 10, 12, 0),
    Column::words("name", 10, 36, 0),
    Column::words("node", 4, 14, 0),
    Column::words("state", 9, 14, 1),
    Column::words("what", 12, 200, 0),
    Column::number("age", 7, 2).millis(),
];

/// By kind and name.
pub const OWN_SORT: Sort = Sort {
    column: 0,
    descending: false,
};

/// The processes that are asked for.
pub const PROCESSES: &str = "kind = session or kind = handler or kind = subscriber";

/// The Registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    /// The table.
    pub table: Table,
    /// Rows left out by the nodes' limits.
    pub omitted: u64,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Registry {
    let height = layout::lines(source.body);
    Registry {
        omitted: source.cluster.nodes.values().map(|n| n.rows_omitted).sum(),
        table: table(source, pane, height.max(1)),
    }
}

/// The table, cut to `height` lines.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let Source { cluster, now, .. } = source;
    let sort = pane.sort.unwrap_or(OWN_SORT);
    let mut ordered = pane.registry.of(cluster, now, sort, &pane.filter);
    let total = ordered.total();
    let found = match &pane.cursor.id {
        Some(RowId::Process(node, pid)) if pane.cursor.follows() => {
            ordered.rank(|_| false, Some((node, pid)))
        }
        Some(RowId::Node(name)) => ordered.rank(|f| f.kind == "node" && f.name == *name, None),
        Some(RowId::Exchange(name)) => ordered.rank(|f| f.kind == "exchange" && f.name == *name, None),
        _ => None,
    };
    let selected = pane.cursor.place(total, found, height);
    let first = pane.cursor.first();
    let lines: Vec<Line> = ordered.window(first, height).iter().map(line).collect();
    pane.cursor.id = selected.and_then(|i| lines.get(i - first)).map(|l| l.id.clone());
    Table {
        columns: COLUMNS.to_vec(),
        lines,
        first,
        total,
        unfiltered: ordered.unfiltered,
        selected,
        sort: Some(sort),
    }
}

fn line(f: &RegistryFact) -> Line {
    let tone = match f.state {
        "up" | "owned" | "attached" => Tone::Good,
        "down" | "ownerless" => Tone::Bad,
        _ => Tone::Warn,
    };
    Line {
        id: id(f),
        cells: vec![
            Cell::new(f.kind).tone(Tone::Dim),
            Cell::new(f.name.clone()).tone(Tone::Accent),
            Cell::new(f.node.clone().unwrap_or_else(|| "–".to_owned())),
            match f.stale_ms {
                Some(ms) if f.pid.is_some() => Cell::new(format!("stale {}", whole_seconds(ms)))
                    .tone(Tone::Warn)
                    .word(f.state),
                _ => Cell::new(f.state).tone(tone),
            },
            Cell::new(f.what.clone()),
            f.age_ms
                .map_or_else(|| Cell::unknown("–"), |ms| Cell::number(ms as f64, millis(ms))),
        ],
        dim: f.stale_ms.is_some(),
    }
}

fn id(f: &RegistryFact) -> RowId {
    match (f.kind, &f.node, &f.pid) {
        ("node", ..) => RowId::Node(f.name.clone()),
        (_, Some(node), Some(pid)) => RowId::Process(node.clone(), pid.clone()),
        _ => RowId::Exchange(f.name.clone()),
    }
}
