//! The handshake of every native connection: version, cluster, name, incarnation, process, and a proof of the cookie
//! both ways by HMAC-SHA256 over both nonces, so that the cookie itself is never sent. A pure state machine for each side.
//!
//! dialler: `Hello` → listener: `Welcome` (with the listener's proof) → dialler: `Prove` → listener: `Accepted`.
//! Either side may answer `Refused` and close. Members are named only in `Accepted`, after the proof.
//!
//! What does not live here: sockets, deadlines, and how nonces are drawn.

use alloc::string::String;
use alloc::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::id::{ClusterId, LinkSeq};
use crate::message::HandshakeMessage;
use crate::reason::Refusal;
use crate::registry::Introduction;

mod admission;
mod machine;
mod process;

pub use machine::{Dialler, Facts, Listener, Peer, Side, Step, refusal_message};
pub use process::ProcessIdentity;

/// Version of the native protocol; another one is refused.
pub const PROTOCOL_VERSION: u32 = 4;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;
/// The lane of control messages.
pub const CONTROL_LANE: u8 = 0;
/// Data lanes of a link: two, one for each core of a small machine.
pub const DATA_LANES: u8 = 2;
/// All lanes of a link.
pub const LANES: u8 = 1 + DATA_LANES;
/// Largest frame of a handshake: an `Accepted` with the longest list of members has some 20 KiB.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Largest first frame of a dialler: names and addresses.
pub const FIRST_FRAME_BYTES_MAX: usize = 4 * 1024;

/// Random bytes, drawn anew for every handshake.
pub type Nonce = [u8; NONCE_BYTES];

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
    /// A node that knows the address only: it wants to know who is there and whom it knows, then closes.
    Seed,
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
    /// Which process it is; none where its system cannot tell, or it does not want to be watched.
    pub process: Option<ProcessIdentity>,
    /// True when the dialler's Raft log is not empty.
    pub initialized: bool,
    /// Name for display, of clients.
    pub client_name: String,
    /// Random.
    pub nonce: Nonce,
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
    /// Which process it is; none where its system cannot tell, or it does not want to be watched.
    pub process: Option<ProcessIdentity>,
    /// True when the listener's Raft log is not empty.
    pub initialized: bool,
    /// Random.
    pub nonce: Nonce,
    /// Proof over both nonces.
    pub proof: Vec<u8>,
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
    /// Nodes the listener knows, itself left out.
    pub members: Vec<Introduction>,
}

/// Reads the payload of a handshake's frame.
///
/// # Errors
/// The refusal and its words: another version is told apart from garbage by the first two fields, which stay the same
/// in all versions.
pub fn read(payload: &[u8]) -> Result<HandshakeMessage, (Refusal, String)> {
    if let Ok(message) = postcard::from_bytes(payload) {
        return Ok(message);
    }
    match postcard::take_from_bytes::<(u32, u32)>(payload) {
        Ok(((HELLO | WELCOME, version), _)) if version != PROTOCOL_VERSION => {
            Err((Refusal::Version, version_detail(version)))
        }
        _ => Err((Refusal::Garbage, "the frame is not a handshake".into())),
    }
}

/// Places of the variants in `HandshakeMessage`.
const HELLO: u32 = 0;
const WELCOME: u32 = 1;

fn version_detail(other: u32) -> String {
    alloc::format!("one side speaks version {PROTOCOL_VERSION} of the protocol, the other version {other}")
}

/// Who proves, so that neither side can send the other's proof back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Dialler,
    Listener,
}

impl Role {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Dialler => b"squall dialler v1",
            Self::Listener => b"squall listener v1",
        }
    }
}

/// What both sides prove the cookie over: both nonces, and who each says it is.
#[derive(Debug)]
struct Transcript<'a> {
    dialler: Claim<'a>,
    listener: Claim<'a>,
}

/// What one side says of itself.
#[derive(Debug)]
struct Claim<'a> {
    nonce: &'a Nonce,
    name: &'a str,
    process: Option<&'a ProcessIdentity>,
}

impl Claim<'_> {
    fn put_into(&self, mac: &mut Hmac<Sha256>) {
        put(mac, self.nonce);
        put(mac, self.name.as_bytes());
        // No process is no bytes, which no process has.
        put(
            mac,
            self.process
                .map(ProcessIdentity::bytes)
                .as_ref()
                .map_or(&[], |bytes| bytes),
        );
    }
}

impl Transcript<'_> {
    fn mac(&self, role: Role, cookie: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(cookie).expect("HMAC takes keys of any length");
        put(&mut mac, role.label());
        self.dialler.put_into(&mut mac);
        self.listener.put_into(&mut mac);
        mac
    }

    fn prove(&self, role: Role, cookie: &[u8]) -> Vec<u8> {
        self.mac(role, cookie).finalize().into_bytes().to_vec()
    }

    /// In constant time.
    fn proves(&self, role: Role, cookie: &[u8], proof: &[u8]) -> bool {
        self.mac(role, cookie).verify_slice(proof).is_ok()
    }
}

/// With its length before it, so that no two lists of parts look alike.
fn put(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_le_bytes());
    mac.update(part);
}

#[cfg(test)]
#[path = "handshake_test.rs"]
mod tests;
