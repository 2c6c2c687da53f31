//! What a fault does, and to what: to bytes on a link, to the node itself, to its handlers, or to messages.
//!
//! What does not live here: how long it does so, and what is asked about it (`fault`, `acting`).

use alloc::string::ToString as _;
use core::fmt;

use super::clock::ClockFault;
use super::disk::DiskFault;
use super::link::LinkFault;
use super::message::{MessageFault, Wanted};
use super::process::ProcessFault;
use super::{BURN_THREADS_MAX, FaultError, unfit};
use crate::id::{ExchangeName, NodeName};

/// What a fault does, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// To bytes from this node to a peer.
    Link {
        /// The peer.
        to: NodeName,
        /// What it does to them.
        what: LinkFault,
    },
    /// To the node's clocks.
    Clock(ClockFault),
    /// To the disk under the node's registry.
    Disk(DiskFault),
    /// So many threads of the node spin: 1 to [`BURN_THREADS_MAX`], of all such faults together.
    Burn {
        /// Threads.
        threads: u8,
    },
    /// To the handlers and workers of an exchange that are attached at this node.
    Process {
        /// The exchange.
        exchange: ExchangeName,
        /// What it does to them.
        what: ProcessFault,
    },
    /// To messages of an exchange that this node owns, on their way to handlers, workers and subscribers.
    Message {
        /// The exchange, and which of its messages.
        of: Wanted,
        /// What it does to them.
        what: MessageFault,
    },
}

impl FaultKind {
    /// On bytes to that peer.
    #[must_use]
    pub const fn link(to: NodeName, what: LinkFault) -> Self {
        Self::Link { to, what }
    }

    /// The peer whose bytes it touches; none for a fault on no link.
    #[must_use]
    pub const fn to(&self) -> Option<&NodeName> {
        match self {
            Self::Link { to, .. } => Some(to),
            _ => None,
        }
    }

    /// The exchange whose handlers or messages it touches.
    #[must_use]
    pub const fn exchange(&self) -> Option<&ExchangeName> {
        match self {
            Self::Process { exchange, .. } => Some(exchange),
            Self::Message { of, .. } => Some(&of.exchange),
            Self::Link { .. } | Self::Clock(_) | Self::Disk(_) | Self::Burn { .. } => None,
        }
    }

    /// What it does to bytes to that peer; none where it does nothing to them.
    pub(super) fn on(&self, peer: &NodeName) -> Option<&LinkFault> {
        match self {
            Self::Link { to, what } => (to == peer).then_some(what),
            _ => None,
        }
    }

    /// Threads that it makes spin.
    pub(super) const fn threads(&self) -> u8 {
        match self {
            Self::Burn { threads } => *threads,
            _ => 0,
        }
    }

    /// Whether a table takes it: its amounts are within their bounds.
    ///
    /// # Errors
    /// [`FaultError`] says what would be.
    pub fn check(&self) -> Result<(), FaultError> {
        match self {
            Self::Link { what, .. } => what.check(),
            Self::Clock(what) => what.check(),
            Self::Disk(what) => what.check(),
            Self::Burn { threads } => unfit((1..=BURN_THREADS_MAX).contains(threads), || {
                alloc::format!("1 to {BURN_THREADS_MAX} threads spin, not {threads}")
            }),
            Self::Process { what, .. } => what.check(),
            Self::Message { of, what } => {
                of.check(what.word())?;
                what.check()
            }
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { to, what } => {
                let amount = what.amount().to_string();
                let space = if amount.is_empty() { "" } else { " " };
                write!(f, "{}{space}{amount} to {to}", what.word())
            }
            Self::Clock(what) => write!(f, "clock {what}"),
            Self::Disk(what) => write!(f, "disk {what}"),
            Self::Burn { threads: 1 } => f.write_str("burn 1 thread"),
            Self::Burn { threads } => write!(f, "burn {threads} threads"),
            Self::Process { exchange, what } => write!(f, "handlers of {exchange} {what}"),
            Self::Message { of, what } => write!(f, "message {of} {what}"),
        }
    }
}
