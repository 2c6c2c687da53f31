//! Percentiles: of many values in little room, and of a few exactly.

use std::time::Duration;

/// Each power of two is divided into so many buckets: a value is told with an error below 1 in 64.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Largest value told apart, in nanoseconds: some 18 minutes, longer than any benchmark runs.
const VALUE_MAX: u64 = (1 << 40) - 1;
const BUCKETS: usize = bucket(VALUE_MAX) + 1;

/// Counts of durations by size, in a fixed 18 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            largest: 0,
        }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn count(&mut self, took: Duration) {
        self.count_many(took, 1);
    }

    /// Counts it so many times.
    pub fn count_many(&mut self, took: Duration, times: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(VALUE_MAX).min(VALUE_MAX);
        self.counts[bucket(nanos)] += times;
        self.total += times;
        if times > 0 {
            self.largest = self.largest.max(nanos);
        }
    }

    /// Adds what another program has counted in the bucket of that number, of which only the bounds are known; false when there is no
    /// such bucket.
    pub(super) fn count_bucket(&mut self, number: usize, times: u64) -> bool {
        if number < BUCKETS {
            self.count_many(Duration::from_nanos(upper(number)), times);
        }
        number < BUCKETS
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in self.counts.iter_mut().zip(&other.counts) {
            *mine += others;
        }
        self.total += other.total;
        self.largest = self.largest.max(other.largest);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The smallest duration that a share of `quantile` of all does not exceed, at most 1/64 too long; zero when there
    /// is none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = rank(self.total, quantile);
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if rank > 0 && below >= rank {
                return Duration::from_nanos(upper(index).min(self.largest));
            }
        }
        Duration::ZERO
    }

    /// The longest.
    #[must_use]
    pub fn largest(&self) -> Duration {
        Duration::from_nanos(self.largest)
    }
}

/// The value at a quantile of a few, by nearest rank: always one of them, so that with fewer than a hundred p99 is the
/// largest. None when there is no value.
#[must_use]
pub fn nearest_rank(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = rank(sorted.len() as u64, quantile);
    let index = usize::try_from(rank.checked_sub(1)?).ok()?;
    sorted.get(index).copied()
}

/// Which of `total` sorted values, from 1; 0 when there is none.
fn rank(total: u64, quantile: f64) -> u64 {
    let rank = (quantile.clamp(0.0, 1.0) * total as f64).ceil();
    (rank as u64).clamp(u64::from(total > 0), total)
}

const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    (shift as u64 * STEPS + (value >> shift)) as usize
}

/// The largest value of a bucket.
const fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let lower = (bucket - shift * STEPS) << shift;
    lower + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_no_bucket_is_wider_than_a_64th() {
        let mut last = 0;
        for exponent in 0..40 {
            for offset in [0, 1, 7, 1_000_003] {
                let value = ((1_u64 << exponent) + offset).min(VALUE_MAX);
                let index = bucket(value);
                assert!(index < BUCKETS && upper(index) >= value, "{value}");
                assert!(upper(index) - value <= value / STEPS, "{value} {}", upper(index));
                assert!(index == 0 || upper(index - 1) < value, "{value}");
                last = last.max(index);
            }
        }
        assert_eq!(bucket(VALUE_MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_thousand_even_steps_are_where_they_belong() {
        let mut halves = [Histogram::default(), Histogram::default()];
        for us in 1..=1000_u64 {
            halves[usize::from(us % 2 == 0)].count(Duration::from_micros(us));
        }
        let [mut all, other] = halves;
        all.add(&other);
        assert_eq!((all.total(), all.largest()), (1000, Duration::from_micros(1000)));
        for (quantile, us) in [
            (0.0, 1.0),
            (0.5, 500.0),
            (0.99, 990.0),
            (0.999, 999.0),
            (1.0, 1000.0),
        ] {
            let found = all.quantile(quantile).as_secs_f64() * 1e6;
            assert!(
                (us..=us * (1.0 + 1.0 / 64.0)).contains(&found),
                "{quantile}: {found}"
            );
        }
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
        all.count(Duration::MAX);
        assert_eq!(all.quantile(1.0), Duration::from_nanos(VALUE_MAX));
    }

    #[test]
    fn what_is_counted_elsewhere_by_bucket_is_counted_alike_here() {
        let (mut here, mut elsewhere) = (Histogram::default(), Histogram::default());
        for us in [3, 70, 70, 900_000] {
            here.count(Duration::from_micros(us));
            let number = bucket(us * 1000);
            assert!(elsewhere.count_bucket(number, 1));
        }
        assert_eq!(
            (here.total(), &here.counts),
            (elsewhere.total(), &elsewhere.counts)
        );
        assert!(elsewhere.largest() >= here.largest());
        assert!(!elsewhere.count_bucket(BUCKETS, 1) && elsewhere.total() == 4);
    }

    #[test]
    fn a_quantile_of_a_few_is_one_of_them() {
        let values = [40.0, 10.0, 30.0, 20.0];
        for (quantile, expected) in [
            (0.0, 10.0),
            (0.25, 10.0),
            (0.5, 20.0),
            (0.51, 30.0),
            (0.99, 40.0),
            (1.0, 40.0),
        ] {
            assert_eq!(nearest_rank(&values, quantile), Some(expected), "{quantile}");
        }
        assert_eq!(nearest_rank(&[], 0.5), None);
    }
}
