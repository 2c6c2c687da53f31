//! Leases: which task goes to which worker.

use alloc::vec::Vec;

use super::{Backup, Change, Chosen, Delivery, Right, TaskEffect, TaskId, TaskQueue, WhoGets, limits};
use crate::id::Pid;
use crate::time::Instant;

impl TaskQueue {
    /// Tasks in line go to workers with room, or the scheduler is asked who gets them.
    pub(super) fn give_out(&mut self, _right: &Right, now: Instant, out: &mut Vec<TaskEffect>) {
        while let Some(task) = self.line.unanswered(now) {
            self.scheduled(now, task, Chosen::Nothing);
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
        self.scheduling.asked += 1;
        let open = self.store.task(task)?;
        let spec = &open.spec;
        let free = self.pool.free(&spec.service_tag);
        Some(TaskEffect::ScheduleAsk(WhoGets {
            task,
            key: spec.key.clone(),
            service_tag: spec.service_tag.clone(),
            bytes: spec.payload.len(),
            attempt: open.attempts + 1,
            attempts: open.limit(self.config.attempts),
            free: free
                .take(limits::SCHEDULE_CANDIDATES_MAX)
                .map(|worker| self.pool.candidate(worker))
                .collect(),
        }))
    }

    /// The scheduler's answer, or that there was none in time. Only a worker with room gets a task.
    pub(super) fn scheduled(&mut self, now: Instant, task: TaskId, chosen: Chosen) {
        if !self.line.is_asked(task) {
            return;
        }
        if chosen == Chosen::Wait {
            self.scheduling.waits += 1;
            return self.line.pause(task, now + limits::SCHEDULE_PAUSE);
        }
        self.place(now, task);
        let Some(open) = self.store.task(task).filter(|_| self.may_lease()) else {
            return;
        };
        let tag = &open.spec.service_tag;
        let counted = match chosen {
            Chosen::Worker(worker) if self.pool.is_free(worker, tag) => {
                self.scheduling.followed += 1;
                return self.lease(now, task, worker);
            }
            Chosen::Worker(_) => &mut self.scheduling.unfit,
            Chosen::Any => &mut self.scheduling.left,
            Chosen::Wait | Chosen::Nothing => &mut self.scheduling.unanswered,
        };
        *counted += 1;
        self.lease_to_first(now, task);
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
