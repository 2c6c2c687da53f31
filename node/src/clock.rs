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

    /// This clock's zero on the machine's monotonic clock, in microseconds: the same for all processes of one boot.
    #[must_use]
    pub fn started(&self) -> Instant {
        Instant(machine_now().0.saturating_sub(self.now().0))
    }

    /// The runtime's instant of a point on this clock, for timers.
    #[must_use]
    pub fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.start + std::time::Duration::from_micros(instant.0)
    }
}

/// The machine's monotonic clock, in microseconds: the same for all processes of one boot.
#[must_use]
pub fn machine_now() -> Instant {
    let machine = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(machine.tv_sec).expect("a monotonic clock starts at zero");
    let micros = u64::try_from(machine.tv_nsec / 1000).expect("nanoseconds are not negative");
    Instant(seconds * 1_000_000 + micros)
}
