//! The first of very many, without sorting the rest.

use std::cmp::Ordering;

/// Fewest that are looked through at once.
const BATCH: usize = 256;

/// The first `count` of the keys, in no order. Nearly all keys cost one comparison: they come after the
/// last one that may still count.
pub(super) fn least<K: Copy>(
    keys: impl Iterator<Item = K>,
    count: usize,
    out: &mut Vec<K>,
    by: impl Fn(&K, &K) -> Ordering + Copy,
) {
    out.clear();
    if count == 0 {
        return;
    }
    let room = count.saturating_mul(2).max(BATCH);
    let mut last: Option<K> = None;
    for key in keys {
        if last.is_some_and(|last| by(&key, &last) != Ordering::Less) {
            continue;
        }
        out.push(key);
        if out.len() >= room {
            last = Some(*out.select_nth_unstable_by(count - 1, by).1);
            out.truncate(count);
        }
    }
    if out.len() > count {
        out.select_nth_unstable_by(count - 1, by);
        out.truncate(count);
    }
}

/// Those from `first` to `end`, in order.
pub(super) fn window<K: Copy>(
    keys: impl Iterator<Item = K>,
    (first, end): (usize, usize),
    out: &mut Vec<K>,
    by: impl Fn(&K, &K) -> Ordering + Copy,
) {
    least(keys, end, out, by);
    if 0 < first && first < out.len() {
        out.select_nth_unstable_by(first, by);
    }
    out.drain(..first.min(out.len()));
    out.sort_unstable_by(by);
}
