//! Tests of queues that are full.

use alloc::string::String;
use alloc::vec;

use bytes::Bytes;

use super::super::rig::*;
use super::super::*;
use super::*;

fn rig(tasks: usize, when_full: WhenFull) -> Rig {
    Rig::new(|config| config.bound = Bound { tasks, when_full })
}

fn open(rig: &Rig) -> Vec<u64> {
    let all = rig.queue.open_after(rig.now, TaskId::default());
    all.map(|task| task.task.0 - EPOCH_1).collect()
}

fn with_priority(priority: u8) -> impl FnOnce(&mut Submit) {
    move |submit| submit.spec.priority = Priority::new(priority).expect("below ten")
}

#[test]
fn a_full_queue_turns_one_more_away() {
    let mut rig = rig(2, WhenFull::Reject);
    rig.submit(1);
    rig.submit(2);
    assert_eq!(rig.submit(3), ["refuse 9/3: rejected: overloaded"]);
    assert_eq!(open(&rig), [1, 2]);
    assert_eq!(rig.queue.overflow().rejected, 1);
}

#[test]
fn the_oldest_of_the_lowest_priority_makes_room_as_a_dead_letter() {
    let mut rig = rig(3, WhenFull::DropOldest);
    let worker = worker(5, 1);
    rig.attach(worker, 1);
    rig.submit_with(1, with_priority(0));
    rig.submit_with(2, with_priority(5));
    rig.submit_with(3, with_priority(0));
    let told = rig.submit_with(4, with_priority(0));
    assert!(told[0].ends_with("made room for a later one"), "{told:?}");
    assert!(told[1].starts_with("accept 9/4"), "{told:?}");
    assert_eq!(open(&rig), [1, 2, 4], "what a worker has in hand stays");
    rig.submit_with(5, with_priority(7));
    assert_eq!(open(&rig), [1, 2, 5]);
    assert_eq!(
        rig.submit_with(6, with_priority(4)),
        ["refuse 9/6: rejected: overloaded"],
        "nothing of a higher priority makes room"
    );
    let did = rig.queue.overflow();
    assert_eq!((did.dropped, did.rejected), (2, 1));
    assert_eq!(rig.queue.view().figures.dead, 2);
}

#[test]
fn a_submit_is_held_back_until_there_is_room_and_in_its_turn() {
    let mut rig = rig(1, WhenFull::Block);
    let worker = worker(5, 1);
    rig.attach(worker, 1);
    rig.submit(1);
    assert_eq!(rig.submit(2), [""; 0]);
    assert_eq!(rig.submit(3), [""; 0]);
    assert_eq!((rig.queue.held(), rig.queue.overflow().held), (2, 2));
    let told = rig.confirm(1, 1, worker);
    assert!(told.iter().any(|line| line.starts_with("accept 9/2")), "{told:?}");
    assert!(
        !told.iter().any(|line| line.starts_with("accept 9/3")),
        "{told:?}"
    );
    let told = rig.confirm(2, 2, worker);
    assert!(told.iter().any(|line| line.starts_with("accept 9/3")), "{told:?}");
    assert_eq!((rig.queue.held(), open(&rig)), (0, vec![3]));
}

#[test]
fn whoever_gives_up_is_let_go_and_a_second_submit_of_a_task_is_no_second_task() {
    let mut rig = rig(1, WhenFull::Block);
    let worker = worker(5, 1);
    rig.attach(worker, 1);
    rig.submit(1);
    let same = |message: u64, rig: &mut Rig| {
        rig.submit_with(message, |submit| {
            submit.spec.unique = Bytes::from_static(b"the same");
        })
    };
    rig.submit_with(2, |submit| submit.patience = ms(100));
    assert_eq!(same(3, &mut rig), [""; 0]);
    assert_eq!(same(4, &mut rig), [""; 0]);
    assert_eq!(rig.queue.next_timeout(), Some(ms(100)));
    assert_eq!(rig.at(100), [""; 0], "it does not wait for an answer any more");
    assert_eq!((rig.queue.held(), rig.queue.overflow().expired), (2, 1));
    let told = rig.confirm(1, 1, worker);
    let accepted: Vec<&String> = told.iter().filter(|line| line.starts_with("accept")).collect();
    assert_eq!(accepted.len(), 2, "{told:?}");
    assert!(accepted[1].contains("again"), "{told:?}");
    assert_eq!(open(&rig), [2]);
}

#[test]
fn what_is_held_back_goes_to_the_next_owner() {
    let mut rig = rig(1, WhenFull::Block);
    rig.submit(1);
    rig.submit(2);
    rig.queue.leave(rig.now);
    assert_eq!(rig.step(&TaskInput::Tick), ["refuse 9/2: unavailable: moved"]);
    assert_eq!((rig.queue.held(), rig.queue.next_timeout()), (0, None));
}

#[test]
fn no_more_is_held_back_than_the_bound_says() {
    let mut rig = rig(1, WhenFull::Block);
    rig.submit(1);
    for message in 0..limits::SUBMITS_HELD_MAX as u64 {
        assert_eq!(rig.submit(2 + message), [""; 0]);
    }
    assert_eq!(rig.submit(9999), ["refuse 9/9999: rejected: overloaded"]);
}
