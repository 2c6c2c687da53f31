//! When a frame may be drawn. What a key did is drawn at once, what the nodes sent a little later and together; never more
//! than thirty frames in a second. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames in any second.
const MOST: usize = 30;
const SECOND: Duration = Duration::from_secs(1);
/// Between two frames that nobody is waiting for: twenty a second, which leaves ten for keys.
const UNHURRIED: Duration = Duration::from_millis(50);

/// Ages on the screen count up in tenths of a second.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Looks back on the frames of the last second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    drawn: VecDeque<Instant>,
}

impl Pace {
    /// The moment from which on a frame may be drawn; none: at any time. `hurried`: somebody has pressed a key.
    #[must_use]
    pub(crate) fn next(&self, hurried: bool) -> Option<Instant> {
        let full = self
            .drawn
            .front()
            .filter(|_| self.drawn.len() == MOST)
            .map(|first| *first + SECOND);
        let last = self.drawn.back().filter(|_| !hurried);
        full.max(last.map(|last| *last + UNHURRIED))
    }

    /// Whether it may be drawn now.
    #[must_use]
    pub(crate) fn may(&self, now: Instant, hurried: bool) -> bool {
        self.next(hurried).is_none_or(|next| now >= next)
    }

    /// A frame was drawn.
    pub(crate) fn drew(&mut self, now: Instant) {
        if self.drawn.len() == MOST {
            self.drawn.pop_front();
        }
        self.drawn.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws whenever it may, for a second, looking every millisecond; how often.
    fn a_second(pace: &mut Pace, from: Instant, hurried: impl Fn(u64) -> bool) -> usize {
        let times = (0..1000).filter(|ms| {
            let now = from + Duration::from_millis(*ms);
            let may = pace.may(now, hurried(*ms));
            if may {
                pace.drew(now);
            }
            may
        });
        times.count()
    }

    #[test]
    fn a_key_is_drawn_at_once_whatever_was_drawn_before() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut late = 0;
        for ms in 0..10_000u64 {
            let now = start + Duration::from_millis(ms);
            // Something new in every millisecond, and nine keys a second.
            let key = ms % 111 == 0;
            let may = pace.may(now, key);
            late += u32::from(key && !may);
            if may {
                pace.drew(now);
            }
        }
        assert_eq!(late, 0);
    }

    #[test]
    fn there_are_never_more_than_thirty_in_a_second() {
        let mut pace = Pace::default();
        let start = Instant::now();
        for second in 0..5 {
            let from = start + SECOND * second;
            assert_eq!(a_second(&mut pace, from, |_| true), MOST);
        }
        let mut calm = Pace::default();
        assert_eq!(a_second(&mut calm, start, |_| false), 20);
    }
}
