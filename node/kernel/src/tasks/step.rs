//! What goes into a task queue and what comes out of it, as plain data.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::change::{Answer, Batch, Change, DeadLetter, Spec};
use super::number::{CopyId, LeaseNo, TaskId};
use crate::exchange::RequestKey;
use crate::id::{Epoch, ExchangeId, ExchangeName, NodeId, Pid};
use crate::reason::{DeadReason, LeaseEnd, NoReply};
use crate::time::{Instant, Span};

/// What a queue starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskConfig {
    /// Exchange.
    pub exchange: ExchangeId,
    /// This node.
    pub node: NodeId,
    /// Epoch of this ownership.
    pub epoch: Epoch,
    /// Tasks of one key go one after the other, in the order in which they were submitted.
    pub ordered: bool,
    /// How often a task is tried at most, unless it says so itself; 0 counts as 1.
    pub attempts: u32,
    /// How long a lease holds.
    pub lease: Span,
    /// First wait of a task given back with [`Retry::Backoff`]; doubles with every attempt.
    pub backoff: Span,
    /// How long after its completion a submit with the same unique text is still the same task.
    pub unique_for: Span,
    /// Where dead letters are passed on to.
    pub dead_letter: Option<ExchangeName>,
    /// A scheduler says which worker gets a task.
    pub scheduler: bool,
}

/// Who else holds the tasks, by the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backup {
    /// Not known yet, or lost and no other one named: nothing is acknowledged.
    Awaited,
    /// There is no other node: the tasks are in one copy, and acknowledgements say so.
    Alone,
    /// That node.
    On(NodeId),
}

/// When a task that is given back may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retry {
    /// At once.
    AtOnce,
    /// After that time, at most [`TASK_WAIT_MAX`](crate::limits::TASK_WAIT_MAX).
    After(Span),
    /// After a time that doubles with every attempt.
    Backoff,
    /// Never: it is a dead letter.
    Never,
}

/// A submit on its way into the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Whose it is.
    pub submitter: RequestKey,
    /// Epoch under which it was sent.
    pub epoch: Epoch,
    /// What is to be done.
    pub spec: Spec,
    /// Before that it is not leased.
    pub not_before: Option<Instant>,
    /// At that it is a dead letter.
    pub deadline: Option<Instant>,
}

/// What happens to a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskInput {
    /// A new task.
    Submit(Submit),
    /// A worker attaches, or attaches again.
    WorkerAttach {
        /// Worker.
        worker: Pid,
        /// Its group.
        service_tag: Bytes,
        /// How many tasks it takes in hand; 0 for none now.
        credit: u32,
        /// Those it has in hand.
        in_hand: Vec<(TaskId, LeaseNo)>,
    },
    /// A worker detaches: what it has in hand is leased anew.
    WorkerDetach {
        /// Worker.
        worker: Pid,
    },
    /// The registry declared a node lost.
    NodeLost {
        /// Node.
        node: NodeId,
    },
    /// After a failover: every worker of that node has attached again by now.
    Rolled {
        /// Node.
        node: NodeId,
    },
    /// A worker has completed a task.
    Confirm {
        /// Task.
        task: TaskId,
        /// Its lease.
        lease: LeaseNo,
        /// Worker.
        worker: Pid,
    },
    /// A worker does not complete a task.
    GiveBack {
        /// Task.
        task: TaskId,
        /// Its lease.
        lease: LeaseNo,
        /// Worker.
        worker: Pid,
        /// Why, for people; cut at [`GIVE_BACK_TEXT_BYTES_MAX`](crate::limits::GIVE_BACK_TEXT_BYTES_MAX).
        said: String,
        /// When it may be tried again.
        retry: Retry,
    },
    /// A worker needs more time.
    Extend {
        /// Task.
        task: TaskId,
        /// Its lease.
        lease: LeaseNo,
        /// Worker.
        worker: Pid,
        /// From now on so long, at most [`TASK_WAIT_MAX`](crate::limits::TASK_WAIT_MAX).
        by: Span,
    },
    /// A backup's answer to a batch.
    Answered {
        /// The backup.
        from: NodeId,
        /// Its answer.
        answer: Answer,
    },
    /// The registry says who else holds the tasks.
    BackupChanged {
        /// That.
        backup: Backup,
    },
    /// The scheduler's answer.
    Scheduled {
        /// Task.
        task: TaskId,
        /// What it says.
        chosen: Chosen,
    },
    /// A dead letter has arrived where it was passed on to.
    Forwarded {
        /// Task.
        task: TaskId,
    },
    /// Time has passed.
    Tick,
}

/// Which worker gets a task, as a scheduler says (A4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chosen {
    /// That one.
    Worker(Pid),
    /// Whoever it would be without a scheduler.
    Any,
    /// Nobody now: it is asked again a little later.
    Wait,
    /// It said nothing of use, or nothing in time.
    Nothing,
}

/// What a scheduler is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoGets {
    /// The task.
    pub task: TaskId,
    /// Its key.
    pub key: Bytes,
    /// Group of workers that it is for; empty for any.
    pub service_tag: Bytes,
    /// Bytes of its payload.
    pub bytes: usize,
    /// Which attempt this would be, from 1.
    pub attempt: u32,
    /// Attempts allowed.
    pub attempts: u32,
    /// Workers with room, those with least in hand first; not all of them when there are many.
    pub free: Vec<Candidate>,
}

/// A worker with room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Worker.
    pub worker: Pid,
    /// Tasks in its hand.
    pub in_hand: u32,
    /// How many it takes.
    pub credit: u32,
}

/// What became of questions to the scheduler, since this ownership began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// Questions.
    pub asked: u64,
    /// It named a worker, who got the task.
    pub followed: u64,
    /// It left it to the owner.
    pub left: u64,
    /// It wanted to be asked again.
    pub waits: u64,
    /// No answer of use in time: the owner decided.
    pub unanswered: u64,
    /// It named somebody without room, or who is no worker: the owner decided.
    pub unfit: u64,
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
    /// A task has ended without a completion. Told again until [`TaskInput::Forwarded`] when it has to be passed on.
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

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deliver {} to {} lease {} attempt {}/{} for {}",
            self.task, self.worker, self.lease, self.attempt, self.attempts, self.length
        )
    }
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

/// A worker on its way to the next owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Worker.
    pub worker: Pid,
    /// Its group.
    pub service_tag: Bytes,
    /// How many tasks it takes in hand.
    pub credit: u32,
}

/// What travels to the next owner in a move. It may be as large as the queue: cut into pieces to send it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// The whole queue, as a stream to a backup begins.
    pub copy: Vec<Change>,
    /// Workers attached.
    pub workers: Vec<WorkerRecord>,
    /// Effects that wait for a backup.
    pub waiting: Vec<TaskEffect>,
    /// Copies elsewhere that have everything anybody was told of.
    pub copies: Vec<(NodeId, CopyId)>,
}
