//! The tasks of an exchange: taken in, leased to workers, completed once. Two pure state machines: [`TaskQueue`] at the
//! exchange's owner, [`TaskReplica`] at its backup.
//!
//! What does not live here: the registry, which names owner and backup; the submitter's side; the worker's mailbox; clocks,
//! frames, and the owner's right to act, which comes in with each step as `lease_until`.
//!
//! # The life of a task
//!
//! ```text
//! submitted ──► waiting ──► in hand ──► completed
//!                  ▲  │        │
//!                  └──┼────────┤ time up, given back, worker detached, its node lost
//!                     └────────┴──► dead letter: attempts used up, deadline passed, given up by its worker
//! ```
//!
//! *Waiting*: until its time has come (a task scheduled for later, one given back with a delay), behind others of higher
//! priority, or behind an earlier one of its key where the exchange is ordered; only the first open task of a key is given
//! out there, so one that is given back with a delay holds up its key. *In hand*: leased to one worker, under a number
//! higher than any lease of the exchange before. The lease's time runs from when the worker is told, never beyond the
//! task's deadline. Workers take at most as many tasks as their credit says; among those with room the one with least in
//! hand gets the next task, unless the exchange has a scheduler that names another in time. *Completed* and *dead* tasks
//! are remembered for a while (65 536 of them), so that a late worker learns what became of its task. Dead letters are kept
//! (1000 of them, the oldest make room and are counted) and passed on to the exchange for dead letters, again and again
//! until that has taken them.
//!
//! A task may be *carried out* more than once: when a lease ends, nobody knows how far its worker came. It is *completed*
//! once: by whoever holds the lease that is current when the completion reaches the owner. Everyone else is answered
//! `Fenced`, with the number that came after.
//!
//! # Who knows what
//!
//! Every change of the queue is an entry in a stream to the backup, numbered from 1. A stream begins with a whole copy; what
//! is not acknowledged in time, or found missing, is sent again; a backup that has forgotten what it acknowledged gets a new
//! stream. Effects that depend on a change wait inside the machine until the backup has acknowledged it:
//!
//! | told | after the backup has |
//! |---|---|
//! | the submitter: accepted, two copies | the task |
//! | the worker: the task, its lease, which attempt | the lease and the attempt |
//! | the worker: confirmed, given back, extended | that |
//! | anybody: a dead letter | its death |
//!
//! Refusals go at once: they depend on nothing that could be lost. The registry's word decides who the backup is
//! ([`Backup`]). When it says that there is no other node, effects go at once, and submits are acknowledged as `single
//! copy`. While it has not named one, because the backup was lost just now, everything waits: 16 384 changes are taken in
//! meanwhile, then submits and workers are refused as overloaded, and no lease is granted.
//!
//! # What is lost when
//!
//! - *The owner*: nothing. The backup becomes the owner ([`TaskQueue::from_replica`]) with every task, lease, attempt and
//!   dead letter of which anybody was told. Leases hold on by their time: workers attach again and say what they have in
//!   hand, and complete it under the leases they have. What none of them has is leased anew, at the latest when the last
//!   worker of a node has attached. Submits that were not acknowledged may be there or not: the unique text of a submit
//!   makes it safe to send it again.
//! - *The backup*: nothing; acknowledgements wait for the next one. Until that has a whole copy ([`TaskQueue::is_doubled`])
//!   the owner's is the only one.
//! - *A worker or its node*: nothing; its tasks are leased anew at once, each as one more attempt.
//! - *Owner and backup, or an owner without one*: its tasks. The next owner says so ([`TaskEffect::Lost`]), with their number
//!   where the figures of the queue are known: a copy begins with them. Of a copy that was not whole yet what had come is
//!   saved.
//!
//! In a move the whole queue travels, effects that wait included ([`QueueState`]). The backup keeps its old copy until the one
//! of the new owner is whole, if the new owner knows it for as good; where the backup becomes the owner, or has no whole
//! copy itself, the old owner becomes the backup in the same way ([`TaskQueue::into_replica`]). So a move costs no second copy at any time. Three rules
//! are the registry's and its nodes' to keep: a backup that is up is not replaced before the new one has a whole copy, but by
//! a move; a node that is not named as backup any more drops its copy; failover prefers the backup.

mod change;
mod copying;
mod duties;
mod effect;
mod granting;
mod input;
mod line;
mod moving;
mod number;
mod pool;
mod replica;
mod room;
mod scheduling;
mod settling;
mod store;
mod viewing;

use alloc::vec::Vec;

use crate::id::{Epoch, NodeId};
use crate::limits;
use crate::planted::{self, Bug};
use crate::reason::{DeadReason, LeaseEnd, NoReply};
use crate::time::{Instant, Span};

pub use change::{Answer, Batch, Change, DeadLetter, End, Figures, FinishedRecord, Spec, TaskRecord};
use copying::Copying;
pub use effect::{Copies, Delivery, SettleResult, TaskEffect};
pub use input::{Backup, Retry, Submit, TaskConfig, TaskInput};
use line::Line;
pub use moving::{QueueState, WorkerRecord};
pub use number::{CopyId, EntryNo, LeaseNo, NoPriority, Priority, StreamNo, TaskId};
use pool::Pool;
pub use replica::TaskReplica;
use room::Held;
pub use room::{Bound, Overflow};
pub use scheduling::{Candidate, Chosen, Scheduling, WhoGets};
use store::Store;
pub use viewing::{Glance, QueueView, Standing, TaskView};

/// The owner's right to act: only [`TaskQueue::right`] makes it.
struct Right(());

/// The tasks of an exchange at its owner.
#[derive(Debug, Clone)]
pub struct TaskQueue {
    config: TaskConfig,
    store: Store,
    line: Line,
    pool: Pool,
    copying: Copying,
    /// It has moved away, or a backup knows of a later owner.
    over: bool,
    /// When dead letters that nobody has taken are passed on again.
    forward_at: Option<Instant>,
    /// What the scheduler was asked, and said.
    scheduling: Scheduling,
    /// Submits that wait for room.
    held: Held,
    overflow: Overflow,
}

impl TaskQueue {
    /// The queue of an exchange that has never had an owner.
    #[must_use]
    pub fn new(config: TaskConfig) -> Self {
        let copying = Copying::new(config.epoch);
        Self {
            store: Store::default(),
            line: Line::new(config.ordered),
            pool: Pool::default(),
            copying,
            over: false,
            forward_at: None,
            scheduling: Scheduling::default(),
            held: Held::default(),
            overflow: Overflow::default(),
            config,
        }
    }

    /// Steps the queue; effects are appended to `out`. The owner may act until `lease_until`: without that right nothing is
    /// answered but refusals.
    pub fn step(&mut self, now: Instant, lease_until: Instant, input: &TaskInput, out: &mut Vec<TaskEffect>) {
        let right = self.right(now, lease_until);
        match (input, &right) {
            (TaskInput::Submit(submit), Ok(right)) => self.submit(right, now, submit, out),
            (TaskInput::Submit(submit), Err(reason)) => out.push(refused(submit, *reason)),
            (
                TaskInput::Confirm { task, lease, worker }
                | TaskInput::GiveBack {
                    task, lease, worker, ..
                }
                | TaskInput::Extend {
                    task, lease, worker, ..
                },
                right,
            ) => {
                let result = match right {
                    Ok(right) => self.settle(right, now, input),
                    Err(reason) => Some(SettleResult::Refused(*reason)),
                };
                out.extend(result.map(|result| TaskEffect::Settled {
                    worker: *worker,
                    task: *task,
                    lease: *lease,
                    result,
                }));
            }
            _ if self.over => {}
            _ => self.note(now, input),
        }
        if self.over {
            self.send_on(out);
        } else if let Ok(right) = right {
            self.drive(&right, now, out);
        }
    }

    fn right(&self, now: Instant, lease_until: Instant) -> Result<Right, NoReply> {
        if self.over {
            Err(NoReply::Moved)
        } else if now >= lease_until {
            Err(NoReply::NoQuorum)
        } else {
            Ok(Right(()))
        }
    }

    /// Epoch of this ownership.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.config.epoch
    }

    /// Every acknowledged task is at two nodes: whoever holds one of the two copies may go.
    #[must_use]
    pub fn is_doubled(&self) -> bool {
        self.copying.is_doubled()
    }

    /// The backup, where it has a copy that is counted on.
    #[must_use]
    pub fn doubled_at(&self) -> Option<NodeId> {
        match self.copying.backup() {
            Backup::On(node) if self.is_doubled() => Some(node),
            Backup::On(_) | Backup::Awaited | Backup::Alone => None,
        }
    }

    /// Every task it knows, ascending: open ones, and those whose end it remembers.
    #[must_use]
    pub fn known(&self) -> Vec<TaskId> {
        let mut known: Vec<TaskId> = self.store.known().collect();
        known.sort_unstable();
        known
    }

    /// When the queue next needs a `Tick`, if it waits for something. A tick without the right to act changes nothing: then
    /// one is needed a little later, until the right is back.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        [
            self.line.next_timeout(),
            self.copying.next_timeout(),
            self.forward_at,
            self.pool.next_timeout(),
            self.held.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn submit(&mut self, right: &Right, now: Instant, submit: &Submit, out: &mut Vec<TaskEffect>) {
        let epoch = self.config.epoch;
        let refusal = if submit.epoch > epoch {
            Some(NoReply::Moved)
        } else if submit.epoch < epoch {
            Some(NoReply::Fenced)
        } else if submit.deadline.is_some_and(|at| now >= at) {
            Some(NoReply::Timeout)
        } else if self.copying.is_full() {
            Some(NoReply::Rejected)
        } else {
            None
        };
        let same = self.store.same(now, &submit.spec.unique);
        if let Some(reason) = refusal {
            out.push(refused(submit, reason));
        } else if let Some(task) = same {
            self.acknowledge(submit, task, true, out);
        } else if self.has_room(submit) {
            self.enter(right, now, submit, out);
        } else {
            self.overflows(right, now, submit, out);
        }
    }

    /// A task for which there is room comes in.
    fn enter(&mut self, _right: &Right, now: Instant, submit: &Submit, out: &mut Vec<TaskEffect>) {
        let task = self.take_in(now, submit);
        self.acknowledge(submit, task, false, out);
    }

    fn take_in(&mut self, now: Instant, submit: &Submit) -> TaskId {
        let task = self.store.latest_task.next(self.config.epoch);
        let record = TaskRecord {
            task,
            submitter: submit.submitter,
            spec: submit.spec.clone(),
            wait: submit.not_before.map_or(Span::ZERO, |at| at.since(now)),
            left: submit.deadline.map(|at| at.since(now)),
            attempts: 0,
            lease: LeaseNo::default(),
            holder: None,
            said: Default::default(),
            age: Span::ZERO,
        };
        self.change(now, Change::Submitted(record));
        task
    }

    /// The submitter is told when the backup has the task.
    fn acknowledge(&mut self, submit: &Submit, task: TaskId, duplicate: bool, out: &mut Vec<TaskEffect>) {
        let accepted = TaskEffect::Accepted {
            submitter: submit.submitter,
            task,
            copies: Copies::Two,
            duplicate,
        };
        if planted::is(Bug::AcknowledgeTaskBeforeBackup) {
            out.push(accepted);
        } else {
            self.copying.hold(accepted);
        }
    }

    /// The one way to change anything: the store, all indexes, and the backup's copy.
    fn change(&mut self, now: Instant, change: Change) {
        let task = change.task();
        let before = task.and_then(|id| self.store.task(id)?.holder);
        self.store.apply(now, &change);
        if let Some(id) = task {
            let after = self.store.task(id).and_then(|t| t.holder);
            if before.map(|h| h.worker) != after.map(|h| h.worker) {
                if let Some(holder) = before {
                    self.pool.put_down(holder.worker, id);
                }
                if let Some(holder) = after {
                    self.pool.take(holder.worker, id);
                }
            }
            self.place(now, id);
        }
        self.copying.push(change);
    }

    /// Puts a task where it belongs in the line.
    fn place(&mut self, now: Instant, id: TaskId) {
        if let Some(next) = self.line.set(now, id, self.store.task(id)) {
            self.line.set(now, next, self.store.task(next));
        }
    }
}

fn refused(submit: &Submit, reason: NoReply) -> TaskEffect {
    TaskEffect::Refused {
        submitter: submit.submitter,
        reason,
    }
}

#[cfg(test)]
#[path = "tasks/rig.rs"]
mod rig;
#[cfg(test)]
#[path = "tasks_test.rs"]
mod tests;
