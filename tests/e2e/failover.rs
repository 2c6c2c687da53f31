//! A node dies and the exchange moves: requests go on, epochs rise, nothing is left behind.

use std::process::Stdio;

use serde_json::Value;

use rustix::process::Signal;

use crate::rig::{Cluster, Lines, Process, end, squall};

#[test]
fn the_owner_dies_and_requests_succeed_again_under_a_higher_epoch() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "consensus",
        "--failover",
        "b,c,a",
    ]);
    let (_first, _) = cluster.echo("orders");
    let (_second, _) = cluster.echo("orders");
    assert_eq!(cluster.ok(&["request", "orders", "one"]).trim_end(), "one");
    let (owner, epoch) = cluster.owner("orders");
    assert_eq!((owner.as_str(), epoch), ("b", 1));
    cluster.kill(Cluster::index(&owner));
    assert_eq!(
        cluster
            .ok(&["request", "orders", "two", "--timeout", "20s"])
            .trim_end(),
        "two"
    );
    let (owner, later) = cluster.owner("orders");
    assert_eq!(owner, "c", "the next of the failover list");
    assert!(later > epoch, "{later} is not above {epoch}");
}

#[test]
fn every_node_agrees_on_one_believer_after_a_failover() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "users",
        "--strategy",
        "round-robin",
        "--failover",
        "a",
    ]);
    let (owner, _) = cluster.owner("users");
    cluster.kill(Cluster::index(&owner));
    let believers = cluster.watch("leaders", |view| {
        let rows = view["leaders"].as_array()?;
        let owners: Vec<&Value> = rows.iter().filter(|r| r["role"] == "owner").collect();
        let new = owners.iter().any(|r| r["epoch"].as_u64() > Some(1));
        new.then(|| owners.iter().filter(|r| r["epoch"].as_u64() > Some(1)).count())
    });
    assert_eq!(believers, 1);
}

#[test]
fn a_request_under_way_when_its_handler_vanishes_ends_as_interrupted() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "slow", "--strategy", "round-robin"]);
    let mut handler = Process::spawn(
        cluster
            .client(&[
                "reply",
                "slow",
                "--cmd",
                "sh",
                "-c",
                "echo taken >&2; exec tail -f /dev/null",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let lines = Lines::of(handler.0.stderr.take().expect("piped"));
    lines.find("$leader", |line| line.contains("$leader").then_some(()));
    let mut request = Process::spawn(
        cluster
            .client(&["request", "slow", "x", "--timeout", "50s"])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    cluster.watch("exchanges", |view| {
        let rows = view["exchanges"].as_array()?;
        rows.iter()
            .any(|r| r["in_flight"].as_u64() > Some(0))
            .then_some(())
    });
    drop(handler);
    let status = request.0.wait().expect("the request ends");
    assert_eq!(status.code(), Some(8), "interrupted");
}

#[test]
fn a_recorded_failover_replays_to_the_same_effects() {
    let mut cluster = Cluster::empty();
    let journals: Vec<_> = (0..3)
        .map(|i| cluster.dir.path().join(format!("{i}.journal")))
        .collect();
    for (i, journal) in journals.iter().enumerate() {
        let joins: Vec<String> = (0..3).filter(|o| *o != i).map(|o| cluster.mesh(o)).collect();
        let journal = journal.to_str().expect("a path in UTF-8");
        cluster.start_node(
            i,
            &[
                "--expect",
                "3",
                "--join",
                &joins[0],
                "--join",
                &joins[1],
                "--journal",
                journal,
            ],
        );
    }
    cluster.wait_for_members(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "consensus",
        "--failover",
        "b,c,a",
    ]);
    let (_handler, _) = cluster.echo("orders");
    cluster.ok(&["request", "orders", "x", "--count", "200", "--in-flight", "10"]);
    cluster.kill(1);
    cluster.ok(&["request", "orders", "y", "--timeout", "20s"]);
    for i in [0, 2] {
        let node = cluster.nodes[i].take().expect("it runs");
        assert!(
            end(node, Signal::TERM).success(),
            "a node that records ends in order"
        );
    }
    for journal in &journals {
        let text = cluster.ok(&["journal", "replay", journal.to_str().expect("UTF-8")]);
        assert!(text.contains("with the recorded effects"), "{text}");
    }
}

#[test]
fn killed_owners_leave_every_invariant_held_and_judged() {
    let mut bench = squall();
    bench.args(["bench", "failover", "--kills", "2", "--rate", "50"]);
    let output = bench.args(["--profile", "slow", "--check", "--json"]).output();
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    for class in report["classes"].as_array().expect("an array") {
        let latency = &class["latency"];
        assert!(
            latency["p50_ms"].as_f64() > Some(0.0) && latency["p999_ms"].is_number(),
            "{class}"
        );
        assert!(class["cpu_us"].as_f64() > Some(0.0), "{class}");
    }
    let verdicts = report["invariants"].as_array().expect("they were judged");
    assert!(verdicts.len() >= 11, "{verdicts:#?}");
    // Journals do not tell signatures, which I6 speaks of, nor who got which publish, as I7 and I10 ask, and the load has no
    // tasks, which I9 is about.
    let unknown = ["I6", "I7", "I9", "I10"];
    let judged = |one: &&Value| !unknown.contains(&one["id"].as_str().unwrap_or_default());
    let mut judged = verdicts.iter().filter(judged);
    assert!(judged.all(|one| one["verdict"] == "ok"), "{verdicts:#?}");
}
