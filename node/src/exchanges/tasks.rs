//! The tasks of an owned exchange: takes submits and workers' words to the kernel's queue, and carries out what it wants
//! done.
//!
//! What does not live here: the queue itself (the kernel's `tasks`), the second copy (`replicas`), workers (`handlers`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Priority, Status, Tags};
use squall_kernel::id::{ExchangeName, MessageId, NodeId, Pid};
use squall_kernel::limits::TASK_PAYLOAD_BYTES_MAX;
use squall_kernel::message::{self, PeerMessage, SettleWord, Settlement, Submitted, Terms, Work};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_kernel::tasks::{
    Backup, Delivery, LeaseNo, QueueState, Retry, Scheduling, SettleResult, Spec, Submit, TaskConfig,
    TaskEffect, TaskId, TaskInput, TaskQueue,
};
use squall_kernel::time::{Instant, Span};

mod dead_letters;
mod scheduling;

use super::run::Running;
use super::{Exchanges, Post};
use crate::data::DataContext;
use crate::limits::{
    TASK_ATTEMPTS_DEFAULT, TASK_BACKOFF, TASK_LEASE_DEFAULT, TASK_LOOK_AGAIN, TASK_UNIQUE_FOR_DEFAULT,
};
use crate::router::OutcomeSink;
use crate::wire::{ReturnPath, lane_key};

/// The queue of an owned exchange. Empty once the ownership after it, at this very node, has taken it over.
#[derive(Default)]
pub(super) struct SharedQueue(Mutex<Option<TaskQueue>>);

impl SharedQueue {
    fn of(queue: TaskQueue) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(queue))))
    }

    pub(super) fn take(&self) -> Option<TaskQueue> {
        self.lock().take()
    }

    pub(super) fn scheduling(&self) -> Option<Scheduling> {
        self.look(TaskQueue::scheduling)
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&TaskQueue) -> T) -> Option<T> {
        self.lock().as_ref().map(look)
    }

    fn lock(&self) -> MutexGuard<'_, Option<TaskQueue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue of an owned exchange, and what its process keeps beside it.
pub(super) struct Tasks {
    pub(super) queue: Arc<SharedQueue>,
    /// Credit of each worker: those of a node's next run are attached again with it.
    credits: BTreeMap<Pid, u32>,
    effects: Vec<TaskEffect>,
    /// How long a task is good for that does not say.
    ttl: Option<Span>,
    scheduler: Option<ExchangeName>,
    /// What travels, once it moves away.
    pub(super) left: Option<QueueState>,
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
    }
}

fn backup(node: Option<NodeId>) -> Backup {
    node.map_or(Backup::Alone, Backup::On)
}

impl Exchanges {
    /// The queue with which an ownership begins: that of the owner before, as it handed it over, or as this node has it as
    /// its backup; else an empty one.
    pub(super) fn tasks_of(
        &self,
        record: &ExchangeRecord,
        now: Instant,
        state: Option<QueueState>,
        kept: Option<TaskQueue>,
    ) -> Option<Tasks> {
        // A copy here is out of date from now on, whoever is the backup.
        let replica = self.replicas.remove(record.id);
        if record.pattern != Pattern::Task {
            return None;
        }
        let config = config(&self.context, record);
        let state = state.or_else(|| kept.map(|mut queue| queue.leave(now)));
        let queue = match (state, replica) {
            (Some(state), _) => TaskQueue::from_state(config, now, state),
            (None, Some(replica)) => TaskQueue::from_replica(config, now, replica),
            (None, None) if record.epoch == record.first => TaskQueue::new(config),
            (None, None) => TaskQueue::after_loss(config, now, None),
        };
        Some(Tasks {
            queue: SharedQueue::of(queue),
            credits: BTreeMap::new(),
            effects: Vec::new(),
            ttl: record.settings.ttl,
            scheduler: record.settings.scheduler.clone(),
            left: None,
        })
    }
}

/// A dead letter has arrived, or comes again: it is passed on until it was taken.
impl OutcomeSink for Post {
    fn outcome(&self, id: u64, outcome: crate::router::Outcome) -> bool {
        if outcome.status == Status::Reply {
            self.order(|orders| orders.forwarded.push(TaskId(id)));
        }
        true
    }
}

impl Running {
    /// Begins with who else has the tasks, and with workers' nodes that were lost meanwhile.
    pub(super) fn begin_tasks(&mut self, named: Option<NodeId>) {
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

    pub(super) fn backup_named(&mut self, now: Instant, named: Option<NodeId>) {
        self.task_step(
            now,
            &TaskInput::BackupChanged {
                backup: backup(named),
            },
        );
    }

    /// When the queue wants to be looked at. Without the right to act a tick changes nothing: then a little later.
    pub(super) fn tasks_timeout(&self) -> Option<Instant> {
        let at = self.tasks.as_ref()?.queue.lock().as_ref()?.next_timeout()?;
        let now = self.context.clock.now();
        Some(if now < self.lease_until() {
            at
        } else {
            at.max(now + TASK_LOOK_AGAIN)
        })
    }

    /// Hands the queue over: from here on everything is refused as moved. What stays here is the copy that the next owner
    /// may name as its backup's.
    pub(super) fn leave_tasks(&mut self, now: Instant) {
        let Some(tasks) = self.tasks.as_mut().filter(|tasks| tasks.left.is_none()) else {
            return;
        };
        let mut queue = tasks.queue.lock();
        if let Some(queue) = queue.as_mut() {
            tasks.left = Some(queue.leave(now));
            self.replicas.keep(self.id, queue.clone().into_replica());
        }
    }

    pub(super) fn submit(&mut self, now: Instant, frame: &Frame) {
        let Some(tasks) = &self.tasks else {
            let why = format!("the exchange '{}' takes requests, not tasks", self.name);
            return self.answer(frame, Status::Declined, why);
        };
        let len = frame.payload.len();
        if len > TASK_PAYLOAD_BYTES_MAX {
            let why = format!("a task has at most {TASK_PAYLOAD_BYTES_MAX} bytes, this one has {len}");
            return self.answer(frame, Status::Declined, why);
        }
        let terms = if frame.tags.connection.is_empty() {
            Ok(Terms::default())
        } else {
            message::parse::<Terms>(&frame.tags.connection)
        };
        let Ok(terms) = terms else {
            return self.answer(
                frame,
                Status::Declined,
                "the terms of the task cannot be read".into(),
            );
        };
        let priority = squall_kernel::tasks::Priority::new(frame.priority.number()).unwrap_or_default();
        let submit = Submit {
            submitter: RequestKey {
                origin: frame.origin,
                message: frame.message,
            },
            epoch: frame.epoch,
            spec: Spec {
                payload: frame.payload.clone(),
                key: frame.tags.key.clone(),
                service_tag: frame.tags.service.clone(),
                priority,
                attempts: terms.attempts,
                unique: terms.unique,
            },
            not_before: (terms.delay > Span::ZERO).then(|| now + terms.delay),
            deadline: terms.deadline.or(tasks.ttl).map(|left| now + left),
        };
        self.task_step(now, &TaskInput::Submit(submit));
    }

    pub(super) fn settle(&mut self, now: Instant, frame: &Frame) {
        let (task, lease, worker) = (TaskId(frame.message.0), LeaseNo(frame.signature), frame.from);
        let Ok(settlement) = message::parse(&frame.payload) else {
            return crate::wire::count(&self.context.wire.tally.garbled);
        };
        let input = match settlement {
            Settlement::Confirm => TaskInput::Confirm { task, lease, worker },
            Settlement::GiveBack { said, retry } => TaskInput::GiveBack {
                task,
                lease,
                worker,
                said,
                retry,
            },
            Settlement::Extend { by } => TaskInput::Extend {
                task,
                lease,
                worker,
                by,
            },
        };
        self.task_step(now, &input);
    }

    pub(super) fn worker_attached(&mut self, now: Instant, worker: Pid, tag: &str, work: Option<Work>) {
        let (Some(tasks), Some(work)) = (&mut self.tasks, work) else {
            return;
        };
        tasks.credits.insert(worker, work.credit);
        let input = TaskInput::WorkerAttach {
            worker,
            service_tag: Bytes::from(tag.to_owned()),
            credit: work.credit,
            in_hand: work.in_hand,
        };
        self.task_step(now, &input);
    }

    pub(super) fn worker_detached(&mut self, now: Instant, worker: Pid) {
        if let Some(tasks) = &mut self.tasks {
            tasks.credits.remove(&worker);
            self.task_step(now, &TaskInput::WorkerDetach { worker });
        }
    }

    /// What the worker had in hand when its node was lost was leased anew: it begins with nothing.
    pub(super) fn work_of(&self, worker: Pid) -> Option<Work> {
        let credit = *self.tasks.as_ref()?.credits.get(&worker)?;
        Some(Work {
            credit,
            in_hand: Vec::new(),
        })
    }

    pub(super) fn task_step(&mut self, now: Instant, input: &TaskInput) {
        let lease_until = self.lease_until();
        let Some(tasks) = &mut self.tasks else { return };
        let mut effects = std::mem::take(&mut tasks.effects);
        if let Some(queue) = tasks.queue.lock().as_mut() {
            queue.step(now, lease_until, input, &mut effects);
        }
        for effect in effects.drain(..) {
            self.carry_out_task(effect);
        }
        if let Some(tasks) = &mut self.tasks {
            tasks.effects = effects;
        }
    }

    fn carry_out_task(&self, effect: TaskEffect) {
        match effect {
            TaskEffect::Deliver(delivery) => self.give_out(delivery),
            TaskEffect::Replicate { to, batch } => {
                let exchange = self.id;
                let message = PeerMessage::TaskBatch { exchange, batch };
                // What is not acknowledged in time is sent again by the queue.
                let _sent_again = self.context.wire.message(to, exchange, message);
            }
            TaskEffect::Accepted {
                submitter,
                task,
                copies,
                duplicate,
            } => {
                let submitted = Submitted {
                    task,
                    copies,
                    duplicate,
                };
                let payload = message::control(&submitted).payload;
                let reply = self
                    .way_back(submitter)
                    .reply(self.process.pid(), Status::Reply, payload);
                self.context.wire.reply(reply);
            }
            TaskEffect::Refused { submitter, reason } => {
                let none = self.way_back(submitter).none(self.process.pid(), reason);
                self.context.wire.reply(none);
            }
            TaskEffect::Settled {
                worker,
                task,
                lease,
                result,
            } => self.tell_worker(worker, task, lease, SettleWord::Result(result)),
            TaskEffect::LeaseEnded {
                worker,
                task,
                lease,
                why,
            } => self.tell_worker(worker, task, lease, SettleWord::Ended(why)),
            TaskEffect::DeadLettered { letter, forward_to } => self.dead(&letter, forward_to),
            TaskEffect::ScheduleAsk(ask) => self.ask_scheduler(&ask),
            TaskEffect::Lost { acknowledged } => {
                let tasks = acknowledged.map_or_else(|| "an unknown number of".into(), |n| n.to_string());
                tracing::error!(exchange = %self.name, "{tasks} acknowledged tasks were lost with their nodes");
            }
        }
    }

    /// A task that certainly does not arrive waits for a while, so that attempts do not run out on a link that is down.
    fn give_out(&self, delivery: Delivery) {
        let worker = delivery.worker;
        let frame = self.task_frame(delivery);
        let key = lane_key(self.id, worker.serial);
        let undelivered = not_given_out(worker.node, &frame);
        if self.context.wire.frame(worker.node, key, frame).is_err() {
            self.post.order(|orders| orders.undelivered.push(undelivered));
        } else {
            self.process.count_sent(1);
        }
    }

    fn task_frame(&self, delivery: Delivery) -> Frame {
        let spec = delivery.spec;
        Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            message: MessageId(delivery.task.0),
            origin: self.context.node,
            to: delivery.worker.serial,
            from: self.process.pid(),
            left_ms: u32::try_from(delivery.length.as_ms().max(1)).unwrap_or(u32::MAX),
            index: delivery.attempt,
            count: delivery.attempts,
            signature: delivery.lease.0,
            priority: Priority::new(spec.priority.get()).unwrap_or_default(),
            tags: Tags {
                service: spec.service_tag,
                key: spec.key,
                ..Tags::default()
            },
            payload: spec.payload,
            ..Frame::new(Kind::Task)
        }
    }

    fn tell_worker(&self, worker: Pid, task: TaskId, lease: LeaseNo, word: SettleWord) {
        let frame = Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            from: self.process.pid(),
            ..settled_frame(worker, task, lease, word)
        };
        // A worker that hears nothing says it again.
        let _asked_again = self
            .context
            .wire
            .frame(worker.node, lane_key(self.id, worker.serial), frame);
    }

    fn way_back(&self, submitter: RequestKey) -> ReturnPath {
        let frame = Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            origin: submitter.origin,
            message: submitter.message,
            ..Frame::new(Kind::Submit)
        };
        ReturnPath::of(&frame)
    }
}

/// What the owner says to a worker.
pub(crate) fn settled_frame(worker: Pid, task: TaskId, lease: LeaseNo, word: SettleWord) -> Frame {
    Frame {
        message: MessageId(task.0),
        to: worker.serial,
        signature: lease.0,
        payload: message::control(&word).payload,
        ..Frame::new(Kind::Settle)
    }
}

/// The answer to a worker's word that the owner has not heard.
pub(crate) fn refused_frame(word: &Frame, reason: NoReply) -> Frame {
    let result = SettleWord::Result(SettleResult::Refused(reason));
    Frame {
        exchange: word.exchange,
        ..settled_frame(word.from, TaskId(word.message.0), LeaseNo(word.signature), result)
    }
}

/// The worker's word that its node, or the link, says in its place: it never saw the task.
pub(super) fn not_given_out(node: NodeId, task: &Frame) -> TaskInput {
    TaskInput::GiveBack {
        task: TaskId(task.message.0),
        lease: LeaseNo(task.signature),
        worker: Pid {
            node,
            serial: task.to,
        },
        said: String::new(),
        retry: Retry::Backoff,
    }
}
