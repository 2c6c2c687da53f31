//! Rates from cumulative counters, over about a second. A lost frame heals by itself; a counter that went
//! backwards belongs to a new run and starts anew.

/// Shortest time a rate is computed over, in milliseconds.
const WINDOW_MS: u64 = 900;

/// The last two windows of one counter. Times are the counting node's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    base: Option<Sample>,
    last: Option<Sample>,
    per_s: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: u64,
    value: u64,
}

impl Rate {
    /// Takes the counter's value at a time.
    pub fn push(&mut self, at_ms: u64, value: u64) {
        let Some(base) = self.base else {
            self.restart(at_ms, value);
            return;
        };
        if value < self.last.map_or(0, |l| l.value) || at_ms < base.at_ms {
            self.restart(at_ms, value);
            return;
        }
        self.last = Some(Sample { at_ms, value });
        let span = at_ms - base.at_ms;
        if span >= WINDOW_MS {
            self.per_s = Some((value - base.value) as f64 * 1000.0 / span as f64);
            self.base = self.last;
        }
    }

    /// The rate per second, when the node's clock says `now_ms`. A counter that is not sent any more has
    /// not changed, so its rate falls to nothing.
    #[must_use]
    pub fn per_s(&self, now_ms: u64) -> Option<f64> {
        let (base, last) = (self.base?, self.last?);
        let span = now_ms.saturating_sub(base.at_ms);
        if now_ms.saturating_sub(last.at_ms) < WINDOW_MS || span == 0 {
            return self.per_s;
        }
        Some((last.value - base.value) as f64 * 1000.0 / span as f64)
    }

    fn restart(&mut self, at_ms: u64, value: u64) {
        let sample = Some(Sample { at_ms, value });
        *self = Self {
            base: sample,
            last: sample,
            per_s: None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_came_in_over_a_second() {
        let mut r = Rate::default();
        r.push(1_000, 50);
        assert_eq!(r.per_s(1_000), None);
        r.push(1_250, 75);
        assert_eq!(r.per_s(1_250), None);
        r.push(2_000, 150);
        assert_eq!(r.per_s(2_000), Some(100.0));
    }

    #[test]
    fn a_counter_that_stands_still_has_no_rate() {
        let mut r = Rate::default();
        r.push(1_000, 0);
        r.push(2_000, 100);
        assert_eq!(r.per_s(2_100), Some(100.0));
        assert_eq!(r.per_s(4_000), Some(0.0));
    }

    #[test]
    fn a_restarted_counter_starts_anew() {
        let mut r = Rate::default();
        r.push(1_000, 1_000_000);
        r.push(2_000, 1_000_100);
        r.push(3_000, 5);
        assert_eq!(r.per_s(3_000), None);
        r.push(4_000, 25);
        assert_eq!(r.per_s(4_000), Some(20.0));
    }
}
