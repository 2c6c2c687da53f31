//! Tests of what waits for the second copy, and of how that copy is kept.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::tasks::rig::*;
use crate::tasks::{TaskInput, TaskReplica};

#[test]
fn a_submit_is_acknowledged_only_after_the_backup_has_it() {
    let mut rig = Rig::new(|_| {});
    let sent = rig.raw(&TaskInput::Submit(submit(1, 1)));
    let lines: Vec<_> = sent.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["replicate to 2: 1/1 entries 3..3"]);
    assert_eq!(rig.pass_on(sent), ["accept 9/1 as 1.1: two copies"]);
}

#[test]
fn without_another_node_the_acknowledgement_says_single_copy() {
    let mut rig = Rig::without_backup(|_| {});
    assert_eq!(rig.submit(1), NONE, "nothing is known of a backup yet");
    assert_eq!(rig.backup(Backup::Alone), ["accept 9/1 as 1.1: single copy"]);
    assert_eq!(rig.submit(2), ["accept 9/2 as 1.2: single copy"]);
    assert_eq!(rig.backup(Backup::On(BACKUP)), NONE);
    assert_eq!(rig.submit(3), ["accept 9/3 as 1.3: two copies"]);
    assert_eq!((rig.replica.tasks(), rig.queue.is_doubled()), (3, true));
}

#[test]
fn what_could_not_go_without_the_right_to_act_goes_with_the_next_tick() {
    let mut rig = Rig::without_backup(|_| {});
    let back = core::mem::replace(&mut rig.lease_until, rig.now);
    assert_eq!(
        rig.backup(Backup::On(BACKUP)),
        NONE,
        "named while the lease is out"
    );
    assert!(
        rig.queue.next_timeout().is_some_and(|at| at <= rig.now),
        "looked at again, although nothing else happens"
    );
    rig.lease_until = back;
    assert_eq!(rig.step(&TaskInput::Tick), NONE);
    assert!(rig.queue.is_doubled() && rig.queue.next_timeout().is_none());

    let sent = rig.raw(&TaskInput::Submit(submit(1, 1)));
    rig.lease_until = rig.now;
    assert_eq!(rig.pass_on(sent), NONE, "acknowledged while the lease is out");
    assert!(rig.queue.next_timeout().is_some_and(|at| at <= rig.now));
    rig.lease_until = back;
    assert_eq!(rig.step(&TaskInput::Tick), ["accept 9/1 as 1.1: two copies"]);
}

#[test]
fn when_the_backup_is_lost_acknowledgements_wait_for_the_next_one() {
    let mut rig = Rig::new(|_| {});
    let on_its_way = rig.raw(&TaskInput::Submit(submit(1, 1)));
    assert_eq!(rig.step(&TaskInput::NodeLost { node: BACKUP }), NONE);
    assert_eq!(rig.pass_on(on_its_way), NONE, "its late word does not count");
    assert_eq!(rig.submit(2), NONE);
    rig.replica = TaskReplica::new();
    assert_eq!(
        rig.backup(Backup::On(NodeId(3))),
        ["accept 9/1 as 1.1: two copies", "accept 9/2 as 1.2: two copies"]
    );
}

#[test]
fn a_queue_without_backup_takes_so_many_and_then_turns_away() {
    let mut rig = Rig::without_backup(|_| {});
    for message in 0..limits::TASK_CHANGES_PENDING_MAX as u64 {
        assert_eq!(rig.submit(message), NONE);
    }
    assert_eq!(rig.submit(77), ["refuse 9/77: rejected: overloaded"]);
    rig.backup(Backup::On(BACKUP));
    let view = rig.queue.view();
    assert_eq!((view.pending, view.waiting, view.doubled), (0, 0, true));
    assert_eq!(rig.replica.tasks(), limits::TASK_CHANGES_PENDING_MAX);
}

#[test]
fn an_owner_without_the_right_to_act_acknowledges_and_delivers_nothing() {
    let mut rig = Rig::new(|_| {});
    rig.attach(worker(5, 1), 1);
    let on_its_way = rig.raw(&TaskInput::Submit(submit(1, 1)));
    rig.lease_until = ms(0);
    assert_eq!(rig.pass_on(on_its_way), NONE);
    assert_eq!(rig.submit(2), ["refuse 9/2: unavailable: no quorum"]);
    assert_eq!(
        rig.confirm(1, 1, worker(5, 1)),
        ["tell <5.1:1> of 1.1 lease 1.1: refused: unavailable: no quorum"]
    );
    rig.lease_until = FAR;
    assert_eq!(
        rig.step(&TaskInput::Tick),
        [
            "accept 9/1 as 1.1: two copies",
            "deliver 1.1 to <5.1:1> lease 1.1 attempt 1/3 for 1000.000ms"
        ]
    );
}

#[test]
fn a_worker_is_told_of_lease_and_completion_only_after_the_backup() {
    let mut rig = Rig::new(|_| {});
    rig.submit(1);
    let attach = TaskInput::WorkerAttach {
        worker: worker(5, 1),
        service_tag: Bytes::new(),
        credit: 1,
        in_hand: vec![],
    };
    let leased = rig.raw(&attach);
    assert!(
        matches!(leased.as_slice(), [TaskEffect::Replicate { .. }]),
        "{leased:?}"
    );
    assert_eq!(
        rig.pass_on(leased),
        ["deliver 1.1 to <5.1:1> lease 1.1 attempt 1/3 for 1000.000ms"]
    );
    let confirmed = rig.raw(&confirm(1, 1, worker(5, 1)));
    assert!(
        matches!(confirmed.as_slice(), [TaskEffect::Replicate { .. }]),
        "{confirmed:?}"
    );
    assert_eq!(
        rig.pass_on(confirmed),
        ["tell <5.1:1> of 1.1 lease 1.1: confirmed"]
    );
    let figures = rig.replica.figures().expect("it was told");
    assert_eq!((figures.confirmed, figures.leased, figures.open()), (1, 1, 0));
}

#[test]
fn a_second_submit_is_not_acknowledged_before_the_first_is_at_the_backup() {
    let mut rig = Rig::new(|_| {});
    let unique = |message| {
        let mut wanted = submit(message, 1);
        wanted.spec.unique = Bytes::from_static(b"once");
        TaskInput::Submit(wanted)
    };
    let first = rig.raw(&unique(1));
    assert_eq!(rig.raw(&unique(2)), []);
    assert_eq!(
        rig.pass_on(first),
        [
            "accept 9/1 as 1.1: two copies",
            "accept 9/2 as 1.1 again: two copies"
        ]
    );
}

#[test]
fn entries_that_got_lost_are_sent_again() {
    let mut rig = Rig::new(|_| {});
    let _lost = rig.raw(&TaskInput::Submit(submit(1, 1)));
    assert_eq!(
        rig.submit(2),
        ["accept 9/1 as 1.1: two copies", "accept 9/2 as 1.2: two copies"],
        "the backup noticed the gap"
    );
    let _lost = rig.raw(&TaskInput::Submit(submit(3, 1)));
    assert_eq!(rig.queue.next_timeout(), Some(ms(500)));
    assert_eq!(
        rig.at(500),
        ["accept 9/3 as 1.3: two copies"],
        "nothing followed: time brought it"
    );
}

#[test]
fn a_backup_that_has_started_anew_gets_a_whole_copy() {
    let mut rig = Rig::new(|_| {});
    rig.submit(1);
    rig.replica = TaskReplica::new();
    assert_eq!(rig.submit(2), ["accept 9/2 as 1.2: two copies"]);
    assert_eq!(
        (rig.replica.tasks(), rig.replica.position().map(|(copy, _)| copy)),
        (
            2,
            Some(CopyId {
                epoch: Epoch(1),
                stream: StreamNo(2)
            })
        )
    );
}

#[test]
fn a_backup_that_knows_a_later_owner_stops_the_earlier_one() {
    let mut rig = Rig::new(|_| {});
    let later = Batch {
        epoch: Epoch(2),
        stream: StreamNo(1),
        first: EntryNo(1),
        entries: vec![],
    };
    rig.replica.take(rig.now, &later);
    assert_eq!(rig.submit(1), NONE);
    assert_eq!(rig.submit(2), ["refuse 9/2: unavailable: moved"]);
}

#[test]
fn a_lease_that_ended_before_the_backup_knew_of_it_is_told_to_nobody() {
    let mut rig = Rig::new(|_| {});
    let (gone, here) = (worker(5, 1), worker(6, 1));
    rig.attach(gone, 1);
    let mut on_its_way = rig.raw(&TaskInput::Submit(submit(1, 1)));
    on_its_way.extend(rig.raw(&TaskInput::WorkerDetach { worker: gone }));
    on_its_way.extend(rig.raw(&TaskInput::WorkerAttach {
        worker: here,
        service_tag: Bytes::new(),
        credit: 1,
        in_hand: vec![],
    }));
    assert_eq!(
        rig.pass_on(on_its_way),
        [
            "accept 9/1 as 1.1: two copies",
            "end lease 1.1 of 1.1 at <5.1:1>: worker detached",
            "deliver 1.1 to <6.1:1> lease 1.2 attempt 2/3 for 1000.000ms"
        ]
    );
}
