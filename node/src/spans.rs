//! The spans of messages on their way: who sends, which exchange routes, who handles, who gets a copy; with the fields that
//! OpenTelemetry names for messaging, and the trace context in and out of them. Costs one branch where a message's context is
//! not sampled.
//!
//! What does not live here: who is traced (`telemetry::sampling`), exporters (`telemetry`), what faults did (`faults`), and
//! failovers (`failover`).

mod publish;
mod request;
mod routing;
mod talk;
mod task;

use squall_kernel::frame::{Status, TraceContext};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Span as TimeSpan;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::telemetry::context::{context_from, trace_context_of};
use crate::telemetry::{SpanSink, TRACE_TARGET};

pub(crate) use publish::{COPIES_TOLD_MAX, Copy, FanOut, fan_out};
pub(crate) use request::{Ended, Sent, Traced, reply};
pub(crate) use routing::{Route, route};
pub(crate) use task::{Attempt, dead_letter, ending, touched_task};

/// Name of this system in spans.
const SYSTEM: &str = "squall";

/// What the span of a handler's work tells.
pub struct Handle<'a> {
    /// Exchange.
    pub exchange: &'a str,
    /// Handler, as people read it.
    pub handler: String,
    /// Bytes of the payload.
    pub bytes: usize,
    /// Epoch under which it was sent here.
    pub epoch: u64,
    /// Time it waited here before.
    pub waited: TimeSpan,
}

/// The span of a handler's work, from the delivery to its answer. `handle` is asked for only when there will be a span.
#[must_use]
pub fn handle_span<'a>(sink: &SpanSink, trace: &TraceContext, handle: impl FnOnce() -> Handle<'a>) -> Span {
    if !trace.sampled || !sink.has_room() {
        return Span::none();
    }
    let handle = handle();
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        "handle",
        otel.name = format!("handle {}", handle.exchange),
        otel.kind = "consumer",
        otel.status_code = tracing::field::Empty,
        messaging.system = SYSTEM,
        messaging.operation.name = "handle",
        messaging.operation.r#type = "process",
        messaging.destination.name = handle.exchange,
        messaging.message.body.size = handle.bytes,
        squall.handler = handle.handler,
        squall.epoch = handle.epoch,
        squall.queue_wait_us = handle.waited.0,
        squall.outcome = tracing::field::Empty,
        error.r#type = tracing::field::Empty,
    );
    adopt(&span, trace);
    span
}

/// A handler has answered so: its span says it when it ends.
pub fn handled(span: &Span, status: Status) {
    if span.is_disabled() {
        return;
    }
    span.record("squall.outcome", status_word(status));
    if let Status::None(reason) = status {
        span.record("error.type", reason.as_str());
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of work that somebody else does, until it is answered. Without an answer it says so.
pub struct InHand(Span);

impl InHand {
    /// Of work under that span.
    #[must_use]
    pub const fn new(span: Span) -> Self {
        Self(span)
    }

    /// The answer has come.
    pub fn answered(mut self, status: Status) {
        handled(&std::mem::replace(&mut self.0, Span::none()), status);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        handled(&self.0, Status::None(NoReply::Interrupted));
    }
}

/// The word of a status, as the observer and the traces have it.
#[must_use]
pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Reply => "reply",
        Status::Declined => "declined",
        Status::Redirect => "redirect",
        Status::Pass => "pass",
        Status::Rewrite => "rewrite",
        Status::None(reason) => reason.as_str(),
    }
}

/// The context that messages sent under `span` carry: the span's own, or `otherwise` when nobody records it.
#[must_use]
pub fn context_of(span: &Span, otherwise: TraceContext) -> TraceContext {
    if span.is_disabled() {
        return otherwise;
    }
    let own = trace_context_of(span);
    if own.is_some() { own } else { otherwise }
}

fn adopt(span: &Span, trace: &TraceContext) {
    if !trace.is_some() || span.is_disabled() {
        return;
    }
    // Without an exporter's layer there is nobody to tell, and nothing lost.
    let _no_layer = span.set_parent(context_from(*trace));
}
