//! Times counted since the start of the node, in a few buckets. What does not live here: the finer ones over the last seconds
//! (`router::stats`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use squall_kernel::time::Span;

/// Upper ends of the buckets, in microseconds; what is longer than the last one has a bucket of its own.
pub const BOUNDS: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// Counts times: two additions each.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times {
    /// How many fell into each bucket, the one without an end last.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, time: Span) {
        let place = BOUNDS.partition_point(|bound| *bound < time.0);
        self.buckets[place].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(time.0, Relaxed);
    }

    /// What was counted by now.
    #[must_use]
    pub fn read(&self) -> Times {
        Times {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum_us: self.sum_us.load(Relaxed),
        }
    }
}

impl Times {
    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|i| self.buckets[i] + other.buckets[i]),
            sum_us: self.sum_us + other.sum_us,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_it_fits() {
        let times = Histogram::default();
        for us in [0, 250, 251, 30_000_000, 30_000_001] {
            times.record(Span(us));
        }
        let read = times.read();
        assert_eq!((read.buckets[0], read.buckets[1]), (2, 1));
        assert_eq!((read.buckets[15], read.buckets[16]), (1, 1));
        assert_eq!((read.count(), read.sum_us), (5, 60_000_502));
    }
}
