//! The handshake of every native connection: version, cluster, name, incarnation, and a proof of the cookie both ways
//! by HMAC-SHA256 over both nonces, so that the cookie itself is never sent. A pure state machine for each side.
//!
//! dialler: `Hello` → listener: `Welcome` (with the listener's proof) → dialler: `Prove` → listener: `Accepted`.
//! Either side may answer `Refused` and close.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, LinkSeq};
use crate::registry::Introduction;

/// Version of the native protocol; another one is refused.
pub const PROTOCOL_VERSION: u32 = 1;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Frames from the dialler, a node, to the listener; acknowledgements back.
    Link {
        /// Lane: 0 is the control lane, others carry data.
        lane: u8,
    },
    /// A client, in both directions. A hidden connection: never a member.
    Client,
}

/// The dialler's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol version.
    pub version: u32,
    /// What the connection is for.
    pub purpose: Purpose,
    /// Cluster the dialler belongs to; none while it has none, and for clients.
    pub cluster: Option<ClusterId>,
    /// The dialler, when it is a node.
    pub node: Option<Introduction>,
    /// True when the dialler's Raft log is not empty.
    pub initialized: bool,
    /// Name for display, of clients.
    pub client_name: String,
    /// Random.
    pub nonce: [u8; NONCE_BYTES],
}

/// The listener's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Protocol version.
    pub version: u32,
    /// Cluster the listener belongs to.
    pub cluster: Option<ClusterId>,
    /// The listener.
    pub node: Introduction,
    /// True when the listener's Raft log is not empty.
    pub initialized: bool,
    /// Random.
    pub nonce: [u8; NONCE_BYTES],
    /// Proof over both nonces.
    pub proof: Vec<u8>,
    /// Members the listener knows.
    pub members: Vec<Introduction>,
}

/// The dialler's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Proof over both nonces.
    pub proof: Vec<u8>,
}

/// The connection stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Links: the last frame that arrived on this lane from this incarnation of the dialler; sending goes on after it.
    pub received: LinkSeq,
}
