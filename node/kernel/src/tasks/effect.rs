//! What a task queue wants done, as plain data and in words.
//!
//! What does not live here: what goes in (`input`), and what a backup is sent (`change`).

use core::fmt;

use serde::{Deserialize, Serialize};

use super::change::{Batch, DeadLetter, Spec};
use super::number::{LeaseNo, TaskId};
use super::scheduling::WhoGets;
use crate::exchange::RequestKey;
use crate::id::{ExchangeName, NodeId, Pid};
use crate::reason::{DeadReason, LeaseEnd, NoReply};
use crate::time::Span;

/// What a queue wants done. What a step returns may be done at once: everything that has to wait for the backup waits
/// inside the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEffect {
    /// Hand a task to a worker.
    Deliver(Delivery),
    /// Send entries to the backup.
    Replicate {
        /// The backup.
        to: NodeId,
        /// The entries.
        batch: Batch,
    },
    /// Acknowledge a submit.
    Accepted {
        /// Whose it is.
        submitter: RequestKey,
        /// The task's number.
        task: TaskId,
        /// Where it is.
        copies: Copies,
        /// It was there before, by its unique text.
        duplicate: bool,
    },
    /// Turn a submit away.
    Refused {
        /// Whose it is.
        submitter: RequestKey,
        /// Why.
        reason: NoReply,
    },
    /// Answer a worker.
    Settled {
        /// Worker.
        worker: Pid,
        /// Task.
        task: TaskId,
        /// The lease it spoke of.
        lease: LeaseNo,
        /// What became of it.
        result: SettleResult,
    },
    /// A lease is over, not by its holder's word: a worker that is still there may stop.
    LeaseEnded {
        /// Worker.
        worker: Pid,
        /// Task.
        task: TaskId,
        /// Its lease.
        lease: LeaseNo,
        /// Why.
        why: LeaseEnd,
    },
    /// A task has ended without a completion. Told again until [`TaskInput::Forwarded`](super::TaskInput::Forwarded) when
    /// it has to be passed on.
    DeadLettered {
        /// The letter.
        letter: DeadLetter,
        /// Where to pass it on to.
        forward_to: Option<ExchangeName>,
    },
    /// Ask the scheduler which worker gets a task.
    ScheduleAsk(WhoGets),
    /// Acknowledged tasks are gone with their nodes.
    Lost {
        /// How many; `None` where nobody was told.
        acknowledged: Option<u64>,
    },
}

impl fmt::Display for TaskEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(delivery) => write!(f, "{delivery}"),
            Self::Replicate { to, batch } => write!(f, "replicate to {to}: {batch}"),
            Self::Accepted {
                submitter,
                task,
                copies,
                duplicate,
            } => {
                let again = if *duplicate { " again" } else { "" };
                write!(f, "accept {submitter} as {task}{again}: {}", copies.as_str())
            }
            Self::Refused { submitter, reason } => write!(f, "refuse {submitter}: {reason}"),
            Self::Settled {
                worker,
                task,
                lease,
                result,
            } => write!(f, "tell {worker} of {task} lease {lease}: {result}"),
            Self::LeaseEnded {
                worker,
                task,
                lease,
                why,
            } => write!(f, "end lease {lease} of {task} at {worker}: {why}"),
            Self::DeadLettered { letter, forward_to } => {
                write!(f, "dead letter {}: {}", letter.task, letter.reason)?;
                match forward_to {
                    Some(name) => write!(f, ", on to {name}"),
                    None => Ok(()),
                }
            }
            Self::ScheduleAsk(ask) => {
                write!(f, "ask who gets {}: {} workers free", ask.task, ask.free.len())
            }
            Self::Lost {
                acknowledged: Some(n),
            } => write!(f, "lost {n} acknowledged tasks"),
            Self::Lost { acknowledged: None } => f.write_str("lost an unknown number of tasks"),
        }
    }
}

/// A task on its way to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Task.
    pub task: TaskId,
    /// Worker.
    pub worker: Pid,
    /// Lease; the worker shows it with whatever it says about the task.
    pub lease: LeaseNo,
    /// The how manieth attempt it is, from 1.
    pub attempt: u32,
    /// How many there are at most.
    pub attempts: u32,
    /// How long the lease holds, from now.
    pub length: Span,
    /// Whose task it is.
    pub submitter: RequestKey,
    /// What is to be done.
    pub spec: Spec,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deliver {} to {} lease {} attempt {}/{} for {}",
            self.task, self.worker, self.lease, self.attempt, self.attempts, self.length
        )
    }
}

/// In how many places a task is when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Copies {
    /// At the owner only: there is no other node.
    Single,
    /// At the owner and its backup.
    Two,
}

impl Copies {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single copy",
            Self::Two => "two copies",
        }
    }
}

/// What became of a worker's word about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettleResult {
    /// Its completion is the one that counts.
    Confirmed,
    /// Its completion was accepted before, under this lease.
    AlreadyConfirmed,
    /// Taken back.
    GivenBack,
    /// The lease holds longer.
    Extended {
        /// From now on so long.
        length: Span,
    },
    /// The lease is over.
    Fenced {
        /// The task's latest lease.
        seen: LeaseNo,
    },
    /// The task has ended as a dead letter.
    Dead(DeadReason),
    /// No such task, or one that ended long ago.
    Unknown,
    /// Not now.
    Refused(NoReply),
}

impl fmt::Display for SettleResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed => f.write_str("confirmed"),
            Self::AlreadyConfirmed => f.write_str("already confirmed"),
            Self::GivenBack => f.write_str("given back"),
            Self::Extended { length } => write!(f, "extended to {length}"),
            Self::Fenced { seen } => write!(f, "fenced by lease {seen}"),
            Self::Dead(reason) => write!(f, "dead: {reason}"),
            Self::Unknown => f.write_str("unknown task"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}
