//! The queue of an owned exchange from its beginning to where it is handed over: from what the owner before knew, or a copy, to
//! what the next one gets. Others on this node may look at it.
//!
//! What does not live here: what happens to it in between (`tasks`), and copies of other owners' queues (`replicas`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_kernel::id::NodeId;
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_kernel::tasks::{Backup, Glance, QueueState, Scheduling, TaskConfig, TaskInput, TaskQueue};
use squall_kernel::time::Instant;

use super::tally::{Shown, TasksShown};
use super::{Tasks, telling};
use crate::data::DataContext;
use crate::exchanges::Exchanges;
use crate::exchanges::run::Running;
use crate::journal::QueueFrom;
use crate::limits::{TASK_ATTEMPTS_DEFAULT, TASK_BACKOFF, TASK_LEASE_DEFAULT, TASK_UNIQUE_FOR_DEFAULT};

/// The queue of an owned exchange. Empty once the ownership after it, at this very node, has taken it over.
#[derive(Default)]
pub(in crate::exchanges) struct SharedQueue {
    queue: Mutex<Option<TaskQueue>>,
    /// For whoever measures: it waits for no step of the queue.
    shown: Shown,
}

impl SharedQueue {
    fn of(queue: TaskQueue) -> Arc<Self> {
        let shown = Shown::default();
        shown.show(&queue.glance());
        Arc::new(Self {
            queue: Mutex::new(Some(queue)),
            shown,
        })
    }

    pub(super) fn show(&self, glance: &Glance) {
        self.shown.show(glance);
    }

    /// How it stood when it was stepped last.
    pub(in crate::exchanges) fn shown(&self, now: Instant) -> TasksShown {
        self.shown.read(now)
    }

    pub(in crate::exchanges) fn take(&self) -> Option<TaskQueue> {
        self.lock().take()
    }

    pub(in crate::exchanges) fn scheduling(&self) -> Option<Scheduling> {
        self.look(TaskQueue::scheduling)
    }

    pub(in crate::exchanges) fn look<T>(&self, look: impl FnOnce(&TaskQueue) -> T) -> Option<T> {
        self.lock().as_ref().map(look)
    }

    /// Where a queue is stepped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<TaskQueue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchanges {
    /// The queue with which an ownership begins: that of the owner before, as it handed it over, or as this node has it as
    /// its backup; else an empty one.
    pub(in crate::exchanges) fn tasks_of(
        &self,
        record: &ExchangeRecord,
        now: Instant,
        state: Option<Box<QueueState>>,
        kept: Option<TaskQueue>,
    ) -> Option<Tasks> {
        // A copy here is out of date from now on, whoever is the backup.
        let replica = self.replicas.remove(record.id);
        if record.pattern != Pattern::Task {
            return None;
        }
        let config = config(&self.context, record);
        let state = state
            .map(|state| *state)
            .or_else(|| kept.map(|mut queue| queue.leave(now)));
        let (queue, from) = match (state, replica) {
            (Some(state), _) => (TaskQueue::from_state(config, now, state), QueueFrom::Move),
            (None, Some(replica)) => (TaskQueue::from_replica(config, now, replica), QueueFrom::Copy),
            (None, None) if record.epoch == record.first => (TaskQueue::new(config), QueueFrom::Nothing),
            (None, None) => (TaskQueue::after_loss(config, now, None), QueueFrom::Loss),
        };
        // Before its process exists, and so before anything is told of what that does.
        self.context
            .tell_of_tasks(record.id, || telling::begins(&queue, from));
        Some(Tasks {
            queue: SharedQueue::of(queue),
            credits: BTreeMap::new(),
            effects: Vec::new(),
            ttl: record.settings.ttl,
            scheduler: record.settings.scheduler.clone(),
            left: None,
            dying: BTreeSet::new(),
            doubled: None,
            tally: self.tally(record.id),
        })
    }
}

impl Running {
    /// Begins with who else has the tasks, and with workers' nodes that were lost meanwhile.
    pub(in crate::exchanges) fn begin_tasks(&mut self, named: Option<NodeId>) {
        let Some(tasks) = &self.tasks else { return };
        let now = self.context.clock.now();
        let registry = self.context.registry_kept();
        let up = |node: &NodeId| registry.nodes.get(node).is_some_and(|n| n.is_up());
        let awaited = tasks.queue.lock().as_ref().map(TaskQueue::awaited_nodes);
        let gone: Vec<NodeId> = awaited
            .unwrap_or_default()
            .into_iter()
            .filter(|n| !up(n))
            .collect();
        self.task_step(
            now,
            &TaskInput::BackupChanged {
                backup: backup(named),
            },
        );
        for node in gone {
            self.task_step(now, &TaskInput::NodeLost { node });
        }
    }

    pub(in crate::exchanges) fn backup_named(&mut self, now: Instant, named: Option<NodeId>) {
        self.task_step(
            now,
            &TaskInput::BackupChanged {
                backup: backup(named),
            },
        );
    }

    /// Hands the queue over: from here on everything is refused as moved. What stays here is the copy that the next owner
    /// may name as its backup's.
    pub(in crate::exchanges) fn leave_tasks(&mut self, now: Instant) {
        let Some(tasks) = self.tasks.as_mut().filter(|tasks| tasks.left.is_none()) else {
            return;
        };
        if let Some(queue) = tasks.queue.lock().as_mut() {
            tasks.left = Some(Box::new(queue.leave(now)));
            let replica = queue.clone().into_replica();
            self.replicas.keep(&self.context, self.id, replica);
        }
        // Whoever is held back for want of room goes to the next owner.
        self.task_step(now, &TaskInput::Tick);
    }
}

fn config(context: &DataContext, record: &ExchangeRecord) -> TaskConfig {
    let settings = &record.settings;
    TaskConfig {
        exchange: record.id,
        node: context.node,
        epoch: record.epoch,
        ordered: settings.ordered,
        attempts: settings.attempts.unwrap_or(TASK_ATTEMPTS_DEFAULT),
        lease: settings.lease.unwrap_or(TASK_LEASE_DEFAULT),
        backoff: TASK_BACKOFF,
        unique_for: settings.dedup.unwrap_or(TASK_UNIQUE_FOR_DEFAULT),
        dead_letter: settings.dead_letter.clone(),
        scheduler: settings.scheduler.is_some(),
        bound: settings.bound(),
    }
}

fn backup(node: Option<NodeId>) -> Backup {
    node.map_or(Backup::Alone, Backup::On)
}
