//! Counters that many threads count in at once: each thread in a stripe of its own, so that they do not pass one piece of memory to and
//! fro for every message. Whoever reads adds the stripes up.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Stripes: enough for the threads of the data plane on most machines; of more some share one.
const STRIPES: usize = 4;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// One stripe, on cache lines of its own: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone<T>(T);

/// The same once for each stripe.
#[derive(Debug, Default)]
pub(crate) struct Striped<T>([Alone<T>; STRIPES]);

/// The same close together: for what is read by all threads and hardly written.
#[derive(Debug, Default)]
pub(crate) struct Together<T>([T; STRIPES]);

impl<T> Together<T> {
    /// What this thread has.
    pub(crate) fn here(&self) -> &T {
        &self.0[stripe()]
    }
}

impl<T> Striped<T> {
    /// The stripe in which this thread counts.
    pub(crate) fn here(&self) -> &T {
        &self.0[stripe()].0
    }

    /// The sum of what each stripe has. It may wrap around in one of them: the sum does so too.
    pub(crate) fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        self.all().map(of).fold(0, u64::wrapping_add)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &stripe.0)
    }
}

fn stripe() -> usize {
    let known = STRIPE.get();
    if known < STRIPES { known } else { first_time() }
}

#[cold]
fn first_time() -> usize {
    let stripe = THREADS.fetch_add(1, Relaxed) % STRIPES;
    STRIPE.set(stripe);
    stripe
}

/// A number of things that happened.
#[derive(Debug, Default)]
pub struct Count(Striped<AtomicU64>);

impl Count {
    /// Counts one.
    pub fn one(&self) {
        self.0.here().fetch_add(1, Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.sum(|stripe| stripe.load(Relaxed))
    }
}

/// What a stripe of a level takes up before it passes that on.
const APART: i64 = 64;

/// How many there are of something that begins and ends on many threads.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// All but what the stripes have.
    passed_on: AtomicI64,
    stripes: Striped<AtomicI64>,
}

impl Level {
    /// One begins; false when it is one too many, which has to end all the same.
    pub(crate) fn begin(&self, bound: usize) -> bool {
        self.add(1);
        let bound = i64::try_from(bound).unwrap_or(i64::MAX);
        // Only close to the bound are all asked.
        let near = self.passed_on.load(Relaxed) + APART * STRIPES as i64 >= bound;
        !near || self.sum() <= bound
    }

    /// One has ended.
    pub(crate) fn end(&self) {
        self.add(-1);
    }

    /// How many there are; while some begin and end it may miss a few.
    pub(crate) fn read(&self) -> usize {
        usize::try_from(self.sum()).unwrap_or(0)
    }

    fn add(&self, change: i64) {
        let here = self.stripes.here();
        let now = here.fetch_add(change, Relaxed) + change;
        if now.abs() >= APART {
            here.fetch_sub(now, Relaxed);
            self.passed_on.fetch_add(now, Relaxed);
        }
    }

    fn sum(&self) -> i64 {
        let stripes: i64 = self.stripes.all().map(|stripe| stripe.load(Relaxed)).sum();
        self.passed_on.load(Relaxed) + stripes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_count_is_read_as_one_number() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..STRIPES + 2 {
                scope.spawn(|| (0..1_000).for_each(|_| count.one()));
            }
        });
        assert_eq!(count.read(), (STRIPES as u64 + 2) * 1_000);
    }

    #[test]
    fn a_level_knows_all_that_began_and_did_not_end_and_keeps_its_bound() {
        let level = Level::default();
        std::thread::scope(|scope| {
            for _ in 0..STRIPES + 2 {
                scope.spawn(|| {
                    (0..1_000).for_each(|_| assert!(level.begin(usize::MAX)));
                    (0..900).for_each(|_| level.end());
                });
            }
        });
        let there = (STRIPES + 2) * 100;
        assert_eq!(level.read(), there);
        assert!(level.begin(there + 1) && !level.begin(there + 1));
        // Others may end on this thread.
        (0..there + 2).for_each(|_| level.end());
        assert_eq!(level.read(), 0);
    }

    #[test]
    fn what_one_thread_adds_and_another_takes_away_is_nothing() {
        let open = Striped::<AtomicU64>::default();
        open.here().fetch_add(1, Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| open.here().fetch_sub(1, Relaxed));
        });
        assert_eq!(open.sum(|stripe| stripe.load(Relaxed)), 0);
    }
}
