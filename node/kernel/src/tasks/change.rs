//! Changes of a task queue: what the owner does to its own tasks, what travels to the backup and to the next owner. All
//! times are spans: the clocks of two nodes are never compared.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::number::{CopyId, EntryNo, LeaseNo, Priority, StreamNo, TaskId};
use crate::exchange::RequestKey;
use crate::frame::TraceContext;
use crate::id::{Epoch, Pid};
use crate::reason::{DeadReason, LeaseEnd};
use crate::time::Span;

/// What a submitter wants done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The work; never looked into.
    pub payload: Bytes,
    /// Routing key; where the exchange is ordered, tasks of one key go one after the other. Empty for none.
    pub key: Bytes,
    /// Group of workers that may have it; empty for all.
    pub service_tag: Bytes,
    /// Priority.
    pub priority: Priority,
    /// How often it is tried at most; 0 for what the exchange says.
    pub attempts: u32,
    /// A second submit with the same text is the same task. Empty for none.
    pub unique: Bytes,
    /// The submit's trace context; never looked into.
    pub trace: TraceContext,
}

impl Spec {
    /// Bytes that it counts against the bounds.
    pub(super) fn bytes(&self) -> usize {
        const FIXED: usize = 256;
        self.payload.len() + self.key.len() + self.service_tag.len() + self.unique.len() + FIXED
    }
}

/// An open task on its way to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Number.
    pub task: TaskId,
    /// Whose it is.
    pub submitter: RequestKey,
    /// What is to be done.
    pub spec: Spec,
    /// Time until it may be leased.
    pub wait: Span,
    /// Time until its deadline, if it has one.
    pub left: Option<Span>,
    /// Leases so far that its workers saw.
    pub attempts: u32,
    /// Latest lease; 0 before the first.
    pub lease: LeaseNo,
    /// Who has it in hand, and for how long.
    pub holder: Option<(Pid, Span)>,
    /// What the last worker said that gave it back.
    pub said: String,
    /// Time since it was submitted.
    pub age: Span,
}

/// A task that ended without a completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Number.
    pub task: TaskId,
    /// Whose it was.
    pub submitter: RequestKey,
    /// What was to be done.
    pub spec: Spec,
    /// Leases it had.
    pub attempts: u32,
    /// Why it died.
    pub reason: DeadReason,
    /// What the last worker said that gave it back.
    pub said: String,
    /// It has yet to be passed on to the exchange for dead letters.
    pub to_forward: bool,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Completed.
    Confirmed,
    /// A dead letter.
    Dead(DeadReason),
}

/// A finished task, remembered for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedRecord {
    /// Number.
    pub task: TaskId,
    /// The lease under which it ended, or the last one.
    pub lease: LeaseNo,
    /// How.
    pub end: End,
    /// Its unique text; empty for none.
    pub unique: Bytes,
    /// How long a submit with that text is still the same task.
    pub unique_left: Span,
}

/// What a queue has been through since its exchange was declared; carried on from owner to owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Tasks taken in.
    pub submitted: u64,
    /// Completed.
    pub confirmed: u64,
    /// Ended as dead letters.
    pub dead: u64,
    /// Leases granted.
    pub leased: u64,
    /// Leases that ended without a completion.
    pub returned: u64,
    /// Dead letters that made room for later ones.
    pub dropped: u64,
    /// Tasks lost with their nodes, as far as their number is known.
    pub lost: u64,
    /// How often all tasks were lost with their nodes, and nobody was left who knew how many.
    pub lost_unknown: u64,
}

impl Figures {
    /// Tasks taken in and not ended yet.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.submitted
            .saturating_sub(self.confirmed + self.dead + self.lost)
    }
}

/// A change of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// First entry of a stream: a whole copy follows.
    Begin {
        /// A copy that is as good as the coming one until that is whole; every other one has to go.
        keeps: Option<CopyId>,
        /// The queue's figures.
        figures: Figures,
        /// Latest task.
        task: TaskId,
        /// Latest lease.
        lease: LeaseNo,
    },
    /// An open task of the copy.
    Restored(TaskRecord),
    /// A dead letter of the copy.
    RestoredDead(DeadLetter),
    /// A finished task of the copy.
    RestoredFinished(FinishedRecord),
    /// Last entry of the copy; what follows happened since.
    Whole,
    /// A new task.
    Submitted(TaskRecord),
    /// A worker gets it: one more attempt.
    Leased {
        /// Task.
        task: TaskId,
        /// Lease.
        lease: LeaseNo,
        /// Worker.
        worker: Pid,
        /// How long.
        length: Span,
    },
    /// Its lease holds longer.
    Extended {
        /// Task.
        task: TaskId,
        /// From now on so long.
        length: Span,
    },
    /// It waits again.
    Returned {
        /// Task.
        task: TaskId,
        /// Why.
        why: LeaseEnd,
        /// Time until it may be leased again.
        wait: Span,
        /// What the worker said.
        said: String,
    },
    /// It is completed.
    Confirmed {
        /// Task.
        task: TaskId,
        /// How long a submit with the same unique text is still the same task.
        unique_for: Span,
    },
    /// It is a dead letter.
    Died {
        /// Task.
        task: TaskId,
        /// Why.
        reason: DeadReason,
        /// What the worker said.
        said: String,
        /// It has to be passed on.
        to_forward: bool,
    },
    /// A dead letter has been passed on.
    Forwarded {
        /// Task.
        task: TaskId,
    },
    /// So many tasks were lost with their nodes.
    Lost {
        /// Count.
        tasks: u64,
    },
    /// All tasks were lost with their nodes, and nobody knows how many.
    LostUnknown,
}

impl Change {
    /// The task it is about.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Restored(record) | Self::Submitted(record) => Some(record.task),
            Self::Leased { task, .. }
            | Self::Extended { task, .. }
            | Self::Returned { task, .. }
            | Self::Confirmed { task, .. }
            | Self::Died { task, .. }
            | Self::Forwarded { task } => Some(*task),
            Self::RestoredDead(letter) => Some(letter.task),
            Self::RestoredFinished(record) => Some(record.task),
            Self::Begin { .. } | Self::Whole | Self::Lost { .. } | Self::LostUnknown => None,
        }
    }

    /// Bytes it takes on the wire, about.
    pub(super) fn bytes(&self) -> usize {
        const FIXED: usize = 64;
        match self {
            Self::Restored(record) | Self::Submitted(record) => record.spec.bytes() + record.said.len(),
            Self::RestoredDead(letter) => letter.spec.bytes() + letter.said.len(),
            Self::RestoredFinished(record) => FIXED + record.unique.len(),
            Self::Returned { said, .. } | Self::Died { said, .. } => FIXED + said.len(),
            _ => FIXED,
        }
    }
}

/// Entries on their way from an owner to its backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Epoch of the owner.
    pub epoch: Epoch,
    /// Stream.
    pub stream: StreamNo,
    /// Place of the first entry.
    pub first: EntryNo,
    /// The entries, one after the other.
    pub entries: Vec<Change>,
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = (self.first.0 + self.entries.len() as u64).saturating_sub(1);
        write!(f, "{}/{} entries {}..{last}", self.epoch, self.stream, self.first)
    }
}

/// What a backup says to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It has everything of the stream up to that entry.
    Has {
        /// Which copy.
        copy: CopyId,
        /// Last entry.
        entry: EntryNo,
    },
    /// The batch does not follow what it has; 0 when it has nothing of this stream.
    Misses {
        /// Which copy.
        copy: CopyId,
        /// Last entry it has.
        entry: EntryNo,
    },
    /// It has seen a later owner.
    Fenced {
        /// Epoch of that owner.
        seen: Epoch,
    },
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has { copy, entry } => write!(f, "has {copy} up to {entry}"),
            Self::Misses { copy, entry } => write!(f, "misses {copy} after {entry}"),
            Self::Fenced { seen } => write!(f, "fenced by epoch {seen}"),
        }
    }
}
