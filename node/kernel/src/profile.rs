//! Timer profiles: one set of times for a whole cluster, kept in the registry.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Which set of times a cluster runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Profile {
    /// One site, quiet machines.
    #[default]
    Lan,
    /// Sites apart.
    Wan,
    /// Tests of live processes on loaded machines.
    Slow,
}

/// The times of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Between two heartbeats to a peer, and of the Raft leader.
    pub heartbeat: Span,
    /// How long a voter's promise holds, from its receipt.
    pub promise: Span,
    /// Shortest election timeout.
    pub election_min: Span,
    /// Longest election timeout.
    pub election_max: Span,
    /// Silence after which a peer is suspect whatever phi says.
    pub silence: Span,
    /// A node whose own timers are later than this accuses nobody.
    pub late: Span,
    /// How long a node must have been well before exchanges move back to it, or it counts as fit again: the hysteresis
    /// that keeps a flapping node from taking its exchanges along.
    pub well: Span,
    /// How long a move may take before it is cancelled.
    pub move_within: Span,
}

impl Times {
    const LAN: Self = Self {
        heartbeat: Span::from_ms(50),
        promise: Span::from_ms(120),
        election_min: Span::from_ms(150),
        election_max: Span::from_ms(300),
        silence: Span::from_ms(250),
        late: Span::from_ms(40),
        well: Span::from_ms(5000),
        move_within: Span::from_ms(2000),
    };
    const WAN: Self = Self {
        heartbeat: Span::from_ms(250),
        promise: Span::from_ms(1000),
        election_min: Span::from_ms(1200),
        election_max: Span::from_ms(2400),
        silence: Span::from_ms(1500),
        late: Span::from_ms(200),
        well: Span::from_ms(20_000),
        move_within: Span::from_ms(8000),
    };
    const SLOW: Self = Self {
        heartbeat: Span::from_ms(150),
        promise: Span::from_ms(900),
        election_min: Span::from_ms(1200),
        election_max: Span::from_ms(2400),
        silence: Span::from_ms(1500),
        late: Span::from_ms(300),
        well: Span::from_ms(8000),
        move_within: Span::from_ms(8000),
    };

    /// A lease must outlive one lost heartbeat; an election must wait out two; suspicion must not come before
    /// two heartbeats are missing; hysteresis and moves must outlast what they could be confused by.
    const fn sound(&self) -> bool {
        self.promise.0 > 2 * self.heartbeat.0
            && self.election_min.0 >= 3 * self.heartbeat.0
            && self.election_max.0 >= self.election_min.0 * 3 / 2
            && self.silence.0 > 2 * self.heartbeat.0
            && self.late.0 < self.promise.0
            && self.well.0 >= 4 * self.silence.0
            && self.move_within.0 >= 4 * self.silence.0
    }
}

const _: () = assert!(Times::LAN.sound() && Times::WAN.sound() && Times::SLOW.sound());

impl Profile {
    /// The profile's times.
    #[must_use]
    pub const fn times(self) -> Times {
        match self {
            Self::Lan => Times::LAN,
            Self::Wan => Times::WAN,
            Self::Slow => Times::SLOW,
        }
    }

    /// The profile's word, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Slow => "slow",
        }
    }

    /// The profile of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Lan, Self::Wan, Self::Slow]
            .into_iter()
            .find(|p| p.as_str() == word)
    }
}
