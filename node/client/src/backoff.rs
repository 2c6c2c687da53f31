//! Waits between attempts: doubling up to a cap, with jitter, so that the clients of a dead node do not come back as
//! one. Pure: randomness comes in.

use std::time::Duration;

/// The next wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// The next wait: half of it certain, half of it drawn by `random` in 0..1.
    pub(crate) fn take(&mut self, random: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(self.last);
        wait
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_anew_after_a_reset() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(2000));
        let waits: Vec<Duration> = (0..8).map(|_| backoff.take(1.0)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000].map(ms));
        backoff.reset();
        assert_eq!(backoff.take(0.0), ms(25), "never less than half");
    }
}
