//! When a watcher gets its next update. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

use super::limits;

/// The times of one watcher's updates.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    interval: Duration,
    /// An interval that the watcher asked for holds for important changes as well.
    strict: bool,
    last: Option<Instant>,
    last_sent: Option<Instant>,
}

impl Pace {
    /// The pace of an interest; `None` for the node's own interval.
    #[must_use]
    pub fn new(interval: Option<Duration>) -> Self {
        Self {
            interval: interval.unwrap_or(limits::INTERVAL_DEFAULT),
            strict: interval.is_some(),
            last: None,
            last_sent: None,
        }
    }

    /// The pace of the interest that follows this one: its snapshot comes at once, but never sooner after the last
    /// update than the shortest gap, so that a flood of interests costs no more than a fast watcher.
    #[must_use]
    pub fn followed_by(self, interval: Option<Duration>) -> (Self, Option<Instant>) {
        (Self::new(interval), self.last.map(|last| last + limits::GAP_MIN))
    }

    /// When the next update is due; `important` when something important happened since the last one.
    #[must_use]
    pub fn due(&self, now: Instant, important: bool) -> Instant {
        let wait = if important && !self.strict {
            limits::GAP_MIN
        } else {
            self.interval
        };
        self.last.map_or(now, |last| last + wait)
    }

    /// Notes an update taken at `now`; returns how many regular ones it stands for beside itself, because the
    /// watcher was too slow to take them.
    pub fn taken(&mut self, now: Instant) -> u64 {
        let late = self.last.map_or(Duration::ZERO, |last| {
            now.saturating_duration_since(last + self.interval)
        });
        self.last = Some(now);
        u64::try_from(late.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    /// True when an update without changes must go out nevertheless, as a sign of life.
    #[must_use]
    pub fn is_silent(&self, now: Instant) -> bool {
        self.last_sent
            .is_none_or(|sent| now.saturating_duration_since(sent) >= limits::SILENCE_MAX)
    }

    /// Notes that something was sent.
    pub fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn important_changes_do_not_wait_for_the_interval_unless_the_watcher_asked_for_it() {
        let start = Instant::now();
        let mut pace = Pace::new(None);
        assert_eq!(pace.due(start, false), start);
        assert_eq!(pace.taken(start), 0);
        assert_eq!(pace.due(start, false), start + 250 * MS);
        assert_eq!(pace.due(start, true), start + 20 * MS);
        let mut strict = Pace::new(Some(500 * MS));
        assert_eq!(strict.taken(start), 0);
        assert_eq!(strict.due(start, true), start + 500 * MS);
    }

    #[test]
    fn updates_a_slow_watcher_did_not_take_are_counted() {
        let start = Instant::now();
        let mut pace = Pace::new(None);
        pace.taken(start);
        assert_eq!(pace.taken(start + 260 * MS), 0);
        assert_eq!(pace.taken(start + 260 * MS + 1001 * MS), 3);
    }

    #[test]
    fn a_second_of_silence_calls_for_a_sign_of_life() {
        let start = Instant::now();
        let mut pace = Pace::new(None);
        assert!(pace.is_silent(start));
        pace.sent(start);
        assert!(!pace.is_silent(start + 999 * MS));
        assert!(pace.is_silent(start + 1000 * MS));
    }

    #[test]
    fn a_flood_of_interests_is_held_to_the_shortest_gap() {
        let start = Instant::now();
        let mut pace = Pace::new(None);
        pace.taken(start);
        assert_eq!(pace.followed_by(None).1, Some(start + 20 * MS));
        assert_eq!(Pace::new(None).followed_by(None).1, None);
    }
}
