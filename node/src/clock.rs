//! The node's monotonic clock. What does not live here: wall clock time, and timers.

use squall_kernel::time::Instant;

/// Reads the node's monotonic clock as the kernel counts it: microseconds since the node started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts at zero now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_micros()).expect("a node runs less than 500 000 years"))
    }

    /// The runtime's instant of a point on this clock, for timers.
    #[must_use]
    pub fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.start + std::time::Duration::from_micros(instant.0)
    }
}
