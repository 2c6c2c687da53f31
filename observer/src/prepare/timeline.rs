//! The Timeline: events of all nodes, the newest first. Only the rows that show are written out.

use std::borrow::Cow;

use squall_proto::v1;

use super::{Detail, Source};
use crate::cluster::events::EventKey;
use crate::facts::{self, EventFact};
use crate::layout;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Table};
use crate::theme::Tone;
use crate::units::{clock, whole_seconds};

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("time (UTC)", 12, 12, 0),
    Column::number("ago", 7, 4).millis(),
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
    /// The selected event: what is said of it beside its words.
    pub detail: Option<Detail>,
    /// Its words in full.
    pub words: String,
}

/// Rows of the details with their borders.
pub const DETAIL: u16 = 6;

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Timeline {
    let height = layout::lines(layout::list(source.body, DETAIL).table);
    let table = table(source, pane, height.max(1));
    let chosen = match &pane.cursor.id {
        Some(RowId::Event(key)) => source.cluster.events.get(key).map(|e| facts::event(key, e)),
        _ => None,
    };
    Timeline {
        table,
        lost: source.cluster.events.lost,
        detail: chosen.as_ref().map(|e| detail(e, source.now.0)),
        words: chosen.map(|e| e.text).unwrap_or_default(),
    }
}

fn detail(e: &EventFact, now_ms: u64) -> Detail {
    let (glyph, tone) = severity(e);
    let mut line = vec![
        ("", format!("{glyph} {}", e.severity), tone),
        ("ago", ago(e, now_ms), Tone::Plain),
        ("node", e.node.clone(), Tone::Accent),
        ("subject", e.subject.clone(), Tone::Plain),
    ];
    if let Some(epoch) = e.epoch {
        line.push(("epoch", epoch.to_string(), Tone::Plain));
    }
    line.push(("event", format!("{} of run {}", e.seq, e.incarnation), Tone::Dim));
    Detail {
        title: format!("{} · {}", e.kind, clock(e.unix_ms)),
        lines: vec![line],
    }
}

fn severity(e: &EventFact) -> (&'static str, Tone) {
    match e.severity {
        "alert" => ("✖", Tone::Bad),
        "notice" => ("▲", Tone::Warn),
        "info" => ("·", Tone::Dim),
        _ => ("?", Tone::Dim),
    }
}

fn ago(e: &EventFact, now_ms: u64) -> String {
    whole_seconds(now_ms.saturating_sub(e.unix_ms))
}

/// An event as a filter sees it, without making a line of it.
struct Seen<'a> {
    key: &'a EventKey,
    event: &'a v1::Event,
    now_ms: u64,
}

impl squall_filter::Row for Seen<'_> {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        let Self { key, event, .. } = self;
        [&key.node, &event.kind, &event.subject, &event.text]
            .into_iter()
            .any(|text| look(text))
    }

    fn text(&self, field: usize) -> Option<Cow<'_, str>> {
        let Self { key, event, .. } = self;
        Some(match COLUMNS.get(field)?.title {
            "time (UTC)" => clock(key.unix_ms).into(),
            "severity" => facts::severity(event).into(),
            "node" => key.node.as_str().into(),
            "kind" => event.kind.as_str().into(),
            "subject" => event.subject.as_str().into(),
            _ => event.text.as_str().into(),
        })
    }

    fn number(&self, field: usize) -> Option<f64> {
        match COLUMNS.get(field)?.title {
            "ago" => Some(self.now_ms.saturating_sub(self.key.unix_ms) as f64 * 1000.0),
            "epoch" => (self.event.epoch != 0).then_some(self.event.epoch as f64),
            _ => None,
        }
    }
}

/// The table, cut to `height` lines.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let log = &source.cluster.events;
    let now_ms = source.now.0;
    let matches = |(key, event): &(&EventKey, &v1::Event)| pane.filter.matches(&Seen { key, event, now_ms });
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
    let (glyph, tone) = severity(e);
    Line {
        id,
        cells: vec![
            Cell::new(clock(e.unix_ms)),
            Cell::new(ago(e, now_ms)).tone(Tone::Dim),
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
