//! Requests that are open: who waits for which, whether a node may have it, and how each ends exactly once.
//!
//! What does not live here: making their frames and sending them again (`ask`), what their replies are read with (`replies`,
//! `chunks`).

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use squall_kernel::frame::Frame;
use squall_kernel::id::MessageId;
use squall_kernel::reason::NoReply;
use tokio::sync::{mpsc, oneshot};

use super::{ByNumber, Shared, State};
use crate::error::RequestError;

/// A reply frame, or how the request ended without one.
pub(crate) type Ending = Result<Box<Frame>, RequestError>;

/// Who waits for a request's replies.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The first reply ends it, or the last handler's refusal.
    One {
        sink: oneshot::Sender<Ending>,
        seen: u32,
    },
    /// Replies of several handlers; how many are still to come is known with the first.
    Many { sink: mpsc::Sender<Ending>, seen: u32 },
    /// Chunks and questions of one handler, and the end.
    Talk { sink: mpsc::Sender<Ending> },
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) waiter: Waiter,
    /// True once a byte of it may have reached a node.
    pub(super) written: bool,
}

impl Waiter {
    /// Counts a reply and tells how many came.
    fn count_one(&mut self) -> u32 {
        match self {
            Self::One { seen, .. } | Self::Many { seen, .. } => {
                *seen += 1;
                *seen
            }
            // It has one end, whatever its number.
            Self::Talk { .. } => u32::MAX,
        }
    }
}

/// Marks requests as written.
pub(crate) struct Marking<'a>(MutexGuard<'a, State>);

impl Marking<'_> {
    /// It is written from now on; false when nobody waits for it any more.
    pub(crate) fn written(&mut self, message: MessageId) -> bool {
        let Some(pending) = self.0.pending.get_mut(&message) else {
            return false;
        };
        pending.written = true;
        true
    }
}

impl Shared {
    /// Opens a request and gives it a number.
    pub(crate) fn open(&self, waiter: Waiter) -> MessageId {
        let message = MessageId(self.last_message.fetch_add(1, Ordering::Relaxed) + 1);
        self.lock().pending.insert(
            message,
            Pending {
                waiter,
                written: false,
            },
        );
        message
    }

    /// Forgets a request; tells whether it was written, `None` when it had ended.
    pub(crate) fn forget(&self, message: MessageId) -> Option<bool> {
        self.lock().pending.remove(&message).map(|p| p.written)
    }

    /// Marks requests as written, all of a batch under one lock. Nothing is awaited while it is held.
    pub(crate) fn marking(&self) -> Marking<'_> {
        Marking(self.lock())
    }

    /// Requests that a node may have.
    pub(crate) fn written(&self) -> usize {
        self.lock().pending.values().filter(|p| p.written).count()
    }

    /// Gives a `Reply` frame to whoever waits for it; a late one is dropped.
    pub(crate) fn complete(&self, frame: Frame) {
        let (message, exchange) = (frame.message, frame.exchange);
        let of_several = frame.index > 0;
        let count = frame.count;
        let ending = RequestError::of(&frame).map_or_else(|| Ok(Box::new(frame)), Err);
        let mut state = self.lock();
        if ending == Err(RequestError::Unavailable(NoReply::UnknownExchange)) {
            state.names.retain(|_, id| *id != exchange);
        }
        let Some(mut pending) = state.pending.remove(&message) else {
            return;
        };
        let timed_out = ending == Err(RequestError::Timeout);
        let more = of_several && !timed_out && pending.waiter.count_one() < count;
        match pending.waiter {
            Waiter::One { sink, .. } if ending.is_ok() || !more => {
                drop(state);
                let _gone = sink.send(ending);
            }
            Waiter::One { .. } => drop(state.pending.insert(message, pending)),
            Waiter::Many { ref sink, .. } => {
                // A node that sends more replies than there can be handlers loses the rest.
                let _full_or_gone = sink.try_send(ending);
                if more {
                    state.pending.insert(message, pending);
                }
            }
            Waiter::Talk { sink } => {
                drop(state);
                let _gone = sink.try_send(ending);
            }
        }
    }

    /// Gives a chunk, a question, or what the node refused, to whoever has that request open. A node that sends more than
    /// was asked for loses the rest.
    pub(crate) fn talked(&self, frame: Frame) {
        let state = self.lock();
        if let Some(Pending {
            waiter: Waiter::Talk { sink },
            ..
        }) = state.pending.get(&frame.message)
        {
            let _full_or_gone = sink.try_send(Ok(Box::new(frame)));
        }
    }

    /// No request of before can reach anybody: another cluster answers at these addresses, or the client is closed.
    pub(crate) fn give_up_waiting(&self) {
        let waiting = std::mem::take(&mut self.lock().pending);
        end_all(waiting, &RequestError::Unavailable(NoReply::Unreachable));
    }
}

/// Ends them all in the same way.
pub(super) fn end_all(requests: ByNumber<MessageId, Pending>, error: &RequestError) {
    for pending in requests.into_values() {
        match pending.waiter {
            Waiter::One { sink, .. } => drop(sink.send(Err(error.clone()))),
            Waiter::Many { sink, .. } | Waiter::Talk { sink } => {
                drop(sink.try_send(Err(error.clone())));
            }
        }
    }
}
