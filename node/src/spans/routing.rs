//! The span of a routing decision at the owner: from when the request came into the exchange's mailbox to when it left for a
//! handler.

use std::time::SystemTime;

use squall_kernel::frame::TraceContext;
use squall_kernel::time::Span as TimeSpan;

use super::SYSTEM;
use crate::telemetry::told::{SpanSink, Told, ago};

/// What a route span tells.
pub(crate) struct Route<'a> {
    /// Exchange.
    pub(crate) exchange: &'a str,
    /// Strategy.
    pub(crate) strategy: &'a str,
    /// Epoch of the ownership.
    pub(crate) epoch: u64,
    /// Epoch of the leader it is for; 0 without one.
    pub(crate) leader_epoch: u64,
    /// Handlers to choose from.
    pub(crate) candidates: usize,
    /// Handler chosen, as people read it.
    pub(crate) picked: String,
    /// Time the request waited in the exchange's mailbox.
    pub(crate) waited: TimeSpan,
}

/// Tells of a routing decision; the context that goes on. `route` is asked for only when there will be a span.
pub(crate) fn route<'a>(
    sink: &SpanSink,
    trace: TraceContext,
    route: impl FnOnce() -> Route<'a>,
) -> TraceContext {
    if !trace.sampled || !sink.has_room() {
        return trace;
    }
    let route = route();
    let told = Told::below(trace, format!("route {}", route.exchange), ago(route.waited));
    let context = told.context;
    let mut told = told
        .until(SystemTime::now())
        .with("messaging.system", SYSTEM)
        .with("messaging.operation.name", "route")
        .with("messaging.destination.name", route.exchange.to_owned())
        .with("squall.strategy", route.strategy.to_owned())
        .number("squall.epoch", route.epoch)
        .number("squall.candidates", route.candidates as u64)
        .with("squall.picked", route.picked)
        .number("squall.queue_wait_us", route.waited.0);
    if route.leader_epoch > 0 {
        told = told.number("squall.leader_epoch", route.leader_epoch);
    }
    sink.tell(told);
    context
}
