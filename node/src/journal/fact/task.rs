//! What happens to tasks, in the words of journals and of histories alike.
//!
//! What does not live here: when it happens (`exchanges::tasks` and `exchanges::replicas`).

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Epoch, NodeId, Pid};
use squall_kernel::reason::LeaseEnd;
use squall_kernel::tasks::{Copies, LeaseNo, SettleResult, TaskEffect, TaskId, TaskQueue};

/// One thing that happened to a task, or to the queue of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEvent {
    /// The owner, here, told a submitter that its task is taken in.
    Accepted {
        /// The submit.
        request: RequestKey,
        /// The task.
        task: TaskId,
        /// In how many places it is.
        copies: Copies,
        /// It was there before, by its unique text.
        duplicate: bool,
    },
    /// The owner, here, gave it out.
    Given {
        /// The task.
        task: TaskId,
        /// Its lease.
        lease: LeaseNo,
        /// To that worker.
        worker: Pid,
    },
    /// The owner, here, told a worker that its completion counts.
    Completed {
        /// The task.
        task: TaskId,
        /// Under that lease.
        lease: LeaseNo,
        /// By that worker.
        worker: Pid,
    },
    /// The owner, here, told a worker that its lease is over.
    Fenced {
        /// The task.
        task: TaskId,
        /// The lease it spoke of.
        lease: LeaseNo,
        /// The latest one.
        seen: LeaseNo,
    },
    /// The owner, here, told a worker that it has the task no longer.
    GivenBack {
        /// The task.
        task: TaskId,
        /// The lease.
        lease: LeaseNo,
    },
    /// The owner, here, told a worker that it has the task for longer.
    Extended {
        /// The task.
        task: TaskId,
        /// The lease.
        lease: LeaseNo,
    },
    /// A lease ended without its holder's word, and its holder was told, as far as it is there.
    LeaseEnded {
        /// The task.
        task: TaskId,
        /// The lease.
        lease: LeaseNo,
        /// It had run out.
        timed_out: bool,
    },
    /// The owner, here, told that the task ended without a completion. May be told more than once.
    Dead {
        /// The task.
        task: TaskId,
    },
    /// The queue begins here, under that epoch.
    Begins {
        /// Epoch.
        epoch: Epoch,
        /// Where its tasks came from.
        from: QueueFrom,
        /// All tasks it knows, ended ones included, ascending.
        tasks: Vec<TaskId>,
    },
    /// The run ends, and the queue is here.
    Ends {
        /// Epoch.
        epoch: Epoch,
        /// All tasks it knows, ended ones included, ascending.
        tasks: Vec<TaskId>,
    },
    /// The owner, here, counts on a second copy there, or on none.
    Doubled {
        /// Epoch.
        epoch: Epoch,
        /// Who has it.
        backup: Option<NodeId>,
    },
    /// This node has a whole copy, or has one no longer.
    Copy {
        /// It has.
        whole: bool,
    },
    /// The owner, here, says that tasks are lost.
    Lost,
}

/// Where the tasks of a queue came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueFrom {
    /// It is the first one of its exchange.
    Nothing,
    /// The owner before handed them over, or this node goes on after a cancelled move.
    Move,
    /// This node's copy.
    Copy,
    /// Nowhere: nobody who had them is there.
    Loss,
}

impl TaskEvent {
    /// What a queue's wish means, where it means something.
    #[must_use]
    pub fn of(effect: &TaskEffect) -> Option<Self> {
        Some(match effect {
            TaskEffect::Deliver(delivery) => Self::Given {
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
                    SettleResult::Confirmed => Self::Completed { task, lease, worker },
                    SettleResult::GivenBack => Self::GivenBack { task, lease },
                    SettleResult::Extended { .. } => Self::Extended { task, lease },
                    SettleResult::Fenced { seen } => Self::Fenced {
                        task,
                        lease,
                        seen: *seen,
                    },
                    _ => return None,
                }
            }
            TaskEffect::LeaseEnded { task, lease, why, .. } => Self::LeaseEnded {
                task: *task,
                lease: *lease,
                timed_out: *why == LeaseEnd::TimedOut,
            },
            TaskEffect::DeadLettered { letter, .. } => Self::Dead { task: letter.task },
            TaskEffect::Lost { .. } => Self::Lost,
            TaskEffect::Accepted {
                submitter,
                task,
                copies,
                duplicate,
            } => Self::Accepted {
                request: *submitter,
                task: *task,
                copies: *copies,
                duplicate: *duplicate,
            },
            TaskEffect::Replicate { .. } | TaskEffect::Refused { .. } | TaskEffect::ScheduleAsk { .. } => {
                return None;
            }
        })
    }

    /// Who has the second copy of a queue, or that nobody has.
    #[must_use]
    pub fn doubled(queue: &TaskQueue) -> Self {
        Self::Doubled {
            epoch: queue.epoch(),
            backup: queue.doubled_at(),
        }
    }
}

impl fmt::Display for TaskEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted {
                request,
                task,
                copies,
                duplicate,
            } => {
                let again = if *duplicate { " again" } else { "" };
                write!(f, "task {task} accepted{again} of {request}: {}", copies.as_str())
            }
            Self::Given { task, lease, worker } => write!(f, "task {task} lease {lease} given to {worker}"),
            Self::Completed { task, lease, worker } => {
                write!(f, "task {task} completed by {worker} under lease {lease}")
            }
            Self::Fenced { task, lease, seen } => write!(f, "lease {lease} of task {task} fenced by {seen}"),
            Self::GivenBack { task, lease } => write!(f, "task {task} lease {lease} given back"),
            Self::Extended { task, lease } => write!(f, "task {task} lease {lease} extended"),
            Self::LeaseEnded {
                task,
                lease,
                timed_out,
            } => {
                let why = if *timed_out { " by its time" } else { "" };
                write!(f, "lease {lease} of task {task} ended{why}")
            }
            Self::Dead { task } => write!(f, "task {task} is dead"),
            Self::Begins { epoch, from, tasks } => {
                write!(
                    f,
                    "queue begins at epoch {epoch} with {} tasks {}",
                    tasks.len(),
                    from.as_str()
                )
            }
            Self::Ends { epoch, tasks } => {
                write!(f, "queue ends at epoch {epoch} with {} tasks", tasks.len())
            }
            Self::Doubled {
                epoch,
                backup: Some(node),
            } => write!(f, "second copy of epoch {epoch} at {:x}", node.0),
            Self::Doubled { epoch, backup: None } => write!(f, "no second copy of epoch {epoch}"),
            Self::Copy { whole: true } => f.write_str("has a whole copy"),
            Self::Copy { whole: false } => f.write_str("has no whole copy"),
            Self::Lost => f.write_str("tasks are lost"),
        }
    }
}

impl QueueFrom {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "as the first one",
            Self::Move => "of the owner before",
            Self::Copy => "of its copy",
            Self::Loss => "after a loss",
        }
    }
}
