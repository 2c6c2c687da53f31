//! The spans that are kept, by trace: bounded, the oldest traces go first. Spans come in any order from several processes,
//! and what is put together of them is the same in every order.
//!
//! What does not live here: trees (`tree`), and where spans come from (`source`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::span::{Span, SpanId, TraceId};
use crate::limits::{SPANS_PER_TRACE_MAX, TRACE_BYTES_MAX, TRACES_BYTES_MAX, TRACES_MAX};

/// 2000-01-01 in nanoseconds since the Unix epoch: what claims to be older has no clock.
const PLAUSIBLE_NS: u64 = 946_684_800_000_000_000;
/// A span that takes longer than a day has no clock either.
const DAY_NS: u64 = 86_400_000_000_000;

/// How much is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Traces.
    pub traces: usize,
    /// Bytes of all of them, about.
    pub bytes: usize,
    /// Spans of one trace.
    pub spans_per_trace: usize,
    /// Bytes of one trace, about.
    pub bytes_per_trace: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            traces: TRACES_MAX,
            bytes: TRACES_BYTES_MAX,
            spans_per_trace: SPANS_PER_TRACE_MAX,
            bytes_per_trace: TRACE_BYTES_MAX,
        }
    }
}

/// What is told of a trace in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Name of its root, or of its first span while the root is missing.
    pub name: String,
    /// Its root: the first span without a parent.
    pub root: Option<SpanId>,
    /// Services.
    pub services: BTreeSet<String>,
    /// Nodes.
    pub nodes: BTreeSet<String>,
    /// Exchanges.
    pub exchanges: BTreeSet<String>,
    /// First start of its spans; those without a believable clock do not count, unless there is none other.
    pub start_ns: u64,
    /// Last end of them.
    pub end_ns: u64,
    /// Spans that failed.
    pub errors: usize,
}

impl Summary {
    /// Nanoseconds from its first start to its last end.
    #[must_use]
    pub const fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// The spans of one trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Id.
    pub id: TraceId,
    /// Spans by their ids.
    pub spans: BTreeMap<SpanId, Span>,
    /// What is told of it in the list.
    pub summary: Summary,
    /// Grows with every change; no two traces have ever the same.
    pub version: u64,
    /// Spans for which it had no room.
    pub left_out: u64,
    bytes: usize,
}

/// All traces that are kept.
#[derive(Debug, Clone, Default)]
pub struct Store {
    traces: BTreeMap<TraceId, Trace>,
    /// The oldest first.
    order: VecDeque<TraceId>,
    bounds: Bounds,
    bytes: usize,
    versions: u64,
    /// Traces that went to make room.
    pub evicted: u64,
}

impl Store {
    /// An empty store with other bounds.
    #[must_use]
    pub fn bounded(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Takes spans in.
    pub fn insert(&mut self, spans: impl IntoIterator<Item = Span>) {
        let mut touched = BTreeSet::new();
        for span in spans {
            let id = span.trace;
            let bounds = self.bounds;
            let trace = self.traces.entry(id).or_insert_with(|| {
                self.order.push_back(id);
                Trace::new(id)
            });
            let before = trace.bytes;
            if trace.insert(span, bounds) {
                touched.insert(id);
            }
            self.bytes = self.bytes - before + trace.bytes;
            self.make_room();
        }
        for id in touched {
            self.versions += 1;
            if let Some(trace) = self.traces.get_mut(&id) {
                trace.version = self.versions;
                trace.summary = summary(&trace.spans);
            }
        }
    }

    fn make_room(&mut self) {
        while self.traces.len() > self.bounds.traces || self.bytes > self.bounds.bytes {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(trace) = self.traces.remove(&oldest) {
                self.bytes -= trace.bytes;
                self.evicted += 1;
            }
        }
    }

    /// All traces, by id.
    pub fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.traces.values()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: TraceId) -> Option<&Trace> {
        self.traces.get(&id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.traces.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    /// About how many bytes they take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Trace {
    fn new(id: TraceId) -> Self {
        Self {
            id,
            spans: BTreeMap::new(),
            summary: Summary::default(),
            version: 0,
            left_out: 0,
            bytes: 0,
        }
    }

    /// Whether it changed.
    fn insert(&mut self, span: Span, bounds: Bounds) -> bool {
        let old = self.spans.get(&span.id);
        if old.is_some_and(|old| *old >= span) {
            return false;
        }
        let freed = old.map_or(0, Span::bytes);
        let bytes = self.bytes - freed + span.bytes();
        let count = self.spans.len() + usize::from(old.is_none());
        if bytes > bounds.bytes_per_trace || count > bounds.spans_per_trace {
            self.left_out += 1;
            return true;
        }
        self.bytes = bytes;
        self.spans.insert(span.id, span);
        true
    }

    /// About how many bytes it takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The span with which its tree begins: its root, or its first span while the root is missing.
    #[must_use]
    pub fn first(&self) -> Option<&Span> {
        let root = self.summary.root.and_then(|id| self.spans.get(&id));
        root.or_else(|| first(self.spans.values()))
    }
}

fn first<'a>(spans: impl Iterator<Item = &'a Span>) -> Option<&'a Span> {
    spans.min_by_key(|span| (!is_plausible(span), span.start_ns, span.id))
}

fn is_plausible(span: &Span) -> bool {
    span.start_ns >= PLAUSIBLE_NS && span.end_ns >= span.start_ns && span.duration_ns() <= DAY_NS
}

fn summary(spans: &BTreeMap<SpanId, Span>) -> Summary {
    let root = first(spans.values().filter(|span| span.parent.is_none()));
    let head = root.or_else(|| first(spans.values()));
    let mut of = Summary {
        name: head.map(|span| span.name.clone()).unwrap_or_default(),
        root: root.map(|span| span.id),
        errors: spans.values().filter(|span| span.error).count(),
        ..Summary::default()
    };
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    for span in spans.values() {
        of.services.extend(filled(&span.origin.service));
        of.nodes.extend(filled(&span.origin.node));
        of.exchanges.extend(span.exchange().map(str::to_owned));
    }
    let sane = || spans.values().filter(|span| is_plausible(span));
    let any = sane().next().is_some();
    let counted = || spans.values().filter(move |span| !any || is_plausible(span));
    of.start_ns = counted().map(|span| span.start_ns).min().unwrap_or(0);
    of.end_ns = counted().map(|span| span.interval().1).max().unwrap_or(0);
    of
}

#[cfg(test)]
#[path = "store_test.rs"]
mod tests;
