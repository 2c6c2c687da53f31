//! Faults of the disk under a node's registry.
//!
//! What does not live here: the file that obeys.

use alloc::format;
use core::fmt;

use super::latency::brief;
use super::link::is_time;
use super::{DELAY_MAX, FaultError, unfit};
use crate::time::Span;

/// What a fault does to a node's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// Each sync takes so much longer.
    Slow {
        /// At most [`DELAY_MAX`].
        by: Span,
    },
    /// Nothing is written: there is no room.
    Full,
    /// What is written is held back until it is synced, and goes piece by piece then: whoever kills the node in between leaves a
    /// half of it on the disk.
    Torn,
    /// What is written is held back until it is synced: whoever kills the node loses just what was not.
    LostTail,
}

impl DiskFault {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Slow { .. } => "slow",
            Self::Full => "full",
            Self::Torn => "torn",
            Self::LostTail => "lost-tail",
        }
    }

    pub(super) fn check(&self) -> Result<(), FaultError> {
        match *self {
            Self::Slow { by } => unfit(is_time(by), || {
                format!(
                    "a sync takes longer by more than nothing and at most {}, not by {}",
                    brief(DELAY_MAX),
                    brief(by)
                )
            }),
            Self::Full | Self::Torn | Self::LostTail => Ok(()),
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Slow { by } => write!(f, " by {}", brief(*by)),
            Self::Full | Self::Torn | Self::LostTail => Ok(()),
        }
    }
}
