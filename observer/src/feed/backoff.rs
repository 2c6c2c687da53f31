//! When to try again: the first try within 250 ms, then twice as late each time up to 2 s, with jitter so
//! that many watchers do not come at once. Pure: the random number is an argument.

use std::time::Duration;

const FIRST_MS: u64 = 250;
const CAP_MS: u64 = 2_000;

/// Counts the failures since the last success.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before the next try; `jitter` is from 0 to 1.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let most = FIRST_MS.saturating_mul(1 << self.failures.min(8)).min(CAP_MS);
        self.failures = self.failures.saturating_add(1);
        let share = 0.5 + 0.5 * jitter.clamp(0.0, 1.0);
        Duration::from_millis((most as f64 * share) as u64)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_quarter_of_a_second_to_two() {
        let mut b = Backoff::default();
        let most: Vec<_> = (0..6).map(|_| b.next(1.0).as_millis()).collect();
        assert_eq!(most, [250, 500, 1000, 2000, 2000, 2000]);
        b.reset();
        assert_eq!(b.next(0.0).as_millis(), 125);
    }
}
