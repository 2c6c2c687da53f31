//! The exchanges this node owns: one process each, started and stopped by the control plane, told of the registry, and shown
//! to observers.
//!
//! What does not live here: the decisions (the kernel's `Exchange`), the requester's side (`router`), how an ownership begins
//! (`beginning`), and what handlers and requesters send (`incoming`).

mod asking;
mod beginning;
mod effects;
mod incoming;
mod moving;
mod operating;
mod post;
mod publishing;
mod replicas;
mod run;
mod tasks;
mod telling;
mod watching;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use squall_kernel::id::{Epoch, ExchangeId, Pid};
use squall_kernel::message::{MoveState, Whole};
use squall_kernel::reason::StepDown;
use squall_kernel::registry::{Command, ExchangeRecord, Pattern};
use squall_kernel::tasks::{Overflow, Scheduling, TaskQueue};
use squall_kernel::time::Span;
use tokio::sync::mpsc;

use crate::data::{Change, DataContext};
use crate::failover::Takeover;
use crate::introspect::opinions::Holding;
use crate::limits::APPOINTMENTS_MAX;
use crate::numbered::ByNumber;
pub use operating::{BindingKey, BindingQuestion, BindingReply, ShownBinding};
use post::Owned;
use replicas::Replicas;
use tasks::Tally;
pub(crate) use tasks::refused_frame;
pub use tasks::{TaskChanges, TasksShown};
pub(crate) use watching::{Decision, ExchangeWatch, Seen};

/// An owned exchange as the observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedExchange {
    /// Exchange.
    pub exchange: ExchangeId,
    /// Epoch.
    pub epoch: Epoch,
    /// Its process.
    pub pid: Pid,
    /// Handlers attached.
    pub handlers: u64,
    /// Copies delivered to handlers since it is owned here.
    pub routed: u64,
    /// Requests refused since it is owned here.
    pub refused: u64,
    /// Requests declined since it is owned here because its function failed.
    pub failed: u64,
    /// Signatures bound to handlers.
    pub bindings: u64,
    /// Publishes whose id was known, since it is owned here.
    pub duplicates: u64,
    /// What became of questions to the scheduler of its tasks.
    pub scheduling: Scheduling,
    /// What its queue did with tasks for which it had no room.
    pub overflow: Overflow,
    /// True unless the control plane has taken the right to act away.
    pub acting: bool,
}

impl OwnedExchange {
    /// As the rows of leaders have it.
    #[must_use]
    pub const fn holding(&self) -> Holding {
        Holding {
            epoch: self.epoch,
            acting: self.acting,
        }
    }
}

/// The exchanges this node owns.
pub struct Exchanges {
    context: Arc<DataContext>,
    /// Read for every request, by all threads.
    owned: ShardedLock<ByNumber<ExchangeId, Owned>>,
    wanted: mpsc::Sender<Command>,
    /// States of exchanges that move to this node, until the registry gives them to it.
    arriving: Mutex<HashMap<ExchangeId, (Epoch, MoveState)>>,
    /// States that arrive in parts.
    in_parts: Mutex<HashMap<ExchangeId, (Epoch, Whole)>>,
    replicas: Arc<Replicas>,
    /// Processes that are stopped of exchanges that go on here under another epoch, until those begin: a move was cancelled, and
    /// what they know goes over to the next ones.
    stopped: Mutex<HashMap<ExchangeId, Owned>>,
    /// Exchanges that this node has taken over, until their processes begin.
    taken_over: Mutex<HashMap<ExchangeId, Takeover>>,
    /// The revision up to which the exchanges here have been told of the registry's changes.
    told: AtomicU64,
    /// What this node has done with tasks, of each exchange whose owner it was; until the exchange is deleted.
    tallies: Mutex<BTreeMap<ExchangeId, Arc<Tally>>>,
}

impl Exchanges {
    pub(crate) fn new(context: Arc<DataContext>) -> (Self, mpsc::Receiver<Command>) {
        let (wanted, proposed) = mpsc::channel(APPOINTMENTS_MAX);
        (
            Self {
                context,
                owned: ShardedLock::default(),
                wanted,
                arriving: Mutex::default(),
                in_parts: Mutex::default(),
                replicas: Arc::default(),
                stopped: Mutex::default(),
                taken_over: Mutex::default(),
                told: AtomicU64::default(),
                tallies: Mutex::default(),
            },
            proposed,
        )
    }

    /// This node is about to own these, after another one; of earlier ones nothing more is told.
    pub(crate) fn taken_over(&self, taken: Vec<(ExchangeId, Takeover)>) {
        if !taken.is_empty() {
            let mut known = self.taken_over.lock().unwrap_or_else(PoisonError::into_inner);
            *known = taken.into_iter().collect();
        }
    }

    /// Starts to own an exchange under the record's epoch, or goes on after [`StepDown::LeaseEnded`] when the epoch is
    /// still the same: nobody else can have owned it in between. `settle` is how long handlers have to attach again.
    pub fn own(&self, record: &ExchangeRecord, settle: Span) {
        let mut owned = self.write();
        match owned.get(&record.id) {
            Some(known) if known.epoch == record.epoch => known.post.paused.store(false, Ordering::Release),
            Some(known) if known.epoch > record.epoch => {}
            _ => {
                let before = owned.remove(&record.id).inspect(Owned::stop);
                let stopped = self.stopped().remove(&record.id);
                let before = before
                    .or(stopped)
                    .filter(|before| record.is_still_of(before.epoch));
                owned.insert(record.id, self.begin(record, settle, before));
            }
        }
    }

    /// Stops acting for an exchange. When only the lease has ended the process stays, refuses requests, and keeps its
    /// handlers for the next [`Exchanges::own`] under the same epoch.
    pub fn disown(&self, exchange: ExchangeId, why: StepDown) {
        tracing::info!(%exchange, reason = why.as_str(), "stepped down");
        if why == StepDown::LeaseEnded {
            if let Some(owned) = self.read().get(&exchange) {
                owned.post.paused.store(true, Ordering::Release);
            }
        } else if let Some(owned) = self.write().remove(&exchange) {
            owned.stop();
            if why == StepDown::Leaving {
                self.tell_end(exchange, &owned);
            }
            let registry = self.context.registry();
            let record = registry.exchanges.get(&exchange);
            if record.is_some_and(|it| it.owner == Some(self.context.node) && it.is_still_of(owned.epoch)) {
                self.stopped().insert(exchange, owned);
            }
        }
    }

    fn stopped(&self) -> MutexGuard<'_, HashMap<ExchangeId, Owned>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exchanges owned here.
    #[must_use]
    pub fn owned(&self) -> Vec<OwnedExchange> {
        let row = |(id, owned): (&ExchangeId, &Owned)| OwnedExchange {
            exchange: *id,
            epoch: owned.epoch,
            pid: owned.mailbox.process().pid(),
            handlers: owned.post.handlers.load(Ordering::Relaxed),
            routed: owned.post.routed.load(Ordering::Relaxed),
            refused: owned.post.refused.load(Ordering::Relaxed),
            failed: owned.post.failed.load(Ordering::Relaxed),
            bindings: owned.post.bindings.load(Ordering::Relaxed),
            duplicates: owned.post.duplicates.load(Ordering::Relaxed),
            scheduling: owned.queue.scheduling().unwrap_or_default(),
            overflow: owned.queue.look(TaskQueue::overflow).unwrap_or_default(),
            acting: !owned.post.paused.load(Ordering::Relaxed),
        };
        self.read().iter().map(row).collect()
    }

    /// What this node has done with tasks since it started, of each exchange whose owner it is or was. Read from atomics.
    #[must_use]
    pub fn task_changes(&self) -> Vec<(ExchangeId, TaskChanges)> {
        let tallies = self.tallies();
        tallies.iter().map(|(id, tally)| (*id, tally.read())).collect()
    }

    /// How the tasks of an exchange stand, without a look at its queue; none when it is not owned here. Without meaning where it
    /// has no tasks.
    #[must_use]
    pub fn tasks_shown(&self, exchange: ExchangeId) -> Option<TasksShown> {
        let now = self.context.clock.now();
        self.read().get(&exchange).map(|owned| owned.queue.shown(now))
    }

    fn tally(&self, exchange: ExchangeId) -> Arc<Tally> {
        Arc::clone(self.tallies().entry(exchange).or_default())
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<ExchangeId, Arc<Tally>>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the tasks of an exchange; none when it is not owned here, or has no tasks. What looks does so briefly: the
    /// queue stands still meanwhile.
    pub fn look_at_tasks<T>(&self, exchange: ExchangeId, look: impl FnOnce(&TaskQueue) -> T) -> Option<T> {
        let queue = Arc::clone(&self.read().get(&exchange)?.queue);
        queue.look(look)
    }

    /// Follows the registry.
    pub(crate) fn registry_changed(&self, change: &Change) {
        // What was to go on has begun by now, or is somebody else's.
        self.stopped()
            .retain(|id, owned| change.exchange(*id).is_some_and(|it| it.is_still_of(owned.epoch)));
        self.tallies().retain(|id, _| change.exchange(*id).is_some());
        self.drop_replicas(change);
        let mut all = self.write();
        if change.lost.is_empty() {
            for changed in change.exchanges_changed() {
                if let Some(owned) = all.get_mut(changed.key) {
                    follow(change, *changed.key, owned);
                }
            }
        } else {
            for (id, owned) in all.iter_mut() {
                follow(change, *id, owned);
            }
        }
        drop(all);
        self.told.store(change.new.revision.0, Ordering::Release);
    }

    pub(crate) fn stop(&self) {
        self.stopped().clear();
        for (exchange, owned) in self.write().drain() {
            owned.stop();
            self.tell_end(exchange, &owned);
        }
    }

    fn read(&self) -> ShardedLockReadGuard<'_, ByNumber<ExchangeId, Owned>> {
        self.owned.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> ShardedLockWriteGuard<'_, ByNumber<ExchangeId, Owned>> {
        self.owned.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Orders the process of an owned exchange what follows for it from a change of the registry.
fn follow(change: &Change, id: ExchangeId, owned: &mut Owned) {
    let Some(record) = change.exchange(id).filter(|record| record.epoch == owned.epoch) else {
        return;
    };
    let leader = (record.leader != owned.leader).then_some(record.leader);
    owned.leader = record.leader;
    // A backup that was lost and is named again begins anew.
    let backup =
        record.pattern == Pattern::Task && (owned.backup != record.backup || !change.lost.is_empty());
    owned.backup = record.backup;
    if leader.is_some() || backup || !change.lost.is_empty() {
        // All in one: the loss of a node comes before what follows from it.
        owned.post.order(|orders| {
            if backup {
                orders.backup = Some(record.backup);
            }
            orders.leader = leader.or(orders.leader.take());
            orders.lost.retain(|(node, _)| !change.is_lost(*node));
            orders.lost.extend(change.lost_runs());
        });
    }
}
