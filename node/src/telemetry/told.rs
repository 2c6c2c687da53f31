//! Spans that are told when they are over: of faults, of what they did to messages, of failovers. Their ids are chosen by
//! whoever tells them, before they begin or by what everybody knows ([`derived`]), so that others can be their children and
//! point to them without a word between them. All of them are exported:
//! whoever tells of messages has drawn them before ([`Sampling`]).
//!
//! What does not live here: spans of messages, which `tracing` makes (`spans`), and what there is to tell (`faults`, `failover`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor as _};
use squall_kernel::frame::TraceContext;
use squall_kernel::spread::mix;
use squall_kernel::time::Span as TimeSpan;

use super::batch::{Batcher, ExportFigures};
use super::context::context_from;
use super::sampling::Sampling;

/// The way to the collector, and which messages are told of; nowhere where nothing is exported. Telling it something never waits.
#[derive(Debug, Clone, Default)]
pub struct SpanSink(Option<Arc<Way>>);

#[derive(Debug)]
struct Way {
    batcher: Batcher,
    sampling: Sampling,
}

/// A span that is over.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its own context.
    pub context: TraceContext,
    /// The span above it; all zero for none.
    pub parent: [u8; 8],
    /// Name.
    pub name: Cow<'static, str>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended; no earlier than it began, or it counts as nothing.
    pub ended: SystemTime,
    /// Attributes.
    pub attributes: Vec<KeyValue>,
    /// Spans that it points to.
    pub links: Vec<TraceContext>,
    /// Which side of the messages' way it is.
    pub kind: SpanKind,
    /// It did not end well.
    pub failed: bool,
}

impl SpanSink {
    pub(crate) fn to(batcher: &Batcher, sampling: Sampling) -> Self {
        let batcher = batcher.clone();
        Self(Some(Arc::new(Way { batcher, sampling })))
    }

    /// Which messages are traced; none where nobody takes spans.
    #[must_use]
    pub fn sampling(&self) -> Option<&Sampling> {
        self.0.as_ref().map(|way| &way.sampling)
    }

    /// True where somebody takes spans: whoever has something to tell asks this first.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// True where somebody takes spans, and has room for one more: whoever makes one only to tell it asks this first. Where there is
    /// no room it counts as dropped.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.as_ref().is_some_and(|way| way.batcher.has_room())
    }

    /// What became of the spans so far; nothing where nobody takes any.
    #[must_use]
    pub fn figures(&self) -> ExportFigures {
        self.0
            .as_ref()
            .map(|way| way.batcher.figures())
            .unwrap_or_default()
    }

    /// Queues it. Where there is no room it is dropped and counted.
    pub fn tell(&self, told: Told) {
        if let Some(way) = &self.0 {
            way.batcher.on_end(data(told));
        }
    }
}

impl Told {
    /// A root, with what it has beyond its name still to come.
    #[must_use]
    pub fn root(context: TraceContext, name: impl Into<Cow<'static, str>>, began: SystemTime) -> Self {
        Self {
            context,
            parent: [0; 8],
            name: name.into(),
            began,
            ended: began,
            attributes: Vec::new(),
            links: Vec::new(),
            kind: SpanKind::Internal,
            failed: false,
        }
    }

    /// The same below `parent`, under an id of its own.
    #[must_use]
    pub fn below(parent: TraceContext, name: impl Into<Cow<'static, str>>, began: SystemTime) -> Self {
        let context = TraceContext {
            span_id: rand::random_range(1..=u64::MAX).to_be_bytes(),
            ..parent
        };
        Self {
            parent: parent.span_id,
            ..Self::root(context, name, began)
        }
    }

    /// Ended then.
    #[must_use]
    pub fn until(self, ended: SystemTime) -> Self {
        Self {
            ended: ended.max(self.began),
            ..self
        }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<opentelemetry::Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// With one more attribute, a number.
    #[must_use]
    pub fn number(self, key: &'static str, value: u64) -> Self {
        self.with(key, i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Of that kind.
    #[must_use]
    pub fn of_kind(self, kind: SpanKind) -> Self {
        Self { kind, ..self }
    }

    /// Ended badly, in the field's word for it.
    #[must_use]
    pub fn failed(self, why: &'static str) -> Self {
        Self {
            failed: true,
            ..self.with("error.type", why)
        }
    }

    /// Pointing to one more span.
    #[must_use]
    pub fn linked(mut self, to: TraceContext) -> Self {
        self.links.push(to);
        self
    }
}

/// A context for the root of a new trace, which is sampled.
#[must_use]
pub fn fresh() -> TraceContext {
    TraceContext {
        trace_id: rand::random_range(1..=u128::MAX).to_be_bytes(),
        span_id: rand::random_range(1..=u64::MAX).to_be_bytes(),
        sampled: true,
    }
}

/// The context of the root of the trace about what these words say: the same for whoever says the same. Each word is as long
/// as it is wherever it is said, or ends where the next one cannot begin: the words are put behind each other.
#[must_use]
pub fn derived(words: &[&[u8]]) -> TraceContext {
    // Three numbers that have nothing to do with each other, and are not 0, which means none.
    let number = |of: u64| {
        let bytes = words.iter().flat_map(|word| word.iter());
        let sum = bytes.fold(mix(of), |sum, byte| mix(sum.wrapping_add(1) ^ u64::from(*byte)));
        sum.max(1)
    };
    let trace = u128::from(number(1)) << 64 | u128::from(number(2));
    TraceContext {
        trace_id: trace.to_be_bytes(),
        span_id: number(3).to_be_bytes(),
        sampled: true,
    }
}

/// So long ago.
#[must_use]
pub fn ago(time: TimeSpan) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(Duration::from_micros(time.0)).unwrap_or(now)
}

/// The context of a span as OpenTelemetry has it.
fn span_context(of: TraceContext) -> SpanContext {
    context_from(of).span().span_context().clone()
}

fn data(told: Told) -> SpanData {
    let mut links = SpanLinks::default();
    links.links = told
        .links
        .into_iter()
        .filter(TraceContext::is_some)
        .map(|to| Link::with_context(span_context(to)))
        .collect();
    let context = SpanContext::new(
        TraceId::from_bytes(told.context.trace_id),
        SpanId::from_bytes(told.context.span_id),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    let parent = SpanId::from_bytes(told.parent);
    SpanData {
        span_context: context,
        parent_span_id: parent,
        parent_span_is_remote: parent != SpanId::INVALID,
        span_kind: told.kind,
        name: told.name,
        start_time: told.began,
        end_time: told.ended.max(told.began),
        attributes: told.attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: if told.failed {
            Status::error("")
        } else {
            Status::Unset
        },
        instrumentation_scope: InstrumentationScope::builder(super::SCOPE).build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_says_the_same_means_the_same_span() {
        let of = |words: &[&[u8]]| derived(words);
        let one = of(&[b"failover", b"orders", &7u64.to_be_bytes()]);
        assert_eq!(one, of(&[b"failover", b"orders", &7u64.to_be_bytes()]));
        assert!(one.is_some() && one.sampled && one.span_id != [0; 8]);
        for other in [
            of(&[b"failover", b"orders", &8u64.to_be_bytes()]),
            of(&[b"failover", b"order", &7u64.to_be_bytes()]),
            of(&[b"loss of", b"orders", &7u64.to_be_bytes()]),
            of(&[]),
        ] {
            assert_ne!(one.trace_id, other.trace_id);
            assert_ne!(one.span_id, other.span_id);
        }
    }

    #[test]
    fn a_child_is_in_its_parents_trace_under_an_id_of_its_own() {
        let (root, now) = (fresh(), SystemTime::now());
        let child = Told::below(root, "detect", now);
        assert_eq!(
            (child.context.trace_id, child.parent),
            (root.trace_id, root.span_id)
        );
        assert_ne!(child.context.span_id, root.span_id);
        let earlier = now - Duration::from_secs(1);
        assert_eq!(
            child.until(earlier).ended,
            now,
            "it does not end before it begins"
        );
    }

    #[test]
    fn where_nothing_is_exported_nobody_takes_anything() {
        let sink = SpanSink::default();
        assert!(!sink.is_on());
        sink.tell(Told::root(fresh(), "nothing", SystemTime::now()));
    }
}
