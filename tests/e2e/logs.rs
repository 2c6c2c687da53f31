//! What nodes and commands log: a document a line, whose it is, of which message, and no secrets however much is logged.

use serde_json::Value;

use crate::rig::Cluster;

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
