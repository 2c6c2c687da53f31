//! The Timeline: events of all nodes, the newest first. Only the rows that show are written out.

use super::Source;
use crate::facts::{self, EventFact};
use crate::layout;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Table};
use crate::theme::Tone;
use crate::units::{clock, millis};

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("time (UTC)", 12, 12, 0),
    Column::number("ago", 7, 4),
    Column::words("severity", 8, 8, 1),
    Column::words("node", 4, 12, 0),
    Column::words("kind", 8, 16, 0),
    Column::words("subject", 7, 20, 3),
    Column::number("epoch", 5, 5),
    Column::words("what", 10, 400, 0),
];

/// The Timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// The table.
    pub table: Table,
    /// Events lost before they could be read.
    pub lost: u64,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Timeline {
    let table = table(source, pane, layout::lines(source.body).max(1));
    Timeline {
        table,
        lost: source.cluster.events.lost,
    }
}

/// The table, cut to `height` lines.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let log = &source.cluster.events;
    let matches = |(key, e): &(&crate::cluster::events::EventKey, &squall_proto::v1::Event)| {
        pane.filter
            .matches([key.node.as_str(), &e.kind, &e.subject, &e.text].into_iter())
    };
    let keys: Vec<_> = log.newest_first().filter(matches).map(|(key, _)| key).collect();
    let found = match &pane.cursor.id {
        Some(RowId::Event(sought)) => keys.iter().position(|k| *k == sought),
        _ => None,
    };
    let selected = pane.cursor.place(keys.len(), found, height);
    pane.cursor.id = selected.map(|i| RowId::Event(keys[i].clone()));
    let first = pane.cursor.first();
    let shown = log.newest_first().filter(matches).skip(first).take(height);
    let lines = shown
        .map(|(key, e)| line(RowId::Event(key.clone()), &facts::event(key, e), source.now.0))
        .collect();
    Table {
        columns: COLUMNS.to_vec(),
        lines,
        first,
        total: keys.len(),
        unfiltered: log.len(),
        selected,
        sort: None,
    }
}

fn line(id: RowId, e: &EventFact, now_ms: u64) -> Line {
    let (glyph, tone) = match e.severity {
        "alert" => ("✖", Tone::Bad),
        "notice" => ("▲", Tone::Warn),
        "info" => ("·", Tone::Dim),
        _ => ("?", Tone::Dim),
    };
    let ago = millis(now_ms.saturating_sub(e.unix_ms) / 1000 * 1000);
    Line {
        id,
        cells: vec![
            Cell::new(clock(e.unix_ms)),
            Cell::new(ago).tone(Tone::Dim),
            Cell::new(format!("{glyph} {}", e.severity)).tone(tone),
            Cell::new(e.node.clone()).tone(Tone::Accent),
            Cell::new(e.kind.clone()),
            Cell::new(e.subject.clone()),
            Cell::new(e.epoch.map_or_else(String::new, |v| v.to_string())),
            Cell::new(e.text.clone()).tone(if e.severity == "info" { Tone::Plain } else { tone }),
        ],
        dim: false,
    }
}
