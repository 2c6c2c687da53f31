//! Counters that many threads count in at once: each thread in a stripe of its own, so that they do not pass one piece of memory to and
//! fro for every message. Whoever reads adds the stripes up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

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

impl<T> Striped<T> {
    /// The stripe in which this thread counts.
    pub(crate) fn here(&self) -> &T {
        let known = STRIPE.get();
        let stripe = if known < STRIPES { known } else { first_time() };
        &self.0[stripe].0
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
    fn what_one_thread_adds_and_another_takes_away_is_nothing() {
        let open = Striped::<AtomicU64>::default();
        open.here().fetch_add(1, Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| open.here().fetch_sub(1, Relaxed));
        });
        assert_eq!(open.sum(|stripe| stripe.load(Relaxed)), 0);
    }
}
