//! What the owner does by itself: ends what is over, gives out what may be given out, keeps the copy going, lets effects
//! go whose time has come. And what it notes of workers, nodes and the registry.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    Answer, Backup, Change, DeadLetter, Delivery, LeaseEnd, LeaseNo, Right, Span, TaskEffect, TaskId,
    TaskInput, TaskQueue, limits,
};
use crate::id::{NodeId, Pid};
use crate::time::Instant;

impl TaskQueue {
    /// After every input, with the right to act.
    pub(super) fn drive(&mut self, right: &Right, now: Instant, out: &mut Vec<TaskEffect>) {
        self.end_what_is_over(now);
        self.let_in(right, now, out);
        self.line.wake(now);
        self.pool.wake(now);
        self.give_out(right, now, out);
        self.forward_again(now);
        self.copying.send(now, out);
        self.release(right, now, out);
    }

    fn end_what_is_over(&mut self, now: Instant) {
        for _ in 0..limits::TASK_ENDS_AT_ONCE_MAX {
            if let Some(task) = self.line.deadline_over(now) {
                self.expire(now, task);
            } else if let Some(task) = self.line.lease_over(now) {
                self.end_lease(now, task, LeaseEnd::TimedOut);
            } else {
                return;
            }
        }
    }

    fn release(&mut self, _right: &Right, now: Instant, out: &mut Vec<TaskEffect>) {
        while let Some(effect) = self.copying.release() {
            match effect {
                TaskEffect::Deliver(delivery) => out.extend(self.deliver(now, delivery)),
                TaskEffect::DeadLettered { ref letter, .. } => {
                    if letter.to_forward {
                        self.forward_at.get_or_insert(now + limits::FORWARD_RESEND);
                    }
                    out.push(effect);
                }
                other => out.push(other),
            }
        }
    }

    /// The time of a lease runs from here. One that ended while it waited, or whose task is about to expire, is not told to
    /// anybody.
    fn deliver(&mut self, now: Instant, delivery: Delivery) -> Option<TaskEffect> {
        let task = self.store.task(delivery.task)?;
        let expired = task.deadline.is_some_and(|at| at <= now);
        if task.lease != delivery.lease || task.holder.is_none() || expired {
            return None;
        }
        let length = self.lease_length(now, delivery.task);
        self.store.arm(delivery.task, true, Some(now + length));
        self.place(now, delivery.task);
        Some(TaskEffect::Deliver(Delivery { length, ..delivery }))
    }

    /// No lease outlives its task's deadline.
    pub(super) fn lease_length(&self, now: Instant, task: TaskId) -> Span {
        let deadline = self.store.task(task).and_then(|t| t.deadline);
        deadline.map_or(self.config.lease, |at| self.config.lease.min(at.since(now)))
    }

    fn forward_again(&mut self, now: Instant) {
        if self.forward_at.is_none_or(|at| now < at) {
            return;
        }
        if self.copying.is_full() || self.copying.backup() == Backup::Awaited {
            self.forward_at = Some(now + limits::FORWARD_RESEND);
            return;
        }
        let letters: Vec<DeadLetter> = self
            .store
            .dead()
            .filter(|letter| letter.to_forward)
            .take(limits::FORWARDS_AT_ONCE_MAX)
            .cloned()
            .collect();
        self.forward_at = (!letters.is_empty()).then_some(now + limits::FORWARD_RESEND);
        for letter in letters {
            self.copying.hold(TaskEffect::DeadLettered {
                letter,
                forward_to: self.config.dead_letter.clone(),
            });
        }
    }

    /// What changes nothing outside by itself.
    pub(super) fn note(&mut self, now: Instant, input: &TaskInput) {
        match input {
            TaskInput::WorkerAttach {
                worker,
                service_tag,
                credit,
                in_hand,
            } => self.attach(now, *worker, service_tag, *credit, in_hand),
            TaskInput::WorkerDetach { worker } => self.detach(now, *worker),
            TaskInput::NodeLost { node } => self.node_lost(now, *node),
            TaskInput::Rolled { node } => self.rolled(now, *node),
            TaskInput::Answered { from, answer } => self.answered(now, *from, *answer),
            TaskInput::BackupChanged { backup } => self.copying.change_backup(now, *backup, &self.store),
            TaskInput::Scheduled { task, chosen } => self.scheduled(now, *task, *chosen),
            TaskInput::Forwarded { task } => self.forwarded(now, *task),
            TaskInput::Tick
            | TaskInput::Submit(_)
            | TaskInput::Confirm { .. }
            | TaskInput::GiveBack { .. }
            | TaskInput::Extend { .. } => {}
        }
    }

    /// A lease of an earlier owner that the worker does not report was never told to it, or is settled: it will not hear of
    /// it any more, since its node takes nothing from earlier owners. One of this owner may be on its way.
    fn attach(
        &mut self,
        now: Instant,
        worker: Pid,
        service_tag: &Bytes,
        credit: u32,
        in_hand: &[(TaskId, LeaseNo)],
    ) {
        if !self.pool.attach(worker, service_tag, credit) {
            return;
        }
        let reported: BTreeSet<&(TaskId, LeaseNo)> = in_hand.iter().collect();
        for task in self.pool.in_hand(worker) {
            let lease = self.store.task(task).map_or(LeaseNo::default(), |t| t.lease);
            if lease.epoch() < self.config.epoch && !reported.contains(&(task, lease)) {
                self.end_lease(now, task, LeaseEnd::Unclaimed);
            }
        }
        for (task, lease) in in_hand {
            if self.copying.is_full() {
                return;
            }
            if let Err(result) = self.verdict(*task, *lease, worker) {
                self.copying.hold(TaskEffect::Settled {
                    worker,
                    task: *task,
                    lease: *lease,
                    result,
                });
            }
        }
    }

    fn detach(&mut self, now: Instant, worker: Pid) {
        self.pool.detach(worker);
        for task in self.pool.in_hand(worker) {
            self.end_lease(now, task, LeaseEnd::Detached);
        }
    }

    fn node_lost(&mut self, now: Instant, node: NodeId) {
        for worker in self.pool.of_node(node) {
            self.pool.detach(worker);
        }
        for (_, task) in self.pool.in_hands_of(node) {
            self.end_lease(now, task, LeaseEnd::NodeLost);
        }
        self.copying.node_lost(now, node, &self.store);
    }

    fn rolled(&mut self, now: Instant, node: NodeId) {
        for (worker, task) in self.pool.in_hands_of(node) {
            if !self.pool.is_attached(worker) {
                self.end_lease(now, task, LeaseEnd::Unclaimed);
            }
        }
    }

    fn answered(&mut self, now: Instant, from: NodeId, answer: Answer) {
        match answer {
            Answer::Fenced { seen } => self.over |= seen > self.config.epoch,
            _ => self.copying.answered(now, from, answer, &self.store),
        }
    }

    fn forwarded(&mut self, now: Instant, task: TaskId) {
        if self.store.dead().any(|l| l.task == task && l.to_forward) {
            self.change(now, Change::Forwarded { task });
        }
    }
}
