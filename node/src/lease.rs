//! Until when this node may act as the owner of its exchanges: written by the control plane, read per request.

use std::sync::atomic::{AtomicU64, Ordering};

use squall_kernel::time::{Instant, Span};

/// The end of the node's lease. Starts out ended.
#[derive(Debug, Default)]
pub struct LeaseClock(AtomicU64);

impl LeaseClock {
    /// Sets the end of the lease.
    pub fn set(&self, until: Instant) {
        self.0.store(until.0, Ordering::Release);
    }

    /// End of the lease.
    #[must_use]
    pub fn until(&self) -> Instant {
        Instant(self.0.load(Ordering::Acquire))
    }

    /// True while the lease holds.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        now < self.until()
    }

    /// What is left of the lease; zero when it has ended.
    #[must_use]
    pub fn left(&self, now: Instant) -> Span {
        self.until().since(now)
    }
}
