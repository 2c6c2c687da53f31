//! The tasks of the exchanges this node owns: takes submits and workers' words to the kernel's queue, and carries out what
//! it wants done. As `squall_node::exchanges::tasks` does it.
//!
//! What does not live here: the second copies (`copies`), workers (`workers`), submitters (`requests`).

mod copies;
mod telling;

use std::collections::BTreeMap;

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::message::{self, PeerMessage, SettleWord, Settlement, Submitted, Terms, Work};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_kernel::tasks::{
    Backup, Delivery, LeaseNo, QueueState, Retry, SettleResult, Spec, Submit, TaskConfig, TaskEffect, TaskId,
    TaskInput, TaskQueue,
};
use squall_kernel::time::{Instant, Span};
use squall_node::limits::{
    TASK_ATTEMPTS_DEFAULT, TASK_BACKOFF, TASK_LEASE_DEFAULT, TASK_LOOK_AGAIN, TASK_UNIQUE_FOR_DEFAULT,
};
use squall_node::wire::{ReturnPath, lane_key};

use super::Host;
use crate::history::{QueueFrom, TaskEvent, What};
pub(super) use copies::Copies;

/// The queue of an owned exchange, and what is kept beside it.
pub(super) struct Tasks {
    queue: TaskQueue,
    /// Credit of each worker: those of a node's next run are attached again with it.
    credits: BTreeMap<Pid, u32>,
    /// How long a task is good for that does not say.
    ttl: Option<Span>,
    /// What travels, once it moves away.
    pub(super) left: Option<Box<QueueState>>,
    /// When it wants to be looked at.
    look: Option<Instant>,
    /// Who has a second copy, as was told last.
    doubled: Option<TaskEvent>,
}

impl Tasks {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.look
    }

    pub(super) fn into_queue(self) -> TaskQueue {
        self.queue
    }
}

fn config(node: NodeId, record: &ExchangeRecord) -> TaskConfig {
    let settings = &record.settings;
    TaskConfig {
        exchange: record.id,
        node,
        epoch: record.epoch,
        ordered: settings.ordered,
        attempts: settings.attempts.unwrap_or(TASK_ATTEMPTS_DEFAULT),
        lease: settings.lease.unwrap_or(TASK_LEASE_DEFAULT),
        backoff: TASK_BACKOFF,
        unique_for: settings.dedup.unwrap_or(TASK_UNIQUE_FOR_DEFAULT),
        dead_letter: settings.dead_letter.clone(),
        scheduler: false,
        bound: settings.bound(),
    }
}

fn backup(node: Option<NodeId>) -> Backup {
    node.map_or(Backup::Alone, Backup::On)
}

impl Host {
    /// The queue with which an ownership begins: that of the owner before, as it handed it over, or as this node has it as
    /// its backup; else an empty one.
    pub(super) fn tasks_of(
        &mut self,
        now: Instant,
        record: &ExchangeRecord,
        state: Option<Box<QueueState>>,
        kept: Option<TaskQueue>,
    ) -> Option<Tasks> {
        // A copy here is out of date from now on, whoever is the backup.
        let replica = self.copies.remove(record.id);
        if record.pattern != Pattern::Task {
            return None;
        }
        let config = config(self.id(), record);
        let epoch = record.epoch;
        let kept = kept.map(|mut queue| queue.leave(now));
        let state = state.map(|state| *state).or(kept);
        let (queue, from) = match (state, replica) {
            (Some(state), _) => (TaskQueue::from_state(config, now, state), QueueFrom::Move),
            (None, Some(replica)) => (TaskQueue::from_replica(config, now, replica), QueueFrom::Copy),
            (None, None) if record.epoch == record.first => (TaskQueue::new(config), QueueFrom::Nothing),
            (None, None) => (TaskQueue::after_loss(config, now, None), QueueFrom::Loss),
        };
        let tasks = queue.known();
        self.task_event(record.id, TaskEvent::Begins { epoch, from, tasks });
        Some(Tasks {
            queue,
            credits: BTreeMap::new(),
            ttl: record.settings.ttl,
            left: None,
            look: None,
            doubled: None,
        })
    }

    /// Begins with who else has the tasks, and with workers' nodes that were lost meanwhile.
    pub(super) fn begin_tasks(&mut self, now: Instant, id: ExchangeId, named: Option<NodeId>) {
        let Some(tasks) = self.tasks(id) else { return };
        let awaited = tasks.queue.awaited_nodes();
        let registry = &self.registry;
        let up = |node: &NodeId| registry.nodes.get(node).is_some_and(|n| n.is_up());
        let gone: Vec<NodeId> = awaited.into_iter().filter(|n| !up(n)).collect();
        self.backup_named(now, id, named);
        for node in gone {
            self.task_step(now, id, &TaskInput::NodeLost { node });
        }
    }

    pub(super) fn backup_named(&mut self, now: Instant, id: ExchangeId, named: Option<NodeId>) {
        let backup = backup(named);
        self.task_step(now, id, &TaskInput::BackupChanged { backup });
    }

    /// Hands the queue over: from here on everything is refused as moved. What stays here is the copy that the next owner
    /// may name as its backup's.
    pub(super) fn leave_tasks(&mut self, now: Instant, id: ExchangeId) {
        let Some(tasks) = self.tasks(id).filter(|tasks| tasks.left.is_none()) else {
            return;
        };
        tasks.left = Some(Box::new(tasks.queue.leave(now)));
        let replica = tasks.queue.clone().into_replica();
        self.keep_copy(id, replica);
        // Whoever is held back for want of room goes to the next owner.
        self.task_step(now, id, &TaskInput::Tick);
    }

    pub(super) fn take_submit(&mut self, now: Instant, frame: &Frame) {
        let owned = self.owned.get(&frame.exchange);
        let Some(owned) = owned else {
            return self.reply(ReturnPath::of(frame).none(self.nobody(), NoReply::Moved));
        };
        let Some(tasks) = &owned.tasks else {
            let why = Bytes::from_static(b"no tasks here");
            return self.reply(ReturnPath::of(frame).reply(self.nobody(), Status::Declined, why));
        };
        let terms = if frame.tags.connection.is_empty() {
            Terms::default()
        } else {
            message::parse::<Terms>(&frame.tags.connection)
                .expect("simulated submitters write their terms well")
        };
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
                attempts: terms.attempts,
                unique: terms.unique,
                ..Spec::default()
            },
            not_before: (terms.delay > Span::ZERO).then(|| now + terms.delay),
            deadline: terms.deadline.or(tasks.ttl).map(|left| now + left),
            patience: now + Span::from_ms(u64::from(frame.left_ms)),
        };
        self.task_step(now, frame.exchange, &TaskInput::Submit(submit));
    }

    /// A worker's word arrived at the owner.
    pub(super) fn take_word(&mut self, now: Instant, frame: &Frame) {
        let (task, lease, worker) = (TaskId(frame.message.0), LeaseNo(frame.signature), frame.from);
        if !self.owned.contains_key(&frame.exchange) {
            let word = SettleWord::Result(SettleResult::Refused(NoReply::Moved));
            return self.tell_worker(frame.exchange, (task, lease, worker), word);
        }
        let settlement = message::parse(&frame.payload).expect("nodes of one build speak alike");
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
        self.task_step(now, frame.exchange, &input);
    }

    pub(super) fn worker_attached(
        &mut self,
        now: Instant,
        id: ExchangeId,
        (worker, tag): (Pid, String),
        work: Option<Work>,
    ) {
        let (Some(tasks), Some(work)) = (self.tasks(id), work) else {
            return;
        };
        tasks.credits.insert(worker, work.credit);
        let input = TaskInput::WorkerAttach {
            worker,
            service_tag: Bytes::from(tag),
            credit: work.credit,
            in_hand: work.in_hand,
        };
        self.task_step(now, id, &input);
    }

    pub(super) fn worker_detached(&mut self, now: Instant, id: ExchangeId, worker: Pid) {
        if let Some(tasks) = self.tasks(id) {
            tasks.credits.remove(&worker);
            self.task_step(now, id, &TaskInput::WorkerDetach { worker });
        }
    }

    /// What the worker had in hand when its node was lost was leased anew: it begins with nothing.
    pub(super) fn work_of(&mut self, id: ExchangeId, worker: Pid) -> Option<Work> {
        let credit = *self.tasks(id)?.credits.get(&worker)?;
        Some(Work {
            credit,
            in_hand: Vec::new(),
        })
    }

    /// A task certainly did not reach its worker: no attempt.
    pub(super) fn not_given_out(&mut self, now: Instant, node: NodeId, frame: &Frame) {
        let input = TaskInput::GiveBack {
            task: TaskId(frame.message.0),
            lease: LeaseNo(frame.signature),
            worker: Pid {
                node,
                serial: frame.to,
            },
            said: String::new(),
            retry: Retry::Unseen,
        };
        self.task_step(now, frame.exchange, &input);
    }

    pub(super) fn tick_tasks(&mut self, now: Instant, id: ExchangeId) {
        let due = |tasks: &mut Tasks| tasks.look.is_some_and(|at| at <= now);
        if self.tasks(id).is_some_and(due) {
            self.task_step(now, id, &TaskInput::Tick);
        }
    }

    fn tasks(&mut self, id: ExchangeId) -> Option<&mut Tasks> {
        self.owned.get_mut(&id)?.tasks.as_mut()
    }

    pub(super) fn task_step(&mut self, now: Instant, id: ExchangeId, input: &TaskInput) {
        let lease_until = self.lease_until;
        let Some(tasks) = self.tasks(id) else { return };
        let mut effects = Vec::new();
        tasks.queue.step(now, lease_until, input, &mut effects);
        // Without the right to act a tick changes nothing: then a little later.
        let next = tasks.queue.next_timeout();
        tasks.look = next.map(|at| if at <= now { now + TASK_LOOK_AGAIN } else { at });
        self.tell_doubled(id);
        for effect in effects {
            self.tell_effect(id, &effect);
            self.carry_out_task(now, id, effect);
        }
    }

    fn carry_out_task(&mut self, now: Instant, id: ExchangeId, effect: TaskEffect) {
        match effect {
            TaskEffect::Deliver(delivery) => self.give_out(now, id, delivery),
            TaskEffect::Replicate { to, batch } => {
                let message = PeerMessage::TaskBatch { exchange: id, batch };
                // What is not acknowledged in time is sent again by the queue.
                let _sent_again = self.message(to, id, &message);
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
                let back = self.way_back(id, submitter);
                self.reply(back.reply(self.nobody(), Status::Reply, payload));
            }
            TaskEffect::Refused { submitter, reason } => {
                let back = self.way_back(id, submitter);
                self.reply(back.none(self.nobody(), reason));
            }
            TaskEffect::Settled {
                worker,
                task,
                lease,
                result,
            } => self.tell_worker(id, (task, lease, worker), SettleWord::Result(result)),
            TaskEffect::LeaseEnded {
                worker,
                task,
                lease,
                why,
            } => self.tell_worker(id, (task, lease, worker), SettleWord::Ended(why)),
            // Simulated exchanges have neither an exchange for dead letters nor a scheduler.
            TaskEffect::DeadLettered { .. } | TaskEffect::ScheduleAsk { .. } | TaskEffect::Lost { .. } => {}
        }
    }

    fn give_out(&mut self, now: Instant, id: ExchangeId, delivery: Delivery) {
        let worker = delivery.worker;
        let frame = Frame {
            exchange: id,
            epoch: self.epoch_of(id),
            message: MessageId(delivery.task.0),
            origin: self.id(),
            to: worker.serial,
            from: self.nobody(),
            left_ms: u32::try_from(delivery.length.as_ms().max(1)).unwrap_or(u32::MAX),
            index: delivery.attempt,
            count: delivery.attempts,
            signature: delivery.lease.0,
            tags: Tags {
                service: delivery.spec.service_tag,
                key: delivery.spec.key,
                ..Tags::default()
            },
            payload: delivery.spec.payload,
            ..Frame::new(Kind::Task)
        };
        let undelivered = frame.clone();
        if self
            .send(worker.node, lane_key(id, worker.serial), frame)
            .is_err()
        {
            self.not_given_out(now, worker.node, &undelivered);
        }
    }

    fn tell_worker(&mut self, id: ExchangeId, about: (TaskId, LeaseNo, Pid), word: SettleWord) {
        let (task, lease, worker) = about;
        let frame = Frame {
            exchange: id,
            epoch: self.epoch_of(id),
            from: self.nobody(),
            message: MessageId(task.0),
            to: worker.serial,
            signature: lease.0,
            payload: message::control(&word).payload,
            ..Frame::new(Kind::Settle)
        };
        // A worker that hears nothing says it again.
        let _asked_again = self.send(worker.node, lane_key(id, worker.serial), frame);
    }

    fn way_back(&self, id: ExchangeId, submitter: RequestKey) -> ReturnPath {
        let frame = Frame {
            exchange: id,
            epoch: self.epoch_of(id),
            origin: submitter.origin,
            message: submitter.message,
            ..Frame::new(Kind::Submit)
        };
        ReturnPath::of(&frame)
    }

    fn task_event(&mut self, exchange: ExchangeId, what: TaskEvent) {
        self.event(What::Task { exchange, what });
    }
}
