//! `squall bench req-resp` and `peers`: each arrangement on its own, with every request answered. What the figures are is for people
//! to judge; here each row must be there and be sound.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::mpsc::sync_channel;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::rig::{PATIENCE, squall};

/// What a benchmark says in JSON.
fn measured(args: &[&str], path: Option<&str>) -> Value {
    let mut command = squall();
    command.arg("bench").args(args).arg("--json");
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {text}{told}");
    serde_json::from_str(&text).expect("JSON")
}

/// One arrangement and load, for a moment.
fn row(place: &str, load: [&str; 2]) -> Value {
    let args = ["req-resp", "--seconds", "0.2", "--where", place];
    let document = measured(&[&args[..], &load].concat(), None);
    let rows = document["rows"].as_array().expect("an array");
    assert_eq!(rows.len(), 1, "one row for one scenario");
    rows[0].clone()
}

/// The row is of the scenario that was asked for, and every figure of it is one.
fn sound(place: &str, in_flight: u64) {
    let row = row(place, ["--in-flight", &in_flight.to_string()]);
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

/// A43: the requester on one node, the exchange and its handlers on another.
#[test]
fn a43_two_nodes() {
    sound("remote", 10);
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

/// A43: requester and handlers have gRPC sessions with one node.
#[test]
fn a43_grpc_sessions_of_one_node() {
    sound("grpc", 10);
}

/// An open loop sends what was to be sent, whatever becomes of it, and says how much that was.
#[test]
fn an_open_loop_counts_what_was_to_be_sent() {
    let row = row("grpc", ["--rate", "100/s"]);
    assert_eq!(row["rate_intended"], 100);
    let counted = row["requests"].as_u64().expect("a number") + row["held_back"].as_u64().expect("a number");
    assert_eq!(counted, 20, "a fifth of a second: {row}");
}

/// The only row of a measurement, with these figures, each of which is a number above zero.
fn only_row(args: &[&str], figures: &[&str]) -> Value {
    let document = measured(args, None);
    let rows = document["rows"].as_array().expect("an array");
    assert_eq!(rows.len(), 1, "{document}");
    for name in figures {
        let figure = rows[0][*name].as_f64();
        assert!(figure.is_some_and(|figure| figure > 0.0), "{name}: {document}");
    }
    rows[0].clone()
}

/// Publishes and tasks have open loops as requests have.
#[test]
fn fan_out_and_tasks_have_open_loops_too() {
    let args = [
        "fanout",
        "--seconds",
        "0.2",
        "--subscribers",
        "50",
        "--nodes",
        "2",
        "--rate",
        "100/s",
    ];
    let figures = [
        "deliveries_per_s",
        "p50_us",
        "p99_us",
        "p999_us",
        "cpu_ns_per_delivery",
    ];
    let row = only_row(&args, &figures);
    assert_eq!(
        (&row["rate_intended"], &row["in_flight"]),
        (&100.into(), &Value::Null)
    );
    let args = [
        "tasks",
        "--seconds",
        "0.2",
        "--where",
        "backup",
        "--rate",
        "100/s",
    ];
    let figures = [
        "rate",
        "kept_p50_us",
        "kept_p999_us",
        "p50_us",
        "p999_us",
        "cpu_us",
    ];
    let row = only_row(&args, &figures);
    assert_eq!(
        (&row["rate_intended"], &row["where"]),
        (&100.into(), &"backup".into())
    );
}

/// What tracing costs is told for each way to trace, with latencies, processor time and goals.
#[test]
fn each_way_to_trace_has_a_row_with_all_figures() {
    let document = measured(
        &[
            "tracing",
            "--seconds",
            "0.2",
            "--rounds",
            "1",
            "--where",
            "local",
            "--rate",
            "500/s",
        ],
        None,
    );
    let rows = document["rows"].as_array().expect("an array");
    assert_eq!(rows.len(), 7, "{document}");
    for row in rows {
        for name in ["rate", "p50_us", "p99_us", "p999_us"] {
            assert!(row[name].as_f64().expect("a number") > 0.0, "{row}");
        }
        assert!(row["ratio"]["median"].as_f64().expect("a number") > 0.0, "{row}");
        let usual = row["share"] == 0.01;
        assert_eq!(row["goal"].is_number(), usual, "{row}");
        assert_eq!(
            (row["met"].is_boolean(), row["rate_intended"].as_u64()),
            (usual, Some(500))
        );
    }
}

/// Beside an observer each row tells how it compares.
#[test]
fn a_row_beside_an_observer_tells_what_that_costs() {
    let document = measured(
        &[
            "req-resp",
            "--seconds",
            "0.05",
            "--where",
            "clients",
            "--in-flight",
            "5",
            "--watched",
        ],
        None,
    );
    let watched = &document["rows"][0]["watched"];
    let rates = |name: &str| watched[name].as_array().map(Vec::len);
    assert_eq!(
        (rates("rates"), rates("rates_unwatched")),
        (Some(3), Some(3)),
        "{watched}"
    );
    assert!(watched["ratio"]["median"].as_f64().expect("a number") > 0.0);
    let closely = &watched["closely"];
    assert_eq!(closely["rates"].as_array().map(Vec::len), Some(3), "{watched}");
    assert!(closely["ratio"]["median"].as_f64().expect("a number") > 0.0);
}

/// The peer that needs nothing installed is measured beside three nodes; one that is not installed is named.
#[test]
fn peers_are_measured_in_turn_and_missing_ones_are_named() {
    let args = [
        "peers",
        "--seconds",
        "0.1",
        "--rounds",
        "1",
        "--in-flight",
        "1",
        "--peers",
    ];
    let document = measured(&[&args[..], &["chain,erlang"]].concat(), Some("/nowhere"));
    let rows = document["rows"].as_array().expect("an array");
    assert_eq!(rows.len(), 2, "{document}");
    assert!(rows[0]["peer"].is_null() && rows[0]["against"].is_null());
    assert_eq!(
        (&rows[1]["peer"], &rows[1]["where"]),
        (&"chain".into(), &"three_nodes".into())
    );
    assert!(rows[1]["against"]["ratio"]["median"].as_f64().expect("a number") > 0.0);
    assert_eq!(rows[1]["against"]["goal"], 0.9);
    assert_eq!(document["missing"][0]["peer"], "erlang");
}

/// Fan-out beside a NATS cluster, small, where its servers are installed and the program was built with their client; else what is
/// missing is named.
#[test]
fn fan_out_is_measured_beside_a_cluster_of_five_or_it_is_said_why_not() {
    let args = [
        "peers",
        "--peers",
        "nats_five",
        "--subscribers",
        "52",
        "--publishers",
        "2",
        "--seconds",
        "0.2",
        "--rounds",
        "1",
    ];
    let document = measured(&args, None);
    let rows = document["rows"].as_array().expect("an array");
    if let Some(missing) = document["missing"].get(0) {
        assert_eq!((&missing["peer"], rows.len()), (&"nats_five".into(), 0));
        println!("skipped: fan-out beside nats_five: {}", not_there(missing));
        return;
    }
    assert_eq!(rows.len(), 2, "{document}");
    for row in rows {
        assert_eq!((&row["where"], &row["in_flight"]), (&"fanout".into(), &2.into()));
        assert!(row["rate"].as_f64().expect("deliveries per second") > 0.0);
    }
    assert_eq!(
        (&rows[1]["peer"], &rows[1]["against"]["goal"]),
        (&"nats_five".into(), &5.0.into())
    );
}

/// Why a peer is missing: what is there starts.
fn not_there(missing: &Value) -> &str {
    let why = missing["why"].as_str().expect("a reason");
    assert!(!why.contains("does not start"), "{why}");
    why
}

/// Subscribers with wildcards and tasks beside their peers, small; likewise.
#[test]
fn wildcards_and_tasks_are_measured_beside_their_peers_or_it_is_said_why_not() {
    let args = "peers --peers nats_wildcards,rabbitmq_tasks --subscribers 52 --patterns 8 --publishers 2 --in-flight 3 \
                --seconds 0.2 --rounds 1";
    let document = measured(&args.split_whitespace().collect::<Vec<_>>(), None);
    let rows = document["rows"].as_array().expect("an array");
    let mut due = Vec::new();
    for (peer, setting, in_flight) in [("nats_wildcards", "wildcards", 2), ("rabbitmq_tasks", "tasks", 3)] {
        let missing = document["missing"].as_array().expect("an array");
        if let Some(missing) = missing.iter().find(|missing| missing["peer"] == peer) {
            println!("skipped: {setting} beside {peer}: {}", not_there(missing));
        } else {
            due.extend([
                (Value::Null, setting, in_flight),
                (peer.into(), setting, in_flight),
            ]);
        }
    }
    assert_eq!(rows.len(), due.len(), "{document}");
    for (row, (peer, setting, in_flight)) in rows.iter().zip(due) {
        assert_eq!((&row["peer"], &row["where"]), (&peer, &setting.into()));
        assert_eq!(row["in_flight"], in_flight);
        assert!(row["rate"].as_f64().expect("per second") > 0.0);
    }
}

/// A server that a benchmark started ends with the benchmark, and so does all that the server started.
#[test]
fn what_a_server_has_started_ends_with_the_benchmark() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let script = format!("sleep 1000 > {} & wait", pipe.display());
    let mut keeper = squall()
        .args(["bench-role", "keep", "--", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let (sender, told) = sync_channel(2);
    std::thread::spawn(move || {
        let mut pipe = File::open(&pipe).expect("whoever was started has it");
        sender.send("started").expect("it is waited for");
        // Nothing is written: it ends when nobody has it any more.
        pipe.read_to_end(&mut Vec::new()).expect("a pipe");
        sender.send("ended").expect("it is waited for");
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok("started"));
    drop(keeper.stdin.take());
    assert!(keeper.wait().expect("it ends").success());
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
}

#[test]
fn a_picture_that_cannot_be_written_is_told_before_anything_is_measured() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("nowhere").join("growth.svg");
    let output = squall()
        .args(["bench", "growth", "--svg"])
        .arg(&file)
        .output()
        .expect("the program runs");
    let (text, error) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("growth.svg cannot be written"), "{error}");
    assert!(text.is_empty(), "{}", String::from_utf8_lossy(&text));
}
