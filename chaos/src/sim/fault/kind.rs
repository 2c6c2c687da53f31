//! Kinds of faults, for drawing and for counting.
//!
//! What does not live here: the faults themselves (`fault`).

use serde::{Deserialize, Serialize};

use super::SimFault;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal,)*) => {
        /// Kinds of faults, for the coverage of a batch.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
            /// See [`SimFault::Written`]; never drawn.
            Written,
        }

        impl FaultKind {
            /// All that are drawn.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                    Self::Written => "a scenario's fault on a link",
                }
            }
        }

        impl SimFault {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> FaultKind {
                match self {
                    $(Self::$kind { .. } => FaultKind::$kind,)*
                    Self::Written { .. } => FaultKind::Written,
                }
            }
        }
    };
}

kinds! {
    /// See [`SimFault::Crash`].
    Crash = "crash",
    /// See [`SimFault::Stop`].
    Stop = "stop",
    /// See [`SimFault::Pause`].
    Pause = "pause",
    /// See [`SimFault::ClockSkew`].
    ClockSkew = "clock skew",
    /// See [`SimFault::ClockStep`].
    ClockStep = "clock step",
    /// See [`SimFault::Cut`].
    Cut = "cut",
    /// See [`SimFault::CutBoth`].
    CutBoth = "cut both ways",
    /// See [`SimFault::Isolate`].
    Isolate = "isolate",
    /// See [`SimFault::OneWay`].
    OneWay = "one way",
    /// See [`SimFault::Split`].
    Split = "split",
    /// See [`SimFault::Bridge`].
    Bridge = "bridge",
    /// See [`SimFault::Delay`].
    Delay = "delay",
    /// See [`SimFault::Slow`].
    Slow = "slow",
    /// See [`SimFault::Loss`].
    Loss = "loss",
    /// See [`SimFault::Duplicate`].
    Duplicate = "duplicate",
    /// See [`SimFault::Clog`].
    Clog = "clog",
    /// See [`SimFault::Reorder`].
    Reorder = "reorder",
    /// See [`SimFault::Corrupt`].
    Corrupt = "corrupt",
    /// See [`SimFault::Rate`].
    Rate = "rate",
    /// See [`SimFault::Reset`].
    Reset = "reset",
    /// See [`SimFault::Limit`].
    Limit = "limit",
    /// See [`SimFault::SlowDisk`].
    SlowDisk = "slow disk",
    /// See [`SimFault::FullDisk`].
    FullDisk = "full disk",
}
