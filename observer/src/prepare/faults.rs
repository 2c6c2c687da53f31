//! The faults that act on the nodes now, with the time they have left, and what happened lately to them and by them.
//!
//! What does not live here: the view that they are a part of (`board`).

use super::Source;
use crate::facts::{self, FaultFact};
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Sort, Table};
use crate::theme::Tone;
use crate::units::{clock, count, whole_seconds};

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("fault", 8, 20, 2),
    Column::words("node", 4, 14, 0),
    Column::words("what", 12, 80, 0),
    Column::number("left", 7, 0).millis(),
    Column::number("touched", 8, 1),
    Column::words("by", 4, 24, 1),
];

/// Those that end first stand first.
pub const OWN_SORT: Sort = Sort {
    column: 3,
    descending: false,
};

/// Why no fault is shown, where no node takes any.
pub const NONE_TAKEN: &str = "no fault acts, and no node takes any: start them with --chaos";
/// Why no fault is shown, where some could be set.
pub const NONE_SET: &str = "no fault acts; x breaks what is selected in another view";

/// What to say where there is none.
pub(super) fn why_none(source: Source<'_>) -> &'static str {
    let takes = |n: &crate::cluster::node::Node| n.hello.as_ref().is_some_and(|h| h.chaos);
    if source.cluster.nodes.values().any(takes) {
        NONE_SET
    } else {
        NONE_TAKEN
    }
}

/// Events that tell of faults, and of what they do to leaders and nodes.
pub(super) fn lately(source: Source<'_>, rows: usize) -> Vec<(String, String, String)> {
    const KINDS: [&str; 7] = [
        "fault",
        "node-lost",
        "node-down",
        "owner-changed",
        "meta-leader",
        "leader-appointed",
        "first-reply",
    ];
    let of = |kind: &str| KINDS.iter().any(|known| kind.starts_with(known));
    let events = source.cluster.events.newest_first();
    events
        .filter(|(_, event)| of(&event.kind))
        .take(rows)
        .map(|(key, event)| {
            let words = format!("{}: {}", event.kind, event.text);
            (clock(key.unix_ms), key.node.clone(), words)
        })
        .collect()
}

/// The table, cut to `height` lines.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let facts = facts::faults(source.cluster, source.now);
    let lines = facts.iter().map(line).collect();
    let sort = Some(pane.sort.unwrap_or(OWN_SORT));
    Table::new(COLUMNS, lines, &pane.filter, sort, &mut pane.cursor, height)
}

fn line(f: &FaultFact) -> Line {
    Line {
        id: RowId::Fault(f.node.clone(), f.id.clone()),
        cells: vec![
            Cell::new(f.id.clone()).tone(Tone::Dim),
            Cell::new(f.node.clone()).tone(Tone::Accent),
            Cell::new(format!("✶ {}", f.what))
                .tone(Tone::Warn)
                .word(f.what.clone()),
            Cell::number(f.left_ms as f64, whole_seconds(f.left_ms)),
            Cell::number(f.touched as f64, count(f.touched)),
            Cell::new(f.by.clone()),
        ],
        dim: f.stale_ms.is_some(),
    }
}
