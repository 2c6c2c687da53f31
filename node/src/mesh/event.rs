//! What the mesh tells: of links and peers to the control plane, of lost frames to the data plane. What does not live
//! here: when it is told.

use squall_kernel::frame::Frame;
use squall_kernel::id::{ClusterId, Incarnation, NodeId};
use squall_kernel::message::PeerMessage;
use squall_kernel::reason::Refusal;
use squall_kernel::registry::Introduction;

/// What the control plane hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeshEvent {
    /// A lane to a peer stands: frames may be sent.
    Connected {
        /// The peer.
        node: Introduction,
        /// Lane.
        lane: u8,
        /// Its cluster; none before it has one.
        cluster: Option<ClusterId>,
        /// True when its Raft log is not empty.
        initialized: bool,
    },
    /// A lane to a peer broke.
    Broken {
        /// The peer.
        node: Introduction,
        /// Lane.
        lane: u8,
        /// Why.
        why: String,
    },
    /// A connection was refused, by this side or the other. Told once for each cause and other side.
    Refused {
        /// Name or address of the other side.
        who: String,
        /// Why.
        refusal: Refusal,
        /// In words.
        detail: String,
        /// True when this node dialled, false when it was dialled.
        dialled: bool,
    },
    /// A control message.
    Control {
        /// From which node.
        from: NodeId,
        /// From which run of it.
        incarnation: Incarnation,
        /// The message.
        message: PeerMessage,
    },
    /// A peer has named its cluster, or named it again.
    Belongs {
        /// The peer.
        node: NodeId,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// A run of a peer has ended: its process was seen to end, or, where that is trusted, its own address refused a
    /// connection. Told once for each run.
    Died {
        /// The peer.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
}

/// Frames of a lane that the peer did not acknowledge and that will not be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkLost {
    /// The peer.
    pub to: NodeId,
    /// Lane.
    pub lane: u8,
    /// The peer may have got them.
    pub written: Vec<Frame>,
    /// The peer certainly did not get them.
    pub unwritten: Vec<Frame>,
}
