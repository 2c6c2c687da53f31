//! The simulator finds bugs that are planted on purpose, each of the table within a bound of its own, from a fixed seed. The table
//! of docs/simulator.md is the one here.
//!
//! What does not live here: the search (`planted/search.rs`), measuring (`examples/planted.rs`), and the bugs. Each stands beside the right line (`squall_kernel::planted`).

#[path = "planted/search.rs"]
mod search;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use squall_chaos::invariant::{self, Id};
use squall_chaos::sim::Tier;
use squall_kernel::planted::{self, Bug};

use search::{FIRST, broken, first_failure, judged};

/// How a bug is found.
struct Row {
    bug: Bug,
    tier: Tier,
    /// The invariant that is broken.
    by: Id,
    /// Seeds until found, over five series: the one in the middle, and the most.
    measured: (u64, u64),
    /// Found within so many seeds from the first.
    within: u64,
}

const fn row(bug: Bug, tier: Tier, by: u8, measured: (u64, u64), within: u64) -> Row {
    let by = Id(by);
    Row {
        bug,
        tier,
        by,
        measured,
        within,
    }
}

const ROWS: &[Row] = &[
    row(Bug::IgnoreEpoch, Tier::T1, 3, (22, 24), 100),
    row(Bug::ProposeWithoutGathering, Tier::T1, 4, (9, 48), 100),
];

#[test]
fn every_bug_of_the_table_is_found_within_its_bound() {
    // One after the other: the planted bug is one for the whole process.
    let missed: Vec<String> = ROWS.iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn the_document_has_the_same_table() {
    let document = document();
    let (_, after) = document
        .split_once("<!-- planted bugs: compared with chaos/tests/planted.rs -->\n")
        .expect("the table's beginning is marked");
    let (table, _) = after
        .split_once("<!-- end of planted bugs -->")
        .expect("the table's end is marked");
    assert_eq!(table, as_table(), "docs/simulator.md has another table");
}

#[test]
fn the_document_names_every_invariant_with_its_claim() {
    let document = document();
    for invariant in invariant::all() {
        let line = format!("| {} | {} |", invariant.id(), invariant.claim());
        assert!(document.contains(&line), "docs/simulator.md lacks: {line}");
    }
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator.md");
    fs::read_to_string(path).expect("the document is there")
}

fn as_table() -> String {
    let mut text =
        String::from("| bug | tier | broken | median | most | bound |\n|---|---|---|---|---|---|\n");
    for row in ROWS {
        let (median, most) = row.measured;
        let (bug, tier, by, within) = (row.bug.as_str(), row.tier, row.by, row.within);
        let _ = writeln!(text, "| {bug} | {tier} | {by} | {median} | {most} | {within} |");
    }
    text
}

/// Why a row does not hold.
fn missed(row: &Row) -> Option<String> {
    let name = row.bug.as_str();
    planted::plant(Some(row.bug));
    let found = first_failure(row.tier, FIRST, row.within);
    planted::plant(None);
    let Some((seeds, wrong)) = found else {
        return Some(format!(
            "{name} was not found in {} seeds of {}",
            row.within, row.tier
        ));
    };
    println!("{name}: {} in seed {}", broken(&wrong), FIRST + seeds - 1);
    let without = judged(row.tier, FIRST + seeds - 1)?;
    Some(format!(
        "{name}: seed {seeds} fails without it too: {}",
        broken(&without)
    ))
}
