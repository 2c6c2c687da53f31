//! What goes into the core and what comes out of it, as plain data.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, ExchangeId, Incarnation, NodeId, Term};
use crate::message::PeerMessage;
use crate::profile::Profile;
use crate::promises::Electorate;
use crate::reason::StepDown;
use crate::registry::{Command, Introduction, Registry};
use crate::time::Instant;

/// What a core starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreConfig {
    /// This node.
    pub me: Introduction,
    /// Times until the registry says otherwise.
    pub profile: Profile,
}

/// What Raft says of the meta plane. `leads` and `quorum` both are needed to act as meta leader: a leader that lost its
/// quorum still says that it leads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MetaView {
    /// Term.
    pub term: Term,
    /// Voters in force.
    pub voters: Electorate,
    /// This node is the Raft leader, or still believes so.
    pub leads: bool,
    /// A majority acknowledged this leader lately.
    pub quorum: bool,
}

/// What happens to a node's control side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CoreInput {
    /// A timer that was due at `due` fires.
    Tick {
        /// When it should have fired.
        due: Instant,
    },
    /// A control connection from or to a peer stands.
    Connected {
        /// Peer.
        node: NodeId,
    },
    /// The control connection broke.
    Broken {
        /// Peer.
        node: NodeId,
    },
    /// A message from a peer; frames of any kind count as heard.
    Message {
        /// Peer.
        from: NodeId,
        /// Message.
        message: PeerMessage,
    },
    /// The end of a node's run was seen: its process is no more.
    Died {
        /// Node.
        node: NodeId,
        /// Run that ended.
        incarnation: Incarnation,
    },
    /// The registry moved.
    Registry(Arc<Registry>),
    /// The meta plane moved.
    Meta(MetaView),
}

/// What the control side wants done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CoreEffect {
    /// Send to a peer on the control lane.
    Send {
        /// Peer.
        to: NodeId,
        /// Message.
        message: PeerMessage,
    },
    /// Propose to the log, here, as meta leader.
    Propose(Command),
    /// This node may act as owner until then. Never earlier than the last one said, except by running out.
    Lease {
        /// By this node's clock.
        until: Instant,
    },
    /// The lease ran out.
    LeaseLost,
    /// Start to own an exchange.
    Own {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch.
        epoch: Epoch,
    },
    /// Stop owning it.
    Disown {
        /// Exchange.
        exchange: ExchangeId,
        /// Why.
        reason: StepDown,
    },
    /// A peer is suspect from now on, or no longer.
    Suspect {
        /// Peer.
        node: NodeId,
        /// True when it is suspect.
        suspect: bool,
    },
    /// The registry holds this node for lost although it lives: introduce it again.
    Rejoin,
    /// Whether this node may start an election: not while its own timers are late.
    Elections {
        /// It may.
        allowed: bool,
    },
    /// This node leads Raft but cannot act: another voter is to lead in its place.
    HandOver {
        /// Who.
        to: NodeId,
    },
    /// An exchange owned here moves: stop accepting and send the state to the next owner.
    HandOff {
        /// Exchange.
        exchange: ExchangeId,
        /// Next owner.
        to: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Whether what is sent to a peer arrives, by its acknowledgements. A peer may be heard and yet not be reached.
    Reach {
        /// Peer.
        node: NodeId,
        /// It is reached.
        reachable: bool,
    },
    /// Whether this node has been without a lease for so long that clients are better off elsewhere.
    Isolated {
        /// It has.
        isolated: bool,
    },
    /// This node was to leave, and owns nothing any more.
    Drained {
        /// It leaves the cluster for good.
        leave: bool,
    },
}

impl fmt::Display for CoreEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { to, message } => write!(f, "send {to} {message:?}"),
            Self::Propose(command) => write!(f, "propose {command}"),
            Self::Lease { until } => write!(f, "lease until {until}"),
            Self::LeaseLost => f.write_str("lease lost"),
            Self::Own { exchange, epoch } => write!(f, "own #{exchange} epoch {epoch}"),
            Self::Disown { exchange, reason } => write!(f, "disown #{exchange}: {reason}"),
            Self::Suspect { node, suspect } => write!(f, "suspect {node}: {suspect}"),
            Self::Rejoin => f.write_str("rejoin"),
            Self::Elections { allowed } => write!(f, "elections allowed: {allowed}"),
            Self::HandOver { to } => write!(f, "hand the log over to {to}"),
            Self::HandOff { exchange, to, epoch } => write!(f, "hand off #{exchange} to {to} epoch {epoch}"),
            Self::Reach { node, reachable } => write!(f, "reach {node}: {reachable}"),
            Self::Isolated { isolated } => write!(f, "isolated: {isolated}"),
            Self::Drained { leave } => write!(f, "drained, leave: {leave}"),
        }
    }
}
