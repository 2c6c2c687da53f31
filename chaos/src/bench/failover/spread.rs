//! A few values as bars: log-spaced buckets, two to a doubling. Pure. What does not live here: percentiles
//! (`bench::nearest_rank`).

use serde::Serialize;

/// Longest bar.
const BAR: usize = 40;

/// Values of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bucket {
    /// Its smallest value, in milliseconds.
    pub from_ms: f64,
    /// The next bucket's smallest value.
    pub to_ms: f64,
    /// Values in it.
    pub count: usize,
}

/// From the first bucket with a value to the last, the empty ones between them included. What is shorter than a
/// millisecond counts as one.
pub(super) fn buckets(values: &[f64]) -> Vec<Bucket> {
    let indices: Vec<i32> = values.iter().map(|value| index(*value)).collect();
    let (Some(first), Some(last)) = (indices.iter().min(), indices.iter().max()) else {
        return Vec::new();
    };
    let bucket = |index: i32| Bucket {
        from_ms: bound(index),
        to_ms: bound(index + 1),
        count: indices.iter().filter(|other| **other == index).count(),
    };
    (*first..=*last).map(bucket).collect()
}

/// One line a bucket.
pub(super) fn bars(buckets: &[Bucket]) -> String {
    let most = buckets
        .iter()
        .map(|bucket| bucket.count)
        .max()
        .unwrap_or_default()
        .max(1);
    let bar = |count: usize| (count * BAR).div_ceil(most);
    let line = |bucket: &Bucket| {
        let row = format!(
            "  {:>7.0} … {:>7.0} ms {:>5}  {}",
            bucket.from_ms,
            bucket.to_ms,
            bucket.count,
            "#".repeat(bar(bucket.count))
        );
        format!("{}\n", row.trim_end())
    };
    buckets.iter().map(line).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "twice the logarithm of a time in milliseconds is a small number"
)]
fn index(value: f64) -> i32 {
    (2.0 * value.max(1.0).log2()).floor() as i32
}

fn bound(index: i32) -> f64 {
    (10.0 * 2f64.powf(f64::from(index) / 2.0)).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket_and_gaps_show() {
        let buckets = buckets(&[0.2, 1.0, 9.0, 9.5]);
        let counts: Vec<usize> = buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2, 0, 0, 0, 0, 0, 2]);
        let last = buckets.last().unwrap();
        assert_eq!((last.from_ms, last.to_ms), (8.0, 11.3));
        let bars = bars(&buckets);
        assert_eq!(bars.lines().count(), 7);
        assert!(bars.contains("8 …      11 ms     2  ####"), "{bars}");
        assert!(super::buckets(&[]).is_empty());
    }
}
