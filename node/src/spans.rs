//! The spans of a request's way: request → route → handle → reply, with the fields OpenTelemetry names for messaging,
//! and the trace context in and out of them. Costs one branch where a message carries no sampled context.
//!
//! What does not live here: exporters and subscribers (`telemetry`).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use squall_kernel::frame::{Status, TraceContext};
use squall_kernel::time::Span as TimeSpan;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::telemetry::TRACE_TARGET;
use crate::telemetry::context::{context_from, trace_context_of};

/// Decides which requests without a context start a trace.
#[derive(Debug, Default)]
pub struct Sampler {
    one_in: AtomicU32,
    seen: AtomicU32,
}

impl Sampler {
    /// Starts a trace for one in `n` requests; for none when `n` is 0.
    #[must_use]
    pub fn one_in(n: u32) -> Self {
        Self {
            one_in: AtomicU32::new(n),
            seen: AtomicU32::new(0),
        }
    }

    fn draws(&self) -> bool {
        match self.one_in.load(Relaxed) {
            0 => false,
            n => self.seen.fetch_add(1, Relaxed).is_multiple_of(n),
        }
    }
}

/// The span of a request, from the call to its end. `exchange` is asked for only when there will be a span.
#[must_use]
pub fn request_span(sampler: &Sampler, trace: &TraceContext, exchange: impl FnOnce() -> String) -> Span {
    if !(trace.sampled || (!trace.is_some() && sampler.draws())) {
        return Span::none();
    }
    let exchange = exchange();
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        "request",
        otel.name = format!("request {exchange}"),
        otel.kind = "producer",
        messaging.system = "squall",
        messaging.operation.name = "request",
        messaging.operation.r#type = "send",
        messaging.destination.name = exchange,
        squall.outcome = tracing::field::Empty,
    );
    adopt(&span, trace);
    span
}

/// What a route span tells.
pub struct Route<'a> {
    /// Exchange.
    pub exchange: &'a str,
    /// Strategy.
    pub strategy: &'a str,
    /// Handlers to choose from.
    pub candidates: usize,
    /// Handler chosen, as people read it.
    pub picked: String,
    /// Time the request waited in the exchange's mailbox.
    pub waited: TimeSpan,
}

/// The span of a routing decision. `route` is asked for only when there will be a span.
#[must_use]
pub fn route_span<'a>(trace: &TraceContext, route: impl FnOnce() -> Route<'a>) -> Span {
    if !trace.sampled {
        return Span::none();
    }
    let route = route();
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        "route",
        otel.name = format!("route {}", route.exchange),
        otel.kind = "internal",
        messaging.system = "squall",
        messaging.operation.name = "route",
        messaging.destination.name = route.exchange,
        squall.strategy = route.strategy,
        squall.candidates = route.candidates,
        squall.picked = route.picked,
        squall.queue_wait_us = route.waited.0,
    );
    adopt(&span, trace);
    span
}

/// The span of a handler's work, from the delivery to its answer. `exchange` and `handler` are asked for only when there
/// will be a span.
#[must_use]
pub fn handle_span(trace: &TraceContext, exchange: &str, handler: impl FnOnce() -> String) -> Span {
    if !trace.sampled {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        "handle",
        otel.name = format!("handle {exchange}"),
        otel.kind = "consumer",
        messaging.system = "squall",
        messaging.operation.name = "handle",
        messaging.operation.r#type = "process",
        messaging.destination.name = exchange,
        squall.handler = handler(),
    );
    adopt(&span, trace);
    span
}

/// The span of a reply's arrival at the requester's node, under the handler's context; ends the request's span with how
/// it ended.
pub fn reply_arrived(request: &Span, trace: &TraceContext, status: Status) {
    if request.is_none() {
        return;
    }
    let outcome = status_word(status);
    request.record("squall.outcome", outcome);
    if trace.sampled {
        let span = tracing::info_span!(
            target: TRACE_TARGET,
            "reply",
            otel.name = "reply",
            otel.kind = "internal",
            messaging.system = "squall",
            messaging.operation.name = "reply",
            squall.outcome = outcome,
        );
        adopt(&span, trace);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_sampled_context_no_span_is_made() {
        let trace = TraceContext::default();
        assert!(request_span(&Sampler::default(), &trace, || unreachable!()).is_none());
        assert!(route_span(&trace, || unreachable!()).is_none());
    }
}
