//! What is kept of a process only while somebody watches it: how long messages waited in its mailbox, how long its work took, and
//! the envelopes of what is in the mailbox now. Nobody watching, all of it costs one relaxed load.
//!
//! What does not live here: who watches (`introspect`), and the counters that are always there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use squall_kernel::frame::Frame;
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::time::{Instant, Span};

use super::Process;

/// A message as others see it from outside: never its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it is, in a word.
    pub kind: &'static str,
    /// Exchange it is about.
    pub exchange: Option<ExchangeId>,
    /// Its key; empty for none.
    pub key: Bytes,
    /// Bytes of its body.
    pub bytes: usize,
    /// Who sent it.
    pub from: Option<Sender>,
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A process.
    Process(Pid),
    /// A node, for itself or a client.
    Node(NodeId),
}

impl Envelope {
    /// An envelope of that kind, with nothing else known.
    #[must_use]
    pub fn of(kind: &'static str) -> Self {
        Self {
            kind,
            exchange: None,
            key: Bytes::new(),
            bytes: 0,
            from: None,
        }
    }
}

/// The envelope of a frame: it comes from the process that sent it, or from the node where a client's request entered.
pub(crate) fn envelope_of(kind: &'static str, frame: &Frame) -> Envelope {
    let from = match frame.from.serial {
        0 => Sender::Node(frame.origin),
        _ => Sender::Process(frame.from),
    };
    Envelope {
        kind,
        exchange: Some(frame.exchange),
        key: frame.tags.key.clone(),
        bytes: frame.payload.len(),
        from: Some(from),
    }
}

/// What can be said of a message while it is in a mailbox.
pub trait Letter {
    /// Its envelope.
    fn envelope(&self) -> Envelope;
}

/// Kept while somebody watches.
#[derive(Debug, Default)]
pub(super) struct Watched {
    wait: Times,
    work: Times,
    /// What was put into the mailbox since somebody watches, in order. Bounded as the mailbox is.
    line: Mutex<VecDeque<(Instant, Envelope)>>,
}

impl Watched {
    /// The line, for as long as a message is put in: so its order is that of the mailbox.
    pub(super) fn line(&self) -> MutexGuard<'_, VecDeque<(Instant, Envelope)>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message that was put in at `put` was taken out.
    pub(super) fn taken(&self, put: Instant) {
        let mut line = self.line();
        // One that was put in before anybody watched is not here, and no later one goes in its place.
        while line.front().is_some_and(|(at, _)| *at < put) {
            line.pop_front();
        }
        if line.front().is_some_and(|(at, _)| *at == put) {
            line.pop_front();
        }
    }

    pub(super) fn waited(&self, time: Span) {
        self.wait.record(time);
    }

    pub(super) fn worked(&self, time: Span) {
        self.work.record(time);
    }
}

/// Watches a process until it is dropped; does not keep it alive.
#[derive(Debug)]
pub struct ProcessWatch {
    process: Weak<Process>,
    watched: Arc<Watched>,
}

/// What a watch sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The first messages that came since somebody watches, and when they were put in.
    pub head: Vec<(Instant, Envelope)>,
    /// All of those.
    pub seen: usize,
    /// Times in the mailbox.
    pub wait: Vec<Bucket>,
    /// Times of work.
    pub work: Vec<Bucket>,
}

impl ProcessWatch {
    pub(super) fn new(process: &Arc<Process>, watched: Arc<Watched>) -> Self {
        Self {
            process: Arc::downgrade(process),
            watched,
        }
    }

    /// The process, while it lives.
    #[must_use]
    pub fn process(&self) -> Option<Arc<Process>> {
        self.process.upgrade()
    }

    /// What is seen now, with at most `most` envelopes.
    #[must_use]
    pub fn look(&self, most: usize) -> Inside {
        let (head, seen) = {
            let line = self.watched.line();
            (line.iter().take(most).cloned().collect(), line.len())
        };
        Inside {
            head,
            seen,
            wait: self.watched.wait.read(),
            work: self.watched.work.read(),
        }
    }
}

impl Drop for ProcessWatch {
    fn drop(&mut self) {
        if let Some(process) = self.process.upgrade() {
            process.unwatch();
        }
    }
}

/// Four buckets an octave: a figure is off by a quarter at most.
const PER_OCTAVE: usize = 4;
/// Up to 2^36 microseconds, nineteen hours.
const BUCKETS: usize = 4 + 34 * PER_OCTAVE;

/// Times that fell between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// From here on.
    pub from: Span,
    /// Below that.
    pub below: Span,
    /// How many.
    pub count: u64,
}

/// A log-linear histogram.
#[derive(Debug)]
struct Times([AtomicU64; BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Times {
    fn record(&self, time: Span) {
        self.0[place_of(time)].fetch_add(1, Relaxed);
    }

    /// Those that hold something.
    fn read(&self) -> Vec<Bucket> {
        let all = self.0.iter().map(|count| count.load(Relaxed)).enumerate();
        all.filter(|(_, count)| *count > 0)
            .map(|(place, count)| {
                let (from, below) = bounds_of(place);
                Bucket { from, below, count }
            })
            .collect()
    }
}

fn place_of(time: Span) -> usize {
    if time.0 < PER_OCTAVE as u64 {
        return usize::try_from(time.0).expect("less than PER_OCTAVE");
    }
    let octave = time.0.ilog2() as usize;
    let within = usize::try_from(time.0 >> (octave - 2)).unwrap_or(usize::MAX) - PER_OCTAVE;
    (PER_OCTAVE + (octave - 2) * PER_OCTAVE + within).min(BUCKETS - 1)
}

fn bounds_of(place: usize) -> (Span, Span) {
    if place < PER_OCTAVE {
        return (Span(place as u64), Span(place as u64 + 1));
    }
    let (octave, within) = (
        (place - PER_OCTAVE) / PER_OCTAVE,
        (place - PER_OCTAVE) % PER_OCTAVE,
    );
    let bound = |within: usize| Span(((PER_OCTAVE + within) as u64) << octave);
    (bound(within), bound(within + 1))
}

/// The time below which so many percent are; the upper bound of its bucket.
#[must_use]
pub fn quantile(buckets: &[Bucket], percent: u64) -> Span {
    let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let rank = (total * percent).div_ceil(100).max(1);
    let mut seen = 0;
    let reached = buckets.iter().find(|bucket| {
        seen += bucket.count;
        seen >= rank
    });
    reached.map_or(Span::ZERO, |bucket| bucket.below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::process::{ProcessKind, ProcessTable, mailbox};
    use squall_kernel::id::Boot;

    #[test]
    fn each_time_is_in_its_bucket() {
        for us in (0..5000).chain([1 << 20, (1 << 20) - 1, u64::from(u32::MAX)]) {
            let (from, below) = bounds_of(place_of(Span(us)));
            assert!(from.0 <= us && us < below.0, "{us}: {from:?} {below:?}");
        }
        assert_eq!(place_of(Span(u64::MAX)), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_off_by_a_quarter_at_most() {
        let times = Times::default();
        for us in 1..=1000 {
            times.record(Span(us));
        }
        let read = times.read();
        let (p50, p99) = (quantile(&read, 50).0, quantile(&read, 99).0);
        assert!(
            (500..=625).contains(&p50) && (990..=1238).contains(&p99),
            "{p50} {p99}"
        );
        assert_eq!(quantile(&[], 50), Span::ZERO);
    }

    #[test]
    fn the_head_is_what_came_since_somebody_watches_and_nothing_is_kept_afterwards() {
        let table = ProcessTable::new(NodeId(7), Boot(1));
        let process = table.enter(ProcessKind::Handler, "h", 8, Instant(0));
        let (mailbox, mut inbox) = mailbox(Arc::clone(&process), Clock::start(), 8);
        assert!(mailbox.push(1).is_ok());
        let watch = process.watch();
        assert!(mailbox.push(22).is_ok() && mailbox.push(333).is_ok());
        let bytes = |watch: &ProcessWatch| {
            let inside = watch.look(16);
            let bytes: Vec<usize> = inside.head.iter().map(|(_, e)| e.bytes).collect();
            (bytes, inside.seen)
        };
        assert_eq!(bytes(&watch), (vec![22, 333], 2));
        assert_eq!(watch.look(1).head.len(), 1);
        assert_eq!(inbox.try_next().map(|(item, _)| item), Some(1));
        process.count_busy(Span(7));
        let inside = watch.look(16);
        let counted = |buckets: &[Bucket]| buckets.iter().map(|b| b.count).sum::<u64>();
        assert_eq!((counted(&inside.wait), counted(&inside.work)), (1, 1));
        assert_eq!(inbox.try_next().map(|(item, _)| item), Some(22));
        assert_eq!(bytes(&watch).0.last(), Some(&333));
        drop(watch);
        assert!(process.watched().is_none());
        let again = process.watch();
        assert_eq!(again.look(16).work, []);
        drop((process, mailbox, inbox));
        assert!(again.process().is_none(), "a watch keeps nothing alive");
    }
}
