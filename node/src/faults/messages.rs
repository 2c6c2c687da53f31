//! What the data plane asks of the node's faults: what its handlers suffer, and what becomes of messages that leave exchanges
//! that are owned here.
//!
//! What does not live here: doing it (`handlers`, `data`).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use squall_kernel::fault::{Fault, FaultKind, HandlersSuffer, MessageVerdict, ProcessFault};
use squall_kernel::id::ExchangeName;
use squall_kernel::keys::Key;
use squall_kernel::spread::mix;

use super::{FaultPlane, Kinds};

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

    /// Counts a handler or delivery of that exchange as touched.
    pub(crate) fn touch_handlers(&self, exchange: &ExchangeName, by: impl Fn(ProcessFault) -> bool) {
        let now = self.now();
        self.with(|table| table.touch_handlers(exchange, now, by));
    }

    /// What becomes of a message of that exchange with that key that leaves its owner now.
    pub(crate) fn message(&self, exchange: &ExchangeName, key: &Bytes) -> MessageVerdict {
        let now = self.now();
        let key = Key::take(key.clone()).ok();
        let rng = mix(self.drawn.fetch_add(1, Relaxed));
        self.with(|table| table.message(exchange, key.as_ref(), now, rng))
    }
}
