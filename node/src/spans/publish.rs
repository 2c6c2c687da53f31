//! The spans of a publish behind its publisher's: one at each node that passes it on, below the one before it; and one for each
//! copy that a subscriber gets, in a trace of its own that points to the publish. One publish may have a hundred thousand copies:
//! of those of a node the first few are told of.
//!
//! What does not live here: who gets a copy (`pubsub`).

use std::time::SystemTime;

use opentelemetry::trace::SpanKind;
use squall_kernel::frame::TraceContext;
use squall_kernel::time::Span as TimeSpan;

use super::SYSTEM;
use crate::telemetry::told::{SpanSink, Told, ago, fresh};

/// Copies of one publish at one node that are told of.
pub(crate) const COPIES_TOLD_MAX: usize = 32;

/// What a node does with a publish.
pub(crate) struct FanOut<'a> {
    /// Exchange.
    pub(crate) exchange: &'a str,
    /// Routing key.
    pub(crate) key: String,
    /// Epoch under which it goes on.
    pub(crate) epoch: u64,
    /// `owner`, `proxy`, `subscribers`, or `degraded` where no owner took it.
    pub(crate) role: &'static str,
    /// Other nodes that get it from here.
    pub(crate) nodes: usize,
    /// Subscribers here that get it.
    pub(crate) subscribers: usize,
    /// Time it waited here before.
    pub(crate) waited: TimeSpan,
}

/// A copy of a publish that a subscriber has taken, or never will.
pub(crate) struct Copy<'a> {
    /// Exchange.
    pub(crate) exchange: &'a str,
    /// Subscriber, as people read it.
    pub(crate) subscriber: String,
    /// Routing key.
    pub(crate) key: String,
    /// Bytes of the payload.
    pub(crate) bytes: usize,
    /// Time in the subscriber's mailbox.
    pub(crate) waited: TimeSpan,
    /// Why the subscriber does not get it: `expired`, `dropped`.
    pub(crate) lost: Option<&'static str>,
}

/// The span of a node that passes a publish on: told when it has. Its context goes on with the publish. `of` is asked for only
/// when there will be a span.
pub(crate) fn fan_out<'a>(
    sink: &SpanSink,
    trace: TraceContext,
    of: impl FnOnce() -> FanOut<'a>,
) -> Option<Told> {
    if !trace.sampled || !sink.has_room() {
        return None;
    }
    let of = of();
    let told = Told::below(trace, format!("fan out {}", of.exchange), ago(of.waited))
        .with("messaging.system", SYSTEM)
        .with("messaging.operation.name", "fan out")
        .with("messaging.destination.name", of.exchange.to_owned())
        .with("squall.key", of.key)
        .number("squall.epoch", of.epoch)
        .with("squall.role", of.role)
        .number("squall.nodes", of.nodes as u64)
        .number("squall.subscribers", of.subscribers as u64)
        .number("squall.queue_wait_us", of.waited.0);
    Some(told)
}

impl Copy<'_> {
    /// Tells of it, pointing to the publish.
    pub(crate) fn tell(self, sink: &SpanSink, publish: TraceContext) {
        let told = Told::root(fresh(), format!("deliver {}", self.exchange), ago(self.waited))
            .until(SystemTime::now())
            // It is taken out of a mailbox, as whoever asks for messages gets them.
            .of_kind(SpanKind::Client)
            .linked(publish)
            .with("messaging.system", SYSTEM)
            .with("messaging.operation.name", "deliver")
            .with("messaging.operation.type", "receive")
            .with("messaging.destination.name", self.exchange.to_owned())
            .number("messaging.message.body.size", self.bytes as u64)
            .with("squall.key", self.key)
            .with("squall.subscriber", self.subscriber)
            .number("squall.queue_wait_us", self.waited.0);
        sink.tell(match self.lost {
            Some(why) => told.failed(why),
            None => told,
        });
    }
}
