//! The roll call after a failover: every node that was up says when the owner has all its handlers. Until the last one has,
//! a signature that is not known here may be bound to a handler that has not been heard of yet.
//!
//! What does not live here: when a node has told everything (`handlers` in the shell).

use alloc::vec::Vec;

use super::{Exchange, ExchangeEffect};
use crate::id::NodeId;
use crate::time::Instant;

impl Exchange {
    /// True while nodes are awaited.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Nodes whose handlers are not all known yet.
    pub fn awaited(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.awaited.iter().copied()
    }

    pub(super) fn rolled(&mut self, now: Instant, node: NodeId, out: &mut Vec<ExchangeEffect>) {
        if self.answered(now, node) && self.leaving.is_none() {
            self.appoint_if_needed(now, out);
        }
    }

    /// Takes a node off the list; true when it was the last one. There is nobody left to wait for then.
    pub(super) fn answered(&mut self, now: Instant, node: NodeId) -> bool {
        let last = self.awaited.remove(&node) && self.awaited.is_empty();
        if last {
            self.settle_until = self.settle_until.min(now);
        }
        last
    }
}
