//! The list of traces, the newest first. Only the lines that show are written out.

use std::collections::BTreeSet;

use super::Source;
use crate::layout;
use crate::limits::SEARCH_BYTES;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Sort, Table};
use crate::theme::Tone;
use crate::traces::{SourceStatus, Trace, Traces};
use crate::units::{Moment, clock, count, micros, whole_seconds};

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("started", 12, 12, 0),
    Column::number("ago", 7, 5).millis(),
    Column::words("name", 12, 48, 0),
    Column::words("service", 6, 18, 4),
    Column::words("node", 4, 16, 1),
    Column::number("duration", 8, 0).micros(),
    Column::number("spans", 5, 2),
    Column::number("errors", 6, 0),
    Column::words("exchange", 8, 24, 3),
];

/// The newest first.
pub const OWN_SORT: Sort = Sort {
    column: 0,
    descending: true,
};

/// Lines about the sources, at most.
const SOURCES_MAX: usize = 3;

/// What the view is made from, beside the cluster.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The traces.
    pub traces: &'a Traces,
    /// Those that began later do not show: the screen is frozen.
    pub until: Option<Moment>,
    /// A recording is played: it has no traces.
    pub replayed: bool,
}

/// The Traces.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceList {
    /// The table.
    pub table: Table,
    /// How the sources stand, a line each.
    pub sources: Vec<(String, Tone)>,
    /// Traces that the filter has not been asked of yet.
    pub left: usize,
    /// Traces that went to make room.
    pub evicted: u64,
    /// The moment up to which they show, where that is not now.
    pub until: Option<String>,
    /// Why there is nothing, and what to do about it.
    pub hint: Vec<&'static str>,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, of: View<'_>, pane: &mut Pane) -> TraceList {
    let live = (of.replayed && !of.traces.sources.is_empty()).then(|| {
        let text = "a recording has no traces: what stands here came now";
        (text.to_owned(), Tone::Warn)
    });
    let told = of.traces.sources.iter().take(SOURCES_MAX).map(told);
    let sources: Vec<(String, Tone)> = live.into_iter().chain(told).collect();
    let height = layout::lines(source.body).saturating_sub(sources.len());
    TraceList {
        table: table(of, source.now, pane, height.max(1), SEARCH_BYTES),
        left: pane.found.left,
        evicted: of.traces.store.evicted,
        hint: hint(of),
        until: of.until.map(|until| clock(until.0).chars().take(8).collect()),
        sources,
    }
}

fn told(of: &SourceStatus) -> (String, Tone) {
    let mut text = format!("{}: {} spans", of.name, count(of.received));
    if of.dropped > 0 {
        text.push_str(&format!(", {} dropped", count(of.dropped)));
    }
    match &of.error {
        Some(error) => (format!("{text} · {error}"), Tone::Warn),
        None if of.dropped > 0 => (text, Tone::Warn),
        None => (text, Tone::Dim),
    }
}

fn hint(of: View<'_>) -> Vec<&'static str> {
    if of.until.is_some() && !of.traces.store.is_empty() {
        vec!["No trace that is kept began before this moment."]
    } else if of.replayed && of.traces.sources.is_empty() {
        vec!["A recording has no traces."]
    } else if of.traces.sources.is_empty() {
        vec![
            "There is no source of traces. Start the observer with",
            "--otlp-listen: takes what nodes send with --otlp",
            "--jaeger http://localhost:16686: asks a Jaeger",
        ]
    } else {
        vec![
            "No trace has come yet.",
            "A node traces one in a hundred requests, or as many",
            "as its --trace-ratio says.",
        ]
    }
}

/// All traces, for those without a window.
#[must_use]
pub fn whole_table(traces: &Traces, now: Moment, pane: &mut Pane) -> Table {
    let of = View {
        traces,
        until: None,
        replayed: false,
    };
    table(of, now, pane, usize::MAX, usize::MAX)
}

/// The traces that a filter wants, in the order of the table, of about so many bytes of them that it was not asked of before.
#[must_use]
pub fn wanted<'a>(of: View<'a>, now: Moment, pane: &mut Pane, bytes: usize) -> Vec<&'a Trace> {
    let began = |trace: &Trace| trace.summary.start_ns / 1_000_000;
    let shown = of.traces.store.traces();
    let shown = shown.filter(|trace| of.until.is_none_or(|until| began(trace) <= until.0));
    let mut wanted = pane.found.wanted(&pane.filter, shown, now, bytes);
    let sort = pane.sort.unwrap_or(OWN_SORT);
    let title = COLUMNS.get(sort.column).map_or("", |c| c.title);
    match title {
        "name" => wanted.sort_by(|a, b| a.summary.name.cmp(&b.summary.name)),
        "service" => wanted.sort_by(|a, b| a.summary.services.cmp(&b.summary.services)),
        "node" => wanted.sort_by(|a, b| a.summary.nodes.cmp(&b.summary.nodes)),
        "exchange" => wanted.sort_by(|a, b| a.summary.exchanges.cmp(&b.summary.exchanges)),
        "duration" => wanted.sort_by_key(|trace| trace.summary.duration_ns()),
        "spans" => wanted.sort_by_key(|trace| trace.spans.len()),
        "errors" => wanted.sort_by_key(|trace| trace.summary.errors),
        // The oldest have the greatest age.
        "ago" => wanted.sort_by_key(|trace| std::cmp::Reverse(trace.summary.start_ns)),
        _ => wanted.sort_by_key(|trace| trace.summary.start_ns),
    }
    if sort.descending {
        wanted.reverse();
    }
    wanted
}

fn table(of: View<'_>, now: Moment, pane: &mut Pane, height: usize, bytes: usize) -> Table {
    let wanted = wanted(of, now, pane, bytes);
    let found = match &pane.cursor.id {
        Some(RowId::Trace(sought)) => wanted.iter().position(|trace| trace.id == *sought),
        _ => None,
    };
    let selected = pane.cursor.place(wanted.len(), found, height);
    pane.cursor.id = selected.map(|i| RowId::Trace(wanted[i].id));
    let first = pane.cursor.first();
    let shown = wanted.iter().skip(first).take(height);
    Table {
        columns: COLUMNS.to_vec(),
        lines: shown.map(|trace| line(trace, now)).collect(),
        first,
        total: wanted.len(),
        unfiltered: of.until.map_or(of.traces.store.len(), |until| {
            let all = of.traces.store.traces();
            all.filter(|trace| trace.summary.start_ns / 1_000_000 <= until.0)
                .count()
        }),
        selected,
        sort: Some(pane.sort.unwrap_or(OWN_SORT)),
    }
}

fn line(trace: &Trace, now: Moment) -> Line {
    let of = &trace.summary;
    let words = |all: &BTreeSet<String>| {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Cell::new(if all.is_empty() {
            "–".to_owned()
        } else {
            all.join(" ")
        })
    };
    let name = match of.root {
        Some(_) => of.name.clone(),
        None => format!("… {}", of.name),
    };
    let errors = match of.errors {
        0 => Cell::number(0.0, "0").tone(Tone::Dim),
        n => Cell::number(n as f64, format!("[!] {n}")).tone(Tone::Bad),
    };
    let us = of.duration_ns() / 1000;
    Line {
        id: RowId::Trace(trace.id),
        cells: vec![
            Cell::new(clock(of.start_ns / 1_000_000)),
            Cell::new(whole_seconds(since_ms(of.start_ns, now))).tone(Tone::Dim),
            Cell::new(name).tone(Tone::Accent),
            words(&of.services).tone(Tone::Dim),
            words(&of.nodes),
            Cell::number(us as f64, micros(us)),
            Cell::number(trace.spans.len() as f64, count(trace.spans.len() as u64)),
            errors,
            words(&of.exchanges),
        ],
        dim: false,
    }
}

/// Milliseconds since a trace began.
#[must_use]
pub fn since_ms(start_ns: u64, now: Moment) -> u64 {
    now.0.saturating_sub(start_ns / 1_000_000)
}
