//! Makes a failing list smaller: delta debugging, the algorithm ddmin of Zeller and Hildebrandt, "Simplifying and
//! Isolating Failure-Inducing Input" (2002), section 3.
//!
//! What does not live here: what is in the list, and how it is tried.

/// A part of `items`, in their order, that still fails; at best one of which no single item can be left out. `items`
/// fail; `still_fails` is asked at most `max_tries` times, about smaller and smaller lists, and what is found by then is
/// given.
pub fn minimise<T: Clone>(
    items: Vec<T>,
    max_tries: usize,
    mut still_fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut left = max_tries;
    let mut fails = |subset: &[T]| {
        let tried = left > 0;
        left = left.saturating_sub(1);
        tried.then(|| still_fails(subset))
    };
    if items.is_empty() || fails(&[]) == Some(true) {
        return Vec::new();
    }
    let mut items = items;
    let mut parts = 2;
    while items.len() > 1 {
        match smaller(&items, parts, &mut fails) {
            Step::Tired => break,
            Step::Part(part) => {
                items = part;
                parts = 2;
            }
            Step::Without(rest) => {
                items = rest;
                parts = (parts - 1).max(2);
            }
            Step::Nothing if parts >= items.len() => break,
            Step::Nothing => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

enum Step<T> {
    /// One part alone fails.
    Part(Vec<T>),
    /// All but one part fail.
    Without(Vec<T>),
    /// Neither.
    Nothing,
    /// No tries are left.
    Tired,
}

/// Tries each of `parts` parts alone, then all but each.
fn smaller<T: Clone>(items: &[T], parts: usize, fails: &mut impl FnMut(&[T]) -> Option<bool>) -> Step<T> {
    let size = items.len().div_ceil(parts);
    let starts = (0..items.len()).step_by(size);
    for start in starts.clone() {
        let part = &items[start..items.len().min(start + size)];
        match fails(part) {
            Some(true) => return Step::Part(part.to_vec()),
            Some(false) => {}
            None => return Step::Tired,
        }
    }
    // With two parts all but one is the other one.
    for start in starts.filter(|_| parts > 2) {
        let end = items.len().min(start + size);
        let rest: Vec<T> = items[..start].iter().chain(&items[end..]).cloned().collect();
        match fails(&rest) {
            Some(true) => return Step::Without(rest),
            Some(false) => {}
            None => return Step::Tired,
        }
    }
    Step::Nothing
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_needed_stays_in_its_order() {
        let needed = |subset: &[u32]| subset.contains(&3) && subset.contains(&70);
        assert_eq!(minimise((0..100).collect(), 1_000, needed), [3, 70]);
    }

    #[test]
    fn what_fails_by_itself_needs_nothing() {
        assert_eq!(minimise(vec![1, 2, 3], 10, |_| true), [0; 0]);
        assert_eq!(
            minimise(Vec::<u8>::new(), 10, |_| panic!("nothing to try")),
            [0; 0]
        );
    }

    #[test]
    fn without_tries_nothing_is_left_out() {
        assert_eq!(minimise(vec![1, 2, 3], 0, |_| panic!("no tries")), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn what_is_left_fails_and_no_item_of_it_can_go(
            len in 1..60usize,
            needed in prop::collection::btree_set(0..60usize, 0..6),
        ) {
            let needed: BTreeSet<usize> = needed.into_iter().filter(|n| *n < len).collect();
            let fails = |subset: &[usize]| needed.iter().all(|n| subset.contains(n));
            let left = minimise((0..len).collect(), 100_000, fails);
            prop_assert!(left.iter().copied().eq(needed.iter().copied()));
        }

        /// Failures that need one item of each of several kinds have many least lists; one of them is found.
        #[test]
        fn with_any_failure_what_is_left_is_least(len in 1..40usize, modulus in 1..6usize, count in 1..4usize) {
            let fails = |subset: &[usize]| subset.iter().filter(|n| *n % modulus == 0).count() >= count;
            let all: Vec<usize> = (0..len).collect();
            prop_assume!(fails(&all));
            let left = minimise(all, 100_000, fails);
            prop_assert!(fails(&left));
            for n in 0..left.len() {
                let mut less = left.clone();
                less.remove(n);
                prop_assert!(!fails(&less));
            }
        }

        #[test]
        fn the_bound_on_tries_holds_and_what_is_given_fails(len in 1..60usize, max_tries in 0..20usize) {
            let mut tries = 0;
            let left = minimise((0..len).collect::<Vec<_>>(), max_tries, |subset| {
                tries += 1;
                subset.contains(&(len / 2))
            });
            prop_assert!(tries <= max_tries);
            prop_assert!(left.contains(&(len / 2)));
        }
    }
}
