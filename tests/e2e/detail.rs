//! "Why this handler" on a real cluster: what its owner explains while somebody watches, and that it explains nothing else (C3).

use std::process::Stdio;

use serde_json::Value;

use crate::rig::{Cluster, Lines, Process};

/// A handler that answers with a word, through one node, and its pid.
fn handler(cluster: &Cluster, through: usize, tag: &str, word: &str) -> (Process, Lines, String) {
    let args = ["reply", "carts", "--service-tag", tag, "--cmd", "echo", word];
    let mut command = cluster.client_of(&[through], &args);
    let mut process = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let lines = Lines::of(process.0.stderr.take().expect("piped"));
    let pid = lines.find("the pid", |line| {
        let (_, named) = line.split_once("attached to carts as ")?;
        named.split_whitespace().next().map(str::to_owned)
    });
    (process, lines, pid)
}

fn who(cluster: &Cluster, key: &str, tag: &str) -> String {
    let args = ["request", "carts", "x", "--key", key, "--service-tag", tag];
    cluster
        .ok(&[&args[..], &["--timeout", "30s"]].concat())
        .trim()
        .to_owned()
}

/// The exchange as its owner shows it.
fn owned(object: &Value) -> Option<&Value> {
    let all = object["details"]
        .as_array()?
        .iter()
        .map(|detail| &detail["exchange"]);
    all.filter(|exchange| exchange["handlers"].as_array().is_some_and(|all| all.len() == 3))
        .find(|exchange| exchange["owned_here"] == true)
}

/// Decisions explained by all nodes, once nobody watches any more.
fn explained(cluster: &Cluster) -> u64 {
    cluster.watch("overview", |view| {
        let nodes = view["nodes"].as_array()?;
        let sum = |field: &str| nodes.iter().map(|node| node[field].as_u64()).sum::<Option<u64>>();
        (nodes.len() == 3 && sum("detail_watchers")? == 0).then(|| sum("decisions_explained"))?
    })
}

/// C3.
#[test]
fn a_watched_sticky_exchange_says_which_handler_got_a_request_and_why_the_others_did_not() {
    let cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "carts",
        "--strategy",
        "sticky",
        "--failover",
        "a,b,c",
    ]);
    let (_one, _, one) = handler(&cluster, 1, "eu", "one");
    let (_two, _, two) = handler(&cluster, 2, "eu", "two");
    let (_other, _, other) = handler(&cluster, 2, "us", "other");
    let bound = who(&cluster, "k1", "eu");
    let (picked, not_picked) = match bound.as_str() {
        "one" => (&one, &two),
        _ => (&two, &one),
    };

    let args = [
        "observe",
        "--watch",
        "--json",
        "--view",
        "exchanges",
        "--detail",
        "carts",
    ];
    let mut command = cluster.client(&args);
    let mut observer = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = Lines::of(observer.0.stdout.take().expect("piped"));
    let parsed = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    lines.find("the owner", |line| owned(&parsed(line)).map(drop));
    assert_eq!(who(&cluster, "k1", "eu"), bound);
    let decision = lines.find("a decision", |line| {
        let object = parsed(line);
        let decisions = owned(&object)?["decisions"].as_array()?.clone();
        decisions.into_iter().find(|d| d["delivered"] == true)
    });
    assert_eq!(decision["outcome"], format!("given to {picked}"), "{decision:#}");
    assert_eq!(
        (&decision["key"], &decision["service_tag"]),
        (&"k1".into(), &"eu".into())
    );
    let decided_by = decision["decided_by"].as_str().expect("words");
    assert!(
        decided_by.ends_with(&format!("is bound to {picked}")),
        "{decided_by}"
    );
    let why = |pid: &str| {
        let all = decision["candidates"].as_array().expect("candidates");
        all.iter().find(|c| c["pid"] == pid).expect("a candidate")["why"].clone()
    };
    assert_eq!(why(not_picked), format!("bound to {picked}"), "{decision:#}");
    assert_eq!(why(&other), "other group", "{decision:#}");
    assert_eq!(why(picked), Value::Null);

    drop(observer);
    let before = explained(&cluster);
    assert!(before > 0);
    for _ in 0..3 {
        assert_eq!(who(&cluster, "k1", "eu"), bound);
    }
    assert_eq!(
        explained(&cluster),
        before,
        "nobody watches, nothing is explained"
    );
}

/// C3: also in words, and for a process; what nobody knows is said so.
#[test]
fn details_are_printed_once_and_unknown_ones_are_refused_in_words() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "carts", "--strategy", "round-robin"]);
    let (_one, _, one) = handler(&cluster, 0, "eu", "one");
    // Its owner knows it a moment later than its node.
    assert_eq!(who(&cluster, "k1", "eu"), "one");
    let page = cluster.ok(&["observe", "--once", "--view", "exchanges", "--detail", "carts"]);
    for words in [
        "Handlers in order: 1",
        &one,
        "Why this handler: 0 decided",
        "next of eu",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let page = cluster.ok(&["observe", "--once", "--view", "processes", "--detail", &one]);
    assert!(page.contains("exchange carts, group eu"), "{page}");
    let table: [(&[&str], i32, &str); 4] = [
        (
            &["--view", "exchanges", "--detail", "nope"],
            5,
            "there is no exchange 'nope'",
        ),
        (
            &["--view", "processes", "--detail", "<a.999>"],
            5,
            "there is no process '<a.999>'",
        ),
        (
            &["--view", "leaders", "--detail", "carts"],
            2,
            "details are of an exchange or a process",
        ),
        (&["--view", "processes", "--detail", "999"], 2, "its whole pid"),
    ];
    for (args, code, words) in table {
        let output = cluster.run(&[&["observe", "--once"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}
