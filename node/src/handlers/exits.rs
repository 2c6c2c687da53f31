//! What the timeline has of handlers that panic, and of those that are detached for it or are done. However many do, it has
//! few: the ring of events is for everything else, too.

use std::sync::{Arc, Mutex, PoisonError};

use squall_kernel::time::Instant;
use squall_proto::v1::Severity;

use super::{Attachment, Handlers};
use crate::introspect::EventLog;
use crate::limits::{EXIT_EVENTS_MAX, EXIT_EVENTS_WINDOW};

/// Tells of exits.
pub(crate) struct Exits {
    events: Option<Arc<EventLog>>,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Pace {
    window: Instant,
    told: u32,
    untold: u64,
}

impl Exits {
    pub(crate) fn new(events: Option<Arc<EventLog>>) -> Self {
        Self {
            events,
            pace: Mutex::default(),
        }
    }

    fn tell(&self, now: Instant, kind: &'static str, exchange: &str, text: &str) {
        let Some(events) = &self.events else { return };
        let untold = self.pace.lock().unwrap_or_else(PoisonError::into_inner).go(now);
        match untold {
            None => {}
            Some(0) => events.record(kind, exchange, text, Severity::Notice, 0),
            Some(n) => {
                let text = format!("{text}; {n} exits more were not told");
                events.record(kind, exchange, &text, Severity::Notice, 0);
            }
        }
    }
}

impl Pace {
    /// How many went untold before this one; none when it goes untold itself.
    fn go(&mut self, now: Instant) -> Option<u64> {
        if now.since(self.window) >= EXIT_EVENTS_WINDOW {
            (self.window, self.told) = (now, 0);
        }
        if self.told >= EXIT_EVENTS_MAX {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

impl Handlers {
    /// A handler has failed over a request; its words may come from outside.
    pub(crate) fn failed(&self, handler: &Attachment, words: &[u8]) {
        let words = String::from_utf8_lossy(words);
        self.panicked(handler.name().as_str(), handler.pid(), &words);
    }

    pub(super) fn panicked(&self, exchange: &str, pid: squall_kernel::id::Pid, words: &str) {
        let words: String = words.chars().flat_map(char::escape_debug).collect();
        let text = format!("handler {} panicked: {words}", self.context.pid_text(pid));
        let now = self.context.clock.now();
        self.context.exits.tell(now, "handler-panicked", exchange, &text);
    }

    pub(super) fn exited(&self, handler: &Attachment, why: &str) {
        let text = format!(
            "handler {} is detached for good: {why}",
            self.context.pid_text(handler.pid())
        );
        let now = self.context.clock.now();
        let exchange = handler.name().as_str();
        self.context.exits.tell(now, "handler-exited", exchange, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_kernel::time::Span;

    #[test]
    fn a_flood_of_exits_is_few_events_and_a_number() {
        let mut pace = Pace::default();
        let now = Instant(5_000_000_000);
        let told = (0..1000).filter_map(|_| pace.go(now)).count();
        assert_eq!(told, EXIT_EVENTS_MAX as usize);
        let later = now + EXIT_EVENTS_WINDOW + Span(1);
        assert_eq!(pace.go(later), Some(1000 - u64::from(EXIT_EVENTS_MAX)));
        assert_eq!(pace.go(later), Some(0));
    }
}
