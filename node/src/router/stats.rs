//! Figures of an exchange, of the requests that entered the cluster at this node.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_utils::sync::ShardedLock;
use squall_kernel::frame::Status;
use squall_kernel::id::{Epoch, ExchangeId};
use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};

use crate::metrics;
use crate::numbered::ByNumber;
use crate::striped::{Striped, Together};

/// Figures of one exchange at one moment, of requests that entered the cluster at this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeStats {
    /// Exchange.
    pub exchange: ExchangeId,
    /// Requests taken.
    pub requests: u64,
    /// Requests that were answered. This and the next four are how requests ended as a whole, however many copies they had:
    /// together as many as have ended.
    pub replies: u64,
    /// Requests declined.
    pub declined: u64,
    /// Requests that ended without delivery: no responders, overloaded, unavailable.
    pub refused: u64,
    /// Requests that timed out.
    pub timeouts: u64,
    /// Requests delivered whose fate is unknown.
    pub interrupted: u64,
    /// Requests open now.
    pub in_flight: u64,
    /// Requests that have ended.
    pub ended: u64,
    /// Requests that are there and have not ended, counted one by one: with `ended` they make up all that were taken.
    pub open: u64,
    /// Answers to what had been answered already, or certainly had not been delivered: doubled deliveries.
    pub second: u64,
    /// Answers to what had timed out or was interrupted.
    pub late: u64,
    /// Median time to the end over the last ten seconds; zero without requests.
    pub p50: Span,
    /// 99th percentile of the same.
    pub p99: Span,
}

/// Figures that are being counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    counted: Striped<Counted>,
    waiting: AtomicU64,
    second: AtomicU64,
    late: AtomicU64,
    latency: Histogram,
    /// Latest epoch under which a request was answered.
    answered_epoch: AtomicU64,
}

/// What is counted for every request.
#[derive(Debug, Default)]
struct Counted {
    requests: AtomicU64,
    ended: AtomicU64,
    replies: AtomicU64,
    declined: AtomicU64,
    refused: AtomicU64,
    timeouts: AtomicU64,
    interrupted: AtomicU64,
    /// Those that began here less those that ended here: means something as a sum only.
    open: AtomicU64,
    /// Times from begin to end since the start, in few buckets.
    times: metrics::Histogram,
    fresh: Mutex<Fresh>,
}

/// The latest times of one stripe, which come into the figures together.
#[derive(Debug, Default)]
struct Fresh {
    window: u64,
    /// Buckets: there are as many as a byte has values.
    buckets: [u8; FRESH],
    len: usize,
}

/// A request's place in the figures for as long as it exists: one that vanished without an outcome would be missing
/// both among the open and the ended ones.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Held>);

impl Ticket {
    pub(super) fn take(figures: Arc<Held>) -> Self {
        let counted = figures.0.counted.here();
        counted.open.fetch_add(1, Relaxed);
        counted.requests.fetch_add(1, Relaxed);
        Self(figures)
    }
}

/// Figures as the requests of a few threads have them: who has them is counted for each stripe alone.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Held(Arc<Figures>);

impl std::ops::Deref for Held {
    type Target = Figures;

    fn deref(&self) -> &Figures {
        &self.0
    }
}

/// Figures in the table.
#[derive(Debug, Default)]
struct Kept {
    figures: Arc<Figures>,
    held: Together<OnceLock<Arc<Held>>>,
}

impl Kept {
    fn held(&self) -> Arc<Held> {
        let held = self.held.here();
        Arc::clone(held.get_or_init(|| Arc::new(Held(Arc::clone(&self.figures)))))
    }
}

impl std::ops::Deref for Ticket {
    type Target = Figures;

    fn deref(&self) -> &Figures {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.counted.here().open.fetch_sub(1, Relaxed);
    }
}

impl Figures {
    /// One more waits to be tried again.
    pub(super) fn waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// It waits no longer.
    pub(super) fn goes_on(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// True for the first reply under an epoch after the exchange's first, at this node.
    pub(super) fn is_first_under(&self, epoch: Epoch) -> bool {
        let is_later = epoch.0 > self.answered_epoch.load(Relaxed);
        is_later && self.answered_epoch.fetch_max(epoch.0, Relaxed) < epoch.0 && epoch > Epoch(1)
    }

    pub(super) fn second(&self) {
        self.second.fetch_add(1, Relaxed);
    }

    pub(super) fn late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    /// A request has ended like that, as a whole.
    pub(super) fn count(&self, status: Status) {
        let counted = self.counted.here();
        let counter = match status {
            Status::Reply => &counted.replies,
            // The others do not end a request; should they, it was turned away.
            Status::Declined | Status::Redirect | Status::Pass | Status::Rewrite => &counted.declined,
            Status::None(NoReply::Timeout) => &counted.timeouts,
            Status::None(NoReply::Interrupted | NoReply::Failed) => &counted.interrupted,
            Status::None(_) => &counted.refused,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self, now: Instant, started: Instant) {
        let (counted, took) = (self.counted.here(), now.since(started));
        counted.ended.fetch_add(1, Relaxed);
        counted.times.record(took);
        self.latency.take(&mut lock(&counted.fresh), now, took);
    }

    fn times(&self) -> metrics::Times {
        let stripes = self.counted.all().map(|counted| counted.times.read());
        stripes.fold(metrics::Times::default(), |sum, stripe| sum.with(&stripe))
    }

    fn read(&self, exchange: ExchangeId, now: Instant) -> ExchangeStats {
        let sum = |of: fn(&Counted) -> &AtomicU64| self.counted.sum(|counted| of(counted).load(Relaxed));
        let (ended, requests) = (sum(|it| &it.ended), sum(|it| &it.requests));
        for counted in self.counted.all() {
            self.latency.record(&mut lock(&counted.fresh));
        }
        let [p50, p99] = self.latency.quantiles(now, [50, 99]);
        ExchangeStats {
            exchange,
            requests,
            replies: sum(|it| &it.replies),
            declined: sum(|it| &it.declined),
            refused: sum(|it| &it.refused),
            timeouts: sum(|it| &it.timeouts),
            interrupted: sum(|it| &it.interrupted),
            in_flight: requests.saturating_sub(ended),
            ended,
            open: sum(|it| &it.open),
            second: self.second.load(Relaxed),
            late: self.late.load(Relaxed),
            p50,
            p99,
        }
    }
}

/// Figures by exchange. Requests for unknown exchanges share one set that nobody sees: a client makes nothing grow.
#[derive(Debug, Default)]
pub(super) struct StatsTable {
    /// Read for every request, by all threads.
    known: ShardedLock<ByNumber<ExchangeId, Kept>>,
    unknown: Kept,
}

impl StatsTable {
    pub(super) fn of(&self, exchange: ExchangeId, exists: bool) -> Arc<Held> {
        if !exists {
            return self.unknown.held();
        }
        if let Some(known) = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&exchange)
        {
            return known.held();
        }
        let mut table = self.known.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(exchange).or_default().held()
    }

    pub(super) fn keep(&self, wanted: impl Fn(ExchangeId) -> bool) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|id, _| wanted(*id));
    }

    /// Requests for an exchange that wait to be tried again.
    pub(super) fn waiting(&self, exchange: ExchangeId) -> u64 {
        let table = self.known.read().unwrap_or_else(PoisonError::into_inner);
        table
            .get(&exchange)
            .map_or(0, |kept| kept.figures.waiting.load(Relaxed))
    }

    /// Figures of one exchange that agree with each other: what begins or ends while they are read is waited for.
    pub(super) fn settled(&self, exchange: ExchangeId, now: Instant) -> Option<ExchangeStats> {
        let table = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let figures = Arc::clone(&table.get(&exchange)?.figures);
        drop(table);
        let mut read = figures.read(exchange, now);
        for _ in 0..READS_MAX {
            if read.requests == read.ended + read.open {
                break;
            }
            std::thread::yield_now();
            read = figures.read(exchange, now);
        }
        Some(read)
    }

    /// Figures of all exchanges, each with the times that its requests took since the start.
    pub(super) fn measured(&self, now: Instant) -> Vec<(ExchangeStats, metrics::Times)> {
        let table = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let measured = table
            .iter()
            .map(|(id, kept)| (kept.figures.read(*id, now), kept.figures.times()));
        measured.collect()
    }

    pub(super) fn all(&self, now: Instant) -> Vec<ExchangeStats> {
        let table = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let read = table.iter().map(|(id, kept)| kept.figures.read(*id, now));
        read.collect()
    }
}

/// Looks at figures that do not agree yet: a request between two of its counters is there for well under a microsecond,
/// unless its thread was put aside.
const READS_MAX: usize = 200;
/// Eight buckets an octave: a figure is off by at most 9 %.
const PER_OCTAVE: u32 = 8;
/// Up to 2^32 microseconds, above the longest timeout.
const BUCKETS: usize = 8 * 32;
const _: () = assert!(BUCKETS <= 1 << u8::BITS);
/// Times that a stripe keeps to itself: threads that count each at once would pass the same few buckets to and fro.
const FRESH: usize = 31;
/// Length of a window in microseconds.
const WINDOW: u64 = 2_000_000;
/// The last ten seconds are the window that is filling and the four before it.
const WINDOWS: usize = 5;

/// Times over the last ten seconds, in windows of two: writing is one addition, reading adds the windows up. A write
/// that meets the turn of a window may be lost; these are figures for people.
#[derive(Debug)]
struct Histogram {
    windows: [Window; WINDOWS],
}

#[derive(Debug)]
struct Window {
    number: AtomicU64,
    buckets: Box<[AtomicU32; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        let window = || Window {
            number: AtomicU64::new(u64::MAX),
            buckets: Box::new(std::array::from_fn(|_| AtomicU32::new(0))),
        };
        Self {
            windows: std::array::from_fn(|_| window()),
        }
    }
}

impl Histogram {
    /// Takes a time in; it counts with others of its stripe.
    fn take(&self, fresh: &mut Fresh, now: Instant, time: Span) {
        let window = now.0 / WINDOW;
        if fresh.window != window || fresh.len == FRESH {
            self.record(fresh);
            fresh.window = window;
        }
        fresh.buckets[fresh.len] = u8::try_from(bucket_of(time)).expect("as many as a byte has values");
        fresh.len += 1;
    }

    /// Counts what a stripe has.
    fn record(&self, fresh: &mut Fresh) {
        if fresh.len == 0 {
            return;
        }
        let number = fresh.window;
        let window = &self.windows[usize::try_from(number % WINDOWS as u64).expect("less than WINDOWS")];
        let shown = window.number.load(Relaxed);
        if shown != u64::MAX && shown > number {
            // The stripe was quiet for so long that its times are over.
            fresh.len = 0;
            return;
        }
        if shown != number && window.number.swap(number, Relaxed) != number {
            for bucket in window.buckets.iter() {
                bucket.store(0, Relaxed);
            }
        }
        for bucket in &fresh.buckets[..fresh.len] {
            window.buckets[usize::from(*bucket)].fetch_add(1, Relaxed);
        }
        fresh.len = 0;
    }

    fn quantiles<const N: usize>(&self, now: Instant, percents: [u64; N]) -> [Span; N] {
        let mut sum = [0u64; BUCKETS];
        let current = now.0 / WINDOW;
        for window in &self.windows {
            let number = window.number.load(Relaxed);
            if number <= current && current - number < WINDOWS as u64 {
                for (total, bucket) in sum.iter_mut().zip(window.buckets.iter()) {
                    *total += u64::from(bucket.load(Relaxed));
                }
            }
        }
        percents.map(|percent| quantile(&sum, percent))
    }
}

fn lock(fresh: &Mutex<Fresh>) -> MutexGuard<'_, Fresh> {
    fresh.lock().unwrap_or_else(PoisonError::into_inner)
}

fn quantile(sum: &[u64; BUCKETS], percent: u64) -> Span {
    let total: u64 = sum.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut seen = 0;
    for (bucket, count) in sum.iter().enumerate() {
        seen += count;
        if seen >= rank && seen > 0 {
            return middle_of(bucket);
        }
    }
    Span::ZERO
}

fn bucket_of(time: Span) -> usize {
    let us = time.0.clamp(PER_OCTAVE.into(), u64::from(u32::MAX));
    let octave = us.ilog2();
    let within = (us >> (octave - PER_OCTAVE.ilog2())) - u64::from(PER_OCTAVE);
    (octave * PER_OCTAVE) as usize + usize::try_from(within).expect("less than PER_OCTAVE")
}

fn middle_of(bucket: usize) -> Span {
    let octave = u32::try_from(bucket).expect("less than BUCKETS") / PER_OCTAVE;
    let within = u64::try_from(bucket).expect("less than BUCKETS") % u64::from(PER_OCTAVE);
    let width = 1u64 << octave.saturating_sub(PER_OCTAVE.ilog2());
    Span((u64::from(PER_OCTAVE) + within) * width + width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_and_forget_after_ten_seconds() {
        let histogram = Histogram::default();
        let mut fresh = Fresh::default();
        for us in 1..=1000 {
            histogram.take(&mut fresh, Instant(0), Span(us * 10));
        }
        histogram.record(&mut fresh);
        let [p50, p99] = histogram.quantiles(Instant(1), [50, 99]);
        assert!((4500..5600).contains(&p50.0), "{p50:?}");
        assert!((9000..11000).contains(&p99.0), "{p99:?}");
        assert_eq!(histogram.quantiles(Instant(10_000_000), [50]), [Span::ZERO]);
        // Of a stripe that kept its times too long nothing counts, and what is newer stays.
        let (mut old, mut new) = (Fresh::default(), Fresh::default());
        histogram.take(&mut old, Instant(0), Span(5));
        histogram.take(&mut new, Instant(10_000_000), Span(100));
        histogram.record(&mut new);
        histogram.record(&mut old);
        let [p50] = histogram.quantiles(Instant(10_000_000), [50]);
        assert!((90..110).contains(&p50.0), "{p50:?}");
    }

    #[test]
    fn the_longest_time_has_a_bucket() {
        assert!(bucket_of(Span(u64::MAX)) < BUCKETS);
        assert_eq!(bucket_of(Span(0)), bucket_of(Span(8)));
    }
}
