//! The tasks themselves: open, finished, dead. Changed by [`Change`]s alone, and by the same ones in the same order at the
//! owner and at its backup.
//!
//! What does not live here: which change comes next (the queue), and indexes by which the owner finds it (`line`, `pool`).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use core::ops::Bound;

use bytes::Bytes;

use super::change::{Change, DeadLetter, End, Figures, FinishedRecord, Spec, TaskRecord};
use super::number::{CopyId, LeaseNo, TaskId};
use crate::exchange::RequestKey;
use crate::id::Pid;
use crate::limits;
use crate::reason::{DeadReason, LeaseEnd};
use crate::time::{Instant, Span};

/// Who has a task in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) worker: Pid,
    pub(super) until: Instant,
    /// The worker has been told. The lease's time does not run before that.
    pub(super) told: bool,
}

/// An open task.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) submitter: RequestKey,
    pub(super) spec: Spec,
    pub(super) not_before: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) attempts: u32,
    /// Latest lease; 0 before the first.
    pub(super) lease: LeaseNo,
    pub(super) holder: Option<Holder>,
    pub(super) said: String,
    /// Since when it is known here, and how old it was then.
    known: (Instant, Span),
}

/// A finished task.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) lease: LeaseNo,
    pub(super) end: End,
    unique: Bytes,
    unique_until: Instant,
}

/// The tasks of one exchange.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    pub(super) figures: Figures,
    pub(super) latest_task: TaskId,
    pub(super) latest_lease: LeaseNo,
    open: BTreeMap<TaskId, Task>,
    open_bytes: usize,
    /// Open tasks that have a holder.
    in_hand: usize,
    dead: VecDeque<DeadLetter>,
    dead_bytes: usize,
    finished: BTreeMap<TaskId, Finished>,
    /// Numbers of the finished ones, oldest first.
    finished_order: VecDeque<TaskId>,
    /// Open and finished tasks by their unique text.
    unique: BTreeMap<Bytes, TaskId>,
}

impl Store {
    pub(super) fn task(&self, task: TaskId) -> Option<&Task> {
        self.open.get(&task)
    }

    pub(super) fn finished(&self, task: TaskId) -> Option<&Finished> {
        self.finished.get(&task)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.open.iter().map(|(id, task)| (*id, task))
    }

    /// Open tasks after that one, as they were submitted.
    pub(super) fn open_after(&self, after: TaskId) -> impl Iterator<Item = (TaskId, &Task)> {
        let range = self.open.range((Bound::Excluded(after), Bound::Unbounded));
        range.map(|(id, task)| (*id, task))
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Open tasks that a worker has in hand.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// Dead letters kept.
    pub(super) fn dead_len(&self) -> usize {
        self.dead.len()
    }

    /// Since when the oldest open task is known here, and how old it was then.
    pub(super) fn oldest(&self) -> Option<(Instant, Span)> {
        self.open.first_key_value().map(|(_, task)| task.known)
    }

    /// Open tasks, and those whose end is remembered.
    pub(super) fn known(&self) -> impl Iterator<Item = TaskId> {
        self.open.keys().chain(self.finished.keys()).copied()
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }

    /// A task of that size finds room, where so many may be open.
    pub(super) fn has_room(&self, bytes: usize, tasks: usize) -> bool {
        self.open.len() < tasks.min(limits::TASKS_MAX) && self.open_bytes + bytes <= limits::TASK_BYTES_MAX
    }

    /// The task that a submit with that unique text means.
    pub(super) fn same(&self, now: Instant, unique: &Bytes) -> Option<TaskId> {
        let task = *self.unique.get(unique)?;
        let remembered = self.finished.get(&task).map(|f| f.unique_until);
        remembered.is_none_or(|until| now < until).then_some(task)
    }

    /// Marks whether the holder of a task has been told of it, and until when its lease holds.
    pub(super) fn arm(&mut self, task: TaskId, told: bool, until: Option<Instant>) {
        if let Some(holder) = self.open.get_mut(&task).and_then(|t| t.holder.as_mut()) {
            holder.told = told;
            holder.until = until.unwrap_or(holder.until);
        }
    }

    /// Applies a change. One that does not fit changes nothing.
    pub(super) fn apply(&mut self, now: Instant, change: &Change) {
        match change {
            Change::Begin {
                figures, task, lease, ..
            } => {
                *self = Self {
                    figures: *figures,
                    latest_task: *task,
                    latest_lease: *lease,
                    ..Self::default()
                };
            }
            Change::Restored(record) => self.enter(now, record),
            Change::RestoredDead(letter) => self.bury(letter.clone()),
            Change::RestoredFinished(record) => self.remember(now, record),
            Change::Whole => {}
            Change::Submitted(record) => {
                self.figures.submitted += 1;
                self.latest_task = self.latest_task.max(record.task);
                self.enter(now, record);
            }
            Change::Confirmed { task, unique_for } => {
                if let Some(gone) = self.remove(*task) {
                    self.figures.confirmed += 1;
                    self.remember(
                        now,
                        &FinishedRecord {
                            task: *task,
                            lease: gone.lease,
                            end: End::Confirmed,
                            unique: gone.spec.unique,
                            unique_left: *unique_for,
                        },
                    );
                }
            }
            Change::Died {
                task,
                reason,
                said,
                to_forward,
            } => self.die(now, *task, *reason, said, *to_forward),
            Change::Forwarded { task } => {
                if let Some(letter) = self.dead.iter_mut().find(|l| l.task == *task) {
                    letter.to_forward = false;
                }
            }
            Change::Lost { tasks } => self.figures.lost += tasks,
            Change::LostUnknown => self.figures.lost_unknown += 1,
            Change::Leased { .. } | Change::Extended { .. } | Change::Returned { .. } => {
                self.change_hands(now, change);
            }
        }
    }

    fn change_hands(&mut self, now: Instant, change: &Change) {
        let Some(task) = change.task().and_then(|task| self.open.get_mut(&task)) else {
            return;
        };
        match change {
            Change::Leased {
                lease,
                worker,
                length,
                ..
            } => {
                self.figures.leased += 1;
                self.latest_lease = self.latest_lease.max(*lease);
                task.attempts += 1;
                task.lease = *lease;
                let before = task.holder.replace(Holder {
                    worker: *worker,
                    until: now + *length,
                    told: false,
                });
                self.in_hand += usize::from(before.is_none());
            }
            Change::Extended { length, .. } => {
                if let Some(holder) = &mut task.holder {
                    holder.until = now + *length;
                }
            }
            Change::Returned { why, wait, said, .. } => {
                self.figures.returned += 1;
                if *why == LeaseEnd::Unseen {
                    task.attempts = task.attempts.saturating_sub(1);
                }
                self.in_hand -= usize::from(task.holder.take().is_some());
                task.not_before = now + *wait;
                task.said.clone_from(said);
            }
            _ => {}
        }
    }

    fn enter(&mut self, now: Instant, record: &TaskRecord) {
        if !record.spec.unique.is_empty() {
            self.unique.insert(record.spec.unique.clone(), record.task);
        }
        self.open_bytes += record.spec.bytes();
        let task = Task {
            submitter: record.submitter,
            spec: record.spec.clone(),
            not_before: now + record.wait,
            deadline: record.left.map(|left| now + left),
            attempts: record.attempts,
            lease: record.lease,
            holder: record.holder.map(|(worker, left)| Holder {
                worker,
                until: now + left,
                told: true,
            }),
            said: record.said.clone(),
            known: (now, record.age),
        };
        self.in_hand += usize::from(task.holder.is_some());
        if let Some(before) = self.open.insert(record.task, task) {
            self.open_bytes -= before.spec.bytes();
            self.in_hand -= usize::from(before.holder.is_some());
        }
    }

    fn remove(&mut self, task: TaskId) -> Option<Task> {
        let gone = self.open.remove(&task)?;
        self.open_bytes -= gone.spec.bytes();
        self.in_hand -= usize::from(gone.holder.is_some());
        Some(gone)
    }

    fn die(&mut self, now: Instant, task: TaskId, reason: DeadReason, said: &str, to_forward: bool) {
        let Some(gone) = self.remove(task) else {
            return;
        };
        self.figures.dead += 1;
        self.figures.returned += u64::from(gone.holder.is_some());
        if self.unique.get(&gone.spec.unique) == Some(&task) {
            self.unique.remove(&gone.spec.unique);
        }
        self.remember(
            now,
            &FinishedRecord {
                task,
                lease: gone.lease,
                end: End::Dead(reason),
                unique: Bytes::new(),
                unique_left: Span::ZERO,
            },
        );
        self.bury(DeadLetter {
            task,
            submitter: gone.submitter,
            spec: gone.spec,
            attempts: gone.attempts,
            reason,
            said: said.into(),
            to_forward,
        });
    }

    fn bury(&mut self, letter: DeadLetter) {
        self.dead_bytes += letter.spec.bytes();
        self.dead.push_back(letter);
        while self.dead.len() > limits::DEAD_LETTERS_MAX || self.dead_bytes > limits::DEAD_LETTER_BYTES_MAX {
            let Some(oldest) = self.dead.pop_front() else {
                return;
            };
            self.dead_bytes -= oldest.spec.bytes();
            self.figures.dropped += 1;
        }
    }

    fn remember(&mut self, now: Instant, record: &FinishedRecord) {
        if !record.unique.is_empty() {
            self.unique.insert(record.unique.clone(), record.task);
        }
        let finished = Finished {
            lease: record.lease,
            end: record.end,
            unique: record.unique.clone(),
            unique_until: now + record.unique_left,
        };
        if self.finished.insert(record.task, finished).is_none() {
            self.finished_order.push_back(record.task);
        }
        while self.finished_order.len() > limits::FINISHED_TASKS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.finished_order.pop_front() else {
            return;
        };
        if let Some(gone) = self.finished.remove(&oldest)
            && self.unique.get(&gone.unique) == Some(&oldest)
        {
            self.unique.remove(&gone.unique);
        }
    }

    /// The whole of it as changes, from `Begin` to `Whole`.
    pub(super) fn copy(&self, now: Instant, keeps: Option<CopyId>) -> impl Iterator<Item = Change> {
        let begin = Change::Begin {
            keeps,
            figures: self.figures,
            task: self.latest_task,
            lease: self.latest_lease,
        };
        let finished = self.finished_order.iter().filter_map(move |task| {
            let finished = self.finished.get(task)?;
            Some(Change::RestoredFinished(finished.record(now, *task)))
        });
        let dead = self.dead.iter().cloned().map(Change::RestoredDead);
        let open = self
            .open
            .iter()
            .map(move |(id, task)| Change::Restored(task.record(now, *id)));
        core::iter::once(begin)
            .chain(finished)
            .chain(dead)
            .chain(open)
            .chain(core::iter::once(Change::Whole))
    }
}

impl Task {
    /// How often it may be leased.
    pub(super) fn limit(&self, default: u32) -> u32 {
        let own = self.spec.attempts;
        if own == 0 { default.max(1) } else { own }
    }

    /// Time since it was submitted, as far as nodes' clocks tell: on its way to another node it grows no older.
    fn age(&self, now: Instant) -> Span {
        let (since, age) = self.known;
        Span(age.0.saturating_add(now.since(since).0))
    }

    fn record(&self, now: Instant, task: TaskId) -> TaskRecord {
        TaskRecord {
            task,
            submitter: self.submitter,
            spec: self.spec.clone(),
            wait: self.not_before.since(now),
            left: self.deadline.map(|at| at.since(now)),
            attempts: self.attempts,
            lease: self.lease,
            holder: self.holder.map(|h| (h.worker, h.until.since(now))),
            said: self.said.clone(),
            age: self.age(now),
        }
    }
}

impl Finished {
    fn record(&self, now: Instant, task: TaskId) -> FinishedRecord {
        FinishedRecord {
            task,
            lease: self.lease,
            end: self.end,
            unique: self.unique.clone(),
            unique_left: self.unique_until.since(now),
        }
    }
}
