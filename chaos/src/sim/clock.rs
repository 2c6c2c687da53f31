//! A node's clock: its own offset, its own rate, which a fault may change. What does not live here: the calendar.

use squall_kernel::time::{Instant, Span};

const MILLION: i128 = 1_000_000;

/// A clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    set_at: Instant,
    shows: Instant,
    ppm: i32,
}

impl Clock {
    /// A clock that shows `offset` at the true time `now`.
    #[must_use]
    pub const fn new(now: Instant, offset: Span, ppm: i32) -> Self {
        Self {
            set_at: now,
            shows: Instant(offset.0),
            ppm,
        }
    }

    /// What it shows at that true time.
    #[must_use]
    pub fn local(&self, now: Instant) -> Instant {
        let passed = i128::from(now.since(self.set_at).0);
        Instant(self.shows.0 + whole(passed * (MILLION + i128::from(self.ppm)) / MILLION))
    }

    /// The first true time at which it shows that; never before it was set.
    #[must_use]
    pub fn true_time(&self, local: Instant) -> Instant {
        if local.0 == u64::MAX {
            return local;
        }
        let passed = i128::from(local.since(self.shows).0);
        let rate = MILLION + i128::from(self.ppm);
        Instant(self.set_at.0 + whole((passed * MILLION + rate - 1) / rate))
    }

    /// Runs at that rate from now on.
    pub fn set_rate(&mut self, now: Instant, ppm: i32) {
        *self = Self {
            set_at: now,
            shows: self.local(now),
            ppm,
        };
    }
}

fn whole(time: i128) -> u64 {
    u64::try_from(time).expect("no simulation lasts 2^64 microseconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_time_or_a_hair_later() {
        for ppm in [-5000, -1, 0, 3, 5000] {
            let mut clock = Clock::new(Instant(1_000), Span(77), ppm);
            clock.set_rate(Instant(500_000), ppm / 2);
            for local in [600_000_u64, 600_001, 9_999_999] {
                let there = clock.true_time(Instant(local));
                assert!(clock.local(there) >= Instant(local), "{ppm} {local}");
                assert!(
                    clock.local(Instant(there.0 - 2)) < Instant(local),
                    "{ppm} {local}"
                );
            }
        }
    }
}
