//! Traces in the observer: nodes send theirs to its receiver, and it shows them.

use serde_json::Value;

use crate::rig::{Cluster, free_base, owner_in, squall, watch};

/// Three nodes that trace every request to `endpoint`.
fn traced(endpoint: &str) -> Cluster {
    let mut cluster = Cluster::empty();
    let meshes: Vec<_> = (0..3).map(|i| cluster.mesh(i)).collect();
    for i in 0..3 {
        let mut extra = vec!["--expect", "3", "--otlp", endpoint, "--trace-ratio", "1.0"];
        for join in (0..3).filter(|other| *other != i) {
            extra.extend(["--join", &meshes[join]]);
        }
        cluster.start_node(i, &extra);
    }
    cluster.wait_for_members(3);
    cluster
}

/// The trace of a request over three nodes, whole.
fn of_three_nodes(view: &Value) -> Option<Value> {
    let all = view["traces"].as_array()?;
    let whole = |trace: &&Value| {
        trace["nodes"] == serde_json::json!(["a", "b", "c"])
            && trace["spans"].as_array().is_some_and(|spans| spans.len() == 4)
            && trace["root_missing"] == false
    };
    all.iter().find(whole).cloned()
}

#[test]
fn nodes_send_their_traces_to_the_observer_and_a_request_over_three_is_one() {
    let at = format!("127.0.0.1:{}", free_base(1));
    let endpoint = format!("http://{at}");
    let cluster = traced(&endpoint);
    let mut observer = squall();
    observer.args([
        "observe",
        "--watch",
        "--view",
        "traces",
        "--json",
        "--otlp-listen",
        &at,
    ]);
    let shown = std::thread::scope(|scope| {
        let shown = scope.spawn(|| watch(&mut observer, "a trace of three nodes", of_three_nodes));
        cluster.ok(&[
            "exchange",
            "declare",
            "orders",
            "--strategy",
            "consensus",
            "--failover",
            "b,c,a",
        ]);
        cluster.watch("exchanges", |view| {
            owner_in(view, "orders").filter(|(owner, _)| owner == "b")
        });
        let _handler = cluster.echo_through(&[2], "orders");
        while !shown.is_finished() {
            cluster.succeeds(&mut cluster.client_of(&[0], &["request", "orders", "hello", "--count", "5"]));
        }
        shown.join().expect("the trace shows")
    });
    let names = |key: &str| -> Vec<&str> {
        let spans = shown["spans"].as_array().expect("spans");
        spans.iter().filter_map(|span| span[key].as_str()).collect()
    };
    assert_eq!(shown["name"], "request orders");
    assert_eq!(shown["exchanges"], serde_json::json!(["orders"]));
    assert_eq!(
        names("name"),
        ["request orders", "route orders", "handle orders", "reply"]
    );
    assert_eq!(names("node"), ["a", "b", "c", "a"]);
    assert_eq!(shown["errors"], 0, "{shown}");
    let waited: u64 = shown["spans"]
        .as_array()
        .expect("spans")
        .iter()
        .filter_map(|s| s["critical_us"].as_u64())
        .sum();
    let root = shown["spans"][0]["duration_us"].as_u64().expect("a number");
    assert!(
        waited <= root && waited + 10 > root,
        "the path is as long as the root: {shown}"
    );
}
