//! Tests of tasks in live runs: what owner and backup tell in two journals is one story, and judged as such.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Epoch, ExchangeId, MessageId, NodeId};
use squall_kernel::tasks::{Copies, LeaseNo, TaskId};
use squall_kernel::time::Instant;
use squall_node::journal::Fact;

use super::tests::{handler, marked, recorded, verdict};
use super::*;
use crate::history::{QueueFrom, TaskEvent};
use crate::invariant::Verdict;

const TASK: TaskId = TaskId(7);

fn journal(node: u64, story: Vec<(u64, TaskEvent)>) -> Vec<u8> {
    recorded(node, 5_000, |journal| {
        for (now, what) in story {
            let exchange = ExchangeId(1);
            journal.fact(Instant(now), &Fact::Task { exchange, what });
        }
    })
}

/// Told by its second try.
fn accepted() -> TaskEvent {
    TaskEvent::Accepted {
        request: RequestKey {
            origin: NodeId(3),
            message: MessageId(5),
        },
        task: TASK,
        copies: Copies::Two,
        duplicate: false,
    }
}

/// The owner, which is killed.
fn owner() -> Vec<u8> {
    let begins = TaskEvent::Begins {
        epoch: Epoch(1),
        from: QueueFrom::Nothing,
        tasks: Vec::new(),
    };
    let doubled = TaskEvent::Doubled {
        epoch: Epoch(1),
        backup: Some(NodeId(2)),
    };
    let given = TaskEvent::Given {
        task: TASK,
        lease: LeaseNo(1),
        worker: handler(2),
    };
    journal(
        1,
        vec![(10, begins), (30, doubled), (40, accepted()), (50, given)],
    )
}

/// The backup, which goes on with what it knows.
fn backup(tasks: &[TaskId]) -> Vec<u8> {
    let begins = TaskEvent::Begins {
        epoch: Epoch(2),
        from: QueueFrom::Copy,
        tasks: tasks.to_vec(),
    };
    let completed = TaskEvent::Completed {
        task: TASK,
        lease: LeaseNo(1),
        worker: handler(2),
    };
    let whole = TaskEvent::Copy { whole: true };
    journal(2, vec![(20, whole), (100, begins), (110, completed)])
}

fn submitter() -> Vec<u8> {
    recorded(3, 5_000, |journal| {
        for message in [4, 5] {
            let (request, message) = (MessageId(4), MessageId(message));
            journal.fact(Instant(35), &Fact::Tried { request, message });
        }
    })
}

fn history(backup: Vec<u8>) -> Vec<Event> {
    marked(&[owner(), backup, submitter()], &Marks::default())
}

#[test]
fn a_task_that_the_backup_goes_on_with_is_kept() {
    let history = history(backup(&[TASK]));
    let lines = history.iter().map(ToString::to_string);
    let lines: Vec<String> = lines.filter(|line| line.contains("#1")).collect();
    assert_eq!(
        lines,
        [
            "0.000010s 1 #1: queue begins at epoch 1 with 0 tasks as the first one",
            "0.000020s 2 #1: has a whole copy",
            "0.000030s 1 #1: second copy of epoch 1 at 2",
            "0.000040s 1 #1: task 0.7 accepted of 3/4: two copies",
            "0.000050s 1 #1: task 0.7 lease 0.1 given to <2.1:1>",
            "0.000100s 2 #1: queue begins at epoch 2 with 1 tasks of its copy",
            "0.000110s 2 #1: task 0.7 completed by <2.1:1> under lease 0.1",
        ]
    );
    assert_eq!(verdict(&history, 9), Verdict::Ok);
}

#[test]
fn a_task_that_the_backup_does_not_know_is_lost() {
    let Verdict::Fail(breach) = verdict(&history(backup(&[])), 9) else {
        panic!("it is lost");
    };
    assert_eq!(
        breach.text,
        "task 0.7 of #1 was acknowledged in two copies, and is lost"
    );
}
