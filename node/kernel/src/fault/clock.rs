//! Faults of a node's clocks: the one it counts time with runs at another rate, or its calendar jumps.
//!
//! What does not live here: the clocks.

use alloc::format;
use core::fmt;

use super::{FaultError, unfit};

/// Most that a clock goes faster or slower by, in parts per million: by half.
pub const SKEW_PPM_MAX: u32 = 500_000;
/// Farthest that a calendar jumps, in milliseconds: a day.
pub const STEP_MS_MAX: u64 = 24 * 3_600_000;

/// What a fault does to a node's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockFault {
    /// The monotonic clock runs faster, or slower where that is negative. When the fault ends it runs on from where it is, as
    /// fast as others; it never goes back.
    Skew {
        /// Parts per million; not 0, at most [`SKEW_PPM_MAX`] either way.
        ppm: i32,
    },
    /// The calendar is ahead, or behind where that is negative, until the fault ends.
    Step {
        /// Milliseconds; not 0, at most [`STEP_MS_MAX`] either way.
        ms: i64,
    },
}

impl ClockFault {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Skew { .. } => "skew",
            Self::Step { .. } => "step",
        }
    }

    pub(super) fn check(&self) -> Result<(), FaultError> {
        match *self {
            Self::Skew { ppm } => unfit((1..=SKEW_PPM_MAX).contains(&ppm.unsigned_abs()), || {
                format!(
                    "a clock goes faster or slower by 1 to {SKEW_PPM_MAX} parts per million, not by {ppm}"
                )
            }),
            Self::Step { ms } => unfit((1..=STEP_MS_MAX).contains(&ms.unsigned_abs()), || {
                format!("a calendar jumps by 1 to {STEP_MS_MAX} ms either way, not by {ms}")
            }),
        }
    }
}

impl fmt::Display for ClockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skew { ppm } => write!(f, "{ppm:+}ppm"),
            Self::Step { ms } => write!(f, "stepped by {ms:+}ms"),
        }
    }
}
