//! The reader's clock: the wall's time at the start, then monotonic. The only place that asks for the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::units::Moment;

/// A clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    unix_ms: u64,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            start: Instant::now(),
            unix_ms: unix.as_millis() as u64,
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.unix_ms + self.start.elapsed().as_millis() as u64)
    }
}
