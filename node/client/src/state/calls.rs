//! Calls that are open: what the client asks its node in control messages, and workers' words about tasks, which the owner
//! answers.
//!
//! What does not live here: waiting for the answers (`ask`, `tasks`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_kernel::frame::Frame;
use squall_kernel::message::{Call, NodeMessage, SettleWord, parse};
use squall_kernel::reason::DetachReason;
use squall_kernel::tasks::SettleResult;
use tokio::sync::oneshot;

use super::Shared;
use crate::attachment::{Place, Route};
use crate::link::Generation;

#[derive(Debug)]
pub(super) struct PendingCall {
    answer: oneshot::Sender<NodeMessage>,
    /// The handler that an `Attached` answer brings to life.
    route: Option<Arc<Route>>,
}

/// A worker's word that waits for the owner's answer.
#[derive(Debug)]
pub(super) struct PendingWord {
    answer: oneshot::Sender<SettleResult>,
    /// What the task takes up of the worker's credit.
    place: Arc<Place>,
}

/// Whose word about which lease waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Settling {
    pub(crate) worker: u64,
    pub(crate) task: u64,
    pub(crate) lease: u64,
}

impl Settling {
    /// Of a frame to the worker: a task, or the answer to its word.
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            worker: frame.to,
            task: frame.message.0,
            lease: frame.signature,
        }
    }
}

impl Shared {
    /// Opens a call and gives it a number.
    pub(crate) fn open_call(&self, route: Option<Arc<Route>>) -> (Call, oneshot::Receiver<NodeMessage>) {
        let (answer, receiver) = oneshot::channel();
        let call = self.last_call.fetch_add(1, Ordering::Relaxed) + 1;
        self.lock().calls.insert(call, PendingCall { answer, route });
        (call, receiver)
    }

    pub(crate) fn forget_call(&self, call: Call) {
        self.lock().calls.remove(&call);
    }

    /// Answers a call. A handler is known from here on, before the next frame is looked at.
    pub(crate) fn answer(&self, generation: Generation, call: Call, message: NodeMessage) {
        let mut state = self.lock();
        let Some(pending) = state.calls.remove(&call) else {
            // An attachment nobody waits for any more: the node is told to forget it.
            if let NodeMessage::Attached { handler, .. } = message {
                drop(state);
                self.detach(generation, handler.serial, DetachReason::Asked);
            }
            return;
        };
        if let (
            NodeMessage::Attached {
                handler, exchange, ..
            },
            Some(route),
        ) = (&message, &pending.route)
        {
            route.attached(generation, *handler, *exchange, self.cluster());
            state.handlers.insert(handler.serial, Arc::clone(route));
        }
        drop(state);
        let _gone = pending.answer.send(message);
    }

    /// Opens a worker's word about a task: the answer comes from the owner.
    pub(crate) fn open_settling(&self, of: Settling, place: &Arc<Place>) -> oneshot::Receiver<SettleResult> {
        let (answer, receiver) = oneshot::channel();
        let place = Arc::clone(place);
        self.lock().settling.insert(of, PendingWord { answer, place });
        receiver
    }

    pub(crate) fn forget_settling(&self, of: Settling) {
        self.lock().settling.remove(&of);
    }

    /// Takes the owner's word about a task. That a lease has ended is told at the next word about it. A task that has ended
    /// makes room before the next frame is looked at: the owner knows of that room, and may have sent another task.
    pub(crate) fn settled(&self, frame: &Frame) {
        let Ok(word @ SettleWord::Result(result)) = parse(&frame.payload) else {
            return;
        };
        let waiting = self.lock().settling.remove(&Settling::of(frame));
        if let Some(waiting) = waiting {
            if word.is_over() {
                waiting.place.free();
            }
            let _gone = waiting.answer.send(result);
        }
    }
}
