//! Whole runs with the real log: the same from the same seed, in one process and in two.

use std::process::Command;

use crate::sim::plan::{Plan, Wishes};
use crate::sim::{Tier, run};

/// Set for the process that only tells the digest of a seed.
const SEED: &str = "SQUALL_TEST_DIGEST_OF_SEED";

fn digest(seed: u64) -> u64 {
    run(Tier::T2, &Plan::draw(seed, &Wishes { nodes: Some(3) })).digest
}

#[test]
fn the_same_seed_gives_the_same_run_in_one_process() {
    let first = digest(3);
    assert_eq!(first, digest(3));
    assert_ne!(first, digest(4));
}

#[test]
fn tell_the_digest() {
    if let Ok(seed) = std::env::var(SEED) {
        println!("\ndigest {:016x}", digest(seed.parse().unwrap()));
    }
}

#[test]
fn the_same_seed_gives_the_same_run_in_two_processes() {
    let there = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sim::raft::run_tests::tell_the_digest", "--nocapture"])
        .env(SEED, "3")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&there.stdout);
    let here = format!("digest {:016x}", digest(3));
    assert!(said.contains(&here), "{here} here, there: {said}");
}
