//! Traces without a terminal. They come from sources of their own, so no node needs to answer.
//!
//! What does not live here: the other views (`headless`).

use std::io::{ErrorKind, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use squall_filter::Filter;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Format, Options, SCHEMA, written};
use crate::clock::Clock;
use crate::error::Error;
use crate::model::{Pane, Screen};
use crate::prepare::fields;
use crate::prepare::traces::{View, wanted, whole_table};
use crate::traces::critical::critical_path;
use crate::traces::tree::tree;
use crate::traces::{Sources, Span, Trace, TraceFeed, Traces};
use crate::units::{Moment, clock};

/// A trace.
#[derive(Debug, Clone, Serialize)]
pub struct TraceFact {
    /// Id, 32 hexadecimal digits.
    pub trace_id: String,
    /// Name of its root, or of its first span while the root is missing.
    pub name: String,
    /// The root is missing.
    pub root_missing: bool,
    /// Services.
    pub services: Vec<String>,
    /// Nodes.
    pub nodes: Vec<String>,
    /// Exchanges.
    pub exchanges: Vec<String>,
    /// Microseconds since the Unix epoch.
    pub started_unix_us: u64,
    /// From its first start to its last end.
    pub duration_us: u64,
    /// Spans that failed.
    pub errors: usize,
    /// Spans for which there was no room.
    pub left_out: u64,
    /// Its spans, by start.
    pub spans: Vec<SpanFact>,
}

/// A span.
#[derive(Debug, Clone, Serialize)]
pub struct SpanFact {
    /// Id, 16 hexadecimal digits.
    pub span_id: String,
    /// Id of the span that it is a part of.
    pub parent_id: Option<String>,
    /// Name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    pub kind: &'static str,
    /// Service.
    pub service: String,
    /// Node.
    pub node: String,
    /// From the trace's start to its own.
    pub after_us: u64,
    /// How long it took.
    pub duration_us: u64,
    /// How long the root waited for it and for nothing below it.
    pub critical_us: u64,
    /// It failed.
    pub error: bool,
    /// Why.
    pub message: Option<String>,
    /// What it tells.
    pub attributes: Map<String, Value>,
}

/// Prints what the sources bring.
///
/// # Errors
/// [`Error::NoTraceSource`], [`Error::NoTraces`] when the sources brought nothing but errors, [`Error::Filter`],
/// [`Error::Io`].
pub async fn once(options: &Options, sources: Sources, out: &mut impl Write) -> Result<(), Error> {
    let mut gather = Gather::new(options, sources)?;
    gather.complete(options.patience).await?;
    gather.print(options, out).map(|_| ())
}

/// Prints what the sources have brought every second until the reader is gone or the future is dropped.
///
/// # Errors
/// As [`once`].
pub async fn watch(options: &Options, sources: Sources, out: &mut impl Write) -> Result<(), Error> {
    let mut gather = Gather::new(options, sources)?;
    while gather.print(options, out)? {
        gather.until(Instant::now() + Duration::from_secs(1)).await;
    }
    Ok(())
}

struct Gather {
    feed: TraceFeed,
    traces: Traces,
    clock: Clock,
    filter: Filter,
}

impl Gather {
    fn new(options: &Options, sources: Sources) -> Result<Self, Error> {
        if sources.is_empty() {
            return Err(Error::NoTraceSource);
        }
        Ok(Self {
            feed: sources.feed(),
            traces: Traces::default(),
            clock: Clock::start(),
            filter: Filter::parse(&options.filter, &fields(Screen::Traces))?,
        })
    }

    /// Collects until every source that can tell has brought all there is, or `patience` is over.
    async fn complete(&mut self, patience: Duration) -> Result<(), Error> {
        const LOOK: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + patience;
        loop {
            // What a source has brought before it says so is in the queue by then.
            let all = self.feed.status().iter().all(|s| s.rounds > 0);
            self.until(deadline.min(Instant::now() + LOOK)).await;
            if all || Instant::now() >= deadline {
                break;
            }
        }
        self.traces.sources = self.feed.status();
        let failed = |s: &crate::traces::SourceStatus| Some(format!("{}: {}", s.name, s.error.as_ref()?));
        let errors: Vec<String> = self.traces.sources.iter().filter_map(failed).collect();
        if self.traces.store.is_empty() && !errors.is_empty() {
            return Err(Error::NoTraces(errors.join("; ")));
        }
        Ok(())
    }

    async fn until(&mut self, deadline: Instant) {
        loop {
            match timeout_at(deadline, self.feed.next()).await {
                Ok(Some(spans)) => self.traces.store.insert(spans),
                Ok(None) => sleep_until(deadline).await,
                Err(_) => break,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        self.traces.sources = self.feed.status();
    }

    fn print(&self, options: &Options, out: &mut impl Write) -> Result<bool, Error> {
        let now = self.clock.now();
        let text = match options.format {
            Format::Json => format!("{}\n", to_json(&self.traces, now, &self.filter)?),
            Format::Csv => super::csv_of(&to_json(&self.traces, now, &self.filter)?),
            Format::Text => format!("{}\n", to_text(&self.traces, now, &self.filter)),
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// The traces that a filter wants, as JSON.
///
/// # Errors
/// [`Error::Json`] when a record cannot be written.
pub fn to_json(traces: &Traces, now: Moment, filter: &Filter) -> Result<Value, Error> {
    let view = View {
        traces,
        until: None,
        replayed: false,
    };
    let wanted = wanted(view, now, &mut pane(filter), usize::MAX);
    let facts = wanted.into_iter().map(|trace| serde_json::to_value(fact(trace)));
    let facts: Vec<Value> = facts.collect::<Result<_, _>>()?;
    Ok(json!({ "version": SCHEMA, "taken_unix_ms": now.0, "traces": facts }))
}

/// The traces that a filter wants, as text: how the sources stand, and a table with headings.
#[must_use]
pub fn to_text(traces: &Traces, now: Moment, filter: &Filter) -> String {
    let mut text = format!("Traces · {} UTC\n", clock(now.0));
    for source in &traces.sources {
        let error = source
            .error
            .as_ref()
            .map_or_else(String::new, |e| format!(", {e}"));
        text.push_str(&format!(
            "  {}: {} spans, {} dropped{error}\n",
            source.name, source.received, source.dropped
        ));
    }
    text + &written(&whole_table(traces, now, &mut pane(filter)))
}

fn pane(filter: &Filter) -> Pane {
    Pane {
        filter: filter.clone(),
        ..Pane::default()
    }
}

/// The record of a trace.
#[must_use]
pub fn fact(trace: &Trace) -> TraceFact {
    let of = &trace.summary;
    let tree = tree(&trace.spans);
    let root = trace.first().map(|span| span.id);
    let path = root.map_or_else(Vec::new, |root| critical_path(&tree, &trace.spans, root));
    let span = |span: &Span| {
        let waited = path.iter().filter(|segment| segment.span == span.id);
        let waited: u64 = waited.map(|s| s.to_ns - s.from_ns).sum();
        self::span(span, of.start_ns, waited)
    };
    let mut by_start: Vec<&Span> = trace.spans.values().collect();
    by_start.sort_by_key(|span| (span.start_ns, span.id));
    TraceFact {
        trace_id: trace.id.to_string(),
        name: of.name.clone(),
        root_missing: of.root.is_none(),
        services: of.services.iter().cloned().collect(),
        nodes: of.nodes.iter().cloned().collect(),
        exchanges: of.exchanges.iter().cloned().collect(),
        started_unix_us: of.start_ns / 1000,
        duration_us: of.duration_ns() / 1000,
        errors: of.errors,
        left_out: trace.left_out,
        spans: by_start.into_iter().map(span).collect(),
    }
}

fn span(of: &Span, start_ns: u64, waited_ns: u64) -> SpanFact {
    let attributes = of.attributes.iter();
    SpanFact {
        span_id: of.id.to_string(),
        parent_id: of.parent.map(|id| id.to_string()),
        name: of.name.clone(),
        kind: of.kind.as_str(),
        service: of.origin.service.clone(),
        node: of.origin.node.clone(),
        after_us: of.start_ns.saturating_sub(start_ns) / 1000,
        duration_us: of.duration_ns() / 1000,
        critical_us: waited_ns / 1000,
        error: of.error,
        message: (!of.message.is_empty()).then(|| of.message.clone()),
        attributes: attributes
            .map(|(k, v)| (k.clone(), Value::from(v.clone())))
            .collect(),
    }
}
