//! What a task queue starts from and what goes into it, as plain data.
//!
//! What does not live here: what comes out (`effect`), and what a scheduler is asked and answers (`scheduling`).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::change::{Answer, Spec};
use super::number::{LeaseNo, TaskId};
use super::room::Bound;
use super::scheduling::Chosen;
use crate::exchange::RequestKey;
use crate::id::{Epoch, ExchangeId, ExchangeName, NodeId, Pid};
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
    /// How many tasks may be open, and what becomes of one more.
    pub bound: Bound,
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
    /// So long its submitter waits for an answer.
    pub patience: Instant,
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
    /// At once, and it was no attempt: the worker never saw it. It gets nothing for
    /// [`UNSEEN_PAUSE`](crate::limits::UNSEEN_PAUSE).
    Unseen,
}
