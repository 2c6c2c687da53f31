//! I9: a task has one accepted completion, by its current lease; an acknowledged task is not lost with one node.
//!
//! A completion counts when the owner tells its worker so. No second one counts, under another lease; nor one under a lease
//! after which another was given out; nor one of a task that was told to be dead.
//!
//! A task acknowledged as being in two copies is known to every later queue of its exchange, until its end is told. Copies
//! are at the owner, at the backup where the owner counts on it and it says itself that it has a whole one, and at an owner
//! that hands over, until it drops its own. They go with their node: when it ends, and when the registry says that it is
//! lost. When the last copy is gone, more than one node was lost, and what the exchange had is forgiven. Of tasks in a
//! single copy nothing is said.

use std::collections::BTreeSet;

use squall_kernel::id::{Epoch, ExchangeId, NodeId, Revision};
use squall_kernel::tasks::{Copies, LeaseNo, TaskId};

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, TaskEvent, What};
use crate::limits::{GRANTS_REMEMBERED, TASKS_REMEMBERED};

/// A task as far as it has come.
#[derive(Debug, Clone, Default)]
struct Followed {
    /// The acknowledgement that it is in two copies, until its end is told.
    kept: Option<Event>,
    /// The highest lease given out.
    given: Option<(LeaseNo, Event)>,
    completed: Option<(LeaseNo, Event)>,
    dead: Option<Event>,
}

/// Who has the tasks of an exchange.
#[derive(Debug, Clone, Default)]
struct Queue {
    epoch: Epoch,
    owner: Option<NodeId>,
    /// The owner that handed over, or had it taken from it.
    left: Option<NodeId>,
    /// The backup on which the owner counts.
    doubled: Option<NodeId>,
    /// Nodes that say they have a whole copy.
    copies: BTreeSet<NodeId>,
}

impl Queue {
    fn is_gone(&self) -> bool {
        let mut counted = [self.doubled, self.left].into_iter().flatten();
        self.owner.is_none() && !counted.any(|node| self.copies.contains(&node))
    }

    fn lose(&mut self, node: NodeId) {
        self.owner = self.owner.filter(|owner| *owner != node);
        self.copies.remove(&node);
    }
}

/// The checker of I9.
#[derive(Debug)]
pub struct TasksKept {
    tasks: Recent<(ExchangeId, TaskId), Followed>,
    queues: Recent<ExchangeId, Queue>,
    /// Losses that were told of, by the revision at which they became known.
    lost: Recent<(NodeId, Revision), ()>,
    /// Where each node's registry stands.
    revisions: Recent<NodeId, Revision>,
    judged: u64,
}

impl Default for TasksKept {
    fn default() -> Self {
        Self {
            tasks: Recent::new(TASKS_REMEMBERED),
            queues: Recent::new(GRANTS_REMEMBERED),
            lost: Recent::new(GRANTS_REMEMBERED),
            revisions: Recent::new(GRANTS_REMEMBERED),
            judged: 0,
        }
    }
}

impl TasksKept {
    fn task(&mut self, exchange: ExchangeId, task: TaskId) -> &mut Followed {
        let key = (exchange, task);
        if self.tasks.get(&key).is_none() {
            self.tasks.insert(key, Followed::default());
        }
        self.tasks.get_mut(&key).expect("put in above")
    }

    fn queue(&mut self, exchange: ExchangeId) -> &mut Queue {
        if self.queues.get(&exchange).is_none() {
            self.queues.insert(exchange, Queue::default());
        }
        self.queues.get_mut(&exchange).expect("put in above")
    }

    fn about(&mut self, event: &Event, exchange: ExchangeId, what: &TaskEvent) -> Result<(), Breach> {
        match what {
            TaskEvent::Accepted { task, copies, .. } if *copies == Copies::Two => {
                let followed = self.task(exchange, *task);
                if followed.completed.is_none() && followed.dead.is_none() {
                    followed.kept.get_or_insert_with(|| event.clone());
                }
            }
            TaskEvent::Given { task, lease, .. } => {
                let followed = self.task(exchange, *task);
                if followed.given.as_ref().is_none_or(|(given, _)| given < lease) {
                    followed.given = Some((*lease, event.clone()));
                }
            }
            TaskEvent::Completed { task, lease, .. } => {
                return self.completed(event, exchange, *task, *lease);
            }
            TaskEvent::Dead { task } => {
                let followed = self.task(exchange, *task);
                followed.kept = None;
                followed.dead.get_or_insert_with(|| event.clone());
            }
            TaskEvent::Begins { epoch, tasks, .. } => return self.begins(event, exchange, *epoch, tasks),
            TaskEvent::Ends { epoch, tasks } if *epoch == self.queue(exchange).epoch => {
                return self.knows(event, exchange, tasks);
            }
            TaskEvent::Doubled { epoch, backup } => {
                let queue = self.queue(exchange);
                if *epoch == queue.epoch {
                    queue.doubled = *backup;
                }
            }
            TaskEvent::Copy { whole: true } => {
                self.queue(exchange).copies.insert(event.node);
            }
            TaskEvent::Copy { whole: false } => {
                self.queue(exchange).copies.remove(&event.node);
                self.forgive(exchange);
            }
            _ => {}
        }
        Ok(())
    }

    fn completed(
        &mut self,
        event: &Event,
        exchange: ExchangeId,
        task: TaskId,
        lease: LeaseNo,
    ) -> Result<(), Breach> {
        self.judged += 1;
        let followed = self.task(exchange, task);
        followed.kept = None;
        let second = followed.completed.as_ref().filter(|(before, _)| *before != lease);
        let later = followed.given.as_ref().filter(|(given, _)| *given > lease);
        let (before, text) = if let Some((_, before)) = second {
            (before, format!("task {task} of #{exchange} was completed twice"))
        } else if let Some((given, before)) = later {
            let text =
                format!("task {task} of #{exchange} was completed under lease {lease}, after lease {given}");
            (before, text)
        } else if let Some(before) = &followed.dead {
            (
                before,
                format!("task {task} of #{exchange} was dead and completed"),
            )
        } else {
            followed.completed = Some((lease, event.clone()));
            return Ok(());
        };
        Err(Breach::new(Id(9), Some(before), event, text))
    }

    fn begins(
        &mut self,
        event: &Event,
        exchange: ExchangeId,
        epoch: Epoch,
        tasks: &[TaskId],
    ) -> Result<(), Breach> {
        let queue = self.queue(exchange);
        if epoch < queue.epoch {
            return Ok(());
        }
        // What a copy had is the owner's from now on.
        queue.copies.remove(&event.node);
        (queue.epoch, queue.owner) = (epoch, Some(event.node));
        (queue.left, queue.doubled) = (None, None);
        self.knows(event, exchange, tasks)
    }

    fn knows(&mut self, event: &Event, exchange: ExchangeId, tasks: &[TaskId]) -> Result<(), Breach> {
        let followed = self.tasks.iter().filter(|((of, _), _)| *of == exchange);
        for ((_, task), followed) in followed {
            let Some(before) = &followed.kept else { continue };
            self.judged += 1;
            if tasks.binary_search(task).is_err() {
                let text = format!("task {task} of #{exchange} was acknowledged in two copies, and is lost");
                return Err(Breach::new(Id(9), Some(before), event, text));
            }
        }
        Ok(())
    }

    fn lost(&mut self, node: NodeId) {
        let ids: Vec<ExchangeId> = self.queues.keys().copied().collect();
        for exchange in ids {
            self.queue(exchange).lose(node);
            self.forgive(exchange);
        }
    }

    /// When nobody has them any more, nothing is asked of the tasks there were.
    fn forgive(&mut self, exchange: ExchangeId) {
        if self.queue(exchange).is_gone() {
            self.tasks.retain(|(of, _), _| *of != exchange);
        }
    }
}

impl Invariant for TasksKept {
    fn id(&self) -> Id {
        Id(9)
    }

    fn claim(&self) -> &'static str {
        "a task has one accepted completion, by its current lease; an acknowledged task is not lost with one node"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::Task { exchange, what } => return self.about(event, *exchange, what),
            What::Disown { exchange, epoch } => {
                let (epoch, node) = (*epoch, event.node);
                let queue = self.queues.get_mut(exchange);
                let own = |q: &&mut Queue| q.epoch == epoch && q.owner == Some(node);
                if let Some(queue) = queue.filter(own) {
                    (queue.owner, queue.left) = (None, Some(node));
                }
            }
            // Only its right to act had ended, and nobody else has owned it since: its queue never went.
            What::Own { exchange, epoch } => {
                let (epoch, node) = (*epoch, event.node);
                let queue = self.queues.get_mut(exchange);
                let own = |q: &&mut Queue| q.epoch == epoch && q.owner.is_none() && q.left == Some(node);
                if let Some(queue) = queue.filter(own) {
                    (queue.owner, queue.left) = (Some(node), None);
                }
            }
            What::Ended { .. } => self.lost(event.node),
            What::Applied { revision, .. } => {
                self.revisions.insert(event.node, *revision);
            }
            What::Lost { lost, .. } => {
                // Each node tells of it, some of them late.
                let revision = self.revisions.get(&event.node).copied().unwrap_or_default();
                if self.lost.get(&(*lost, revision)).is_none() {
                    self.lost.insert((*lost, revision), ());
                    self.lost(*lost);
                }
            }
            What::Deleted { exchange } => {
                self.queues.remove(exchange);
                self.tasks.retain(|(of, _), _| of != exchange);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(
            self.judged,
            "no task was completed, and no queue had another owner",
        )
    }
}

#[cfg(test)]
#[path = "i09_tasks_kept_test.rs"]
mod tests;
