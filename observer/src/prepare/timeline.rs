//! The Timeline: events of all nodes, the newest first. Only the rows that show are written out.

use std::borrow::Cow;

use squall_proto::v1;

use super::{Detail, Source};
use crate::cluster::events::EventKey;
use crate::cluster::stopwatch::{self, Failover, PHASES, PhaseFigures};
use crate::facts::{self, EventFact};
use crate::layout;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Table};
use crate::theme::Tone;
use crate::units::{clock, micros, whole_seconds};

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
    /// The failover that it belongs to, or the latest one; with the figures of all.
    pub stopwatch: Option<Stopwatch>,
}

/// A failover by its phases, and all failovers of the session.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopwatch {
    /// What failed over.
    pub title: String,
    /// Phase, its time, and the median and 99th percentile of all.
    pub phases: Vec<[String; 4]>,
    /// Share of the whole that each phase took, from 0 to 1.
    pub shares: Vec<f64>,
}

/// Rows of the stopwatch with its borders: headings, the phases, the whole.
pub const STOPWATCH: u16 = 4 + PHASES.len() as u16;

/// Rows of the details with their borders.
pub const DETAIL: u16 = 6;

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Timeline {
    let failovers = stopwatch::failovers(&source.cluster.events);
    let parts = layout::timeline(source.body, DETAIL, STOPWATCH, !failovers.is_empty());
    let height = layout::lines(parts.table);
    let table = table(source, pane, height.max(1));
    let chosen = match &pane.cursor.id {
        Some(RowId::Event(key)) => source.cluster.events.get(key).map(|e| facts::event(key, e)),
        _ => None,
    };
    let selected = match &pane.cursor.id {
        Some(RowId::Event(key)) => Some(key),
        _ => None,
    };
    Timeline {
        stopwatch: shown(&failovers, selected),
        table,
        lost: source.cluster.events.lost,
        detail: chosen.as_ref().map(|e| detail(e, source.now.0)),
        words: chosen.map(|e| e.text).unwrap_or_default(),
    }
}

/// The failover that an event is nearest to, or the latest one.
fn shown(failovers: &[Failover], selected: Option<&EventKey>) -> Option<Stopwatch> {
    let near = |key: &EventKey| {
        let within = failovers
            .iter()
            .filter(|f| f.key.unix_ms.abs_diff(key.unix_ms) * 1000 <= f.total_us + 1_000_000);
        within.min_by_key(|f| (f.key != *key, f.key.unix_ms.abs_diff(key.unix_ms)))
    };
    let f = selected.and_then(near).or(failovers.first())?;
    Some(stopwatch_of(f, failovers))
}

/// A failover in words, beside the figures of all.
#[must_use]
pub fn stopwatch_of(f: &Failover, all: &[Failover]) -> Stopwatch {
    let (of_phases, of_whole) = stopwatch::figures(all);
    let time = |us: Option<u64>| us.map_or_else(|| "–".to_owned(), spell);
    let line = |name: &str, us: Option<u64>, figures: Option<PhaseFigures>| {
        let p50 = figures.map(|f| f.p50_us);
        let p99 = figures.map(|f| f.p99_us);
        [name.to_owned(), time(us), time(p50), time(p99)]
    };
    let mut phases: Vec<[String; 4]> = PHASES
        .iter()
        .enumerate()
        .map(|(i, name)| line(name, f.phases[i], of_phases[i]))
        .collect();
    let whole = if f.answered { "in all" } else { "so far" };
    phases.push(line(whole, Some(f.total_us), of_whole));
    let share = |us: &Option<u64>| us.unwrap_or(0) as f64 / f.total_us.max(1) as f64;
    Stopwatch {
        title: format!("{} from {} to {}, epoch {}", f.exchange, f.from, f.to, f.epoch),
        phases,
        shares: f.phases.iter().map(share).collect(),
    }
}

/// A time of a phase, where nothing is a time too.
fn spell(us: u64) -> String {
    match us {
        0..100 => "0ms".to_owned(),
        us => micros(us),
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
