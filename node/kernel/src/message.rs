//! Control messages: what nodes and native clients say to each other beside requests and replies, encoded with
//! postcard into the payload of a `Control` frame. Here: the codec, the numbers of calls, and what belongs to no side alone
//! (proposals, the handshake).
//!
//! What does not live here: the messages of each side, and what they carry, each kind in a file of its own.

use alloc::string::String;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, Kind};
use crate::id::{Boot, NodeId, Revision};
use crate::limits;
use crate::reason::Refusal;
use crate::registry::Outcome;

mod client;
mod handlers;
mod moving;
mod peer;
mod servers;
mod subscriptions;
mod work;

pub use client::{ClientMessage, NodeMessage};
pub use handlers::{Attach, Server, System, SystemMessage};
pub use moving::{MoveState, MovedRoute, Parts, Whole};
pub use peer::PeerMessage;
pub use servers::Servers;
pub use subscriptions::SubscriptionNews;
pub use work::{NotTerms, SettleWord, Settlement, Submitted, Terms, Work};

/// Number of a call, chosen by the caller, given back with the answer.
pub type Call = u64;

/// The number before the first call of a node's run. No run uses a number of an earlier one: an answer that comes after a
/// restart must not be taken for that of another question.
#[must_use]
pub fn calls_begin_after(boot: Boot) -> Call {
    u64::from(boot.0) << 32
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposeResult {
    /// Committed and applied.
    Committed {
        /// What it did.
        outcome: Outcome,
        /// Where it stands.
        revision: Revision,
    },
    /// The asked node is not the meta leader.
    NotLeader {
        /// Who is, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It may or may not be committed.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Certainly not committed.
    Failed {
        /// Why.
        reason: String,
    },
    /// Certainly not committed, and not proposed at all: the asked node has heard no majority of the voters for an
    /// election time.
    NoQuorum,
}

/// First messages on every connection, before any frame with a payload of others; see `handshake`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandshakeMessage {
    /// From the dialler.
    Hello(crate::handshake::Hello),
    /// From the listener.
    Welcome(crate::handshake::Welcome),
    /// From the dialler: the proof that it knows the cookie.
    Prove(crate::handshake::Prove),
    /// From the listener: the connection stands.
    Accepted(crate::handshake::Accepted),
    /// From either side, then the connection ends.
    Refused {
        /// Why.
        refusal: Refusal,
        /// In words, with names.
        detail: String,
    },
}

/// Encodes a control message into a frame.
///
/// # Panics
/// When the message is above the frame bound, which its makers prevent.
#[must_use]
pub fn control<T: Serialize>(message: &T) -> Frame {
    let payload = postcard::to_allocvec(message).expect("control messages are plain data");
    assert!(
        payload.len() <= limits::PAYLOAD_BYTES_MAX,
        "a control message of {} bytes",
        payload.len()
    );
    Frame {
        payload: Bytes::from(payload),
        ..Frame::new(Kind::Control)
    }
}

/// The bytes of a control frame are not such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a control message of this protocol version")]
pub struct NotAMessage;

/// Decodes the payload of a control frame.
///
/// # Errors
/// [`NotAMessage`] when the bytes are something else.
pub fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, NotAMessage> {
    postcard::from_bytes(payload).map_err(|_| NotAMessage)
}
