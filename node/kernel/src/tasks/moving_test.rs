//! Tests of owners that follow each other.

use alloc::vec;

use super::*;
use crate::id::{Epoch, NodeId};
use crate::tasks::rig::*;
use crate::tasks::{Backup, Retry, TaskInput};

/// What numbers of the second epoch begin with.
const EPOCH_2: u64 = 2 << 32;

fn in_hand(task: u64, lease: u64) -> (TaskId, LeaseNo) {
    (TaskId(EPOCH_1 + task), LeaseNo(EPOCH_1 + lease))
}

#[test]
fn a_task_in_hand_stays_there_across_a_failover_and_is_completed_under_its_old_lease() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    rig.fail_over();
    rig.backup(Backup::Alone);
    assert_eq!(rig.attach_with(pid, "", 1, vec![in_hand(1, 1)]), NONE);
    assert_eq!(rig.step(&TaskInput::Rolled { node: pid.node }), NONE);
    assert_eq!(
        rig.confirm(1, 1, pid),
        ["tell <5.1:1> of 1.1 lease 1.1: confirmed"]
    );
    assert_eq!(
        rig.submit(2),
        [
            "accept 9/2 as 2.1: single copy",
            "deliver 2.1 to <5.1:1> lease 2.1 attempt 1/3 for 1000.000ms"
        ]
    );
}

#[test]
fn after_a_failover_a_task_in_nobodys_hand_goes_to_the_next_worker_as_one_more_attempt() {
    let mut rig = Rig::new(|_| {});
    let [a, b, c] = [5, 6, 7].map(|node| worker(node, 1));
    for (message, pid) in [(1, a), (2, b)] {
        rig.attach(pid, 1);
        rig.submit(message);
    }
    rig.fail_over();
    rig.backup(Backup::Alone);
    rig.attach(c, 2);
    assert_eq!(rig.queue.awaited_nodes(), [a.node, b.node].into());
    assert_eq!(
        rig.attach(a, 0),
        [
            "end lease 1.1 of 1.1 at <5.1:1>: in nobody's hand",
            "deliver 1.1 to <7.1:1> lease 2.1 attempt 2/3 for 1000.000ms"
        ],
        "its worker does not have it"
    );
    assert_eq!(
        rig.step(&TaskInput::Rolled { node: NodeId(6) }),
        [
            "end lease 1.2 of 1.2 at <6.1:1>: in nobody's hand",
            "deliver 1.2 to <7.1:1> lease 2.2 attempt 2/3 for 1000.000ms"
        ],
        "its worker is not there"
    );
    assert_eq!(
        rig.attach_with(b, "", 1, vec![in_hand(2, 2)]),
        ["tell <6.1:1> of 1.2 lease 1.2: fenced by lease 2.2"],
        "a late one is told to drop it"
    );
}

#[test]
fn after_a_failover_a_lease_ends_at_its_time() {
    let mut rig = Rig::new(|_| {});
    rig.attach(worker(5, 1), 1);
    rig.submit(1);
    rig.fail_over();
    rig.backup(Backup::Alone);
    rig.attach(worker(6, 1), 1);
    assert_eq!(rig.at(999), NONE);
    assert_eq!(
        rig.at(1000),
        [
            "end lease 1.1 of 1.1 at <5.1:1>: lease timed out",
            "deliver 1.1 to <6.1:1> lease 2.1 attempt 2/3 for 1000.000ms"
        ]
    );
}

#[test]
fn a_completion_whose_answer_was_lost_with_the_owner_counts_and_does_not_count_twice() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    rig.confirm(1, 1, pid);
    rig.fail_over();
    rig.backup(Backup::Alone);
    assert_eq!(
        rig.attach_with(pid, "", 1, vec![in_hand(1, 1)]),
        ["tell <5.1:1> of 1.1 lease 1.1: already confirmed"]
    );
    assert_eq!(
        rig.confirm(1, 1, pid),
        ["tell <5.1:1> of 1.1 lease 1.1: already confirmed"]
    );
    assert_eq!(rig.queue.view().figures.confirmed, 1);
}

#[test]
fn attempts_and_dead_letters_survive_their_owner() {
    let mut rig = Rig::new(|c| c.attempts = 2);
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    rig.give_back(1, 1, pid, Retry::Never);
    rig.submit(2);
    rig.fail_over();
    rig.backup(Backup::Alone);
    assert_eq!(
        rig.attach(pid, 1),
        [
            "end lease 1.2 of 1.2 at <5.1:1>: in nobody's hand",
            "deliver 1.2 to <5.1:1> lease 2.1 attempt 2/2 for 1000.000ms"
        ]
    );
    assert_eq!(
        rig.step(&TaskInput::WorkerDetach { worker: pid }),
        [
            "dead letter 1.2: attempts used up",
            "end lease 2.1 of 1.2 at <5.1:1>: worker detached"
        ]
    );
    let letters: Vec<_> = rig.queue.dead_letters().map(|l| (l.task.0, l.attempts)).collect();
    assert_eq!(letters, [(EPOCH_1 + 1, 1), (EPOCH_1 + 2, 2)]);
}

/// Moves the queue to the backup, whose place the old owner takes.
fn change_places(rig: &mut Rig) {
    let state = rig.queue.leave(rig.now);
    let config = TaskConfig {
        node: BACKUP,
        epoch: Epoch(2),
        ..config(OWNER, 1)
    };
    let next = TaskQueue::from_state(config, rig.now, state);
    rig.replica = core::mem::replace(&mut rig.queue, next).into_replica();
}

#[test]
fn in_a_move_everything_travels_what_waits_too() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    let _not_sent = rig.raw(&confirm(1, 1, pid));
    let _not_sent = rig.raw(&TaskInput::Submit(submit(2, 1)));
    change_places(&mut rig);
    assert_eq!(
        rig.step(&TaskInput::Tick),
        NONE,
        "nothing is told before the copy"
    );
    assert!(rig.replica.is_whole(), "the old owner's own");
    assert_eq!(
        rig.backup(Backup::On(OWNER)),
        [
            "tell <5.1:1> of 1.1 lease 1.1: confirmed",
            "accept 9/2 as 1.2: two copies",
            "deliver 1.2 to <5.1:1> lease 1.2 attempt 1/3 for 1000.000ms"
        ]
    );
    assert_eq!(
        rig.confirm(2, 2, pid),
        ["tell <5.1:1> of 1.2 lease 1.2: confirmed"]
    );
}

#[test]
fn a_queue_that_has_moved_away_refuses_everything_as_moved() {
    let mut rig = Rig::new(|_| {});
    let state = rig.queue.leave(rig.now);
    assert_eq!(rig.submit(1), ["refuse 9/1: unavailable: moved"]);
    assert_eq!(
        rig.confirm(1, 1, worker(5, 1)),
        ["tell <5.1:1> of 1.1 lease 1.1: refused: unavailable: moved"]
    );
    assert_eq!(rig.queue.next_timeout(), None);
    let again = TaskConfig {
        epoch: Epoch(2),
        ..config(OWNER, 1)
    };
    rig.queue = TaskQueue::from_state(again, rig.now, state);
    assert_eq!(rig.backup(Backup::On(BACKUP)), NONE);
    assert_eq!(
        rig.submit(2),
        ["accept 9/2 as 2.1: two copies"],
        "the move was cancelled"
    );
}

#[test]
fn right_after_a_move_one_lost_node_costs_nothing() {
    let mut rig = Rig::new(|_| {});
    for message in 1..=1000 {
        rig.submit(message);
    }
    change_places(&mut rig);
    let batches = rig.raw(&TaskInput::BackupChanged {
        backup: Backup::On(OWNER),
    });
    let TaskEffect::Replicate { batch, .. } = &batches[0] else {
        panic!("{batches:?}");
    };
    rig.replica.take(rig.now, batch);
    assert!(rig.replica.tasks() < 1000, "the new copy has only begun");
    assert!(rig.replica.is_whole(), "the old owner's own is still there");
    assert!(rig.queue.is_doubled());
    rig.fail_over();
    assert_eq!(rig.backup(Backup::Alone), NONE, "nothing is lost");
    assert_eq!(rig.queue.view().open, 1000);
    assert_eq!(
        rig.attach(worker(5, 1), 1),
        ["deliver 1.1 to <5.1:1> lease 3.1 attempt 1/3 for 1000.000ms"]
    );
}

#[test]
fn a_copy_elsewhere_is_not_counted_on_once_the_registry_names_another_node() {
    let mut rig = Rig::new(|_| {});
    let state = rig.queue.leave(rig.now);
    let nodes: Vec<NodeId> = state.copies.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes, [BACKUP, OWNER], "both have all of it");
    let next = TaskConfig {
        node: NodeId(3),
        epoch: Epoch(2),
        ..config(OWNER, 1)
    };
    rig.queue = TaskQueue::from_state(next, rig.now, state);
    let named = |node| TaskInput::BackupChanged {
        backup: Backup::On(node),
    };
    rig.raw(&named(BACKUP));
    assert!(rig.queue.is_doubled());
    rig.raw(&TaskInput::NodeLost { node: BACKUP });
    rig.raw(&named(OWNER));
    assert!(
        !rig.queue.is_doubled(),
        "the old owner dropped its own when the other was named"
    );
}

#[test]
fn a_lease_on_its_way_is_left_alone_when_its_worker_attaches_again() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    assert_eq!(rig.attach(pid, 1), NONE, "this owner told it, or will");
    assert_eq!(
        rig.confirm(1, 1, pid),
        ["tell <5.1:1> of 1.1 lease 1.1: confirmed"]
    );
}

#[test]
fn a_copy_that_the_owner_does_not_know_for_as_good_goes_when_a_new_one_begins() {
    let mut rig = Rig::new(|_| {});
    rig.submit(1);
    rig.step(&TaskInput::NodeLost { node: BACKUP });
    rig.backup(Backup::Alone);
    rig.attach(worker(5, 1), 1);
    assert_eq!(
        rig.confirm(1, 1, worker(5, 1)).len(),
        1,
        "told by this node alone"
    );
    for message in 2..=1000 {
        rig.submit(message);
    }
    let batches = rig.raw(&TaskInput::BackupChanged {
        backup: Backup::On(BACKUP),
    });
    let TaskEffect::Replicate { batch, .. } = &batches[0] else {
        panic!("{batches:?}");
    };
    rig.replica.take(rig.now, batch);
    assert!(!rig.replica.is_whole());
    let restored = rig.replica.tasks() as u64;
    rig.fail_over();
    assert_eq!(rig.queue.view().open as u64, restored, "what had come is saved");
    let lost = alloc::format!("lost {} acknowledged tasks", 999 - restored);
    assert_eq!(rig.step(&TaskInput::Tick), [lost]);
    assert_eq!(rig.queue.view().figures.open(), restored);
}

#[test]
fn what_is_lost_with_both_copies_is_counted_as_far_as_it_is_known() {
    let mut rig = Rig::new(|_| {});
    rig.submit(1);
    rig.submit(2);
    let told = rig.queue.view().figures;
    rig.queue = TaskQueue::after_loss(config(BACKUP, 2), rig.now, Some(told));
    assert_eq!(rig.step(&TaskInput::Tick), ["lost 2 acknowledged tasks"]);
    rig.backup(Backup::Alone);
    assert_eq!(rig.submit(3), ["accept 9/3 as 2.1: single copy"]);
    assert_eq!(
        rig.confirm(1, 1, worker(5, 1)),
        ["tell <5.1:1> of 1.1 lease 1.1: unknown task"]
    );
    let figures = rig.queue.view().figures;
    assert_eq!((figures.submitted, figures.lost, figures.open()), (3, 2, 1));
    rig.queue = TaskQueue::after_loss(config(BACKUP, 3), rig.now, None);
    assert_eq!(rig.step(&TaskInput::Tick), ["lost an unknown number of tasks"]);
    assert_eq!(rig.queue.view().figures.lost_unknown, 1);
    rig.replica = TaskReplica::new();
    rig.backup(Backup::On(OWNER));
    assert_eq!(rig.replica.figures().expect("told").lost_unknown, 1);
    assert_eq!(rig.queue.store.latest_task.next(Epoch(2)), TaskId(EPOCH_2 + 1));
}
