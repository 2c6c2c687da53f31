use std::collections::BTreeMap;

use super::fault::FaultKind;
use super::plan::{Plan, Wishes};
use super::*;
use crate::history::What;

fn of_seed(seed: u64) -> outcome::Run {
    run(Tier::T1, &Plan::draw(seed, &Wishes::default()))
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_bit() {
    for seed in [1, 2, 3, 17] {
        let (first, second) = (of_seed(seed), of_seed(seed));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(of_seed(1).digest, of_seed(2).digest);
}

#[test]
fn a_run_does_work_and_comes_to_its_end() {
    let mut handled = 0;
    for seed in 100..112 {
        let run = of_seed(seed);
        let count = |wanted: fn(&What) -> bool| run.history.iter().filter(|e| wanted(&e.what)).count();
        assert_eq!(count(|w| matches!(w, What::Settled)), 1, "seed {seed}");
        assert!(count(|w| matches!(w, What::Begun { .. })) > 20, "seed {seed}");
        handled += count(|w| matches!(w, What::Handled { .. }));
        assert!(run.history.is_sorted_by_key(|e| e.at), "seed {seed}");
    }
    assert!(handled > 500, "{handled} requests were handled");
}

#[test]
fn a_batch_meets_every_kind_of_fault() {
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..60 {
        for (what, count) in of_seed(seed).counts {
            *met.entry(what).or_default() += count;
        }
    }
    for kind in FaultKind::ALL {
        assert!(met.contains_key(kind.as_str()), "{} was never met", kind.as_str());
    }
    for what in [
        "frames held back",
        "frames dropped as repeated",
        "frames caught as changed",
        "connections broken by faults",
        "links resumed",
        "frames given back",
        "frames of unknown fate",
    ] {
        assert!(met.contains_key(what), "{what}: never");
    }
}

#[test]
fn invariants_hold_over_some_dozen_seeds() {
    for seed in 1_000..1_040 {
        if let Err(wrong) = batch::judge(Tier::T1, &Plan::draw(seed, &Wishes::default())) {
            panic!("seed {seed}: {wrong:?}");
        }
    }
}

/// Named by a test, run again by itself in another process: see below.
const DIGEST_OF: &str = "SQUALL_SIM_DIGEST_OF";

#[test]
fn another_process_gives_the_same_run() {
    let seed = 23_u64;
    let digest = format!("digest {:016x}", of_seed(seed).digest);
    if std::env::var_os(DIGEST_OF).is_some() {
        return println!("{digest}");
    }
    let myself = std::env::current_exe().unwrap();
    let name = "sim::tests::another_process_gives_the_same_run";
    let other = std::process::Command::new(myself)
        .args(["--exact", name, "--nocapture"])
        .env(DIGEST_OF, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout);
    assert!(said.contains(&digest), "here {digest}, there: {said}");
}
