//! The exchanges this node owns: one process each, started and stopped by the control plane.
//!
//! What does not live here: the decisions (the kernel's `Exchange`), and the requester's side (`router`).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use squall_kernel::exchange::{Exchange, ExchangeConfig};
use squall_kernel::frame::Frame;
use squall_kernel::id::{Boot, Epoch, ExchangeId, LeaderEpoch, NodeId, Pid};
use squall_kernel::limits::MAILBOX_BOUND;
use squall_kernel::message::{Attach, MoveState, PeerMessage, Whole};
use squall_kernel::reason::{DetachReason, NoReply, StepDown};
use squall_kernel::registry::{Command, ExchangeRecord, LeaderRecord, Moving, Pattern, Registry};
use squall_kernel::tasks::{Answer, Scheduling, TaskId, TaskInput, TaskQueue};
use squall_kernel::time::{Instant, Span};
use tokio::sync::{Notify, mpsc};

use crate::data::{Change, DataContext};
use crate::functions::Ready;
use crate::journal::MachineKind;
use crate::limits::APPOINTMENTS_MAX;
use crate::process::{Mailbox, ProcessKind, Push, mailbox};
use crate::pubsub::wants_word;
use crate::wire::{ReturnPath, lane_key};

mod asking;
mod effects;
mod moving;
mod replicas;
mod run;
mod tasks;
mod telling;

use asking::Asking;
use replicas::Replicas;
use run::Running;
pub(crate) use tasks::refused_frame;
use tasks::{SharedQueue, not_given_out};
use telling::Telling;

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
    /// What became of questions to the scheduler of its tasks.
    pub scheduling: Scheduling,
    /// True unless the control plane has taken the right to act away.
    pub acting: bool,
}

/// True once the run of the node that gave the pid out has ended, as the registry has it. One that follows may not have joined
/// yet, and has handlers all the same.
fn has_ended(registry: &Registry, pid: Pid) -> bool {
    let node = registry.nodes.get(&pid.node);
    node.is_none_or(|node| pid.boot() < node.first_run())
}

/// Nodes that may have handlers of an exchange which had another owner before.
fn awaited(registry: &Registry, record: &ExchangeRecord) -> Vec<NodeId> {
    if record.epoch <= Epoch(1) {
        return Vec::new();
    }
    let up = registry.nodes.values().filter(|node| node.is_up());
    up.map(|node| node.id).collect()
}

/// What an exchange's process takes out of its mailbox.
enum Mail {
    Request(Frame),
    Attach(Attach),
    Detach {
        handler: Pid,
        reason: DetachReason,
    },
    Submit(Frame),
    Settle(Frame),
    TaskAnswer {
        from: NodeId,
        answer: Answer,
    },
    LeaseAsk {
        handler: Pid,
        leader_epoch: LeaderEpoch,
        asked_at: Instant,
    },
}

/// What must reach an exchange's process whatever its mailbox holds.
#[derive(Default)]
struct Orders {
    /// The registry's leader, when it changed.
    leader: Option<Option<LeaderRecord>>,
    /// Nodes whose run has ended, with the run that follows. Bounded: one entry a node.
    lost: Vec<(NodeId, Boot)>,
    /// Nodes that missed a system message.
    tell_again: Vec<NodeId>,
    /// Nodes that have told of all their handlers: each is attached already.
    rolled: Vec<NodeId>,
    /// It moves away.
    leave: Option<Moving>,
    /// Who holds the second copy of its tasks, when it may be another one, or a copy begun anew.
    backup: Option<Option<NodeId>>,
    /// Tasks that did not reach their workers. Bounded by the tasks in hand.
    undelivered: Vec<TaskInput>,
    /// What the scheduler says. Bounded by the questions that are open.
    scheduled: Vec<TaskInput>,
    /// Dead letters that have arrived where they were passed on to. Bounded by the dead letters.
    forwarded: Vec<TaskId>,
}

#[derive(Default)]
struct Post {
    orders: Mutex<Orders>,
    wake: Notify,
    /// Without a lease: refuses requests, keeps its handlers.
    paused: AtomicBool,
    /// Somebody else's by now: refuses everything.
    stopped: AtomicBool,
    handlers: AtomicU64,
    routed: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    bindings: AtomicU64,
}

impl Post {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }
}

struct Owned {
    epoch: Epoch,
    leader: Option<LeaderRecord>,
    backup: Option<NodeId>,
    queue: Arc<SharedQueue>,
    mailbox: Mailbox<Mail>,
    post: Arc<Post>,
}

impl Owned {
    fn stop(&self) {
        self.post.stopped.store(true, Ordering::Release);
        self.post.wake.notify_one();
    }
}

/// The exchanges this node owns.
pub struct Exchanges {
    context: Arc<DataContext>,
    owned: RwLock<HashMap<ExchangeId, Owned>>,
    wanted: mpsc::Sender<Command>,
    /// States of exchanges that move to this node, until the registry gives them to it.
    arriving: Mutex<HashMap<ExchangeId, (Epoch, MoveState)>>,
    /// What was last sent of exchanges that move away, for when a move is cancelled; under the epoch it is kept for.
    departing: Arc<Mutex<HashMap<ExchangeId, (Epoch, MoveState)>>>,
    /// States that arrive in parts.
    in_parts: Mutex<HashMap<ExchangeId, (Epoch, Whole)>>,
    replicas: Arc<Replicas>,
}

impl Exchanges {
    pub(crate) fn new(context: Arc<DataContext>) -> (Self, mpsc::Receiver<Command>) {
        let (wanted, proposed) = mpsc::channel(APPOINTMENTS_MAX);
        (
            Self {
                context,
                owned: RwLock::default(),
                wanted,
                arriving: Mutex::default(),
                departing: Arc::default(),
                in_parts: Mutex::default(),
                replicas: Arc::default(),
            },
            proposed,
        )
    }

    /// Starts to own an exchange under the record's epoch, or goes on after [`StepDown::LeaseEnded`] when the epoch is
    /// still the same: nobody else can have owned it in between. `settle` is how long handlers have to attach again.
    pub fn own(&self, record: &ExchangeRecord, settle: Span) {
        let mut owned = self.write();
        match owned.get(&record.id) {
            Some(known) if known.epoch == record.epoch => known.post.paused.store(false, Ordering::Release),
            Some(known) if known.epoch > record.epoch => {}
            known => {
                let kept = known.and_then(|known| {
                    known.stop();
                    // A move was cancelled: nobody else has owned it in between.
                    let cancelled = record.kept && record.epoch.0 == known.epoch.0 + 2;
                    cancelled.then(|| known.queue.take()).flatten()
                });
                owned.insert(record.id, self.begin(record, settle, kept));
            }
        }
    }

    fn begin(&self, record: &ExchangeRecord, settle: Span, kept: Option<TaskQueue>) -> Owned {
        let context = Arc::clone(&self.context);
        let now = context.clock.now();
        let config = ExchangeConfig {
            id: record.id,
            strategy: record.strategy,
            epoch: record.epoch,
            leader: record.leader,
            leader_gone: record
                .leader
                .is_some_and(|leader| has_ended(&context.registry(), leader.pid)),
            settle,
            awaited: awaited(&context.registry(), record),
            promise: settle,
        };
        let function = record.function.as_ref();
        let asking = function.map(|function| Asking::new(Ready::of(function, &context.functions)));
        let process =
            context
                .processes
                .enter(ProcessKind::Exchange, record.name.as_str(), MAILBOX_BOUND, now);
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock, MAILBOX_BOUND);
        let post = Arc::new(Post::default());
        let id = format!("{}@{}", record.id, record.epoch);
        if let Some(journal) = &context.journal {
            journal.start(MachineKind::Exchange, &id, now, &config);
        }
        let mut state = self.arrived(record);
        let moved = state.as_mut().and_then(|state| state.tasks.take());
        let tasks = self.tasks_of(record, now, moved, kept);
        let running = Running {
            core: Exchange::new(now, config),
            id: record.id,
            name: record.name.clone(),
            strategy: record.strategy,
            journal_id: id,
            context: Arc::clone(&context),
            process,
            inbox,
            post: Arc::clone(&post),
            attached: BTreeMap::new(),
            asking,
            missed: BTreeMap::new(),
            telling: Telling::default(),
            effects: Vec::new(),
            wanted: self.wanted.clone(),
            departing: Arc::clone(&self.departing),
            tasks,
            parts: None,
            replicas: Arc::clone(&self.replicas),
        };
        let queue = running
            .tasks
            .as_ref()
            .map(|tasks| Arc::clone(&tasks.queue))
            .unwrap_or_default();
        context.runtime.spawn(running.run(state, record.backup));
        Owned {
            epoch: record.epoch,
            leader: record.leader,
            backup: record.backup,
            queue,
            mailbox,
            post,
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
        }
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
            scheduling: owned.queue.scheduling().unwrap_or_default(),
            acting: !owned.post.paused.load(Ordering::Relaxed),
        };
        self.read().iter().map(row).collect()
    }

    /// Looks at the tasks of an exchange; none when it is not owned here, or has no tasks. What looks does so briefly: the
    /// queue stands still meanwhile.
    pub fn look_at_tasks<T>(&self, exchange: ExchangeId, look: impl FnOnce(&TaskQueue) -> T) -> Option<T> {
        let queue = Arc::clone(&self.read().get(&exchange)?.queue);
        queue.look(look)
    }

    /// Takes in a request for an exchange that should be owned here.
    pub(crate) fn request(&self, frame: Frame) {
        let refused = match self.read().get(&frame.exchange) {
            None => Some((frame, NoReply::Moved)),
            Some(owned) => match owned.mailbox.push(Mail::Request(frame)) {
                Err(Push::Full(Mail::Request(frame))) => Some((frame, NoReply::Rejected)),
                Err(Push::Closed(Mail::Request(frame))) => Some((frame, NoReply::Moved)),
                _ => None,
            },
        };
        // Outside the lock: the answer may lead straight into the requester's side of this node.
        if let Some((frame, reason)) = refused.filter(|(frame, _)| wants_word(frame)) {
            let from = Pid {
                node: self.context.node,
                serial: 0,
            };
            self.context.wire.reply(ReturnPath::of(&frame).none(from, reason));
        }
    }

    /// Takes in a task for an exchange that should be owned here.
    pub(crate) fn submit(&self, frame: Frame) {
        let refused = match self.read().get(&frame.exchange) {
            None => Some((frame, NoReply::Moved)),
            Some(owned) => match owned.mailbox.push(Mail::Submit(frame)) {
                Err(Push::Full(Mail::Submit(frame))) => Some((frame, NoReply::Rejected)),
                Err(Push::Closed(Mail::Submit(frame))) => Some((frame, NoReply::Moved)),
                _ => None,
            },
        };
        if let Some((frame, reason)) = refused {
            let from = Pid {
                node: self.context.node,
                serial: 0,
            };
            self.context.wire.reply(ReturnPath::of(&frame).none(from, reason));
        }
    }

    /// Takes in a worker's word about a task.
    pub(crate) fn settle(&self, frame: Frame) {
        let refused = match self.read().get(&frame.exchange) {
            None => Some((frame, NoReply::Moved)),
            Some(owned) => match owned.mailbox.push(Mail::Settle(frame)) {
                Err(Push::Full(Mail::Settle(frame))) => Some((frame, NoReply::Rejected)),
                Err(Push::Closed(Mail::Settle(frame))) => Some((frame, NoReply::Moved)),
                _ => None,
            },
        };
        if let Some((frame, reason)) = refused {
            let (to, key) = (frame.from.node, lane_key(frame.exchange, frame.from.serial));
            let _asked_again = self.context.wire.frame(to, key, refused_frame(&frame, reason));
        }
    }

    /// A task certainly did not reach its worker.
    pub(crate) fn not_given_out(&self, node: NodeId, frame: &Frame) {
        if let Some(owned) = self.read().get(&frame.exchange) {
            let word = not_given_out(node, frame);
            owned.post.order(|orders| orders.undelivered.push(word));
        }
    }

    /// Takes in a handler. One that comes under another epoch is refused; one that finds the mailbox full comes again.
    pub(crate) fn attach(&self, from: NodeId, attach: Attach) {
        let (exchange, handler) = (attach.exchange, attach.handler);
        let seen = match self.read().get(&exchange) {
            Some(owned) if owned.epoch == attach.epoch => {
                let _comes_again_when_full = owned.mailbox.push(Mail::Attach(attach));
                return;
            }
            owned => owned.map_or(Epoch(0), |o| o.epoch),
        };
        let refused = PeerMessage::AttachRefused {
            exchange,
            handler,
            seen,
        };
        let _comes_again_by_itself = self.context.wire.message(from, exchange, refused);
    }

    pub(crate) fn detach(&self, exchange: ExchangeId, handler: Pid, reason: DetachReason) {
        if let Some(owned) = self.read().get(&exchange) {
            // A handler that stays in the table because the mailbox was full is found out at its next delivery.
            let _found_out_later = owned.mailbox.push(Mail::Detach { handler, reason });
        }
    }

    /// A node has told of all its handlers of these exchanges. Those that do not begin here before it knows are told again.
    pub(crate) fn roll(&self, from: NodeId, exchanges: Vec<(ExchangeId, Epoch)>) {
        let early: Vec<(ExchangeId, Epoch)> = {
            let owned = self.read();
            let early = |(exchange, epoch): &(ExchangeId, Epoch)| match owned.get(exchange) {
                Some(owned) if owned.epoch == *epoch => {
                    owned.post.order(|orders| {
                        if !orders.rolled.contains(&from) {
                            orders.rolled.push(from);
                        }
                    });
                    false
                }
                owned => owned.is_none_or(|owned| owned.epoch < *epoch),
            };
            exchanges.into_iter().filter(early).collect()
        };
        if let Some((exchange, _)) = early.first().copied() {
            let refused = PeerMessage::RollRefused { exchanges: early };
            // Lost with its link; so are all promises of that node sooner or later, and its loss ends the waiting.
            let _told_or_lost = self.context.wire.message(from, exchange, refused);
        }
    }

    /// A system message to that node was lost.
    pub(crate) fn tell_again(&self, exchange: ExchangeId, node: NodeId) {
        if let Some(owned) = self.read().get(&exchange) {
            owned.post.order(|orders| {
                if !orders.tell_again.contains(&node) {
                    orders.tell_again.push(node);
                }
            });
        }
    }

    pub(crate) fn registry_changed(&self, change: &Change) {
        self.forget_departed(change);
        self.drop_replicas(change);
        for (id, owned) in self.write().iter_mut() {
            let Some(record) = change.exchange(*id).filter(|record| record.epoch == owned.epoch) else {
                continue;
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
    }

    pub(crate) fn stop(&self) {
        for (_, owned) in self.write().drain() {
            owned.stop();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<ExchangeId, Owned>> {
        self.owned.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ExchangeId, Owned>> {
        self.owned.write().unwrap_or_else(PoisonError::into_inner)
    }
}
