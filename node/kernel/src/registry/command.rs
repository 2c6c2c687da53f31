//! Changes of the registry, what became of them, and why they are refused.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::RoutingFunction;
use super::Settings;
use super::record::{Introduction, Pattern, Strategy, Takeover};
use crate::id::{ClusterId, Epoch, ExchangeId, ExchangeName, Incarnation, NodeId, NodeName, Pid, Tenure};
use crate::profile::Profile;
use crate::reason::Lost;
use crate::time::Span;

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
        /// What it asks where a request goes; with `fun` and `sticky-fun` only, and always.
        function: Option<RoutingFunction>,
        /// Bounds, times and neighbours.
        settings: Settings,
        /// Preferred owners in order; may be empty.
        failover: Vec<NodeName>,
        /// What happens when a preferred owner is back; none for the default, or for as it is.
        takeover: Option<Takeover>,
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
    /// Moves an exchange to another node, losing and doubling nothing (A37).
    Move {
        /// Exchange.
        exchange: ExchangeName,
        /// Next owner; none means the first live node of its failover list.
        to: Option<NodeName>,
        /// Epoch that is to end; another one than the registry's makes the command void. None: whichever it is.
        epoch: Option<Epoch>,
    },
    /// The next owner has the state of an exchange that moves to it, and opens.
    Owned {
        /// Exchange.
        exchange: ExchangeId,
        /// Its epoch.
        epoch: Epoch,
        /// The next owner.
        to: NodeId,
        /// Its backup has every task: said by the owner before as it stopped. Else that one becomes the backup.
        doubled: bool,
    },
    /// A move does not come to its end: the old owner goes on, under the epoch after the move's.
    CancelMove {
        /// Exchange.
        exchange: ExchangeId,
        /// The move's epoch.
        epoch: Epoch,
    },
    /// A node lives but cannot act: all promises to it have run out, its exchanges move on.
    NodeWeak {
        /// Node.
        node: NodeId,
        /// Tenure that ends.
        tenure: Tenure,
    },
    /// A weak node has held a lease for a while.
    NodeFit {
        /// Node.
        node: NodeId,
        /// Its tenure.
        tenure: Tenure,
    },
    /// A node is to hand over what it owns.
    Drain {
        /// Node.
        node: NodeName,
        /// It then leaves the voters and ends.
        leave: bool,
    },
    /// Forgets a node that is down.
    RemoveNode {
        /// Node.
        node: NodeName,
    },
    /// After how long a voter that is down is replaced by a learner; none for never.
    SetVoterRule {
        /// How long.
        replace_after: Option<Span>,
    },
    /// Makes a node a proxy of a publish-subscribe exchange, or takes that from it (A38).
    SetProxy {
        /// Exchange.
        exchange: ExchangeName,
        /// Node.
        node: NodeName,
        /// It is one from now on.
        on: bool,
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
    /// No node of that name.
    #[error("there is no node '{0}' in the cluster; `squall node list` names them")]
    UnknownNodeName(String),
    /// The node is down.
    #[error("node '{0}' is down")]
    NodeDown(NodeName),
    /// The node is up, which it must not be for this.
    #[error("node '{0}' is up; drain it first: `squall node drain {0}`")]
    NodeUp(NodeName),
    /// The node cannot own exchanges now.
    #[error("node '{node}' cannot own exchanges now: it is {why}")]
    NotFit {
        /// Node.
        node: NodeName,
        /// Why.
        why: String,
    },
    /// The node owns the exchange already.
    #[error("node '{node}' owns '{exchange}' already")]
    OwnsAlready {
        /// Exchange.
        exchange: ExchangeName,
        /// Node.
        node: NodeName,
    },
    /// A move of the exchange is under way.
    #[error("'{exchange}' is moving to '{to}' already; wait for its end")]
    MovingAlready {
        /// Exchange.
        exchange: ExchangeName,
        /// Next owner.
        to: String,
    },
    /// The exchange has no owner that could hand it over.
    #[error("'{0}' has no owner now; it starts on the next node that is up")]
    NoOwner(ExchangeName),
    /// Nobody could take over.
    #[error("no other node can take over from '{0}'")]
    NobodyElse(NodeName),
    /// The exchange has no subscribers that a proxy could serve.
    #[error("exchange '{exchange}' is {}: only publish-subscribe exchanges have proxies", pattern.as_str())]
    NoProxies {
        /// Exchange.
        exchange: ExchangeName,
        /// Its pattern.
        pattern: Pattern,
    },
    /// The declaration's settings do not fit together.
    #[error("the exchange's settings: {0}")]
    Settings(String),
    /// The declaration's function does not fit.
    #[error("the exchange's function: {0}")]
    Function(String),
    /// A bound is reached.
    #[error("{what} are at their bound of {max}")]
    Full {
        /// What is full.
        what: String,
        /// The bound.
        max: u64,
    },
    /// A strategy where none picks handlers.
    #[error("exchange '{exchange}' is to be {}, where no strategy picks handlers: '{}' has no meaning there", pattern.as_str(), strategy.as_str())]
    NoStrategy {
        /// Exchange.
        exchange: ExchangeName,
        /// Its pattern.
        pattern: Pattern,
        /// As asked.
        strategy: Strategy,
    },
    /// A move to the preferred node, and there is none.
    #[error("'{exchange}' has no node to move to: {why}; name one")]
    NoPreferred {
        /// Exchange.
        exchange: ExchangeName,
        /// Why.
        why: NoPreferred,
    },
}

/// Why there is no node that an exchange should rather be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoPreferred {
    /// It was declared without a failover list.
    NoList,
    /// Nobody of its list can own it now.
    NobodyFit,
}

impl fmt::Display for NoPreferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoList => "it has no failover list",
            Self::NobodyFit => "no node of its failover list can own it now",
        })
    }
}

impl Command {
    /// True for a verdict on a node that rests on promises gathered from the voters: it must not enter the log under
    /// others (`promises`).
    #[must_use]
    pub const fn rests_on_promises(&self) -> bool {
        matches!(
            self,
            Self::NodeLost {
                reason: Lost::Silent,
                ..
            } | Self::NodeWeak { .. }
        )
    }
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
            Self::Move {
                exchange,
                to: Some(to),
                ..
            } => write!(f, "move {exchange} to {to}"),
            Self::Move {
                exchange, to: None, ..
            } => write!(f, "move {exchange} to its preferred node"),
            Self::Owned {
                exchange, epoch, to, ..
            } => write!(f, "owned #{exchange} epoch {epoch} by {to}"),
            Self::CancelMove { exchange, epoch } => write!(f, "cancel-move #{exchange} epoch {epoch}"),
            Self::NodeWeak { node, tenure } => write!(f, "node-weak {node} tenure {tenure}"),
            Self::NodeFit { node, tenure } => write!(f, "node-fit {node} tenure {tenure}"),
            Self::Drain { node, leave } => write!(f, "drain {node} leave {leave}"),
            Self::RemoveNode { node } => write!(f, "remove-node {node}"),
            Self::SetVoterRule {
                replace_after: Some(after),
            } => write!(f, "voter-rule replace after {after}"),
            Self::SetVoterRule { replace_after: None } => write!(f, "voter-rule never replace"),
            Self::SetProxy { exchange, node, on } => write!(f, "set-proxy {node} of {exchange} {on}"),
        }
    }
}
