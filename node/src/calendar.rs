//! The node's wall clock: what people read, never what is compared. A fault can make it jump. What does not live here: the
//! clock that the node counts time with (`clock`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day as a node has it. Clones are one calendar.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    /// In microseconds.
    ahead: Arc<AtomicI64>,
}

impl Calendar {
    /// From now on it is ahead of the machine's by so many milliseconds; behind it where that is negative.
    pub fn step(&self, ahead_ms: i64) {
        self.ahead.store(ahead_ms.saturating_mul(1000), Ordering::Relaxed);
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.unix_us() / 1000
    }

    /// The same in microseconds.
    #[must_use]
    pub fn unix_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let machine = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        machine.saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_moves_the_calendar_until_it_is_taken_back() {
        let calendar = Calendar::default();
        let same = calendar.clone();
        let before = calendar.unix_ms();
        calendar.step(3_600_000);
        assert!(same.unix_ms() >= before + 3_600_000);
        calendar.step(-3_600_000);
        assert!(same.unix_ms() < before);
        calendar.step(0);
        assert!(same.unix_ms() >= before && same.unix_ms() < before + 3_600_000);
    }
}
