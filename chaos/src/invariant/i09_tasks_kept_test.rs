use squall_kernel::id::Boot;
use squall_kernel::tasks::TaskId;

use super::super::story::{at, broken, disown, ended, handler, holds, request, unknown};
use super::*;
use crate::history::QueueFrom;

fn task(t: u64, node: u64, what: TaskEvent) -> Event {
    let exchange = ExchangeId(1);
    at(t, node, What::Task { exchange, what })
}

fn accepted(t: u64, node: u64, n: u64, copies: Copies) -> Event {
    let what = TaskEvent::Accepted {
        request: request(n),
        task: TaskId(n),
        copies,
        duplicate: false,
    };
    task(t, node, what)
}

fn given(t: u64, n: u64, lease: u64) -> Event {
    let what = TaskEvent::Given {
        task: TaskId(n),
        lease: LeaseNo(lease),
        worker: handler(2),
    };
    task(t, 1, what)
}

fn completed(t: u64, n: u64, lease: u64) -> Event {
    let what = TaskEvent::Completed {
        task: TaskId(n),
        lease: LeaseNo(lease),
        worker: handler(2),
    };
    task(t, 1, what)
}

fn begins(t: u64, node: u64, epoch: u64, tasks: &[u64]) -> Event {
    let what = TaskEvent::Begins {
        epoch: Epoch(epoch),
        from: QueueFrom::Copy,
        tasks: tasks.iter().copied().map(TaskId).collect(),
    };
    task(t, node, what)
}

fn doubled(t: u64, node: u64, backup: Option<u64>) -> Event {
    let (epoch, backup) = (Epoch(1), backup.map(NodeId));
    task(t, node, TaskEvent::Doubled { epoch, backup })
}

fn copy(t: u64, node: u64, whole: bool) -> Event {
    task(t, node, TaskEvent::Copy { whole })
}

fn lost(t: u64, node: u64) -> Event {
    let (lost, before) = (NodeId(node), Boot(2));
    at(t, 3, What::Lost { lost, before })
}

/// Node 1 owns the queue, node 2 has the second copy, task 7 is in both.
fn in_two_copies() -> Vec<Event> {
    vec![
        begins(1, 1, 1, &[]),
        copy(2, 2, true),
        doubled(3, 1, Some(2)),
        accepted(4, 1, 7, Copies::Two),
    ]
}

#[test]
fn one_completion_under_the_current_lease_is_right_however_often_it_is_told() {
    let story = [
        given(1, 7, 3),
        given(2, 7, 4),
        completed(3, 7, 4),
        completed(4, 7, 4),
    ];
    holds(TasksKept::default(), &story);
}

#[test]
fn a_second_completion_is_a_breach() {
    let story = [given(1, 7, 3), completed(2, 7, 3), completed(3, 7, 4)];
    let text = broken(TasksKept::default(), &story).text;
    assert!(text.contains("was completed twice"), "{text}");
}

#[test]
fn a_completion_under_an_old_lease_is_a_breach() {
    let story = [given(1, 7, 3), given(2, 7, 4), completed(3, 7, 3)];
    let text = broken(TasksKept::default(), &story).text;
    assert!(text.contains("after lease 0.4"), "{text}");
}

#[test]
fn a_dead_task_is_not_completed() {
    let dead = task(2, 1, TaskEvent::Dead { task: TaskId(7) });
    broken(TasksKept::default(), &[given(1, 7, 3), dead, completed(3, 7, 3)]);
}

#[test]
fn an_owner_whose_right_to_act_had_only_ended_still_has_the_tasks() {
    let own = |t, epoch| {
        let (exchange, epoch) = (ExchangeId(1), Epoch(epoch));
        at(t, 1, What::Own { exchange, epoch })
    };
    let ends = |tasks: &[u64]| {
        let (epoch, tasks) = (Epoch(1), tasks.iter().copied().map(TaskId).collect());
        task(8, 1, TaskEvent::Ends { epoch, tasks })
    };
    let mut story = in_two_copies();
    story.extend([disown(5, 1, 1), own(6, 1), copy(7, 2, false), ends(&[7])]);
    holds(TasksKept::default(), &story);
    story.pop();
    story.push(ends(&[]));
    broken(TasksKept::default(), &story);
    // Of a later epoch nothing is known yet: the last copy went.
    story[5] = own(6, 2);
    unknown(TasksKept::default(), &story);
}

#[test]
fn the_backup_has_what_was_acknowledged() {
    let mut story = in_two_copies();
    story.extend([ended(5, 1), begins(6, 2, 2, &[7])]);
    holds(TasksKept::default(), &story);
    story.pop();
    story.push(begins(6, 2, 2, &[]));
    let text = broken(TasksKept::default(), &story).text;
    assert!(text.contains("is lost"), "{text}");
}

#[test]
fn a_task_is_not_lost_while_anybody_has_a_copy() {
    // Another node became the owner, and the backup was there.
    let mut story = in_two_copies();
    story.extend([ended(5, 1), begins(6, 3, 2, &[])]);
    broken(TasksKept::default(), &story);
}

#[test]
fn what_is_lost_with_owner_and_backup_is_forgiven() {
    for second in [ended(6, 2), lost(6, 2), copy(6, 2, false)] {
        let mut story = in_two_copies();
        story.extend([ended(5, 1), second, begins(7, 3, 2, &[]), completed(8, 9, 1)]);
        holds(TasksKept::default(), &story);
    }
}

#[test]
fn an_owner_that_hands_over_has_a_copy_until_it_drops_it() {
    let mut story = in_two_copies();
    story.extend([disown(5, 1, 1), copy(5, 1, true), lost(6, 2)]);
    let next = begins(8, 3, 3, &[]);
    let mut dropped = story.clone();
    story.push(next.clone());
    broken(TasksKept::default(), &story);
    dropped.extend([copy(7, 1, false), next, completed(9, 9, 1)]);
    holds(TasksKept::default(), &dropped);
}

#[test]
fn a_copy_on_which_the_owner_does_not_count_is_none() {
    let mut story = in_two_copies();
    story.extend([
        doubled(5, 1, None),
        ended(6, 1),
        begins(7, 2, 2, &[]),
        completed(8, 9, 1),
    ]);
    holds(TasksKept::default(), &story);
}

#[test]
fn of_a_single_copy_and_of_what_has_ended_nothing_is_asked() {
    let mut story = in_two_copies();
    story.extend([
        accepted(5, 1, 8, Copies::Single),
        completed(6, 7, 1),
        begins(7, 2, 2, &[]),
    ]);
    holds(TasksKept::default(), &story);
}

#[test]
fn the_end_of_the_run_is_looked_at_too() {
    let ends = |tasks: &[u64]| {
        let tasks = tasks.iter().copied().map(TaskId).collect();
        let epoch = Epoch(1);
        task(9, 1, TaskEvent::Ends { epoch, tasks })
    };
    let mut story = in_two_copies();
    story.push(ends(&[7]));
    holds(TasksKept::default(), &story);
    story.push(ends(&[8]));
    broken(TasksKept::default(), &story);
}

#[test]
fn without_completions_nothing_is_said() {
    unknown(TasksKept::default(), &in_two_copies());
}
