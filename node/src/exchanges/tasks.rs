//! The tasks of an owned exchange: takes submits and workers' words to the kernel's queue.
//!
//! What does not live here: the queue itself (the kernel's `tasks`), how it begins and is handed over (`queue`), what it wants
//! done (`effects`), what is told of it (`telling`) and measured (`tally`), the second copy (`replicas`), workers (`handlers`).

mod dead_letters;
mod effects;
mod queue;
mod scheduling;
mod tally;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::limits::TASK_PAYLOAD_BYTES_MAX;
use squall_kernel::message::{self, Settlement, Terms, Work};
use squall_kernel::tasks::{LeaseNo, QueueState, Spec, Submit, TaskEffect, TaskId, TaskInput};
use squall_kernel::time::{Instant, Span};

use super::run::Running;
use crate::journal::TaskEvent;
use crate::limits::TASK_LOOK_AGAIN;
use crate::wire::count;
pub(super) use effects::not_given_out;
pub(crate) use effects::refused_frame;
pub(super) use queue::SharedQueue;
pub(super) use tally::Tally;
pub use tally::{TaskChanges, TasksShown};

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
    pub(super) left: Option<Box<QueueState>>,
    /// Dead letters that are told of, and still to be taken by the exchange for them.
    dying: BTreeSet<TaskId>,
    /// Who has a second copy, as the journal was told last.
    doubled: Option<TaskEvent>,
    /// What this node has done with tasks of the exchange, now and in ownerships before.
    tally: Arc<Tally>,
}

impl Running {
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
            submitter: RequestKey::of(frame),
            epoch: frame.epoch,
            spec: Spec {
                payload: frame.payload.clone(),
                key: frame.tags.key.clone(),
                service_tag: frame.tags.service.clone(),
                priority,
                attempts: terms.attempts,
                unique: terms.unique,
                trace: frame.trace,
            },
            not_before: (terms.delay > Span::ZERO).then(|| now + terms.delay),
            deadline: terms.deadline.or(tasks.ttl).map(|left| now + left),
            patience: now + Span::from_ms(u64::from(frame.left_ms)),
        };
        self.task_step(now, &TaskInput::Submit(submit));
    }

    /// The exchange for dead letters has taken one.
    pub(super) fn forwarded(&mut self, now: Instant, task: TaskId) {
        if let Some(tasks) = &mut self.tasks {
            tasks.dying.remove(&task);
        }
        self.task_step(now, &TaskInput::Forwarded { task });
    }

    pub(super) fn settle(&mut self, now: Instant, frame: &Frame) {
        let (task, lease, worker) = (TaskId(frame.message.0), LeaseNo(frame.signature), frame.from);
        let Ok(settlement) = message::parse(&frame.payload) else {
            return count(&self.context.wire.tally.garbled);
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
            let before = queue.glance().figures;
            queue.step(now, lease_until, input, &mut effects);
            let glance = queue.glance();
            tasks.tally.stepped(&before, &glance.figures, &effects);
            tasks.queue.show(&glance);
            telling::stepped(&self.context, self.id, queue, &effects, &mut tasks.doubled);
        }
        for effect in effects.drain(..) {
            self.carry_out_task(effect);
        }
        if let Some(tasks) = &mut self.tasks {
            tasks.effects = effects;
        }
    }
}
