//! Changes of the voters that an operator asks for, and what became of them, as the wire has them. What does not live
//! here: who may vote (Raft's members, in the shell), and members of the registry (`registry`).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, NodeName};

/// A change of the Raft group that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// The node is to vote.
    Promote(NodeName),
    /// The node is to vote no longer; it keeps the registry as a learner.
    Demote(NodeName),
    /// The node, which is down, is to be forgotten: no vote, no copy of the registry, no record in it.
    Remove(NodeName),
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promote(node) => write!(f, "promote {node}"),
            Self::Demote(node) => write!(f, "demote {node}"),
            Self::Remove(node) => write!(f, "remove {node}"),
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberResult {
    /// Done.
    Done {
        /// Who votes now, by name.
        voters: Vec<NodeName>,
    },
    /// It was so already.
    Unchanged {
        /// Who votes, by name.
        voters: Vec<NodeName>,
    },
    /// Refused; nothing changed.
    Refused(MemberRefused),
    /// The asked node is not the meta leader.
    NotLeader {
        /// Who is, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It may or may not be done.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Certainly not done.
    Failed {
        /// Why.
        reason: String,
    },
    /// Certainly not done, and nobody was asked: the node has heard no majority of the voters for an election time.
    NoQuorum,
}

/// Why a change of the voters was refused: says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MemberRefused {
    /// No node of that name.
    #[error("there is no node '{0}' in the cluster; `squall node list` names them")]
    UnknownNode(String),
    /// The node is down.
    #[error("node '{0}' is down; start it, or forget it with `squall node remove {0}`")]
    Down(NodeName),
    /// The node is up, which it must not be for this.
    #[error("node '{0}' is up; drain it first: `squall node drain {0}`")]
    Up(NodeName),
    /// Nobody would vote.
    #[error("node '{0}' is the last voter: promote another one first, or nobody could agree on anything")]
    LastVoter(NodeName),
    /// Without it the live voters would be no majority.
    #[error("without '{0}' the voters that are up would be no majority; bring another voter back first")]
    QuorumCritical(NodeName),
    /// Its log is behind.
    #[error("node '{0}' has not caught up with the registry yet; try again when it has")]
    Behind(NodeName),
    /// There are as many voters as there may be.
    #[error("there are {voters} voters, as many as there may be; demote one first")]
    Full {
        /// How many vote.
        voters: u32,
    },
    /// It is about to leave.
    #[error("node '{0}' is draining and leaves; it gets no vote")]
    Leaving(NodeName),
    /// Nobody could vote in its place, and the number of voters would be even.
    #[error(
        "voters are 1, 3 or 5, and no learner is ready to vote in place of '{0}'; start one more node first"
    )]
    NoReplacement(NodeName),
    /// The number of voters would be even for good.
    #[error("voters are 1, 3 or 5, and no other node is ready to vote with '{0}'; start one more node")]
    NoPartner(NodeName),
    /// Another change of the members is under way.
    #[error("another change of the voters is under way; wait for its end")]
    Busy,
}
