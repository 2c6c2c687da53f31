//! Seeing a process end: which process this one is, and a watch on another one of the same system, so that its end is
//! known the moment it comes and nothing else is ever taken for it. A stopped or starved process has not ended.
//!
//! What does not live here: who is watched and who is told (`mesh`), what follows from an end (the kernel's core).

use std::io;

pub use squall_kernel::handshake::ProcessIdentity;

#[cfg(target_os = "linux")]
#[path = "death/linux.rs"]
mod system;

#[cfg(not(target_os = "linux"))]
#[path = "death/elsewhere.rs"]
mod system;

pub(crate) use system::Sight;

/// What a node takes for a proof that another node's process has ended, beside its goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proofs {
    /// The end of a process on the same system, seen by this one. Without it the node does not tell which process it
    /// is either, so nobody watches it.
    pub process: bool,
    /// A broken connection, and then a refused one at the peer's own address. A firewall that rejects, or a proxy,
    /// makes that a lie: two owners may then believe in themselves for the length of a lease, and only the fencing by
    /// epochs stands between them.
    pub refused: bool,
}

impl Default for Proofs {
    fn default() -> Self {
        Self {
            process: true,
            refused: false,
        }
    }
}

/// Why a process cannot be watched: its end proves nothing then, and waiting must do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Blind {
    /// The system refused.
    #[error("process {pid} cannot be looked at: {source}")]
    Process { pid: u32, source: io::Error },
    /// What the system tells of the process has another form than expected.
    #[cfg(target_os = "linux")]
    #[error("what the system tells of process {0} cannot be understood")]
    Unclear(u32),
    /// The pid belongs to another process.
    #[cfg(target_os = "linux")]
    #[error("process {0} is another one than it was")]
    Another(u32),
}

/// Which process this one is; none where the system cannot tell.
#[must_use]
pub fn own() -> Option<ProcessIdentity> {
    system::own()
        .inspect_err(|why| tracing::debug!(%why, "this process cannot be watched by others"))
        .ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "death_test.rs"]
pub(crate) mod tests;
