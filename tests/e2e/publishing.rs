//! Publish-subscribe between real processes: subscribers outlive the owner's kill -9, confirms say what they mean, and
//! what cannot be is said in words.

use std::process::Stdio;

use crate::rig::{Cluster, Lines, Process, owner_in};

/// A subscriber through one node, subscribed when this returns, and what it prints.
fn subscriber(cluster: &Cluster, node: usize, patterns: &[&str]) -> (Process, Lines) {
    let args = [&["subscribe", "news"], patterns].concat();
    let mut command = cluster.client_of(&[node], &args);
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let told = Lines::of(process.0.stderr.take().expect("piped"));
    told.find("subscribed", |line| {
        line.contains("subscribed to news").then_some(())
    });
    let printed = Lines::of(process.0.stdout.take().expect("piped"));
    (process, printed)
}

fn next(lines: &Lines) -> String {
    lines.find("a publish", |line| Some(line.to_owned()))
}

/// A29, A108, B6.
#[test]
fn publishes_reach_subscribers_on_every_node_before_and_after_the_owner_is_killed() {
    let mut cluster = Cluster::start(3);
    let declared = [
        "exchange",
        "declare",
        "news",
        "--pattern",
        "publish-subscribe",
        "--failover",
        "a,b,c",
    ];
    cluster.ok(&declared);
    let (_b, at_b) = subscriber(&cluster, 1, &["weather.#"]);
    let (_c, at_c) = subscriber(&cluster, 2, &["weather.*", "weather.north"]);
    let received = cluster.ok(&[
        "publish",
        "news",
        "weather.north",
        "rain",
        "--confirm",
        "received",
    ]);
    assert_eq!(received, "received by 2 nodes\n");
    assert_eq!(
        (next(&at_b), next(&at_c)),
        ("weather.north\train".into(), "weather.north\train".into())
    );

    cluster.kill(0);
    // A publish that was sent to the killed owner ends as interrupted, as it must.
    cluster.watch("exchanges", |view| {
        owner_in(view, "news").filter(|(owner, _)| owner != "a")
    });
    let after = [
        "publish",
        "news",
        "weather.south.coast",
        "sun",
        "--timeout",
        "30s",
    ];
    let accepted = cluster.succeeds(&mut cluster.client_of(&[2], &after));
    assert_eq!(accepted, "accepted\n");
    assert_eq!(next(&at_b), "weather.south.coast\tsun");
    let to_both = ["publish", "news", "weather.south", "fog", "--confirm", "received"];
    let received = cluster.succeeds(&mut cluster.client_of(&[1], &to_both));
    assert_eq!(received, "received by 2 nodes\n");
    assert_eq!(
        (next(&at_b), next(&at_c)),
        ("weather.south\tfog".into(), "weather.south\tfog".into())
    );

    refusals(&cluster);
}

/// Each with its exit code and the words that say why.
fn refusals(cluster: &Cluster) {
    let table: [(&[&str], i32, &str); 5] = [
        (
            &["publish", "news", "a..b"],
            2,
            "empty segment, this one has one at byte 2",
        ),
        (&["publish", "news", "a.*"], 2, "wildcards are for subscribers"),
        (
            &["subscribe", "news", "a.b*"],
            2,
            "a wildcard stands alone between dots",
        ),
        (
            &["request", "news", "x"],
            6,
            "exchange 'news' is publish-subscribe: it takes publishes, not requests",
        ),
        (
            &["subscribe", "nothing", "a"],
            5,
            "there is no exchange 'nothing'",
        ),
    ];
    for (args, code, words) in table {
        let output = cluster
            .client_of(&[1, 2], args)
            .output()
            .expect("the program runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
