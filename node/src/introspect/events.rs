//! The ring of rare events: elections, failovers, faults, refusals. Bounded: who reads too late is told how many
//! were lost. What does not live here: deciding what is an event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use squall_kernel::id::Incarnation;
use squall_proto::v1::{Event, Severity};
use tokio::sync::watch;

use super::{Wake, limits};
use crate::calendar::Calendar;

/// The last events of this run of the node.
#[derive(Debug)]
pub struct EventLog {
    incarnation: Incarnation,
    wake: Wake,
    calendar: Calendar,
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    last: u64,
    /// How many there were of each kind; kinds are words in the program.
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Events in order.
    pub events: Vec<Event>,
    /// Events that had left the ring before.
    pub lost: u64,
    /// Sequence number to go on with.
    pub next: u64,
}

impl EventLog {
    /// An empty log. Every event rouses the watchers through `wake`.
    #[must_use]
    pub fn new(incarnation: Incarnation, wake: Wake) -> Self {
        Self {
            incarnation,
            wake,
            calendar: Calendar::default(),
            ring: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }

    /// The calendar by which events are dated, and all else that this node dates.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The run of the node that the sequence numbers belong to.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Records an event; callable from any thread, never waits for readers. `kind` is a word such as
    /// "owner-changed", `subject` the exchange, node or fault, `epoch` 0 where there is none. Call it after the
    /// change can be read in the rows: it rouses the watchers.
    pub fn record(&self, kind: &'static str, subject: &str, text: &str, severity: Severity, epoch: u64) {
        let unix_us = self.calendar.unix_us();
        let event = Event {
            seq: 0,
            unix_ms: unix_us / 1000,
            unix_us,
            kind: kind.to_owned(),
            subject: cut(subject),
            text: cut(text),
            severity: severity as i32,
            epoch,
        };
        let last = {
            let mut ring = self.ring();
            *ring.counts.entry((kind, word(severity))).or_default() += 1;
            ring.push(event)
        };
        self.last.send_replace(last);
        self.wake.raise();
        write_to_log(kind, subject, text, severity, epoch);
    }

    /// Events from `from` on, at most a batch; 0 means all that are kept.
    #[must_use]
    pub fn read(&self, from: u64) -> Batch {
        self.ring().read(from)
    }

    /// How many events there were since the start, by kind and severity.
    #[must_use]
    pub fn counted(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.ring().counts.clone()
    }

    /// Tells the sequence number of the last event, 0 before the first.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic between two lines of `push` leaves at worst a missing event.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Alert => "alert",
        Severity::Notice => "notice",
        Severity::Info | Severity::Unspecified => "info",
    }
}

impl Ring {
    fn push(&mut self, mut event: Event) -> u64 {
        if self.events.len() == limits::EVENTS_MAX {
            self.events.pop_front();
        }
        self.last += 1;
        event.seq = self.last;
        self.events.push_back(event);
        self.last
    }

    fn read(&self, from: u64) -> Batch {
        let oldest = self.last + 1 - self.events.len() as u64;
        let start = from.max(oldest);
        let skip = usize::try_from(start - oldest).unwrap_or(usize::MAX);
        let events: Vec<Event> = self
            .events
            .iter()
            .skip(skip)
            .take(limits::EVENT_BATCH_MAX)
            .cloned()
            .collect();
        let lost = if from == 0 { 0 } else { start - from };
        Batch {
            lost,
            next: start + events.len() as u64,
            events,
        }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(limits::EVENT_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn write_to_log(kind: &str, subject: &str, text: &str, severity: Severity, epoch: u64) {
    match severity {
        Severity::Alert => tracing::error!(kind, subject, epoch, "{text}"),
        Severity::Notice => tracing::warn!(kind, subject, epoch, "{text}"),
        Severity::Info | Severity::Unspecified => tracing::info!(kind, subject, epoch, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events: usize) -> EventLog {
        let log = EventLog::new(Incarnation(7), Wake::default());
        for n in 1..=events {
            log.record("test", "x", &n.to_string(), Severity::Info, 0);
        }
        log
    }

    fn seqs(batch: &Batch) -> (u64, u64) {
        let seq = |e: Option<&Event>| e.map_or(0, |e| e.seq);
        (seq(batch.events.first()), seq(batch.events.last()))
    }

    #[test]
    fn sequence_numbers_start_at_one_and_have_no_gaps() {
        let log = log(3);
        let batch = log.read(0);
        assert_eq!(batch.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((batch.lost, batch.next), (0, 4));
        assert_eq!(
            log.read(4),
            Batch {
                events: vec![],
                lost: 0,
                next: 4
            }
        );
        assert_eq!(*log.watch().borrow(), 3);
    }

    #[test]
    fn a_late_reader_learns_how_many_events_it_lost() {
        let log = log(limits::EVENTS_MAX + 10);
        let late = log.read(1);
        assert_eq!((late.lost, seqs(&late)), (10, (11, 266)));
        let all = log.read(0);
        assert_eq!((all.lost, seqs(&all)), (0, (11, 266)));
    }

    #[test]
    fn a_reader_ahead_of_the_log_waits_for_its_number() {
        assert_eq!(
            log(2).read(9),
            Batch {
                events: vec![],
                lost: 0,
                next: 9
            }
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let log = log(0);
        log.record("test", "x", &"ä".repeat(2000), Severity::Alert, 3);
        assert_eq!(log.read(0).events[0].text.len(), limits::EVENT_TEXT_BYTES_MAX);
    }

    #[test]
    fn an_event_rouses_the_watchers() {
        let wake = Wake::default();
        let roused = wake.watch();
        EventLog::new(Incarnation(1), wake.clone()).record("test", "x", "y", Severity::Notice, 0);
        assert!(roused.has_changed().expect("the wake lives"));
    }
}
