//! Tests of what a queue shows.

use super::super::rig::*;
use super::super::*;
use super::*;

fn standings(rig: &Rig) -> Vec<(u64, Standing)> {
    let all = rig.queue.open_after(rig.now, TaskId::default());
    all.map(|task| (task.task.0 - EPOCH_1, task.standing)).collect()
}

#[test]
fn each_open_task_says_what_it_waits_for() {
    let mut rig = Rig::new(|config| config.ordered = true);
    let worker = worker(5, 1);
    rig.attach(worker, 1);
    rig.submit_with(1, |s| s.spec.key = "k".into());
    rig.submit_with(2, |s| s.spec.key = "k".into());
    rig.submit_with(3, |s| s.not_before = Some(ms(500)));
    rig.submit(4);
    rig.now = ms(100);
    let in_hand = Standing::InHand {
        worker,
        lease: LeaseNo(EPOCH_1 + 1),
        left: Some(Span::from_ms(900)),
    };
    let expected = [
        (1, in_hand),
        (2, Standing::Behind),
        (3, Standing::Later(Span::from_ms(400))),
        (4, Standing::Ready),
    ];
    assert_eq!(standings(&rig), expected);
    let view = rig.queue.view();
    assert_eq!((view.open, view.in_hand, view.dead, view.workers), (4, 1, 0, 1));
    let after: Vec<TaskId> = rig
        .queue
        .open_after(rig.now, TaskId(EPOCH_1 + 2))
        .map(|task| task.task)
        .collect();
    assert_eq!(
        after,
        [TaskId(EPOCH_1 + 3), TaskId(EPOCH_1 + 4)],
        "a page begins behind"
    );
}

#[test]
fn a_lease_whose_worker_was_not_told_has_no_time_yet() {
    let mut rig = Rig::new(|_| {});
    let worker = worker(5, 1);
    rig.attach(worker, 1);
    // Nothing reaches the backup.
    rig.raw(&TaskInput::Submit(submit(1, 1)));
    let [(1, Standing::InHand { left, .. })] = standings(&rig)[..] else {
        panic!("{:?}", standings(&rig));
    };
    assert_eq!(left, None);
}

/// B3: pages of dead letters, from where the last one ended.
#[test]
fn dead_letters_come_in_pages_with_what_was_said() {
    let mut rig = Rig::new(|_| {});
    let worker = worker(5, 1);
    rig.attach(worker, 1);
    for n in 1..=3 {
        rig.submit(n);
        rig.give_back(n, n, worker, Retry::Never);
    }
    let all: Vec<TaskId> = rig.queue.dead_letters().map(|letter| letter.task).collect();
    assert_eq!(all, [1, 2, 3].map(|n| TaskId(EPOCH_1 + n)));
    let mut page = rig.queue.dead_after(all[0]);
    let second = page.next().expect("a second one");
    assert_eq!((second.task, second.said.as_str()), (all[1], "no luck"));
    assert_eq!(page.count(), 1);
    assert_eq!(rig.queue.dead_after(TaskId(7)).count(), 3, "from the beginning");
}

/// How many tasks are in hand is counted beside them: it must be what a look through all of them finds.
fn in_hand(queue: &TaskQueue, now: Instant) -> usize {
    let all = queue.open_after(now, TaskId::default());
    all.filter(|task| matches!(task.standing, Standing::InHand { .. }))
        .count()
}

#[test]
fn a_glance_agrees_with_a_look_through_all_tasks_whatever_becomes_of_them() {
    let mut rig = Rig::new(|config| config.attempts = 2);
    let worker = worker(5, 1);
    let agrees = |rig: &Rig| {
        let (glance, view) = (rig.queue.glance(), rig.queue.view());
        assert_eq!(glance.in_hand, in_hand(&rig.queue, rig.now));
        assert_eq!(
            (glance.open, glance.in_hand, glance.dead, glance.figures),
            (
                view.open,
                view.in_hand,
                rig.queue.dead_letters().count(),
                view.figures
            )
        );
        (glance.open, glance.in_hand, glance.dead)
    };
    for n in 1..=4 {
        rig.submit(n);
    }
    assert_eq!(agrees(&rig), (4, 0, 0));
    rig.attach(worker, 3);
    assert_eq!(agrees(&rig), (4, 3, 0));
    rig.confirm(1, 1, worker);
    assert_eq!(agrees(&rig), (3, 3, 0), "the fourth goes out");
    rig.give_back(2, 2, worker, Retry::Never);
    assert_eq!(agrees(&rig), (2, 2, 1));
    rig.give_back(3, 3, worker, Retry::After(Span::from_ms(50)));
    assert_eq!(agrees(&rig), (2, 1, 1));
    rig.at(60);
    assert_eq!(agrees(&rig), (2, 2, 1), "given out once more");
    rig.fail_over();
    assert_eq!(agrees(&rig), (2, 2, 1), "the next owner knows who has what");
}

#[test]
fn the_oldest_open_task_goes_on_growing_old_under_the_next_owner() {
    let mut rig = Rig::new(|_| {});
    let age = |rig: &Rig| {
        let oldest = rig.queue.glance().oldest;
        oldest.map(|(at, age)| Span(age.0 + rig.now.since(at).0))
    };
    assert_eq!(age(&rig), None);
    rig.submit(1);
    rig.now = ms(200);
    rig.submit(2);
    assert_eq!(age(&rig), Some(Span::from_ms(200)));
    // A backup that gets a whole copy late, and becomes the owner: it has never seen the task come in.
    rig.backup(Backup::Alone);
    rig.replica = TaskReplica::new();
    rig.backup(Backup::On(BACKUP));
    rig.now = ms(500);
    rig.fail_over();
    assert_eq!(age(&rig), Some(Span::from_ms(500)));
}
