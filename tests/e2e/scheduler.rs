//! A custom scheduler at the command line: a program that owns the choice over a pool of workers on several nodes.

use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::rig::{Cluster, Lines, PATIENCE, Process};

/// Whoever works at node b, as long as there is one with room.
const CHOOSE: &str = r#"
read -r task
while read -r pid rest; do
    case "$pid" in "<b."*) printf %s "$pid"; exit ;; esac
done
printf any
"#;

/// A worker at that node which notes its tasks in a file of its own.
fn worker(cluster: &Cluster, node: usize) -> Process {
    let note = format!("cat >> '{}'", notes(cluster, node).display());
    let args = [
        "task",
        "work",
        "mails",
        "--credit",
        "8",
        "--command",
        "sh",
        "-c",
        &note,
    ];
    let mut command = cluster.client_of(&[node], &args);
    let mut worker = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    Lines::of(worker.0.stdout.take().expect("piped"))
        .find("the worker", |line| line.starts_with("working on").then_some(()));
    worker
}

fn notes(cluster: &Cluster, node: usize) -> std::path::PathBuf {
    cluster.dir.path().join(format!("notes-{}", Cluster::name(node)))
}

fn carried_out(cluster: &Cluster, node: usize) -> usize {
    std::fs::read_to_string(notes(cluster, node)).map_or(0, |text| text.lines().count())
}

/// What the scheduler was asked, and what became of it.
fn scheduling(cluster: &Cluster) -> Value {
    let shown = cluster.ok(&["exchange", "show", "mails", "--json"]);
    serde_json::from_str::<Value>(&shown).expect("JSON")["scheduling"].clone()
}

/// A4. A scheduler that does not answer in time holds nothing up: only what it was followed in is its choice.
#[test]
fn a_scheduler_from_the_command_line_owns_the_choice_over_the_pool() {
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "chooser", "--strategy", "consensus"]);
    let mails = [
        "exchange",
        "declare",
        "mails",
        "--pattern",
        "task",
        "--failover",
        "a,b",
    ];
    cluster.ok(&[&mails[..], &["--scheduler", "chooser"]].concat());
    let choose = ["reply", "chooser", "--cmd", "sh", "-c", CHOOSE];
    let (_chooser, _) = cluster.attached(cluster.client_of(&[0], &choose));
    let (_here, there) = (worker(&cluster, 0), worker(&cluster, 1));

    let deadline = Instant::now() + PATIENCE;
    let mut submitted = 0;
    while scheduling(&cluster)["followed"].as_u64() < Some(6) {
        cluster.ok(&["task", "submit", "mails", "a mail\n", "--timeout", "20s"]);
        submitted += 1;
        while carried_out(&cluster, 0) + carried_out(&cluster, 1) < submitted {
            assert!(Instant::now() < deadline, "{submitted}: {}", scheduling(&cluster));
            std::thread::yield_now();
        }
    }
    let followed = scheduling(&cluster)["followed"].as_u64().expect("a number");
    let at_b = carried_out(&cluster, 1);
    assert!(
        at_b as u64 >= followed,
        "{at_b} of {submitted} at b, {followed} as it said"
    );

    // Without a worker at b the scheduler leaves the choice to the owner.
    drop(there);
    let before = carried_out(&cluster, 0);
    cluster.ok(&["task", "submit", "mails", "the last\n", "--timeout", "20s"]);
    while carried_out(&cluster, 0) == before {
        assert!(Instant::now() < deadline, "{}", scheduling(&cluster));
        std::thread::yield_now();
    }
}
