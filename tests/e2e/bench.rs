//! `squall bench req-resp`: each arrangement on its own, with every request answered. What the figures are is for people to
//! judge; here each row must be there and be sound.

use serde_json::Value;

use crate::rig::squall;

/// One arrangement and load, for a moment.
fn row(place: &str, in_flight: u64) -> Value {
    let args = ["bench", "req-resp", "--json", "--seconds", "0.2"];
    let output = squall()
        .args(args)
        .args(["--where", place, "--in-flight", &in_flight.to_string()])
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{place}, {in_flight}: {text}{told}");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let rows = document["rows"].as_array().expect("an array");
    assert_eq!(rows.len(), 1, "one row for one scenario");
    rows[0].clone()
}

/// The row is of the scenario that was asked for, and every figure of it is one.
fn sound(place: &str, in_flight: u64) {
    let row = row(place, in_flight);
    assert_eq!(
        (&row["where"], &row["in_flight"]),
        (&place.into(), &in_flight.into())
    );
    let figure = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"));
    assert!(figure("requests") >= 1.0 && figure("rate") > 0.0, "{row}");
    let (p50, p99) = (figure("p50_us"), figure("p99_us"));
    assert!(p50 > 0.0 && p50 <= p99, "{row}");
}

/// A43: one node, one request after the other.
#[test]
fn a43_one_node_in_sequence() {
    sound("local", 1);
}

/// A43: one node, in parallel.
#[test]
fn a43_one_node_in_parallel() {
    sound("local", 100);
}

/// A43: requester, exchange and handlers on three nodes, one request after the other.
#[test]
fn a43_three_nodes_in_sequence() {
    sound("three_nodes", 1);
}

/// A43: the same, a hundred at once.
#[test]
fn a43_three_nodes_in_parallel() {
    sound("three_nodes", 100);
}

/// A43: requester and handlers are clients of one node.
#[test]
fn a43_clients_of_one_node() {
    sound("clients", 10);
}
