//! How a lease ends: a completion, a task given back, time that is up; and how a task ends without a completion.

use alloc::string::String;

use super::{
    Bug, Change, DeadLetter, DeadReason, End, LeaseEnd, LeaseNo, NoReply, Retry, Right, SettleResult, Span,
    TaskEffect, TaskId, TaskInput, TaskQueue, limits, planted,
};
use crate::id::Pid;
use crate::time::Instant;

impl TaskQueue {
    /// A worker's word about a task. What changes something is answered when the backup knows it; the rest at once.
    pub(super) fn settle(&mut self, _right: &Right, now: Instant, input: &TaskInput) -> Option<SettleResult> {
        let (TaskInput::Confirm { task, lease, worker }
        | TaskInput::GiveBack {
            task, lease, worker, ..
        }
        | TaskInput::Extend {
            task, lease, worker, ..
        }) = input
        else {
            return None;
        };
        let result = match self.verdict(*task, *lease, *worker) {
            _ if self.copying.is_full() => return Some(SettleResult::Refused(NoReply::Rejected)),
            Ok(()) => self.carry_out(now, *task, input),
            Err(_) if is_counted_twice(input) => self.carry_out(now, *task, input),
            Err(SettleResult::AlreadyConfirmed) => SettleResult::AlreadyConfirmed,
            Err(other) => return Some(other),
        };
        self.copying.hold(TaskEffect::Settled {
            worker: *worker,
            task: *task,
            lease: *lease,
            result,
        });
        None
    }

    /// Only the holder of a task's current lease decides about it.
    pub(super) fn verdict(&self, task: TaskId, lease: LeaseNo, worker: Pid) -> Result<(), SettleResult> {
        if let Some(open) = self.store.task(task) {
            let holds = open.lease == lease && open.holder.is_some_and(|holder| holder.worker == worker);
            return if holds {
                Ok(())
            } else {
                Err(SettleResult::Fenced { seen: open.lease })
            };
        }
        Err(match self.store.finished(task) {
            Some(finished) => match finished.end {
                End::Confirmed if finished.lease == lease => SettleResult::AlreadyConfirmed,
                End::Confirmed => SettleResult::Fenced { seen: finished.lease },
                End::Dead(reason) => SettleResult::Dead(reason),
            },
            None => SettleResult::Unknown,
        })
    }

    fn carry_out(&mut self, now: Instant, task: TaskId, input: &TaskInput) -> SettleResult {
        match input {
            TaskInput::GiveBack {
                retry: Retry::Unseen,
                worker,
                ..
            } => {
                self.unseen(now, task, *worker);
                SettleResult::GivenBack
            }
            TaskInput::GiveBack { said, retry, .. } => {
                self.give_back(now, task, cut(said), *retry);
                SettleResult::GivenBack
            }
            TaskInput::Extend { by, .. } => {
                let deadline = self.store.task(task).and_then(|t| t.deadline);
                let most = deadline.map_or(limits::TASK_WAIT_MAX, |at| {
                    at.since(now).min(limits::TASK_WAIT_MAX)
                });
                let length = (*by).min(most);
                self.change(now, Change::Extended { task, length });
                SettleResult::Extended { length }
            }
            _ => {
                let unique_for = self.config.unique_for;
                self.change(now, Change::Confirmed { task, unique_for });
                SettleResult::Confirmed
            }
        }
    }

    fn give_back(&mut self, now: Instant, task: TaskId, said: String, retry: Retry) {
        let attempts = self.store.task(task).map_or(1, |t| t.attempts);
        let wait = match retry {
            Retry::AtOnce | Retry::Unseen => Span::ZERO,
            Retry::After(span) => span.min(limits::TASK_WAIT_MAX),
            Retry::Backoff => doubled(self.config.backoff, attempts),
            Retry::Never => return self.bury(now, task, DeadReason::GivenUp, said),
        };
        self.put_back(now, task, LeaseEnd::GivenBack, wait, said);
    }

    /// The worker was told of more than it takes, or not at all. The task was not tried; the worker is left alone for a
    /// while, so that the two do not go round and round.
    fn unseen(&mut self, now: Instant, task: TaskId, worker: Pid) {
        let said = self.said(task);
        self.pool.pause(worker, now + limits::UNSEEN_PAUSE);
        let returned = Change::Returned {
            task,
            why: LeaseEnd::Unseen,
            wait: Span::ZERO,
            said,
        };
        self.change(now, returned);
    }

    /// A lease is over without its worker's word: the task goes to another one at once.
    pub(super) fn end_lease(&mut self, now: Instant, task: TaskId, why: LeaseEnd) {
        let said = self.said(task);
        self.tell_of_end(task, why, |queue| {
            queue.put_back(now, task, why, Span::ZERO, said);
        });
    }

    /// The task's deadline has passed, in hand or not.
    pub(super) fn expire(&mut self, now: Instant, task: TaskId) {
        let said = self.said(task);
        self.tell_of_end(task, LeaseEnd::Expired, |queue| {
            queue.bury(now, task, DeadReason::Expired, said);
        });
    }

    /// Whoever had the task in hand is told, after the change that ended the lease.
    fn tell_of_end(&mut self, task: TaskId, why: LeaseEnd, end: impl FnOnce(&mut Self)) {
        let open = self.store.task(task);
        let holder = open.and_then(|t| Some((t.holder?.worker, t.lease)));
        end(self);
        if let Some((worker, lease)) = holder {
            self.copying.hold(TaskEffect::LeaseEnded {
                worker,
                task,
                lease,
                why,
            });
        }
    }

    fn put_back(&mut self, now: Instant, task: TaskId, why: LeaseEnd, wait: Span, said: String) {
        let Some(open) = self.store.task(task) else {
            return;
        };
        if open.attempts >= open.limit(self.config.attempts) {
            self.bury(now, task, DeadReason::Attempts, said);
        } else {
            let returned = Change::Returned {
                task,
                why,
                wait,
                said,
            };
            self.change(now, returned);
        }
    }

    /// What the last worker said that gave the task back.
    pub(super) fn said(&self, task: TaskId) -> String {
        self.store.task(task).map_or_else(String::new, |t| t.said.clone())
    }

    /// The task is a dead letter from now on.
    pub(super) fn bury(&mut self, now: Instant, task: TaskId, reason: DeadReason, said: String) {
        let Some(open) = self.store.task(task) else {
            return;
        };
        let to_forward = self.config.dead_letter.is_some();
        let letter = DeadLetter {
            task,
            submitter: open.submitter,
            spec: open.spec.clone(),
            attempts: open.attempts,
            reason,
            said: said.clone(),
            to_forward,
        };
        let died = Change::Died {
            task,
            reason,
            said,
            to_forward,
        };
        self.change(now, died);
        self.copying.hold(TaskEffect::DeadLettered {
            letter,
            forward_to: self.config.dead_letter.clone(),
        });
    }
}

fn is_counted_twice(input: &TaskInput) -> bool {
    planted::is(Bug::SecondCompletionAccepted) && matches!(input, TaskInput::Confirm { .. })
}

/// First wait, doubled with every attempt after the first.
fn doubled(first: Span, attempts: u32) -> Span {
    let times = 1u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    Span(first.0.saturating_mul(times)).min(limits::TASK_WAIT_MAX)
}

fn cut(said: &str) -> String {
    let mut end = said.len().min(limits::GIVE_BACK_TEXT_BYTES_MAX);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    said[..end].into()
}
