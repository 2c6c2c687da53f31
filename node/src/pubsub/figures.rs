//! What the table of an exchange counts.
//!
//! What does not live here: counting.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the table of an exchange has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableFigures {
    /// Publishes that this node took as owner.
    pub published: u64,
    /// Of those, publishes whose id was known.
    pub duplicates: u64,
    /// Events sent to other nodes.
    pub sent: u64,
    /// Copies put into mailboxes of subscribers here.
    pub delivered: u64,
    /// Copies that a full mailbox turned away.
    pub rejected: u64,
    /// Events that were fenced, came twice, or came from a node that does not serve this one.
    pub strange: u64,
    /// Subscribers here.
    pub subscribers: u64,
    /// Different patterns, of subscribers here and of other nodes.
    pub patterns: u64,
    /// Nodes that get their publishes from this one.
    pub downstreams: u64,
    /// Events that came from another node and were taken.
    pub arrived: u64,
    /// Publishes that came from another node, whatever became of them.
    pub brought: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) published: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) strange: AtomicU64,
    pub(super) subscribers: AtomicU64,
    pub(super) patterns: AtomicU64,
    pub(super) downstreams: AtomicU64,
    pub(super) arrived: AtomicU64,
    pub(super) brought: AtomicU64,
    pub(super) asking: AtomicU64,
}

impl Counters {
    pub(super) fn told(&self) -> TableFigures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TableFigures {
            published: of(&self.published),
            duplicates: of(&self.duplicates),
            sent: of(&self.sent),
            delivered: of(&self.delivered),
            rejected: of(&self.rejected),
            strange: of(&self.strange),
            subscribers: of(&self.subscribers),
            patterns: of(&self.patterns),
            downstreams: of(&self.downstreams),
            arrived: of(&self.arrived),
            brought: of(&self.brought),
        }
    }
}
