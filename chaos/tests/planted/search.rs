//! Looking for the first seed under which a run fails, with a bug or without.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use squall_chaos::sim::Tier;
use squall_chaos::sim::batch::{self, Wrong};
use squall_chaos::sim::plan::{Plan, Wishes};
use squall_kernel::planted;

use super::table::Row;

/// The first seed of the bounds, and of the first series.
pub(crate) const FIRST: u64 = 1;
/// Runs at a time, as on a small machine.
const THREADS: usize = 2;

/// What is wrong with a run, if anything.
pub(crate) fn judged(tier: Tier, seed: u64) -> Option<Wrong> {
    batch::judge(tier, &Plan::draw(seed, &Wishes::default())).err()
}

/// How many seeds it takes from `first` on to find a bug as its row says, and what it broke; nothing within `most`. A seed
/// counts only when it is good without the bug.
pub(crate) fn first_finding(row: &Row, tier: Tier, first: u64, most: u64) -> Option<(u64, Wrong)> {
    let mut passed = 0;
    loop {
        // One for the whole process, so the runs without it come after those with it.
        planted::plant(Some(row.bug));
        let found = first_failure(tier, first + passed, most - passed, |wrong| row.expects(wrong));
        planted::plant(None);
        let (seeds, wrong) = found?;
        passed += seeds;
        match judged(tier, first + passed - 1) {
            None => return Some((passed, wrong)),
            Some(without) => println!(
                "seed {} fails without a bug: {}",
                first + passed - 1,
                broken(&without)
            ),
        }
    }
}

/// How many seeds it takes from `first` on until one fails as `wanted`, and how that one fails; nothing within `most`.
pub(crate) fn first_failure(
    tier: Tier,
    first: u64,
    most: u64,
    wanted: impl Fn(&Wrong) -> bool + Sync,
) -> Option<(u64, Wrong)> {
    let (next, best) = (AtomicU64::new(0), AtomicU64::new(most));
    let found: Mutex<Option<(u64, Wrong)>> = Mutex::new(None);
    let work = || loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= best.load(Ordering::Relaxed) {
            return;
        }
        if let Some(wrong) = judged(tier, first + n).filter(&wanted) {
            let mut found = found.lock().expect("no thread panics");
            if found.as_ref().is_none_or(|(seeds, _)| n + 1 < *seeds) {
                *found = Some((n + 1, wrong));
            }
            best.fetch_min(n, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS {
            scope.spawn(work);
        }
        work();
    });
    found.into_inner().expect("no thread panics")
}

/// What broke.
pub(crate) fn broken(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Broken(breach) => breach.id.to_string(),
        Wrong::Panicked(words) => format!("panic: {words}"),
    }
}
