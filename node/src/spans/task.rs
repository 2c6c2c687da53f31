//! The spans of a task behind its submitter's: each attempt at the node of its worker, from when the worker was given it to
//! the owner's last word on it, and its end as a dead letter at the owner. An attempt that fails is told of though its task was not
//! drawn.
//!
//! What does not live here: leases and attempts (the kernel's `tasks`).

use std::time::SystemTime;

use opentelemetry::trace::SpanKind;
use squall_kernel::frame::TraceContext;
use squall_kernel::id::ExchangeName;
use squall_kernel::message::SettleWord;
use squall_kernel::reason::DeadReason;
use squall_kernel::tasks::SettleResult;

use super::SYSTEM;
use crate::telemetry::told::{SpanSink, Told, fresh};

/// A task in a worker's hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The task's context: of who submitted it.
    pub(crate) trace: TraceContext,
    /// The how manieth it is, from 1.
    pub(crate) number: u32,
    /// How many there are at most.
    pub(crate) of: u32,
    /// Bytes of the payload.
    pub(crate) bytes: usize,
    /// Since when it is in hand.
    pub(crate) began: SystemTime,
}

/// How an attempt ended: the word for it, and whether that was no success.
pub(crate) const fn ending(word: &SettleWord) -> (&'static str, bool) {
    match word {
        SettleWord::Result(SettleResult::Confirmed | SettleResult::AlreadyConfirmed) => ("confirmed", false),
        SettleWord::Result(SettleResult::GivenBack) => ("given back", true),
        SettleWord::Result(SettleResult::Fenced { .. }) => ("fenced", true),
        SettleWord::Result(SettleResult::Dead(reason)) => (reason.as_str(), true),
        SettleWord::Result(SettleResult::Unknown) => ("unknown task", true),
        // Neither ends it.
        SettleWord::Result(SettleResult::Extended { .. } | SettleResult::Refused(_)) => ("goes on", false),
        SettleWord::Ended(why) => (why.as_str(), true),
    }
}

impl Attempt {
    /// Tells of its end, where it is traced or has failed. `who` gives exchange, task and worker, and is asked for only then.
    pub(crate) fn ended(
        self,
        sink: &SpanSink,
        (outcome, failed): (&'static str, bool),
        who: impl FnOnce() -> [String; 3],
    ) {
        if !sink.is_on() || !(self.trace.sampled || failed) {
            return;
        }
        let [exchange, task, worker] = who();
        let told = below(self.trace, format!("work {exchange}"), self.began)
            .until(SystemTime::now())
            .of_kind(SpanKind::Consumer)
            .with("messaging.system", SYSTEM)
            .with("messaging.operation.name", "work")
            .with("messaging.operation.type", "process")
            .with("messaging.destination.name", exchange)
            .with("messaging.message.id", task)
            .number("messaging.message.body.size", self.bytes as u64)
            .with("squall.worker", worker)
            .number("squall.attempt", self.number.into())
            .number("squall.attempts", self.of.into())
            .with("squall.outcome", outcome);
        sink.tell(if failed { told.failed(outcome) } else { told });
    }
}

/// Tells that a task has ended as a dead letter. `who` gives exchange and task.
pub(crate) fn dead_letter(sink: &SpanSink, trace: TraceContext, reason: DeadReason, who: [String; 2]) {
    if !sink.is_on() {
        return;
    }
    let [exchange, task] = who;
    let told = below(trace, format!("dead letter {exchange}"), SystemTime::now())
        .with("messaging.system", SYSTEM)
        .with("messaging.operation.name", "dead letter")
        .with("messaging.destination.name", exchange)
        .with("messaging.message.id", task)
        .failed(reason.as_str());
    sink.tell(told);
}

/// A fault touches a task that was not drawn: what is told of it begins here, in its trace. The context that goes on.
pub(crate) fn touched_task(
    sink: &SpanSink,
    trace: TraceContext,
    exchange: Option<&ExchangeName>,
) -> TraceContext {
    let now = SystemTime::now();
    let told = of_undrawn(trace, "task".to_owned(), now)
        .until(now)
        .with("messaging.system", SYSTEM)
        .with("squall.kept", "fault");
    let context = told.context;
    sink.tell(match exchange {
        Some(name) => told.with("messaging.destination.name", name.to_string()),
        None => told,
    });
    context
}

/// Below the submit that was traced; of one that was not, a root in its trace.
fn below(submit: TraceContext, name: String, began: SystemTime) -> Told {
    if submit.sampled {
        return Told::below(submit, name, began);
    }
    of_undrawn(submit, name, began).with("squall.kept", "failed")
}

/// A root in the trace of a submit that nobody told of.
fn of_undrawn(submit: TraceContext, name: String, began: SystemTime) -> Told {
    let fresh = fresh();
    let context = TraceContext {
        trace_id: if submit.is_some() {
            submit.trace_id
        } else {
            fresh.trace_id
        },
        ..fresh
    };
    Told::root(context, name, began)
}
