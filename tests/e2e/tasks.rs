//! Tasks: acknowledged once, carried out although their owner is killed (A3, A110, B3, I9).

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::rig::{Cluster, Lines, PATIENCE, Process, owner_in};

/// Submits a task until it is kept, twice. On a busy machine the other nodes may be too slow to be anybody's backup, and the
/// owner too slow to hold its lease: both are waited for.
fn kept_twice(cluster: &Cluster, payload: &str, id: &str) {
    until(cluster, "list", |page| {
        page["figures"]["backup"].is_string() && page["figures"]["doubled"] == true
    });
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = cluster.run(&["task", "submit", "mails", payload, "--id", id, "--timeout", "20s"]);
        let kept = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            assert!(kept.contains("two copies"), "{kept}");
            return;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < deadline, "{told}{}", cluster.logs());
    }
}

/// A3, A110.
#[test]
fn acknowledged_tasks_are_carried_out_although_their_owner_is_killed() {
    let mut cluster = Cluster::start(3);
    let mails = ["exchange", "declare", "mails", "--pattern", "task"];
    cluster.ok(&[&mails[..], &["--failover", "b,c,a"]].concat());
    for (payload, id) in [("first\n", "1"), ("second\n", "2")] {
        kept_twice(&cluster, payload, id);
    }
    let page = until(&cluster, "list", |page| page["figures"]["doubled"] == true);
    let backup = page["figures"]["backup"].as_str().expect("a name").to_owned();
    let (owner, epoch) = cluster.owner("mails");
    cluster.kill(Cluster::index(&owner));
    let work = ["task", "work", "mails", "--wait", "60s", "--command", "cat"];
    let mut worker = Process::spawn(cluster.client(&work).stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = Lines::of(worker.0.stdout.take().expect("piped"));
    // One that is given out again, since its worker's word was lost with an owner, comes later, or twice.
    let mut missing = BTreeSet::from(["first", "second"]);
    lines.find("both tasks", |line| {
        missing.remove(line);
        missing.is_empty().then_some(())
    });
    kept_twice(&cluster, "third\n", "3");
    lines.find("third", |line| (line == "third").then_some(()));
    let again = [
        "task",
        "submit",
        "mails",
        "third\n",
        "--id",
        "3",
        "--timeout",
        "60s",
    ];
    let again = cluster.ok(&again);
    assert!(again.contains("submitted before"), "{again}");
    // What a node that lags behind says of the time before is not what is asked.
    let (next, later) = cluster.watch("exchanges", |view| {
        owner_in(view, "mails").filter(|(_, now)| *now > epoch)
    });
    assert_ne!(next, owner, "that one is dead");
    // It moves on from an owner that is too slow to hold its lease.
    assert!(
        next == backup || later > epoch + 1,
        "{next} owns it, {backup} had the copy"
    );
}

fn listed(cluster: &Cluster, what: &str, more: &[&str]) -> Value {
    let args = [&["task", what, "mails", "--json"][..], more].concat();
    serde_json::from_str(&cluster.ok(&args)).expect("JSON")
}

fn states(page: &Value) -> Vec<&str> {
    let tasks = page["tasks"].as_array().expect("an array");
    tasks
        .iter()
        .map(|task| task["state"].as_str().expect("a word"))
        .collect()
}

/// Asks again until the page is as wanted. Between two owners there is nobody to ask.
fn until(cluster: &Cluster, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = cluster.run(&["task", what, "mails", "--json"]);
        let page = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() && wanted(&page) {
            return page;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < deadline, "{page:#}{told}");
    }
}

fn worker(cluster: &Cluster, program: &[&str]) -> (Process, Lines) {
    let args: Vec<&str> = ["task", "work", "mails", "--command"]
        .iter()
        .chain(program)
        .copied()
        .collect();
    let mut worker = Process::spawn(cluster.client(&args).stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = Lines::of(worker.0.stdout.take().expect("piped"));
    lines.find("the worker", |line| line.starts_with("working on").then_some(()));
    (worker, lines)
}

/// A110, B3: what waits, who has what in hand under which lease, and why a task was given up, from whichever node is asked.
#[test]
fn a_queue_shows_what_waits_what_is_in_hand_and_what_is_dead() {
    let cluster = Cluster::start(2);
    cluster.ok(&[
        "exchange",
        "declare",
        "mails",
        "--pattern",
        "task",
        "--attempts",
        "1",
    ]);
    for (payload, more) in [
        ("first\n", &["--key", "k"][..]),
        ("second\n", &[]),
        ("third\n", &["--delay", "1h"]),
    ] {
        let args: Vec<&str> = ["task", "submit", "mails", payload]
            .iter()
            .chain(more)
            .copied()
            .collect();
        cluster.ok(&args);
    }
    assert_eq!(
        states(&listed(&cluster, "list", &[])),
        ["ready", "ready", "later"]
    );
    // It works for as long as its worker lives, which is ended at once: nobody else would end it.
    let endless = "cat; while kill -0 $PPID 2>/dev/null; do sleep 0.1; done";
    let (busy, lines) = worker(&cluster, &["sh", "-c", endless]);
    lines.find("the first task", |line| (line == "first").then_some(()));
    let page = until(&cluster, "list", |page| page["tasks"][0]["left_ms"].is_u64());
    let first = &page["tasks"][0];
    assert_eq!((&first["state"], &first["key"]), (&"in hand".into(), &"k".into()));
    assert!(
        first["worker"].as_str().is_some_and(|pid| pid.starts_with('<')),
        "{first}"
    );
    assert!(first["lease"].is_string() && first["attempts"] == 1, "{first}");
    assert_eq!(
        (&page["figures"]["waiting"], &page["figures"]["in_hand"]),
        (&2.into(), &1.into())
    );

    let page = listed(&cluster, "list", &["--limit", "1"]);
    assert_eq!((states(&page), &page["more"]), (vec!["in hand"], &true.into()));
    let last = page["tasks"][0]["task"].as_str().expect("a number");
    let text = cluster.ok(&["task", "list", "mails", "--limit", "1"]);
    assert!(text.contains(&format!("--after {last} shows")), "{text}");
    assert_eq!(
        states(&listed(&cluster, "list", &["--after", last])),
        ["ready", "later"]
    );

    let (_failing, _) = worker(&cluster, &["sh", "-c", "echo no route >&2; exit 1"]);
    let dead = until(&cluster, "dead", |page| {
        page["tasks"].as_array().is_some_and(|all| all.len() == 1)
    });
    assert_eq!(
        (states(&dead), &dead["tasks"][0]["said"]),
        (vec!["dead"], &"no route".into())
    );
    assert!(dead["tasks"][0]["reason"].is_string(), "{dead}");
    drop(busy);
    // The one attempt that there was is used up.
    until(&cluster, "dead", |page| {
        page["tasks"].as_array().is_some_and(|all| all.len() == 2)
    });
    let shown = cluster.ok(&["exchange", "show", "mails"]);
    assert!(
        shown.contains("1 waiting, 0 in hand, 2 dead; 1 worker; second copy at"),
        "{shown}"
    );
    wrong(&cluster);
}

fn wrong(cluster: &Cluster) {
    cluster.ok(&["exchange", "declare", "greet", "--strategy", "round-robin"]);
    let table: [(&[&str], i32, &str); 4] = [
        (&["task", "list", "nothing"], 5, "there is no exchange 'nothing'"),
        (
            &["task", "dead", "greet"],
            6,
            "the exchange 'greet' has no tasks: its pattern is request-response",
        ),
        (&["task", "list", "mails", "--after", "x"], 2, "'x' is not a task"),
        (
            &["task", "list", "mails", "--limit", "0"],
            2,
            "0 is not in 1..=1000",
        ),
    ];
    for (args, code, words) in table {
        let output = cluster.run(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
