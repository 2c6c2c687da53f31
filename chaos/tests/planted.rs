//! The simulator finds every bug that is planted on purpose, each within a bound of its own, from a fixed seed. The table of
//! docs/simulator.md is the one here.
//!
//! What does not live here: the table (`planted/table.rs`), the search (`planted/search.rs`), measuring
//! (`examples/planted.rs`), and the bugs. Each stands beside the right line (`squall_kernel::planted`).

#[path = "planted/search.rs"]
mod search;
#[path = "planted/table.rs"]
mod table;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use squall_chaos::invariant::{self, Id};
use squall_kernel::planted::Bug;

use search::{FIRST, broken, first_finding};
use table::{ROWS, Row};

#[test]
fn every_bug_has_a_row() {
    let rows: Vec<Bug> = ROWS.iter().map(|row| row.bug).collect();
    assert_eq!(rows, Bug::ALL, "one row each, in the order of the bugs");
}

#[test]
fn every_bug_is_found_within_its_bound() {
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
        let by: Vec<String> = row.by.iter().map(|id| Id(*id).to_string()).collect();
        let (bug, tier, by, within) = (row.bug.as_str(), row.tier, by.join(", "), row.within);
        let _ = writeln!(text, "| {bug} | {tier} | {by} | {median} | {most} | {within} |");
    }
    text
}

/// Why a row does not hold.
fn missed(row: &Row) -> Option<String> {
    let (name, tier, within) = (row.bug.as_str(), row.tier, row.within);
    let Some((seeds, wrong)) = first_finding(row, tier, FIRST, within) else {
        return Some(format!("{name} was not found in {within} seeds of {tier}"));
    };
    println!("{name}: {} in seed {}", broken(&wrong), FIRST + seeds - 1);
    None
}
