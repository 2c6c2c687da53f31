//! What every plain test run asks of the simulator: runs that once failed stay good, and so do some seeds of both tiers.
//! Fresh seeds by the thousand are for `.ci/run` and `just sim`.

use std::path::Path;

use squall_chaos::corpus;
use squall_chaos::sim::Tier;
use squall_chaos::sim::batch;
use squall_chaos::sim::plan::{Plan, Wishes};

/// Seeds of T1: some seconds without optimisation.
const T1_SEEDS: std::ops::Range<u64> = 1..21;
/// Seeds of T2, where a run takes ten times as long.
const T2_SEEDS: std::ops::Range<u64> = 1..5;

#[test]
fn runs_that_once_failed_are_good() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (path, entry) in corpus::load(&dir).expect("the corpus can be read") {
        let plan = entry
            .plan
            .unwrap_or_else(|| Plan::draw(entry.seed, &Wishes::default()));
        if let Err(wrong) = batch::judge(entry.tier, &plan) {
            panic!("{} ({}): {wrong:?}", path.display(), entry.by);
        }
    }
}

#[test]
fn fixed_seeds_of_the_kernel_are_good() {
    all_good(Tier::T1, T1_SEEDS);
}

#[test]
fn fixed_seeds_of_the_real_log_are_good() {
    all_good(Tier::T2, T2_SEEDS);
}

fn all_good(tier: Tier, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(wrong) = batch::judge(tier, &Plan::draw(seed, &Wishes::default())) {
            panic!("replay with: squall chaos sim --tier {tier} --seed {seed}\n{wrong:?}");
        }
    }
}
