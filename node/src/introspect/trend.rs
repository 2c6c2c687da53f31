//! What processes did between two looks, for a watcher that sorts by a rate: which rows those are only the node can tell. Kept
//! while such a watcher is there, and no longer; everybody else's rates are the reader's.
//!
//! What does not live here: the choice of rows (`top`).

use std::collections::HashMap;

use super::ProcessView;

/// Shortest time that a rate is computed over, in milliseconds: as long as the reader's.
const WINDOW_MS: u64 = 900;

/// Rates of one process, in thousandths a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Messages put in.
    pub enqueued: i64,
    /// Messages taken out.
    pub dequeued: i64,
    /// Microseconds spent working.
    pub busy: i64,
}

impl Rates {
    /// Growth of the mailbox.
    #[must_use]
    pub fn growth(&self) -> i64 {
        self.enqueued - self.dequeued
    }

    /// Milliseconds until so many messages are gone, where the mailbox shrinks.
    #[must_use]
    pub fn drain_ms(&self, mailbox: u64) -> Option<i64> {
        let shrinks = u64::try_from(-self.growth()).ok().filter(|n| *n > 0)?;
        let ms = (mailbox > 0).then(|| mailbox.saturating_mul(1_000_000) / shrinks)?;
        Some(i64::try_from(ms).unwrap_or(i64::MAX))
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    enqueued: u64,
    dequeued: u64,
    busy_us: u64,
    age_ms: u64,
    rates: Option<Rates>,
    round: u64,
}

/// What was seen of each process.
#[derive(Debug, Default)]
pub struct Trend {
    seen: HashMap<u64, Seen>,
    round: u64,
}

impl Trend {
    /// Takes a process in; none until it was watched for long enough. Its own age is the clock.
    pub fn of(&mut self, process: &ProcessView<'_>) -> Option<Rates> {
        let new = Seen {
            enqueued: process.enqueued,
            dequeued: process.dequeued,
            busy_us: process.busy_us,
            age_ms: process.age_ms,
            rates: None,
            round: self.round,
        };
        let seen = self.seen.entry(process.pid.serial).or_insert(new);
        seen.round = self.round;
        let span = new.age_ms.saturating_sub(seen.age_ms);
        if span >= WINDOW_MS {
            let per_s = |from: u64, to: u64| {
                let milli = u128::from(to.saturating_sub(from)) * 1_000_000 / u128::from(span);
                i64::try_from(milli).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
            };
            let rates = Rates {
                enqueued: per_s(seen.enqueued, new.enqueued),
                dequeued: per_s(seen.dequeued, new.dequeued),
                busy: per_s(seen.busy_us, new.busy_us),
            };
            *seen = Seen {
                rates: Some(rates),
                ..new
            };
        }
        seen.rates
    }

    /// The look is over: processes that it did not find are forgotten.
    pub fn end(&mut self) {
        let round = self.round;
        self.seen.retain(|_, seen| seen.round == round);
        self.round += 1;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Processes it holds something of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// True when it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{NodeId, Pid};

    use super::*;

    fn view(serial: u64, age_ms: u64, enqueued: u64, dequeued: u64) -> ProcessView<'static> {
        ProcessView {
            pid: Pid {
                node: NodeId(1),
                serial,
            },
            name: "x",
            kind: "handler",
            enqueued,
            dequeued,
            bound: 10,
            oldest_us: 0,
            busy_us: age_ms * 500,
            sent: 0,
            restarts: 0,
            age_ms,
            dropped: 0,
        }
    }

    #[test]
    fn a_rate_is_known_after_a_window_and_kept_until_the_next() {
        let mut trend = Trend::default();
        assert_eq!(trend.of(&view(1, 0, 100, 0)), None);
        assert_eq!(trend.of(&view(1, 500, 150, 100)), None);
        let rates = trend.of(&view(1, 1_000, 150, 110)).expect("known");
        assert_eq!(
            (rates.enqueued, rates.dequeued, rates.busy),
            (50_000, 110_000, 500_000_000)
        );
        assert_eq!((rates.growth(), rates.drain_ms(40)), (-60_000, Some(666)));
        assert_eq!(trend.of(&view(1, 1_100, 900, 110)), Some(rates));
        assert_eq!(rates.drain_ms(0), None, "it is empty");
    }

    #[test]
    fn processes_that_are_gone_are_forgotten() {
        let mut trend = Trend::default();
        trend.of(&view(1, 0, 0, 0));
        trend.of(&view(2, 0, 0, 0));
        trend.end();
        trend.of(&view(2, 10, 0, 0));
        trend.end();
        assert_eq!(trend.len(), 1);
    }
}
