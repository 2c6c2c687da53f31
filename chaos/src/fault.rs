//! Faults as people write them, in scenarios, on the command line and in the observer: what is done (`kill`, `delay 200ms
//! ±50ms`, `profile 3g`), to whom (`owner(orders)`, `a -> b`, `ring`), and what that is on the cluster of now. What is
//! listed as active can be written again as it stands there.
//!
//! What does not live here: carrying faults out (`client`), what they would do to a cluster (`radius`), what they do to
//! bytes (the kernel).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use squall_kernel::fault::{FaultKind, LinkFault};

pub mod act;
pub mod amount;
mod cursor;
mod held_words;
mod profile;
mod resolve;
mod target;
mod words;

pub use act::{Act, NodeDeed};
pub use profile::LinkProfile;
pub use resolve::Unresolved;
pub use target::{Links, Nodes, Target};
pub use words::{FORMS, Form};

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// To processes of nodes.
    Node(NodeDeed),
    /// To links.
    Link(LinkFault),
    /// To links: several at once, as a kind of network has them.
    Profile(LinkProfile),
    /// To nodes themselves, their handlers, or messages of what they own: what their fault tables hold and no link.
    Held(FaultKind),
}

/// What a fault is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// At nodes.
    Nodes,
    /// At links.
    Links,
}

impl Fault {
    /// What it is aimed at.
    #[must_use]
    pub const fn aim(&self) -> Aim {
        match self {
            Self::Node(_) | Self::Held(_) => Aim::Nodes,
            Self::Link(_) | Self::Profile(_) => Aim::Links,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Node(deed) => deed.word(),
            Self::Link(what) => what.word(),
            Self::Profile(_) => "profile",
            Self::Held(kind) => match kind {
                FaultKind::Link { what, .. } => what.word(),
                FaultKind::Clock(_) => "clock",
                FaultKind::Disk(_) => "disk",
                FaultKind::Burn { .. } => "burn",
                FaultKind::Process { .. } => "handlers",
                FaultKind::Message { .. } => "message",
            },
        }
    }
}

impl FromStr for Fault {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        words::fault(text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(deed) => write!(f, "{deed}"),
            Self::Link(what) => f.write_str(format!("{} {}", what.word(), what.amount()).trim_end()),
            Self::Profile(profile) => write!(f, "profile {}", profile.as_str()),
            Self::Held(kind) => write!(f, "{kind}"),
        }
    }
}

/// A fault or a target that cannot be read: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unreadable {
    /// The bytes of the text that are wrong; behind its end where something is missing.
    pub at: Range<usize>,
    /// What is wrong, and what was expected.
    pub why: String,
}

#[cfg(test)]
#[path = "fault/fault_test.rs"]
mod tests;
