//! Changes of the registry, what became of them, and why they are refused.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::record::{Introduction, Pattern, Strategy};
use crate::id::{ClusterId, Epoch, ExchangeId, ExchangeName, Incarnation, NodeId, NodeName, Pid, Tenure};
use crate::profile::Profile;
use crate::reason::Lost;

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Founds the cluster; the first command of every log, and only there.
    Found {
        /// The cluster's id.
        cluster: ClusterId,
        /// Times.
        profile: Profile,
    },
    /// A node joined or started again.
    NodeUp(Introduction),
    /// A node's promises have all run out, or its end is proved: its exchanges move on.
    NodeLost {
        /// Node.
        node: NodeId,
        /// Tenure that ends; another one than the registry's makes the command void.
        tenure: Tenure,
        /// Why.
        reason: Lost,
    },
    /// A node that had been suspected is heard again: voters may promise anew. Moves nothing.
    RenewTenure {
        /// Node.
        node: NodeId,
        /// Tenure that ends.
        tenure: Tenure,
    },
    /// Declares an exchange.
    Declare {
        /// Name.
        name: ExchangeName,
        /// Pattern.
        pattern: Pattern,
        /// Strategy.
        strategy: Strategy,
        /// Preferred owners in order; may be empty.
        failover: Vec<NodeName>,
    },
    /// Deletes an exchange.
    Delete {
        /// Name.
        name: ExchangeName,
    },
    /// The owner appoints a leader among its handlers, or none.
    AppointLeader {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch under which the owner acts.
        epoch: Epoch,
        /// The handler.
        leader: Option<Pid>,
    },
    /// A new cluster from one survivor's registry; never proposed, only applied offline by a recovery.
    Recover {
        /// The new cluster.
        cluster: ClusterId,
        /// Its one node.
        survivor: NodeId,
    },
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Carried out.
    Done,
    /// Nothing to do: it was so already.
    Unchanged,
    /// Refused; nothing changed.
    Refused(Refused),
}

/// Why the registry refused a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// The cluster is founded already.
    #[error("the cluster {0} is founded already")]
    FoundedAlready(ClusterId),
    /// Nothing but founding comes first.
    #[error("the cluster is not founded yet")]
    NotFounded,
    /// No exchange of that name.
    #[error("there is no exchange '{0}'")]
    UnknownExchange(String),
    /// No node of that id.
    #[error("there is no node with id {0}")]
    UnknownNode(NodeId),
    /// A live node has that name.
    #[error("a live node is named '{0}' already")]
    NameTaken(NodeName),
    /// The same run, or a later one, is registered already.
    #[error("incarnation {offered} of the node is not newer than {seen}")]
    OldIncarnation {
        /// Incarnation offered.
        offered: Incarnation,
        /// Incarnation registered.
        seen: Incarnation,
    },
    /// Declared before with other properties (A7).
    #[error("exchange '{name}' is declared already with {what} '{existing}', not '{wanted}'")]
    Differs {
        /// Exchange.
        name: ExchangeName,
        /// Property.
        what: String,
        /// As registered.
        existing: String,
        /// As asked.
        wanted: String,
    },
    /// The command came under an epoch or tenure that is over.
    #[error("the epoch or tenure is over: {seen} was seen")]
    Fenced {
        /// Highest seen.
        seen: u64,
    },
    /// A bound is reached.
    #[error("{what} are at their bound of {max}")]
    Full {
        /// What is full.
        what: String,
        /// The bound.
        max: u64,
    },
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { cluster, profile } => write!(f, "found {cluster} profile {}", profile.as_str()),
            Self::NodeUp(n) => write!(f, "node-up {} id {} incarnation {}", n.name, n.id, n.incarnation),
            Self::NodeLost { node, tenure, reason } => {
                write!(f, "node-lost {node} tenure {tenure}: {reason}")
            }
            Self::RenewTenure { node, tenure } => write!(f, "renew-tenure {node} tenure {tenure}"),
            Self::Declare { name, strategy, .. } => write!(f, "declare {name} {}", strategy.as_str()),
            Self::Delete { name } => write!(f, "delete {name}"),
            Self::AppointLeader {
                exchange,
                epoch,
                leader: Some(pid),
            } => {
                write!(f, "appoint {pid} in #{exchange} epoch {epoch}")
            }
            Self::AppointLeader {
                exchange,
                epoch,
                leader: None,
            } => {
                write!(f, "appoint nobody in #{exchange} epoch {epoch}")
            }
            Self::Recover { cluster, survivor } => write!(f, "recover {survivor} as cluster {cluster}"),
        }
    }
}
