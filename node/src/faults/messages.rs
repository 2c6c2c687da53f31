//! What the data plane asks of the node's faults: what its handlers suffer, and what becomes of messages that leave exchanges
//! that are owned here, and what is told of it.
//!
//! What does not live here: doing it (`handlers`, `data`).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use squall_kernel::fault::{Fault, FaultKind, HandlersSuffer, MessageVerdict, ProcessFault};
use squall_kernel::frame::{Frame, Kind, TraceContext};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::keys::Key;
use squall_kernel::spread::mix;

use super::touched::By;
use super::{FaultPlane, Kinds, Touched};
use crate::pubsub::wants_word;
use crate::spans;

/// The faults for which a handler stands still. They may be over by the time that what waited is taken up.
#[derive(Debug)]
pub(crate) struct Standstill(Vec<By>);

impl FaultPlane {
    /// What handlers of that exchange suffer now; while no handler suffers anything that is one look at a number.
    pub(crate) fn handlers(&self, exchange: &ExchangeName) -> HandlersSuffer {
        if !self.act(Kinds::PROCESS) {
            return HandlersSuffer::default();
        }
        let now = self.now();
        self.with(|table| table.handlers(exchange, now))
    }

    /// Exchanges whose handlers suffer something now.
    pub(crate) fn suffering(&self) -> BTreeSet<ExchangeName> {
        if !self.act(Kinds::PROCESS) {
            return BTreeSet::new();
        }
        let now = self.now();
        let of = |fault: &Fault| match &fault.kind {
            FaultKind::Process { exchange, .. } => Some(exchange.clone()),
            _ => None,
        };
        self.with(|table| table.list(now).filter_map(of).collect())
    }

    /// Counts a handler or delivery of that exchange as touched, and tells of the delivery: from here on it is traced.
    pub(crate) fn touch_handlers(
        &self,
        exchange: &ExchangeName,
        frame: &mut Frame,
        by: impl Fn(ProcessFault) -> bool,
    ) -> Touched {
        self.count_handlers(exchange, &by);
        self.touches(exchange, frame, by)
    }

    /// Counts a handler of that exchange as touched, which has nothing in hand.
    pub(crate) fn count_handlers(&self, exchange: &ExchangeName, by: impl Fn(ProcessFault) -> bool) {
        let now = self.now();
        self.with(|table| table.touch_handlers(exchange, now, by));
    }

    /// Tells of a delivery to a handler that those faults touch, and does not count it.
    pub(crate) fn touches(
        &self,
        exchange: &ExchangeName,
        frame: &mut Frame,
        by: impl Fn(ProcessFault) -> bool,
    ) -> Touched {
        if !self.spans.sink().is_on() || !(may_be_kept(frame) || frame.trace.sampled) {
            return Touched::default();
        }
        let now = self.now();
        let by: Vec<By> = self.with(|table| {
            let on = table.on_handlers(exchange, now, by);
            on.filter_map(|fault| self.spans.by(fault)).collect()
        });
        if !by.is_empty() {
            self.keep(frame, Some(exchange));
        }
        Touched::new(self.spans.sink(), by, vec![frame.trace])
    }

    /// Why handlers of that exchange stand still; none where nothing is exported.
    pub(crate) fn standstill(&self, exchange: &ExchangeName) -> Option<Standstill> {
        if !self.spans.sink().is_on() {
            return None;
        }
        let now = self.now();
        let by: Vec<By> = self.with(|table| {
            let on = table.on_handlers(exchange, now, |what| what == ProcessFault::Suspend);
            on.filter_map(|fault| self.spans.by(fault)).collect()
        });
        (!by.is_empty()).then_some(Standstill(by))
    }

    /// Tells of a delivery that waited for a handler that stood still.
    pub(crate) fn stood_still(&self, why: &Standstill, trace: &mut TraceContext) -> Touched {
        if !trace.is_some() {
            return Touched::default();
        }
        trace.sampled = true;
        Touched::new(self.spans.sink(), why.0.clone(), vec![*trace])
    }

    /// What becomes of a message of that exchange that leaves its owner now, and what is told of it when it goes: one that a fault
    /// takes is traced from here on.
    pub(crate) fn message(&self, exchange: &ExchangeName, frame: &mut Frame) -> (MessageVerdict, Touched) {
        let now = self.now();
        let key = Key::take(frame.tags.key.clone()).ok();
        let rng = mix(self.drawn.fetch_add(1, Relaxed));
        let told = self.spans.sink().is_on() && (frame.trace.sampled || may_be_kept(frame));
        let (verdict, by): (_, Vec<By>) = self.with(|table| {
            let verdict = table.message(exchange, key.as_ref(), now, rng);
            if !told {
                return (verdict, Vec::new());
            }
            let taking = table.taking(exchange, key.as_ref(), now, rng);
            (verdict, taking.filter_map(|fault| self.spans.by(fault)).collect())
        });
        if !by.is_empty() {
            self.keep(frame, Some(exchange));
        }
        (verdict, Touched::new(self.spans.sink(), by, vec![frame.trace]))
    }

    /// A frame is about to leave for that node. Where faults act on the link, it is traced from here on, if its sender can hear
    /// of that.
    pub(crate) fn keep_on_link(&self, to: &NodeName, frame: &mut Frame) {
        if frame.trace.sampled || !may_be_kept(frame) || !self.spans.sink().is_on() {
            return;
        }
        let now = self.now();
        let touched = self.with(|table| {
            let mut acting = table.list(now);
            acting.any(|fault| fault.kind.to() == Some(to))
        });
        if touched {
            self.keep(frame, None);
        }
    }

    /// It is traced from here on. Of a task nobody will tell the beginning where that was not drawn: its submit was told of by now,
    /// or never will be. So what is told of it begins here.
    fn keep(&self, frame: &mut Frame, exchange: Option<&ExchangeName>) {
        if frame.kind == Kind::Task && !frame.trace.sampled {
            frame.trace = spans::touched_task(self.spans.sink(), frame.trace, exchange);
        }
        frame.trace.sampled = true;
    }
}

/// True where the node at which the message entered hears of it once more, and can tell of its beginning; and of tasks, which
/// can begin anywhere.
fn may_be_kept(frame: &Frame) -> bool {
    let heard = match frame.kind {
        Kind::Request | Kind::Deliver | Kind::Reply | Kind::Submit | Kind::Chunk | Kind::Ask => true,
        Kind::Publish | Kind::Event => wants_word(frame),
        Kind::Task => return true,
        _ => false,
    };
    heard && frame.trace.is_some()
}
