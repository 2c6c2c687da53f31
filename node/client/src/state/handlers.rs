//! The client's handlers, by the numbers their node gave them, and what they have in hand.
//!
//! What does not live here: how a handler stays attached and is run (`attachment`), and what it may count on as a leader
//! (`leadership`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_kernel::message::{ClientMessage, control};
use squall_kernel::reason::DetachReason;

use super::{Outgoing, Shared};
use crate::attachment::Route;
use crate::link::Generation;

impl Shared {
    pub(crate) fn handler(&self, serial: u64) -> Option<Arc<Route>> {
        self.lock().handlers.get(&serial).cloned()
    }

    pub(crate) fn remove_handler(&self, serial: u64) -> Option<Arc<Route>> {
        self.lock().handlers.remove(&serial)
    }

    /// Forgets a handler and tells the node, if the connection still stands and its queue has room; where it has none,
    /// deliveries to the forgotten handler are turned away.
    pub(crate) fn detach(&self, generation: Generation, serial: u64, reason: DetachReason) {
        self.remove_handler(serial);
        let frame = control(&ClientMessage::Detach {
            handler: serial,
            reason,
        });
        if self
            .outbound
            .try_send(Outgoing::bound(generation, frame))
            .is_err()
        {
            tracing::debug!(handler = serial, "no room to say that a handler is gone");
        }
    }

    /// The handlers that lead, as they were last told.
    pub(crate) fn leading(&self) -> Vec<(u64, Arc<Route>)> {
        let state = self.lock();
        let leading = state
            .handlers
            .iter()
            .filter(|(_, r)| r.grants().leads().is_some());
        leading
            .map(|(serial, route)| (*serial, Arc::clone(route)))
            .collect()
    }

    pub(crate) fn delivery_taken(&self) {
        self.delivering.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn delivery_ended(&self) {
        self.delivering.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn delivering(&self) -> u64 {
        self.delivering.load(Ordering::Acquire)
    }
}
