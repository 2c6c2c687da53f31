//! Measures for docs/simulator.md how many seeds it takes to find each planted bug: five series for each.
//!
//!     cargo run --config .ci/sim.toml -p squall-chaos --features planted --example planted -- t1 500 [BUG ...]
//!
//! The bug `none` looks for seeds that fail without one.

#[path = "../tests/planted/search.rs"]
mod search;

use std::process::ExitCode;

use squall_chaos::sim::Tier;
use squall_kernel::planted::{self, Bug};

use search::{FIRST, broken, first_failure, judged};

const SERIES: u64 = 5;
/// From one series to the next.
const APART: u64 = 10_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let tier = match args.first().map(String::as_str) {
        Some("t1") => Tier::T1,
        Some("t2") => Tier::T2,
        _ => return usage(),
    };
    let Some(most) = args.get(1).and_then(|word| word.parse().ok()) else {
        return usage();
    };
    let wanted = &args[2..];
    if wanted.iter().any(|name| name == "none") {
        println!("{tier} none: {}", series(None, tier, most));
    }
    for bug in Bug::ALL {
        if wanted.is_empty() || wanted.iter().any(|name| name == bug.as_str()) {
            println!("{tier} {}: {}", bug.as_str(), series(Some(*bug), tier, most));
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: planted t1|t2 SEEDS_AT_MOST [BUG ...]");
    ExitCode::from(2)
}

fn series(bug: Option<Bug>, tier: Tier, most: u64) -> String {
    let all: Vec<String> = (0..SERIES)
        .map(|n| one(bug, tier, FIRST + n * APART, most))
        .collect();
    all.join(", ")
}

fn one(bug: Option<Bug>, tier: Tier, first: u64, most: u64) -> String {
    planted::plant(bug);
    let found = first_failure(tier, first, most);
    planted::plant(None);
    let Some((seeds, wrong)) = found else {
        return "not found".to_owned();
    };
    let without = judged(tier, first + seeds - 1)
        .map_or_else(String::new, |wrong| format!(" and without it {}", broken(&wrong)));
    format!("{seeds} ({}{without})", broken(&wrong))
}
