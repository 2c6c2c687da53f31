//! Tasks: acknowledged once, carried out although their owner is killed (A3, A110, B3, I9).

use std::process::Stdio;

use crate::rig::{Cluster, Lines, Process};

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
