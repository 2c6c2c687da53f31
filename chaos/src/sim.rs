//! The simulator: whole clusters in one thread, on simulated time, from one number. A seed draws a [`plan::Plan`]; a tier
//! runs it and gives an [`outcome::Run`], whose history the same checkers read as a live one's (`invariant`).
//!
//! What does not live here: judging a history (`invariant`), and the command line.

pub mod fault;
pub mod log;
pub mod outcome;
pub mod plan;
pub mod raft;
pub mod rng;

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much of a node is real in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// The kernel, the registry and the codec; the log is a small model of Raft.
    T1,
    /// The same with openraft and the real storage over simulated disks.
    T2,
}

impl Tier {
    /// Its word, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::T1 => "t1",
            Self::T2 => "t2",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
