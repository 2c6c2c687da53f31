//! Events of one sort in the timeline. However many happen, it has few of them and the number of the others: the ring of events
//! is for everything else, too.

use std::sync::{Arc, Mutex, PoisonError};

use squall_kernel::time::Instant;
use squall_proto::v1::Severity;

use super::EventLog;
use crate::limits::{PACED_EVENTS_MAX, PACED_EVENTS_WINDOW};

/// Tells of events of one sort.
pub(crate) struct Paced {
    events: Option<Arc<EventLog>>,
    severity: Severity,
    /// What they are called together.
    what: &'static str,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Pace {
    window: Instant,
    told: u32,
    untold: u64,
}

impl Paced {
    pub(crate) fn new(events: Option<Arc<EventLog>>, severity: Severity, what: &'static str) -> Self {
        Self {
            events,
            severity,
            what,
            pace: Mutex::default(),
        }
    }

    /// As [`EventLog::record`].
    pub(crate) fn tell(&self, now: Instant, kind: &'static str, subject: &str, text: &str, epoch: u64) {
        let Some(events) = &self.events else { return };
        let untold = self.pace.lock().unwrap_or_else(PoisonError::into_inner).go(now);
        match untold {
            None => {}
            Some(0) => events.record(kind, subject, text, self.severity, epoch),
            Some(n) => {
                let text = format!("{text}; {n} {} more were not told", self.what);
                events.record(kind, subject, &text, self.severity, epoch);
            }
        }
    }
}

impl Pace {
    /// How many went untold before this one; none when it goes untold itself.
    fn go(&mut self, now: Instant) -> Option<u64> {
        if now.since(self.window) >= PACED_EVENTS_WINDOW {
            (self.window, self.told) = (now, 0);
        }
        if self.told >= PACED_EVENTS_MAX {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_kernel::time::Span;

    #[test]
    fn a_flood_is_few_events_and_a_number() {
        let mut pace = Pace::default();
        let now = Instant(5_000_000_000);
        let told = (0..1000).filter_map(|_| pace.go(now)).count();
        assert_eq!(told, PACED_EVENTS_MAX as usize);
        let later = now + PACED_EVENTS_WINDOW + Span(1);
        assert_eq!(pace.go(later), Some(1000 - u64::from(PACED_EVENTS_MAX)));
        assert_eq!(pace.go(later), Some(0));
    }
}
