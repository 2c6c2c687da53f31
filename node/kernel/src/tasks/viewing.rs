//! What a queue shows of itself to people: figures, open tasks with what they wait for, dead letters. What does not live
//! here: anything that changes it.

use alloc::string::String;

use bytes::Bytes;

use super::change::{DeadLetter, Figures};
use super::input::Backup;
use super::line::Spot;
use super::number::{LeaseNo, Priority, TaskId};
use super::store::Task;
use super::{Scheduling, TaskQueue};
use crate::id::Pid;
use crate::time::{Instant, Span};

/// What a queue is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueView {
    /// What it has been through.
    pub figures: Figures,
    /// Open tasks.
    pub open: usize,
    /// Of those, tasks that a worker has in hand.
    pub in_hand: usize,
    /// Dead letters kept.
    pub dead: usize,
    /// Workers attached.
    pub workers: usize,
    /// Who holds the second copy.
    pub backup: Backup,
    /// Every acknowledged task is at two nodes.
    pub doubled: bool,
    /// Changes that the backup has not acknowledged.
    pub pending: u64,
    /// Effects that wait for that.
    pub waiting: usize,
}

/// As much of a queue as is to be had without looking through its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// What it has been through.
    pub figures: Figures,
    /// Open tasks.
    pub open: usize,
    /// Of those, tasks that a worker has in hand.
    pub in_hand: usize,
    /// Dead letters kept.
    pub dead: usize,
    /// Of the open task that was submitted first: a moment, and how old it was then.
    pub oldest: Option<(Instant, Span)>,
}

/// An open task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// Number.
    pub task: TaskId,
    /// Key; empty without one.
    pub key: Bytes,
    /// Group of workers that may have it; empty for all.
    pub service_tag: Bytes,
    /// Priority.
    pub priority: Priority,
    /// Bytes of the payload.
    pub payload_bytes: usize,
    /// Leases it has had.
    pub attempts: u32,
    /// Leases it may have.
    pub attempts_max: u32,
    /// Time until its deadline.
    pub deadline: Option<Span>,
    /// What the last worker said that gave it back.
    pub said: String,
    /// What it waits for.
    pub standing: Standing,
}

/// What an open task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A worker with room.
    Ready,
    /// That time to pass.
    Later(Span),
    /// An earlier task of its key.
    Behind,
    /// The scheduler's word.
    Asked,
    /// Its worker.
    InHand {
        /// Who has it.
        worker: Pid,
        /// Under which lease.
        lease: LeaseNo,
        /// Time until that ends; none while the worker has not been told, for the time does not run before that.
        left: Option<Span>,
    },
}

impl TaskQueue {
    /// What it is like now, in a time that does not grow with its tasks.
    #[must_use]
    pub fn glance(&self) -> Glance {
        Glance {
            figures: self.store.figures,
            open: self.store.len(),
            in_hand: self.store.in_hand(),
            dead: self.store.dead_len(),
            oldest: self.store.oldest(),
        }
    }

    /// What it is like now, with all that people want to know.
    #[must_use]
    pub fn view(&self) -> QueueView {
        let (pending, waiting) = self.copying.pending();
        QueueView {
            figures: self.store.figures,
            open: self.store.len(),
            in_hand: self.store.in_hand(),
            dead: self.store.dead_len(),
            workers: self.pool.len(),
            backup: self.copying.backup(),
            doubled: self.is_doubled(),
            pending,
            waiting,
        }
    }

    /// What became of questions to the scheduler.
    #[must_use]
    pub fn scheduling(&self) -> Scheduling {
        self.scheduling
    }

    /// Open tasks after that one, as they were submitted; all of them after number 0.
    pub fn open_after(&self, now: Instant, after: TaskId) -> impl Iterator<Item = TaskView> {
        let open = self.store.open_after(after);
        open.map(move |(id, task)| self.seen(now, id, task))
    }

    /// Dead letters kept, oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.store.dead()
    }

    /// Dead letters after that one, oldest first; all of them when it is not kept.
    pub fn dead_after(&self, after: TaskId) -> impl Iterator<Item = &DeadLetter> {
        let place = self.store.dead().position(|letter| letter.task == after);
        self.store.dead().skip(place.map_or(0, |place| place + 1))
    }

    /// How often a task is leased at most that said so many.
    #[must_use]
    pub fn attempts_max(&self, own: u32) -> u32 {
        if own == 0 {
            self.config.attempts.max(1)
        } else {
            own
        }
    }

    fn seen(&self, now: Instant, id: TaskId, task: &Task) -> TaskView {
        TaskView {
            task: id,
            key: task.spec.key.clone(),
            service_tag: task.spec.service_tag.clone(),
            priority: task.spec.priority,
            payload_bytes: task.spec.payload.len(),
            attempts: task.attempts,
            attempts_max: task.limit(self.config.attempts),
            deadline: task.deadline.map(|at| at.since(now)),
            said: task.said.clone(),
            standing: self.standing(now, id, task),
        }
    }

    fn standing(&self, now: Instant, id: TaskId, task: &Task) -> Standing {
        if let Some(holder) = task.holder {
            return Standing::InHand {
                worker: holder.worker,
                lease: task.lease,
                left: holder.told.then(|| holder.until.since(now)),
            };
        }
        match self.line.spot_of(id) {
            Some(Spot::Behind) => Standing::Behind,
            Some(Spot::Asked(_)) => Standing::Asked,
            Some(Spot::Later(at)) if at > now => Standing::Later(at.since(now)),
            _ => Standing::Ready,
        }
    }
}

#[cfg(test)]
#[path = "viewing_test.rs"]
mod tests;
