//! Tests of the rules of a task queue, one by one: whole lists of effects, as lines. What waits for the backup is tested in
//! `tasks/copying_test.rs`, owners that follow each other in `tasks/moving_test.rs`, and crashes in every order in
//! `tests/tasks.rs`.

use alloc::vec;

use bytes::Bytes;

use super::rig::*;
use super::*;
use crate::id::{ExchangeName, NodeId};

#[test]
fn submits_of_other_epochs_late_ones_and_large_ones_are_turned_away() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(
        rig.submit_with(1, |s| s.epoch = Epoch(0)),
        ["refuse 9/1: unavailable: fenced"]
    );
    assert_eq!(
        rig.submit_with(2, |s| s.epoch = Epoch(2)),
        ["refuse 9/2: unavailable: moved"]
    );
    assert_eq!(
        rig.submit_with(3, |s| s.deadline = Some(ms(0))),
        ["refuse 9/3: timeout"]
    );
    let large = Bytes::from(vec![0; limits::TASK_BYTES_MAX]);
    assert_eq!(
        rig.submit_with(4, |s| s.spec.payload = large),
        ["refuse 9/4: rejected: overloaded"]
    );
}

#[test]
fn a_completion_counts_once_and_only_under_the_current_lease() {
    let mut rig = Rig::new(|_| {});
    let (first, second) = (worker(5, 1), worker(6, 1));
    rig.attach(first, 1);
    rig.submit(1);
    rig.attach(second, 1);
    assert_eq!(
        rig.at(1000),
        [
            "end lease 1.1 of 1.1 at <5.1:1>: lease timed out",
            "deliver 1.1 to <6.1:1> lease 1.2 attempt 2/3 for 1000.000ms"
        ]
    );
    assert_eq!(
        rig.confirm(1, 1, first),
        ["tell <5.1:1> of 1.1 lease 1.1: fenced by lease 1.2"]
    );
    assert_eq!(
        rig.confirm(1, 2, first),
        ["tell <5.1:1> of 1.1 lease 1.2: fenced by lease 1.2"],
        "a lease is its holder's"
    );
    assert_eq!(
        rig.confirm(1, 2, second),
        ["tell <6.1:1> of 1.1 lease 1.2: confirmed"]
    );
    assert_eq!(
        rig.confirm(1, 2, second),
        ["tell <6.1:1> of 1.1 lease 1.2: already confirmed"]
    );
    assert_eq!(
        rig.confirm(1, 1, first),
        ["tell <5.1:1> of 1.1 lease 1.1: fenced by lease 1.2"]
    );
    assert_eq!(
        rig.confirm(7, 1, first),
        ["tell <5.1:1> of 1.7 lease 1.1: unknown task"]
    );
}

#[test]
fn leases_end_by_time_by_detaching_and_by_the_loss_of_a_node_and_attempts_are_limited() {
    let mut rig = Rig::new(|_| {});
    let [a, b, c] = [5, 6, 7].map(|node| worker(node, 1));
    rig.attach(a, 1);
    assert_eq!(rig.submit(1).len(), 2);
    rig.attach(b, 1);
    assert_eq!(
        rig.step(&TaskInput::WorkerDetach { worker: a }),
        [
            "end lease 1.1 of 1.1 at <5.1:1>: worker detached",
            "deliver 1.1 to <6.1:1> lease 1.2 attempt 2/3 for 1000.000ms"
        ]
    );
    rig.attach(c, 1);
    assert_eq!(
        rig.step(&TaskInput::NodeLost { node: NodeId(6) }),
        [
            "end lease 1.2 of 1.1 at <6.1:1>: worker's node lost",
            "deliver 1.1 to <7.1:1> lease 1.3 attempt 3/3 for 1000.000ms"
        ]
    );
    assert_eq!(rig.at(999), NONE);
    assert_eq!(
        rig.at(1000),
        [
            "dead letter 1.1: attempts used up",
            "end lease 1.3 of 1.1 at <7.1:1>: lease timed out"
        ]
    );
    assert_eq!(
        rig.confirm(1, 3, c),
        ["tell <7.1:1> of 1.1 lease 1.3: dead: attempts used up"]
    );
    assert_eq!(rig.queue.view().figures, rig.replica.figures().expect("told"));
    let figures = rig.queue.view().figures;
    assert_eq!((figures.leased, figures.returned, figures.dead), (3, 3, 1));
}

#[test]
fn a_task_given_back_waits_as_long_as_its_worker_says() {
    let mut rig = Rig::new(|c| c.attempts = 9);
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    let back = "tell <5.1:1> of 1.1 lease 1.1: given back";
    assert_eq!(
        rig.give_back(1, 1, pid, Retry::AtOnce),
        [
            back,
            "deliver 1.1 to <5.1:1> lease 1.2 attempt 2/9 for 1000.000ms"
        ]
    );
    rig.give_back(1, 2, pid, Retry::After(Span::from_ms(30)));
    assert_eq!(rig.queue.next_timeout(), Some(ms(30)));
    assert_eq!(rig.at(29), NONE);
    assert_eq!(
        rig.at(30),
        ["deliver 1.1 to <5.1:1> lease 1.3 attempt 3/9 for 1000.000ms"]
    );
    rig.give_back(1, 3, pid, Retry::Backoff);
    assert_eq!(
        rig.queue.next_timeout(),
        Some(ms(430)),
        "100 ms, doubled twice by the third attempt"
    );
    rig.at(430);
    assert_eq!(
        rig.give_back(1, 4, pid, Retry::Never),
        [
            "dead letter 1.1: given up by its worker",
            "tell <5.1:1> of 1.1 lease 1.4: given back"
        ]
    );
    let letters: Vec<_> = rig.queue.dead_letters().collect();
    assert_eq!((letters[0].attempts, letters[0].said.as_str()), (4, "no luck"));
}

#[test]
fn a_task_that_its_worker_never_saw_is_no_attempt_and_the_worker_is_left_alone() {
    let mut rig = Rig::new(|c| c.attempts = 1);
    let (pid, other) = (worker(5, 1), worker(6, 1));
    rig.attach(pid, 1);
    rig.submit(1);
    rig.submit(2);
    assert_eq!(
        rig.give_back(1, 1, pid, Retry::Unseen),
        ["tell <5.1:1> of 1.1 lease 1.1: given back"],
        "neither this task nor the other one goes to a worker without room"
    );
    assert_eq!(rig.queue.next_timeout(), Some(ms(100)));
    assert_eq!(
        rig.attach(other, 1),
        ["deliver 1.1 to <6.1:1> lease 1.2 attempt 1/1 for 1000.000ms"]
    );
    assert_eq!(
        rig.at(100),
        ["deliver 1.2 to <5.1:1> lease 1.3 attempt 1/1 for 1000.000ms"]
    );
    rig.step(&TaskInput::Extend {
        task: TaskId(EPOCH_1 + 1),
        lease: LeaseNo(EPOCH_1 + 2),
        worker: other,
        by: Span::from_ms(100_000),
    });
    // For good: whatever the worker says, there is one lease in each pause, and none of them counts.
    for n in 1..=50 {
        let again = rig.give_back(2, 2 + n, pid, Retry::Unseen);
        assert_eq!(again.len(), 1, "{again:?}");
        assert_eq!(rig.at(100 + 100 * n).len(), 1);
    }
    let figures = rig.queue.view().figures;
    assert_eq!((figures.dead, figures.leased, figures.returned), (0, 53, 51));
    assert_eq!(rig.replica.figures(), Some(figures));
    assert_eq!(
        rig.confirm(2, 53, pid),
        ["tell <5.1:1> of 1.2 lease 1.53: confirmed"]
    );
}

#[test]
fn a_worker_that_attaches_again_is_not_left_alone_any_more() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    rig.give_back(1, 1, pid, Retry::Unseen);
    assert_eq!(
        rig.attach(pid, 1),
        ["deliver 1.1 to <5.1:1> lease 1.2 attempt 1/3 for 1000.000ms"]
    );
    rig.give_back(1, 2, pid, Retry::Unseen);
    rig.step(&TaskInput::WorkerDetach { worker: pid });
    assert_eq!(rig.queue.next_timeout(), None, "who is gone is not waited for");
}

#[test]
fn a_lease_that_was_extended_ends_later() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.attach(pid, 1);
    rig.submit(1);
    rig.now = ms(900);
    let extend = TaskInput::Extend {
        task: TaskId(EPOCH_1 + 1),
        lease: LeaseNo(EPOCH_1 + 1),
        worker: pid,
        by: Span::from_ms(600),
    };
    assert_eq!(
        rig.step(&extend),
        ["tell <5.1:1> of 1.1 lease 1.1: extended to 600.000ms"]
    );
    assert_eq!(rig.at(1499), NONE);
    assert_eq!(
        rig.at(1500),
        [
            "end lease 1.1 of 1.1 at <5.1:1>: lease timed out",
            "deliver 1.1 to <5.1:1> lease 1.2 attempt 2/3 for 1000.000ms"
        ]
    );
}

#[test]
fn a_task_past_its_deadline_is_a_dead_letter_waiting_or_in_hand() {
    let mut rig = Rig::new(|_| {});
    rig.submit_with(1, |s| s.deadline = Some(ms(50)));
    assert_eq!(rig.at(50), ["dead letter 1.1: expired"]);
    rig.submit_with(2, |s| s.deadline = Some(ms(80)));
    assert_eq!(
        rig.attach(worker(5, 1), 1),
        ["deliver 1.2 to <5.1:1> lease 1.1 attempt 1/3 for 30.000ms"],
        "no lease outlives the deadline"
    );
    assert_eq!(
        rig.at(80),
        [
            "dead letter 1.2: expired",
            "end lease 1.1 of 1.2 at <5.1:1>: task expired"
        ]
    );
    assert_eq!(
        rig.confirm(2, 1, worker(5, 1)),
        ["tell <5.1:1> of 1.2 lease 1.1: dead: expired"]
    );
}

#[test]
fn urgent_tasks_come_first_and_scheduled_ones_when_their_time_has_come() {
    let mut rig = Rig::new(|_| {});
    let pid = worker(5, 1);
    rig.submit(1);
    rig.submit_with(2, |s| s.spec.priority = Priority::MAX);
    rig.submit_with(3, |s| s.spec.priority = Priority::MAX);
    rig.submit_with(4, |s| {
        s.spec.priority = Priority::MAX;
        s.not_before = Some(ms(10));
    });
    rig.attach(pid, 1);
    let mut order = vec![];
    for lease in 1..=4 {
        if lease == 3 {
            rig.at(10);
        }
        let id = rig.queue.pool.in_hand(pid)[0];
        order.push(id.0 - EPOCH_1);
        rig.confirm(id.0 - EPOCH_1, lease, pid);
    }
    assert_eq!(
        order,
        [2, 3, 1, 4],
        "the fourth came when the third had been given out"
    );
}

#[test]
fn tasks_of_one_key_go_one_after_the_other_where_the_exchange_is_ordered() {
    let mut rig = Rig::new(|c| c.ordered = true);
    let pid = worker(5, 1);
    rig.attach(pid, 9);
    let keyed = |key: &'static [u8]| move |s: &mut Submit| s.spec.key = Bytes::from_static(key);
    assert_eq!(rig.submit_with(1, keyed(b"a")).len(), 2);
    assert_eq!(rig.submit_with(2, keyed(b"a")), ["accept 9/2 as 1.2: two copies"]);
    assert_eq!(rig.submit_with(3, keyed(b"b")).len(), 2);
    assert_eq!(rig.submit(4).len(), 2, "without a key there is no order");
    assert_eq!(
        rig.give_back(1, 1, pid, Retry::After(Span::from_ms(5))),
        ["tell <5.1:1> of 1.1 lease 1.1: given back"],
        "the second does not overtake the first"
    );
    assert_eq!(rig.at(5).len(), 1);
    assert_eq!(
        rig.confirm(1, 4, pid),
        [
            "tell <5.1:1> of 1.1 lease 1.4: confirmed",
            "deliver 1.2 to <5.1:1> lease 1.5 attempt 1/3 for 1000.000ms"
        ]
    );
}

#[test]
fn the_worker_with_least_in_hand_gets_the_next_task_within_its_group_and_its_credit() {
    let mut rig = Rig::new(|_| {});
    let [a, b, c] = [5, 6, 7].map(|node| worker(node, 1));
    rig.attach_with(a, "", 2, vec![]);
    rig.attach_with(b, "", 2, vec![]);
    rig.attach_with(c, "gpu", 1, vec![]);
    for message in 1..=6 {
        rig.submit(message);
    }
    let hands = |rig: &Rig| [a, b, c].map(|pid| rig.queue.pool.in_hand(pid).len());
    assert_eq!(hands(&rig), [2, 2, 1], "the sixth waits");
    assert_eq!(rig.queue.pool.room(), 0);
    let gpu = |s: &mut Submit| {
        s.spec.service_tag = Bytes::from_static(b"gpu");
        s.spec.priority = Priority::MAX;
    };
    rig.submit_with(7, gpu);
    rig.attach_with(a, "", 3, vec![]);
    assert_eq!(
        hands(&rig),
        [3, 2, 1],
        "the seventh waits for its group, the sixth does not"
    );
    let held = rig.queue.pool.in_hand(c)[0];
    let lease = rig.queue.lease_of(held).expect("it is in hand");
    rig.confirm(held.0 - EPOCH_1, lease.0 - EPOCH_1, c);
    assert_eq!(rig.queue.pool.in_hand(c), [TaskId(EPOCH_1 + 7)]);
}

fn says(task: u64, chosen: Chosen) -> TaskInput {
    TaskInput::Scheduled {
        task: TaskId(EPOCH_1 + task),
        chosen,
    }
}

/// A4: what a scheduler may say beside a name.
#[test]
fn a_scheduler_leaves_it_to_the_owner_or_lets_a_task_wait() {
    let mut rig = Rig::new(|c| c.scheduler = true);
    rig.attach(worker(5, 1), 2);
    rig.submit(1);
    assert_eq!(rig.step(&says(1, Chosen::Wait)), NONE);
    assert_eq!(rig.at(249), NONE);
    assert_eq!(rig.at(250), ["ask who gets 1.1: 1 workers free"], "asked again");
    assert_eq!(
        rig.step(&says(1, Chosen::Any)),
        ["deliver 1.1 to <5.1:1> lease 1.1 attempt 1/3 for 1000.000ms"]
    );
    rig.submit(2);
    assert_eq!(
        rig.step(&says(2, Chosen::Nothing)),
        ["deliver 1.2 to <5.1:1> lease 1.2 attempt 1/3 for 1000.000ms"]
    );
    assert_eq!(
        rig.queue.scheduling(),
        Scheduling {
            asked: 3,
            left: 1,
            waits: 1,
            unanswered: 1,
            ..Scheduling::default()
        }
    );
}

/// A4: a task that waits as its scheduler wants does not hold up others.
#[test]
fn a_task_that_waits_lets_others_by() {
    let mut rig = Rig::new(|c| c.scheduler = true);
    rig.attach(worker(5, 1), 1);
    rig.submit(1);
    rig.submit(2);
    assert_eq!(
        rig.step(&says(1, Chosen::Wait)),
        ["ask who gets 1.2: 1 workers free"]
    );
    assert_eq!(
        rig.step(&says(2, Chosen::Any)),
        ["deliver 1.2 to <5.1:1> lease 1.1 attempt 1/3 for 1000.000ms"]
    );
}

#[test]
fn a_scheduler_names_the_worker_and_a_silent_one_is_not_waited_for() {
    let mut rig = Rig::new(|c| c.scheduler = true);
    let [a, b] = [5, 6].map(|node| worker(node, 1));
    rig.attach(a, 1);
    rig.attach(b, 1);
    assert_eq!(
        rig.submit(1),
        [
            "ask who gets 1.1: 2 workers free",
            "accept 9/1 as 1.1: two copies"
        ]
    );
    let scheduled = |task: u64, worker| says(task, Chosen::Worker(worker));
    assert_eq!(
        rig.step(&scheduled(1, b)),
        ["deliver 1.1 to <6.1:1> lease 1.1 attempt 1/3 for 1000.000ms"]
    );
    rig.submit(2);
    assert_eq!(
        rig.step(&scheduled(2, b)),
        ["deliver 1.2 to <5.1:1> lease 1.2 attempt 1/3 for 1000.000ms"],
        "the one it named has no room"
    );
    rig.attach(worker(7, 1), 1);
    rig.submit(3);
    assert_eq!(rig.at(249), NONE);
    assert_eq!(
        rig.at(250),
        ["deliver 1.3 to <7.1:1> lease 1.3 attempt 1/3 for 1000.000ms"]
    );
    assert_eq!(rig.step(&scheduled(3, b)), NONE, "too late");
}

#[test]
fn a_second_submit_with_the_same_unique_text_is_the_same_task() {
    let mut rig = Rig::new(|_| {});
    let unique = |s: &mut Submit| s.spec.unique = Bytes::from_static(b"invoice 7");
    rig.submit_with(1, unique);
    assert_eq!(
        rig.submit_with(2, unique),
        ["accept 9/2 as 1.1 again: two copies"]
    );
    rig.attach(worker(5, 1), 1);
    rig.confirm(1, 1, worker(5, 1));
    rig.now = ms(4999);
    assert_eq!(
        rig.submit_with(3, unique),
        ["accept 9/3 as 1.1 again: two copies"]
    );
    rig.now = ms(5000);
    assert_eq!(rig.submit_with(4, unique)[0], "accept 9/4 as 1.2: two copies");
}

#[test]
fn dead_letters_are_passed_on_until_they_have_arrived() {
    let mut rig = Rig::new(|c| c.dead_letter = ExchangeName::new("morgue").ok());
    let on = "dead letter 1.1: expired, on to morgue";
    rig.submit_with(1, |s| s.deadline = Some(ms(10)));
    assert_eq!(rig.at(10), [on]);
    assert_eq!(rig.at(2009), NONE);
    assert_eq!(rig.at(2010), [on]);
    rig.fail_over();
    assert_eq!(rig.backup(Backup::Alone), [on], "the next owner goes on");
    rig.step(&TaskInput::Forwarded {
        task: TaskId(EPOCH_1 + 1),
    });
    assert_eq!(rig.at(9000), NONE);
    assert_eq!(rig.queue.view().dead, 1);
}

#[test]
fn dead_letters_beyond_the_bound_make_room_and_are_counted() {
    let mut rig = Rig::new(|_| {});
    let deadline = ms(10);
    for message in 0..=limits::DEAD_LETTERS_MAX as u64 {
        rig.submit_with(message, |s| s.deadline = Some(deadline));
    }
    rig.at(10);
    let view = rig.queue.view();
    assert_eq!((view.dead, view.figures.dropped), (limits::DEAD_LETTERS_MAX, 1));
    assert_eq!(rig.replica.figures(), Some(view.figures));
}
