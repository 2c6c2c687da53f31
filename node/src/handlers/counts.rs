//! Deliveries that handlers of this node accepted, and those refused for their epoch, by exchange.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use squall_kernel::id::ExchangeId;

use super::Handlers;

impl Handlers {
    /// Deliveries of an exchange to handlers attached through this node.
    #[must_use]
    pub fn deliveries(&self, exchange: ExchangeId) -> DeliveryStats {
        self.counts.read(exchange)
    }
}

/// Deliveries of one exchange at this node, since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryStats {
    /// Accepted by handlers.
    pub accepted: u64,
    /// Refused because their epoch was over.
    pub fenced: u64,
}

#[derive(Debug, Default)]
pub(super) struct DeliveryCounts {
    accepted: AtomicU64,
    fenced: AtomicU64,
}

impl DeliveryCounts {
    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn fenced(&self) {
        self.fenced.fetch_add(1, Relaxed);
    }
}

/// Counts by exchange: kept when the last handler goes, so that nothing is forgotten between two looks.
#[derive(Debug, Default)]
pub(super) struct CountsTable(RwLock<HashMap<ExchangeId, Arc<DeliveryCounts>>>);

impl CountsTable {
    pub(super) fn of(&self, exchange: ExchangeId) -> Arc<DeliveryCounts> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(table.entry(exchange).or_default())
    }

    pub(super) fn read(&self, exchange: ExchangeId) -> DeliveryStats {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table
            .get(&exchange)
            .map_or_else(DeliveryStats::default, |counts| DeliveryStats {
                accepted: counts.accepted.load(Relaxed),
                fenced: counts.fenced.load(Relaxed),
            })
    }

    pub(super) fn keep(&self, wanted: impl Fn(ExchangeId) -> bool) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|id, _| wanted(*id));
    }
}
