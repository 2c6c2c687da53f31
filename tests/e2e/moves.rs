//! Exchanges move between live nodes, by an operator's command, by a drain, by the orderly end of their owner: requests go
//! on, none is lost or doubled, and the certificate says so.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Cluster, Lines, Process, end, wait_for_exit};

/// Requests under way all the time, ten at once, enough to outlast what a test does meanwhile.
fn load(cluster: &Cluster, exchange: &str) -> Process {
    Process::spawn(
        cluster
            .client(&[
                "request",
                exchange,
                "x",
                "--count",
                "20000",
                "--in-flight",
                "10",
                "--json",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit()),
    )
}

/// Waits until requests are seen to be answered.
fn flowing(cluster: &Cluster, exchange: &str) {
    cluster.watch("exchanges", |view| {
        let rows = view["exchanges"].as_array()?;
        rows.iter()
            .any(|r| r["name"] == exchange && r["requests"].as_u64() > Some(0))
            .then_some(())
    });
}

fn declare(cluster: &Cluster, exchange: &str, failover: &str) {
    cluster.ok(&[
        "exchange",
        "declare",
        exchange,
        "--strategy",
        "round-robin",
        "--failover",
        failover,
        "--takeover",
        "manual",
    ]);
}

/// A37.
#[test]
fn a_move_under_load_loses_and_doubles_nothing_and_proves_it() {
    let cluster = Cluster::start(3);
    declare(&cluster, "orders", "a,b,c");
    let (_first, _) = cluster.echo("orders");
    let (_second, _) = cluster.echo("orders");
    let mut load = load(&cluster, "orders");
    flowing(&cluster, "orders");
    for to in ["b", "c"] {
        let text = cluster.ok(&["exchange", "move", "orders", to, "--json", "--timeout", "30s"]);
        let certificate: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(certificate["verdict"], "clean", "{text}");
        assert_eq!(
            (&certificate["lost"], &certificate["doubled"]),
            (&0.into(), &0.into())
        );
        assert_eq!(certificate["to"], to);
        assert_eq!(certificate["nodes"].as_array().map(Vec::len), Some(3), "{text}");
        assert_eq!(cluster.owner("orders").0, to);
    }
    assert!(
        load.0.wait().expect("it ends").success(),
        "every request was answered"
    );
    let text = cluster.ok(&["exchange", "move", "orders"]);
    assert!(text.starts_with("orders moved from c to a, epoch 4"), "{text}");
    assert!(text.ends_with("lost 0, doubled 0: clean\n"), "{text}");
}

#[test]
fn what_cannot_be_moved_or_drained_is_refused_with_the_reason() {
    let mut cluster = Cluster::start(3);
    declare(&cluster, "orders", "a");
    let refused = |cluster: &Cluster, args: &[&str]| {
        let output = cluster.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), error)
    };
    for (node, why) in [
        ("nobody", "there is no node 'nobody'"),
        ("a", "node 'a' owns 'orders' already"),
    ] {
        let (code, error) = refused(&cluster, &["exchange", "move", "orders", node]);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(why), "{error}");
    }
    cluster.kill(2);
    cluster.watch("overview", |view| {
        let nodes = view["nodes"].as_array()?;
        nodes
            .iter()
            .any(|n| n["name"] == "c" && n["state"] == "down")
            .then_some(())
    });
    let (code, error) = refused(&cluster, &["exchange", "move", "orders", "c"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("node 'c' is down"), "{error}");
    let (code, error) = refused(&cluster, &["node", "drain", "b"]);
    assert_eq!(code, Some(6), "{error}");
    assert!(error.contains("quorum-critical"), "{error}");
    let (code, error) = refused(&cluster, &["node", "remove", "b"]);
    assert_eq!(code, Some(6), "{error}");
    assert!(error.contains("is up"), "{error}");
}

#[test]
fn a_drained_node_hands_over_under_load_and_ends_by_itself() {
    let mut cluster = Cluster::start(3);
    declare(&cluster, "orders", "c,a,b");
    let addrs = [cluster.mesh(0), cluster.mesh(1)].join(",");
    let mut handler = Process::spawn(
        cluster
            .client(&["reply", "orders", "--echo"])
            .env("SQUALL_CONNECT", &addrs)
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let lines = Lines::of(handler.0.stderr.take().expect("piped"));
    lines.find("$leader", |line| line.contains("$leader").then_some(()));
    let mut load = load(&cluster, "orders");
    flowing(&cluster, "orders");
    let leaver = cluster.nodes[2].take().expect("it runs");
    let text = cluster.ok(&["node", "drain", "c"]);
    assert!(text.contains("node c has gone"), "{text}");
    wait_for_exit(leaver.id());
    let mut leaver = leaver;
    let status = leaver.0.wait().expect("it ended");
    assert!(status.success(), "{status}\n{}", cluster.logs());
    assert!(
        load.0.wait().expect("it ends").success(),
        "every request was answered"
    );
    assert_eq!(cluster.owner("orders").0, "a");
    let list: Value = serde_json::from_str(&cluster.ok(&["node", "list", "--json"])).expect("JSON");
    let gone = list["nodes"]
        .as_array()
        .and_then(|nodes| nodes.iter().find(|n| n["name"] == "c"));
    assert_eq!(gone.map(|n| &n["state"]), Some(&"down".into()), "{list}");
    cluster.ok(&["node", "remove", "c"]);
    let list = cluster.ok(&["node", "list"]);
    assert!(!list.lines().any(|line| line.starts_with("c ")), "{list}");
}

#[test]
fn a_node_that_is_told_to_end_hands_over_first() {
    let mut cluster = Cluster::start(3);
    declare(&cluster, "orders", "b,c");
    let addrs = [cluster.mesh(0), cluster.mesh(2)].join(",");
    let mut handler = Process::spawn(
        cluster
            .client(&["reply", "orders", "--echo"])
            .env("SQUALL_CONNECT", &addrs)
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let lines = Lines::of(handler.0.stderr.take().expect("piped"));
    lines.find("$leader", |line| line.contains("$leader").then_some(()));
    let mut load = load(&cluster, "orders");
    flowing(&cluster, "orders");
    let owner = cluster.nodes[1].take().expect("it runs");
    assert!(end(owner, Signal::TERM).success(), "{}", cluster.logs());
    assert!(
        load.0.wait().expect("it ends").success(),
        "every request was answered"
    );
    let (owner, epoch) = cluster.owner("orders");
    assert_eq!((owner.as_str(), epoch), ("c", 2), "moved, not failed over");
}
