//! What a queue's steps mean for the history.

use squall_kernel::id::ExchangeId;
use squall_kernel::reason::LeaseEnd;
use squall_kernel::tasks::{Backup, SettleResult, TaskEffect};

use crate::history::TaskEvent;
use crate::sim::host::Host;

impl Host {
    pub(super) fn tell_effect(&mut self, id: ExchangeId, effect: &TaskEffect) {
        let told = match effect {
            TaskEffect::Deliver(delivery) => TaskEvent::Given {
                task: delivery.task,
                lease: delivery.lease,
                worker: delivery.worker,
            },
            TaskEffect::Settled {
                worker,
                task,
                lease,
                result,
            } => {
                let (worker, task, lease) = (*worker, *task, *lease);
                match result {
                    SettleResult::Confirmed => TaskEvent::Completed { task, lease, worker },
                    SettleResult::GivenBack => TaskEvent::GivenBack { task, lease },
                    SettleResult::Extended { .. } => TaskEvent::Extended { task, lease },
                    SettleResult::Fenced { seen } => TaskEvent::Fenced {
                        task,
                        lease,
                        seen: *seen,
                    },
                    _ => return,
                }
            }
            TaskEffect::LeaseEnded { task, lease, why, .. } => TaskEvent::LeaseEnded {
                task: *task,
                lease: *lease,
                timed_out: *why == LeaseEnd::TimedOut,
            },
            TaskEffect::DeadLettered { letter, .. } => TaskEvent::Dead { task: letter.task },
            TaskEffect::Lost { .. } => TaskEvent::Lost,
            TaskEffect::Accepted {
                submitter,
                task,
                copies,
                duplicate,
            } => TaskEvent::Accepted {
                request: *submitter,
                task: *task,
                copies: *copies,
                duplicate: *duplicate,
            },
            TaskEffect::Replicate { .. } | TaskEffect::Refused { .. } | TaskEffect::ScheduleAsk { .. } => {
                return;
            }
        };
        self.task_event(id, told);
    }

    /// Who has a second copy, where that is news.
    pub(super) fn tell_doubled(&mut self, id: ExchangeId) {
        let Some(tasks) = self.tasks(id) else { return };
        let backup = match tasks.queue.view().backup {
            Backup::On(node) if tasks.queue.is_doubled() => Some(node),
            _ => None,
        };
        if tasks.doubled.replace(backup) != Some(backup) {
            let epoch = self.epoch_of(id);
            self.task_event(id, TaskEvent::Doubled { epoch, backup });
        }
    }

    /// The run ends: what the queues here know.
    pub fn tell_queues(&mut self) {
        let queues = self.owned.iter().filter(|(_, owned)| !owned.left);
        let queues = queues.filter_map(|(id, owned)| {
            let queue = &owned.tasks.as_ref()?.queue;
            Some((*id, queue.epoch(), queue.known()))
        });
        let queues: Vec<_> = queues.collect();
        for (id, epoch, tasks) in queues {
            self.task_event(id, TaskEvent::Ends { epoch, tasks });
        }
    }
}
