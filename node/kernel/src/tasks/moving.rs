//! A queue changes its owner: in a move, with what travels then, and after the owner was lost.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::replica::OWN_COPY;
use super::store::Store;
use super::{Change, CopyId, Figures, LeaseNo, TaskConfig, TaskEffect, TaskId, TaskQueue, TaskReplica};
use crate::id::{NodeId, Pid};
use crate::time::Instant;

/// What travels to the next owner in a move. It may be as large as the queue: cut into pieces to send it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// The whole queue, as a stream to a backup begins.
    pub copy: Vec<Change>,
    /// Workers attached.
    pub workers: Vec<WorkerRecord>,
    /// Effects that wait for a backup.
    pub waiting: Vec<TaskEffect>,
    /// Copies elsewhere that have everything anybody was told of.
    pub copies: Vec<(NodeId, CopyId)>,
    /// The backup has one of them.
    pub doubled: bool,
}

/// A worker on its way to the next owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Worker.
    pub worker: Pid,
    /// Its group.
    pub service_tag: Bytes,
    /// How many tasks it takes in hand.
    pub credit: u32,
}

impl TaskQueue {
    /// It moves: from here on everything is refused as moved. What is returned makes the next owner's queue, or this node's
    /// own again when the move is cancelled ([`TaskQueue::from_state`]).
    pub fn leave(&mut self, now: Instant) -> QueueState {
        self.over = true;
        let (waiting, mut copies) = self.copying.waiting();
        copies.push((self.config.node, self.own_copy()));
        QueueState {
            copy: self.store.copy(now, None).collect(),
            workers: self.pool.records(),
            waiting,
            copies,
            doubled: self.is_doubled(),
        }
    }

    /// After [`TaskQueue::leave`]: this node becomes the backup of the next owner. Until that has sent it a whole copy it has
    /// one already.
    #[must_use]
    pub fn into_replica(self) -> TaskReplica {
        TaskReplica::of_owner(self.own_copy(), self.store)
    }

    fn own_copy(&self) -> CopyId {
        CopyId {
            epoch: self.config.epoch,
            stream: OWN_COPY,
        }
    }

    /// The next owner's queue after a move: goes on where the one before stopped.
    #[must_use]
    pub fn from_state(config: TaskConfig, now: Instant, state: QueueState) -> Self {
        let mut store = Store::default();
        for change in &state.copy {
            store.apply(now, change);
        }
        for effect in &state.waiting {
            if let TaskEffect::Deliver(delivery) = effect {
                store.arm(delivery.task, false, None);
            }
        }
        let mut queue = Self::over(config, now, store);
        for worker in &state.workers {
            queue
                .pool
                .attach(worker.worker, &worker.service_tag, worker.credit);
        }
        queue.copying.resume(state.waiting, state.copies);
        queue
    }

    /// The next owner's queue after a failover, from the copy at this node. Leases hold on: workers attach again and say
    /// what they have in hand.
    #[must_use]
    pub fn from_replica(config: TaskConfig, now: Instant, replica: TaskReplica) -> Self {
        let told = replica.figures();
        let Some(legacy) = replica.into_legacy() else {
            return Self::after_loss(config, now, told);
        };
        let mut store = legacy.store;
        // A worker may not have been told of its lease; whoever was will say so, and for the others its time runs.
        let held: Vec<TaskId> = store
            .open()
            .filter(|(_, task)| task.holder.is_some())
            .map(|(id, _)| id)
            .collect();
        for task in held {
            store.arm(task, true, None);
        }
        let mut queue = Self::over(config, now, store);
        queue.lose(now, legacy.lost);
        queue
    }

    /// The next owner's queue when no copy is left. `told` is what this node last heard of the queue, if anything.
    #[must_use]
    pub fn after_loss(config: TaskConfig, now: Instant, told: Option<Figures>) -> Self {
        let mut queue = Self::new(config);
        match told {
            Some(figures) => {
                queue.store.figures = figures;
                queue.lose(now, figures.open());
            }
            None => {
                queue.copying.hold(TaskEffect::Lost { acknowledged: None });
                queue.change(now, Change::LostUnknown);
            }
        }
        queue
    }

    /// Told at once: it depends on nothing that could still be lost.
    fn lose(&mut self, now: Instant, tasks: u64) {
        if tasks > 0 {
            self.copying.hold(TaskEffect::Lost {
                acknowledged: Some(tasks),
            });
            self.change(now, Change::Lost { tasks });
        }
    }

    fn over(config: TaskConfig, now: Instant, store: Store) -> Self {
        let mut queue = Self::new(config);
        queue.store = store;
        for (id, task) in queue.store.open() {
            queue.line.set(now, id, Some(task));
            if let Some(holder) = task.holder {
                queue.pool.take(holder.worker, id);
            }
        }
        let forwards = queue.store.dead().any(|letter| letter.to_forward);
        queue.forward_at = forwards.then_some(now);
        queue
    }

    /// After a failover: nodes of workers that have tasks in hand and have not attached again. Each ends with a `Rolled` or a
    /// `NodeLost`; for one that is lost already, that has to be told again.
    #[must_use]
    pub fn awaited_nodes(&self) -> BTreeSet<NodeId> {
        self.pool.awaited()
    }

    /// The lease under which a task is in hand, or was last.
    #[must_use]
    pub fn lease_of(&self, task: TaskId) -> Option<LeaseNo> {
        self.store.task(task).map(|open| open.lease)
    }
}

#[cfg(test)]
#[path = "moving_test.rs"]
mod tests;
