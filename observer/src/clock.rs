//! The reader's clock: the wall's time at the start, then monotonic; or that of a recording. The only place that asks for the
//! time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::feed::replay::ReplayClock;
use crate::units::Moment;

/// A clock.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The wall's.
    Wall {
        /// When it was looked at.
        start: Instant,
        /// What it said then.
        unix_ms: u64,
    },
    /// That of a recording.
    Replay(ReplayClock),
}

impl Clock {
    /// The wall's clock from now on.
    #[must_use]
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Wall {
            start: Instant::now(),
            unix_ms: unix.as_millis() as u64,
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        match self {
            Self::Wall { start, unix_ms } => Moment(unix_ms + start.elapsed().as_millis() as u64),
            Self::Replay(clock) => clock.now(),
        }
    }
}
