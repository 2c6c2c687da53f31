//! Measures for docs/simulator.md how many seeds it takes to find each planted bug: five series for each, on the tier of its
//! row of the table, or on another.
//!
//!     cargo run --config .ci/sim.toml -p squall-chaos --features planted --example planted -- table 1000 [BUG ...]
//!     … -- t2 500 [BUG ...]
//!
//! The bug `none` looks for seeds that fail without one. What a seed breaks under a bug, in full:
//!
//!     … -- t1 seed 4711 [BUG ...]

#[path = "../tests/planted/search.rs"]
mod search;
#[path = "../tests/planted/table.rs"]
mod table;

use std::process::ExitCode;

use squall_chaos::sim::Tier;
use squall_chaos::sim::batch::Wrong;
use squall_kernel::planted;

use search::{FIRST, broken, first_failure, first_finding, judged};
use table::{ROWS, Row};

const SERIES: u64 = 5;
/// From one series to the next.
const APART: u64 = 10_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["table", most, bugs @ ..] => measure(None, most, bugs),
        ["t1", "seed", seed, bugs @ ..] => in_full(Tier::T1, seed, bugs),
        ["t2", "seed", seed, bugs @ ..] => in_full(Tier::T2, seed, bugs),
        ["t1", most, bugs @ ..] => measure(Some(Tier::T1), most, bugs),
        ["t2", most, bugs @ ..] => measure(Some(Tier::T2), most, bugs),
        _ => None,
    }
    .map_or_else(usage, |()| ExitCode::SUCCESS)
}

fn usage() -> ExitCode {
    eprintln!("usage: planted table|t1|t2 SEEDS_AT_MOST [BUG ...]\n       planted t1|t2 seed SEED [BUG ...]");
    ExitCode::from(2)
}

/// The bugs of these names, and none of all for `none`; all of them without names.
fn wanted(names: &[&str]) -> impl Iterator<Item = Option<&'static Row>> {
    let none = names.contains(&"none").then_some(None);
    let rows = ROWS
        .iter()
        .filter(|row| names.is_empty() || names.contains(&row.bug.as_str()));
    none.into_iter().chain(rows.map(Some))
}

fn name(row: Option<&Row>) -> &'static str {
    row.map_or("none", |row| row.bug.as_str())
}

/// Nothing where `most` is not a number.
fn measure(tier: Option<Tier>, most: &str, names: &[&str]) -> Option<()> {
    let most = most.parse().ok()?;
    for row in wanted(names) {
        let tier = tier.or(row.map(|row| row.tier)).unwrap_or(Tier::T1);
        let firsts = (0..SERIES).map(|n| FIRST + n * APART);
        let (mut counts, texts): (Vec<u64>, Vec<String>) =
            firsts.map(|first| one(row, tier, first, most)).unzip();
        counts.sort_unstable();
        let (median, worst) = (counts[counts.len() / 2], counts[counts.len() - 1]);
        println!(
            "{tier} {}: median {median}, most {worst}: {}",
            name(row),
            texts.join(", ")
        );
        if let Some(row) = row {
            println!("    in the table {:?} within {}", row.measured, row.within);
        }
    }
    Some(())
}

/// How many seeds it takes, `most` and one where they are too few, and how it shows.
fn one(row: Option<&Row>, tier: Tier, first: u64, most: u64) -> (u64, String) {
    let found = match row {
        Some(row) => first_finding(row, tier, first, most),
        None => first_failure(tier, first, most, |_| true),
    };
    found.map_or_else(
        || (most + 1, "not found".to_owned()),
        |(seeds, wrong)| (seeds, format!("{seeds} ({})", broken(&wrong))),
    )
}

/// Nothing where `seed` is not a number.
fn in_full(tier: Tier, seed: &str, names: &[&str]) -> Option<()> {
    let seed = seed.parse().ok()?;
    for row in wanted(names) {
        planted::plant(row.map(|row| row.bug));
        let wrong = judged(tier, seed);
        planted::plant(None);
        let text = match wrong {
            None => "good".to_owned(),
            Some(Wrong::Broken(breach)) => breach.to_string(),
            Some(Wrong::Panicked(words)) => format!("panic: {words}"),
        };
        println!("{tier} {} seed {seed}: {text}", name(row));
    }
    Some(())
}
