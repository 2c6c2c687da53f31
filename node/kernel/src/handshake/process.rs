//! Which process of which system a node is: what another node on the same system needs to see it end.
//!
//! What does not live here: reading it from the system, and watching.

use serde::{Deserialize, Serialize};

/// A process, told apart from every other one that shares its boot and its pid namespace. Said anew at every handshake
/// and kept nowhere else: it is true of one run on one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Random id of the system's boot.
    pub boot_id: [u8; 16],
    /// Number of the pid namespace: what `pid` counts in.
    pub pid_namespace: u64,
    /// Process id.
    pub pid: u32,
    /// When the process started, in the system's clock ticks since boot: pids are used again.
    pub start_time: u64,
}

/// Bytes of an identity in a transcript.
const BYTES: usize = 16 + 8 + 4 + 8;

impl ProcessIdentity {
    /// True when the other process has its pid from the same place, so that the pid means the same process to both.
    #[must_use]
    pub fn shares_pids_with(&self, other: &Self) -> bool {
        self.boot_id == other.boot_id && self.pid_namespace == other.pid_namespace
    }

    /// What is proved along with the cookie.
    pub(super) fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&self.boot_id);
        bytes[16..24].copy_from_slice(&self.pid_namespace.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.pid.to_le_bytes());
        bytes[28..].copy_from_slice(&self.start_time.to_le_bytes());
        bytes
    }
}
