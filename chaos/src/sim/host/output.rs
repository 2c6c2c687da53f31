//! What a simulated node wants done.

use squall_kernel::frame::Frame;
use squall_kernel::handshake::{CONTROL_LANE, DATA_LANES};
use squall_kernel::id::{ExchangeId, LeaderEpoch, NodeId, Pid};
use squall_kernel::message::PeerMessage;
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Command, Introduction};
use squall_kernel::time::Instant;
use squall_kernel::voters::Roll;
use squall_node::wire::lane_key;

use crate::history::What;
use crate::sim::log::Ticket;

/// A lane of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(pub u8);

impl Lane {
    /// Heartbeats, promises, the log.
    pub const CONTROL: Self = Self(CONTROL_LANE);

    /// The data lane of a key.
    #[must_use]
    pub fn data(key: u64) -> Self {
        let mixed = lane_key(ExchangeId(0), key);
        let lane = u8::try_from(mixed % u64::from(DATA_LANES)).expect("few lanes");
        Self(1 + lane)
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a frame.
    Send {
        /// To that node.
        to: NodeId,
        /// On that lane.
        lane: Lane,
        /// It.
        frame: Frame,
    },
    /// A message for this node's log arrived.
    Raft {
        /// From that node's log.
        from: NodeId,
        /// It.
        message: PeerMessage,
    },
    /// Propose to the log here.
    Propose {
        /// Number of the question.
        ticket: Ticket,
        /// Command.
        command: Command,
        /// Only while the voters are those of that entry of the log.
        under: Option<VotersAt>,
    },
    /// Take a node in, here.
    Admit {
        /// Number of the question.
        ticket: Ticket,
        /// Who.
        introduction: Introduction,
    },
    /// Found the cluster.
    Found,
    /// Look after the voters.
    KeepVoters {
        /// What is known of the nodes.
        roll: Roll,
    },
    /// May this node start elections?
    Elections {
        /// It may.
        allowed: bool,
    },
    /// The node may act as owner until then, by its own clock; 0 for no longer.
    Lease {
        /// End.
        until: Instant,
    },
    /// A handler here believes that it leads, until then by the node's clock.
    Leads {
        /// Exchange.
        exchange: ExchangeId,
        /// The handler.
        handler: Pid,
        /// Epoch of the leadership.
        leader_epoch: LeaderEpoch,
        /// End.
        until: Instant,
    },
    /// Ask another voter to lead the log in this node's place.
    Transfer {
        /// Who.
        to: NodeId,
    },
    /// The node has nothing left to hand over, and leaves.
    Leave,
    /// Something happened that belongs into the history.
    Event(What),
    /// Count this.
    Count(&'static str),
}
