//! Faults of the handlers of an exchange at one node.
//!
//! What does not live here: handlers, and their supervision.

use alloc::format;
use core::fmt;

use super::latency::brief;
use super::link::is_time;
use super::{DELAY_MAX, FaultError, unfit};
use crate::time::Span;

/// What a fault does to the handlers of an exchange that are attached at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessFault {
    /// They end as if they had crashed when it is set, those that are attached then; once.
    Kill,
    /// They take nothing from their mailboxes.
    Suspend,
    /// Each delivery takes them so much longer.
    Slow {
        /// At most [`DELAY_MAX`].
        by: Span,
    },
    /// The next delivery to each panics, once, of those that are attached when it is set.
    Panic,
    /// Their mailboxes count as full.
    Fill,
}

impl ProcessFault {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Suspend => "suspend",
            Self::Slow { .. } => "slow",
            Self::Panic => "panic",
            Self::Fill => "fill",
        }
    }

    pub(super) fn check(&self) -> Result<(), FaultError> {
        match *self {
            Self::Slow { by } => unfit(is_time(by), || {
                format!(
                    "a delivery takes longer by more than nothing and at most {}, not by {}",
                    brief(DELAY_MAX),
                    brief(by)
                )
            }),
            Self::Kill | Self::Suspend | Self::Panic | Self::Fill => Ok(()),
        }
    }
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("killed"),
            Self::Suspend => f.write_str("suspended"),
            Self::Slow { by } => write!(f, "slow by {}", brief(*by)),
            Self::Panic => f.write_str("panic"),
            Self::Fill => f.write_str("full"),
        }
    }
}
