//! Tasks: acknowledged once, carried out although their owner is killed (A3, A110, B3, I9).

use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::rig::{Cluster, Lines, PATIENCE, Process};

/// A3, A110.
#[test]
fn acknowledged_tasks_are_carried_out_although_their_owner_is_killed() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "mails",
        "--pattern",
        "task",
        "--failover",
        "b,c,a",
    ]);
    for payload in ["first\n", "second\n"] {
        let kept = cluster.ok(&["task", "submit", "mails", payload, "--timeout", "20s"]);
        assert!(kept.contains("two copies"), "{kept}");
    }
    let (owner, epoch) = cluster.owner("mails");
    assert_eq!(owner, "b");
    cluster.kill(Cluster::index(&owner));
    let mut worker = Process::spawn(
        cluster
            .client(&["task", "work", "mails", "--command", "cat"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let lines = Lines::of(worker.0.stdout.take().expect("piped"));
    for payload in ["first", "second"] {
        lines.find(payload, |line| (line == payload).then_some(()));
    }
    let later = cluster.ok(&[
        "task",
        "submit",
        "mails",
        "third\n",
        "--id",
        "3",
        "--timeout",
        "20s",
    ]);
    assert!(later.contains("two copies"), "{later}");
    lines.find("third", |line| (line == "third").then_some(()));
    let again = cluster.ok(&["task", "submit", "mails", "third\n", "--id", "3"]);
    assert!(again.contains("submitted before"), "{again}");
    let (owner, next) = cluster.owner("mails");
    assert_eq!(owner, "c", "its backup");
    assert!(next > epoch, "{next} is not above {epoch}");
}

fn listed(cluster: &Cluster, what: &str, more: &[&str]) -> Value {
    let args: Vec<&str> = ["task", what, "mails", "--json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    serde_json::from_str(&cluster.ok(&args)).expect("JSON")
}

fn states(page: &Value) -> Vec<&str> {
    let tasks = page["tasks"].as_array().expect("an array");
    tasks
        .iter()
        .map(|task| task["state"].as_str().expect("a word"))
        .collect()
}

/// Asks again until the page is as wanted.
fn until(cluster: &Cluster, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = listed(cluster, what, &[]);
        if wanted(&page) {
            return page;
        }
        assert!(Instant::now() < deadline, "{page:#}");
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
    let (busy, lines) = worker(&cluster, &["sh", "-c", "cat; exec sleep 1000"]);
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
        shown.contains("1 waiting, 0 in hand, 2 dead; 1 workers; second copy at"),
        "{shown}"
    );
    wrong(&cluster);
}

fn wrong(cluster: &Cluster) {
    cluster.ok(&["exchange", "declare", "greet", "--strategy", "round-robin"]);
    let table: [(&[&str], i32, &str); 4] = [
        (&["task", "list", "nothing"], 6, "there is no exchange 'nothing'"),
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
