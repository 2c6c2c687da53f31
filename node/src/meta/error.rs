//! Errors of the meta plane, one type an operation.

use std::io;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use squall_kernel::id::NodeId;
use squall_kernel::message::ProposeResult;

use super::disk::DiskError;
use super::types::{LeaderTerm, Types};

/// Why the meta plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The registry's file cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The storage thread cannot be started.
    #[error("cannot start the storage thread: {0}")]
    Thread(#[source] io::Error),
    /// The log and snapshot do not fit together.
    #[error("the registry's log cannot be recovered: {0}")]
    Recovery(String),
}

/// Why a cluster was not founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// Voters are 1, 3 or 5.
    #[error("a cluster is founded by 1, 3 or 5 voters, not by {0}")]
    VoterCount(usize),
    /// This node is not among the voters.
    #[error("this node is not among the founding voters")]
    NotAVoter,
    /// Raft has stopped.
    #[error("the meta plane has stopped: {0}")]
    Stopped(String),
}

/// Why a command was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none; certainly not carried out here.
    #[error("this node does not lead{}", leader.map(|l| format!("; node {:x} does", l.0)).unwrap_or_default())]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// This leader has lost its majority; certainly not carried out.
    #[error("no majority of the voters is in reach")]
    NoQuorum,
    /// The voters are not those the command was decided under; certainly not carried out.
    #[error("the voters changed meanwhile")]
    VotersChanged,
    /// No answer in time; it may be carried out later.
    #[error("no answer within {0:?}; the command may still be carried out")]
    Timeout(Duration),
    /// The leader was deposed while the command was under way; it may be carried out.
    #[error("the leader changed on the way; the command may have been carried out")]
    Unknown {
        /// The new leader, if known.
        leader: Option<NodeId>,
    },
    /// Raft has stopped.
    #[error("the meta plane has stopped: {0}")]
    Stopped(String),
}

impl From<&ProposeError> for ProposeResult {
    fn from(error: &ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader: *leader },
            ProposeError::NoQuorum | ProposeError::VotersChanged | ProposeError::Stopped(_) => Self::Failed {
                reason: error.to_string(),
            },
            ProposeError::Timeout(_) | ProposeError::Unknown { .. } => Self::Unknown {
                reason: error.to_string(),
            },
        }
    }
}

/// Why the members did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// As for a command.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// Another change is not finished.
    #[error("another change of the members is under way")]
    InProgress,
    /// Raft does not allow it.
    #[error("the change of the members is refused: {0}")]
    Refused(String),
}

/// What became of one attempt to write.
pub(crate) enum Attempt {
    /// The lease ran out or is not there yet: worth another try.
    LeaseExpired,
    Failed(ChangeError),
}

impl<R: AsyncRuntime> From<RaftError<Types<R>, ClientWriteError<Types<R>>>> for Attempt {
    fn from(error: RaftError<Types<R>, ClientWriteError<Types<R>>>) -> Self {
        let failed = |e: ProposeError| Self::Failed(e.into());
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader {
                reason: ForwardReason::LeaseExpired,
                ..
            })) => Self::LeaseExpired,
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => failed(ProposeError::NotLeader {
                leader: to.leader_id.map(NodeId),
            }),
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(to)) => failed(ProposeError::Unknown {
                leader: to.leader_id.map(NodeId),
            }),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(e)) => {
                Self::Failed(members_error(&e))
            }
            // The members are not those that were looked at.
            RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => {
                Self::Failed(ChangeError::InProgress)
            }
            RaftError::Fatal(e) => failed(ProposeError::Stopped(e.to_string())),
        }
    }
}

fn members_error(error: &ChangeMembershipError<LeaderTerm, u64>) -> ChangeError {
    match error {
        ChangeMembershipError::InProgress(_) => ChangeError::InProgress,
        other => ChangeError::Refused(other.to_string()),
    }
}
