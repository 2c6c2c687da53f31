//! Messages on their way from exchanges that are owned here, as faults leave them: lost, doubled, or late. It comes behind the
//! kernel's decision: a journal replays as if nothing had become of them.
//!
//! What does not live here: which message a fault takes (the kernel's `fault`), and links.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{ExchangeName, MessageId, NodeId};
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};
use tokio::sync::Notify;

use super::DataContext;
use crate::faults::{Kinds, Touched};
use crate::limits::{MESSAGES_LATE_BYTES_MAX, MESSAGES_LATE_MAX};
use crate::wire::LinkError;

/// No publisher counts so far: the number of a publish that a fault has doubled.
const DOUBLED: u64 = 1 << 63;

/// Where a message goes: to which node, and what it keeps its order with.
type Way = (NodeId, u64);

/// Messages that faults hold back, until they are due. Their number and bytes are bounded; beyond, the oldest go on.
#[derive(Default)]
pub(crate) struct Late {
    state: Mutex<State>,
    earlier: Notify,
}

/// A message that is late; it is told of when it goes.
struct Waiting {
    way: Way,
    frame: Frame,
    _touched: Touched,
}

#[derive(Default)]
struct State {
    /// By when they go, on the clock of the faults, and by their number.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    bytes: usize,
    last: u64,
}

impl State {
    fn pop(&mut self) -> Option<(Way, Frame)> {
        let (_, late) = self.waiting.pop_first()?;
        self.bytes -= late.frame.payload.len();
        Some((late.way, late.frame))
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    fn is_over_bound(&self) -> bool {
        let many = self.waiting.len() > MESSAGES_LATE_MAX;
        many || (self.bytes > MESSAGES_LATE_BYTES_MAX && self.waiting.len() > 1)
    }
}

impl Late {
    /// Messages held back.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Holds a message back until then. Gives those that find no room any more.
    fn hold(&self, until: Instant, way: Way, frame: Frame, touched: Touched) -> Vec<(Way, Frame)> {
        let mut state = self.lock();
        state.last += 1;
        state.bytes += frame.payload.len();
        let number = state.last;
        let waiting = Waiting {
            way,
            frame,
            _touched: touched,
        };
        state.waiting.insert((until, number), waiting);
        let mut out = Vec::new();
        while state.is_over_bound() {
            out.extend(state.pop());
        }
        drop(state);
        self.earlier.notify_one();
        out
    }

    /// Those that are due by then.
    fn take(&self, now: Instant) -> Vec<(Way, Frame)> {
        let mut state = self.lock();
        let mut out = Vec::new();
        while state.next_due().is_some_and(|at| at <= now) {
            out.extend(state.pop());
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataContext {
    /// Sends a message of an exchange that is owned here to a node with handlers, workers or subscribers.
    ///
    /// # Errors
    /// [`LinkError`]: it was certainly not sent. What a fault takes counts as sent.
    pub(crate) fn leave(
        &self,
        exchange: &ExchangeName,
        (to, key): Way,
        frame: impl Into<Box<Frame>>,
    ) -> Result<(), LinkError> {
        let frame = frame.into();
        if !self.faults.act(Kinds::MESSAGE) {
            return self.wire.frame(to, key, frame);
        }
        let mut leaving = self.leaving(exchange, (to, key), *frame).into_iter();
        let sent = leaving.next().map(|frame| self.wire.frame(to, key, frame));
        for again in leaving {
            // As the first one fares, it is told.
            let _told = self.wire.frame(to, key, again);
        }
        sent.unwrap_or(Ok(()))
    }

    /// What of such a message goes now, as faults leave it: nothing, once or twice. What is late goes by itself.
    pub(crate) fn leaving(&self, exchange: &ExchangeName, way: Way, mut frame: Frame) -> Vec<Frame> {
        let (verdict, mut touched) = self.faults.message(exchange, &mut frame);
        if verdict.lost {
            return Vec::new();
        }
        let again = verdict.twice.then(|| doubled(&frame));
        let all = std::iter::once(frame).chain(again);
        if verdict.later == Span::ZERO {
            return all.collect();
        }
        let until = self.faults.now() + verdict.later;
        for frame in all {
            let frame = with_less_time(frame, verdict.later);
            // The second of two is none of its requester's: the first one is told of.
            let touched = std::mem::take(&mut touched);
            for (way, frame) in self.late.hold(until, way, frame, touched) {
                self.go_on(way, frame);
            }
        }
        Vec::new()
    }

    /// Sends what is late when it is due, and all of it when no fault holds messages back any more; for ever.
    pub(super) async fn keep_late(self: Arc<Self>) {
        let mut changes = self.faults.changes();
        loop {
            let due = self.late.lock().next_due();
            tokio::select! {
                () = self.late.earlier.notified() => {}
                () = self.faults.until(due) => {}
                () = self.faults.changed(&mut changes) => {}
            }
            let until = if self.faults.act(Kinds::MESSAGE) {
                self.faults.now()
            } else {
                Instant(u64::MAX)
            };
            for (way, frame) in self.late.take(until) {
                self.go_on(way, frame);
            }
        }
    }

    /// Sends what was late. Nobody waits for word of it but those who would have, had it come back.
    fn go_on(&self, (to, key): Way, frame: Frame) {
        let Some(plane) = self.wire.local() else { return };
        if to == self.node && frame.kind == Kind::Event {
            if !plane.pubsub.publish_here(frame.clone()) {
                plane.pubsub.not_delivered(&frame, NoReply::Rejected);
            }
        } else if self.wire.frame(to, key, frame.clone()).is_err() {
            plane.undeliverable(to, vec![frame]);
        }
    }
}

/// The same once more. Nodes take an event of one number once: the second has another, and nobody waits for its confirm.
fn doubled(frame: &Frame) -> Frame {
    match frame.kind {
        Kind::Event => Frame {
            message: MessageId(frame.message.0 ^ DOUBLED),
            signature: Confirm::Accepted.number(),
            index: 0,
            count: 0,
            ..frame.clone()
        },
        _ => frame.clone(),
    }
}

/// It is late: there is less time left for it, where it has a bound.
fn with_less_time(frame: Frame, later: Span) -> Frame {
    let ms = u32::try_from(later.as_ms()).unwrap_or(u32::MAX);
    let less = |left: u32| {
        if left == 0 {
            0
        } else {
            left.saturating_sub(ms).max(1)
        }
    };
    match frame.kind {
        Kind::Event => Frame {
            credit: less(frame.credit),
            ..frame
        },
        _ => Frame {
            left_ms: less(frame.left_ms),
            ..frame
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(number: u64, bytes: usize) -> Frame {
        Frame {
            message: MessageId(number),
            payload: Bytes::from(vec![0; bytes]),
            ..Frame::new(Kind::Deliver)
        }
    }

    fn numbers(frames: Vec<(Way, Frame)>) -> Vec<u64> {
        frames.into_iter().map(|(_, frame)| frame.message.0).collect()
    }

    #[test]
    fn what_is_late_goes_when_it_is_due_in_its_order() {
        let late = Late::default();
        let way = (NodeId(1), 0);
        for (number, at) in [(1, 20), (2, 10), (3, 10)] {
            let held = late.hold(Instant(at), way, frame(number, 5), Touched::default());
            assert!(held.is_empty());
        }
        assert_eq!(late.lock().next_due(), Some(Instant(10)));
        assert!(late.take(Instant(9)).is_empty());
        assert_eq!(numbers(late.take(Instant(10))), [2, 3]);
        assert_eq!((late.len(), late.lock().bytes), (1, 5));
    }

    #[test]
    fn bytes_are_a_bound_and_the_oldest_go_on() {
        let late = Late::default();
        let way = (NodeId(1), 0);
        let most = frame(1, MESSAGES_LATE_BYTES_MAX + 1);
        let held = late.hold(Instant(1), way, most, Touched::default());
        assert!(held.is_empty(), "one always fits");
        let over = late.hold(Instant(2), way, frame(2, 1), Touched::default());
        assert_eq!(numbers(over), [1]);
    }
}
