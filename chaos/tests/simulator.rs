//! What every plain test run asks of the simulator: runs that once failed stay good, and so do some seeds of both tiers.
//! Fresh seeds by the thousand are for `.ci/run` and `just sim`.

use std::path::Path;

use squall_chaos::corpus;
use squall_chaos::scenario::library::SHIPPED;
use squall_chaos::scenario::read;
use squall_chaos::sim::Tier;
use squall_chaos::sim::batch;
use squall_chaos::sim::plan::{Plan, Wishes};
use squall_chaos::sim::rehearse::rehearse;

/// Seeds of T1: some seconds without optimisation.
const T1_SEEDS: std::ops::Range<u64> = 1..21;
/// Seeds of T2, where a run takes ten times as long.
const T2_SEEDS: std::ops::Range<u64> = 1..5;
/// Seeds of T1 with which each scenario is rehearsed.
const SCENARIO_SEEDS: u64 = 6;

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

/// One seed may miss a moment that another one meets: what a scenario is to show must be shown by some of them.
#[test]
fn every_shipped_scenario_holds_in_simulation_and_shows_what_it_is_to_show() {
    for shipped in SHIPPED {
        let scenario = read(shipped.name, shipped.text).expect("what ships can be read");
        let good = |tier, seed| {
            let rehearsal = rehearse(&scenario, tier, seed);
            let told = rehearsal.told();
            assert!(rehearsal.finding.is_none(), "{}: {told:?}", shipped.name);
            assert!(
                !told.faults.is_empty(),
                "{}: its steps meant nobody: {told:?}",
                shipped.name
            );
            rehearsal
        };
        let mut unseen = good(Tier::T2, 1).unseen;
        for seed in 0..SCENARIO_SEEDS {
            let rehearsal = good(Tier::T1, seed);
            unseen.retain(|sight| rehearsal.unseen.contains(sight));
        }
        assert!(unseen.is_empty(), "{}: {unseen:?}", shipped.name);
    }
}
