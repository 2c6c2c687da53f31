//! Deliveries to handlers of this node by exchange: accepted, refused for their epoch; and what the mailboxes of handlers and
//! subscribers did with what did not fit.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use squall_kernel::id::ExchangeId;

use super::Handlers;
use crate::numbered::ByNumber;
use crate::striped::Count;

impl Handlers {
    /// Deliveries of an exchange to handlers attached through this node.
    #[must_use]
    pub fn deliveries(&self, exchange: ExchangeId) -> DeliveryStats {
        self.context.counts.read(exchange)
    }
}

/// Deliveries of one exchange at this node, since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryStats {
    /// Accepted by handlers.
    pub accepted: u64,
    /// Refused because their epoch was over.
    pub fenced: u64,
    /// What full mailboxes did.
    pub mailboxes: MailboxStats,
}

/// What mailboxes of handlers and subscribers did with messages that they did not give out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailboxStats {
    /// Turned away.
    pub rejected: u64,
    /// Dropped to make room.
    pub dropped: u64,
    /// Out of time while they waited.
    pub expired: u64,
    /// Held back until there was room.
    pub held: u64,
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryCounts {
    accepted: Count,
    fenced: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    expired: AtomicU64,
    held: AtomicU64,
}

impl DeliveryCounts {
    pub(super) fn accepted(&self) {
        self.accepted.one();
    }

    pub(super) fn fenced(&self) {
        self.fenced.fetch_add(1, Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn expired(&self) {
        self.expired.fetch_add(1, Relaxed);
    }

    pub(crate) fn held(&self) {
        self.held.fetch_add(1, Relaxed);
    }

    fn mailboxes(&self) -> MailboxStats {
        MailboxStats {
            rejected: self.rejected.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            expired: self.expired.load(Relaxed),
            held: self.held.load(Relaxed),
        }
    }
}

/// Counts by exchange: kept when the last handler goes, so that nothing is forgotten between two looks.
#[derive(Debug, Default)]
pub(crate) struct CountsTable(RwLock<ByNumber<ExchangeId, Arc<DeliveryCounts>>>);

impl CountsTable {
    pub(crate) fn of(&self, exchange: ExchangeId) -> Arc<DeliveryCounts> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(table.entry(exchange).or_default())
    }

    pub(super) fn read(&self, exchange: ExchangeId) -> DeliveryStats {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table
            .get(&exchange)
            .map_or_else(DeliveryStats::default, |counts| DeliveryStats {
                accepted: counts.accepted.read(),
                fenced: counts.fenced.load(Relaxed),
                mailboxes: counts.mailboxes(),
            })
    }

    pub(super) fn keep(&self, wanted: impl Fn(ExchangeId) -> bool) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|id, _| wanted(*id));
    }
}
