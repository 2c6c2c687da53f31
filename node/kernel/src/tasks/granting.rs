//! Leases: which task goes to which worker.

use alloc::vec::Vec;

use super::{Backup, Change, Delivery, Right, TaskEffect, TaskId, TaskQueue, limits};
use crate::id::Pid;
use crate::time::Instant;

impl TaskQueue {
    /// Tasks in line go to workers with room, or the scheduler is asked who gets them.
    pub(super) fn give_out(&mut self, _right: &Right, now: Instant, out: &mut Vec<TaskEffect>) {
        while let Some(task) = self.line.unanswered(now) {
            self.scheduled(now, task, None);
        }
        while self.may_lease() && self.may_ask() {
            let Some(task) = self.line.first_ready(&self.pool) else {
                break;
            };
            if self.config.scheduler {
                out.extend(self.ask(now, task));
            } else {
                self.lease_to_first(now, task);
            }
        }
    }

    /// A lease is told to its worker when the backup has it: without one in sight none is granted.
    fn may_lease(&self) -> bool {
        self.copying.backup() != Backup::Awaited && !self.copying.is_full()
    }

    /// No more questions than there is room for answers.
    fn may_ask(&self) -> bool {
        !self.config.scheduler || self.line.asks() < self.pool.room().min(limits::SCHEDULE_ASKS_MAX)
    }

    fn ask(&mut self, now: Instant, task: TaskId) -> Option<TaskEffect> {
        self.line.ask(task, now + limits::SCHEDULE_WAIT);
        let spec = &self.store.task(task)?.spec;
        let free = self.pool.free(&spec.service_tag);
        Some(TaskEffect::ScheduleAsk {
            task,
            key: spec.key.clone(),
            free: free.take(limits::SCHEDULE_CANDIDATES_MAX).collect(),
        })
    }

    /// The scheduler's answer, or that there was none in time. A worker that has no room is no answer.
    pub(super) fn scheduled(&mut self, now: Instant, task: TaskId, worker: Option<Pid>) {
        if !self.line.is_asked(task) {
            return;
        }
        self.place(now, task);
        let Some(open) = self.store.task(task).filter(|_| self.may_lease()) else {
            return;
        };
        let tag = &open.spec.service_tag;
        match worker.filter(|worker| self.pool.is_free(*worker, tag)) {
            Some(worker) => self.lease(now, task, worker),
            None => self.lease_to_first(now, task),
        }
    }

    fn lease_to_first(&mut self, now: Instant, task: TaskId) {
        let worker = self
            .store
            .task(task)
            .and_then(|open| self.pool.free(&open.spec.service_tag).next());
        if let Some(worker) = worker {
            self.lease(now, task, worker);
        }
    }

    fn lease(&mut self, now: Instant, task: TaskId, worker: Pid) {
        let lease = self.store.latest_lease.next(self.config.epoch);
        let length = self.lease_length(now, task);
        self.change(
            now,
            Change::Leased {
                task,
                lease,
                worker,
                length,
            },
        );
        let Some(open) = self.store.task(task) else {
            return;
        };
        self.copying.hold(TaskEffect::Deliver(Delivery {
            task,
            worker,
            lease,
            attempt: open.attempts,
            attempts: open.limit(self.config.attempts),
            length,
            submitter: open.submitter,
            spec: open.spec.clone(),
        }));
    }
}
