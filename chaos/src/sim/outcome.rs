//! What a simulated run gives: its history, what was counted on the way, and a digest of everything that happened.
//!
//! What does not live here: judging it (`invariant`).

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use squall_kernel::time::Span;

use super::Tier;
use super::plan::Plan;
use crate::history::Event;

/// A run that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// How it was run.
    pub tier: Tier,
    /// Where it came from.
    pub plan: Plan,
    /// What happened, in true time.
    pub history: Vec<Event>,
    /// What was counted below the history: frames held back, sent again, given back …, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Digest of every event and every frame: the same seed gives the same one.
    pub digest: u64,
    /// Steps of the simulator.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Span,
}

/// A digest of what happens, in order (FNV-1a).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes in a word.
    pub fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    /// Takes in bytes; how they are cut into pieces does not matter.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes in what it displays as.
    pub fn display(&mut self, what: &impl fmt::Display) {
        write!(Hashing(self), "{what}").expect("hashing never fails");
    }

    /// The digest so far.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.0
    }
}

struct Hashing<'d>(&'d mut Digest);

impl fmt::Write for Hashing<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes());
        Ok(())
    }
}
