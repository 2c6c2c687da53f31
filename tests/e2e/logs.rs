//! What nodes and commands log: a document a line, whose it is, of which message, and no secrets however much is logged.

use std::process::Stdio;

use serde_json::Value;

use crate::rig::{Cluster, Lines, NodeSpec, Process};

#[test]
fn every_line_says_whose_it_is_and_none_tells_a_secret() {
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "the chaos key of the test\n").expect("room");
    let path = key.path().to_str().expect("a plain path");
    let cluster = Cluster::logging("trace", 2, &["--chaos", "--chaos-key-file", path]);
    let cookie = std::fs::read_to_string(cluster.cookie()).expect("the cookie");
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "round-robin"]);
    cluster.ok(&["chaos", "delay", "a", "b", "1ms", "--chaos-key-file", path]);
    cluster.ok(&["chaos", "halt", "--chaos-key-file", path]);
    for (i, name) in ["a", "b"].into_iter().enumerate() {
        let log = std::fs::read_to_string(cluster.log(i)).expect("a log");
        // The last line may be half written.
        let (whole, _) = log.rsplit_once('\n').expect("it logs");
        assert!(whole.lines().count() > 100, "everything is logged");
        for line in whole.lines() {
            let document = document(line);
            assert_eq!(document["squall.node"], name, "{line}");
            assert!(document["squall.incarnation"].is_u64(), "{line}");
            assert!(
                document["timestamp"].is_string() && document["level"].is_string(),
                "{line}"
            );
        }
        for secret in [cookie.trim(), "the chaos key of the test"] {
            assert!(!log.contains(secret), "node {name} logs a secret");
        }
    }
}

fn document(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))
}

/// The collector, which is not there, and what is sent along are the environment's; the share of traces is the flag's.
#[test]
fn a_node_says_that_traces_are_lost_and_of_which_request_it_speaks() {
    let mut cluster = Cluster::empty();
    let extra = ["--bootstrap", "--trace-ratio", "1"];
    let mut node = cluster.node_command(
        &NodeSpec {
            name: "a",
            extra: &extra,
        },
        0,
    );
    node.env("SQUALL_LOG", "trace")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=the%20key%20of%20the%20test",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut node = Process::spawn(&mut node);
    let log = Lines::of(node.0.stderr.take().expect("piped"));
    // Read on from the beginning: a node whose log nobody reads stands still.
    let reader = std::thread::spawn(move || {
        let mut wanted = vec!["handler-panicked", "traces are lost", "metrics are lost"];
        log.find("what it says", |line| {
            assert!(!line.contains("the key of the test"), "{line}");
            let document = document(line);
            let says = |what: &str| document["kind"] == what || document["message"] == what;
            if says("handler-panicked") {
                let trace = document["trace_id"].as_str().expect("the trace of its request");
                assert_eq!(trace.len(), 32, "{line}");
            } else if says("traces are lost") {
                assert_eq!(
                    (&document["level"], &document["collector"]),
                    (&"WARN".into(), &"http://127.0.0.1:9".into())
                );
            }
            wanted.retain(|what| !says(what));
            wanted.is_empty().then_some(())
        });
        log
    });
    cluster.nodes[0] = Some(node);
    cluster.wait_for_members(1);
    cluster.ok(&["exchange", "declare", "jobs", "--strategy", "round-robin"]);
    let crash = ["reply", "jobs", "--cmd", "sh", "-c", "kill -KILL $$"];
    let (_handler, _lines) = cluster.attached(cluster.client(&crash));
    let output = cluster.run(&["request", "jobs", "x"]);
    assert_eq!(output.status.code(), Some(8));
    let _log = reader.join().expect("it said all of that");
}

#[test]
fn commands_log_for_machines_where_nobody_looks_on() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "round-robin"]);
    let (_handler, _lines) = cluster.echo("orders");
    let mut request = cluster.client(&["request", "orders", "x"]);
    let output = request
        .env("SQUALL_LOG", "debug")
        .output()
        .expect("the program runs");
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success() && !log.is_empty(), "{log}");
    for line in log.lines() {
        let document = document(line);
        assert!(
            document["level"].is_string() && document["timestamp"].is_string(),
            "{line}"
        );
        assert!(document.get("squall.node").is_none(), "it is no node: {line}");
    }
}
