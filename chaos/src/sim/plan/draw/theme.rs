//! What a seed is about. Most draw everything evenly; some dwell on what even draws hardly ever bring together: a safeguard
//! is only needed while something else is wrong already, and mostly for a short time.
//!
//! What does not live here: the faults themselves (`faults`, `storms`).

use squall_kernel::profile::Profile;

use super::super::Deck;
use crate::sim::rng::Rng;

/// What a seed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    /// Everything, evenly.
    Mixed,
    /// Two voters that do not reach each other, and a short restart of all who promised them something.
    Restarts,
    /// One move after the other, over slow links.
    Moves,
    /// Moves in whose middle a node is killed, and nothing else.
    Rushes,
    /// Voters, and with them whoever leads, are cut off while operators and clients on both sides go on; some were slow
    /// before.
    Partitions,
    /// A majority of the voters, or all, end within a moment.
    Blackouts,
    /// Nodes that stand still for about as long as a lease holds.
    Pauses,
}

/// Of a thousand seeds.
const WEIGHTS: &[(Theme, u64)] = &[
    (Theme::Mixed, 440),
    (Theme::Restarts, 180),
    (Theme::Moves, 120),
    (Theme::Rushes, 100),
    (Theme::Partitions, 80),
    (Theme::Blackouts, 40),
    (Theme::Pauses, 40),
];

impl Theme {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut drawn = rng.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (theme, weight) in WEIGHTS {
            if drawn < *weight {
                return *theme;
            }
            drawn -= weight;
        }
        Self::Mixed
    }

    /// How many nodes, where evenly so many were drawn. A restart takes most from a cluster where one node is half of a
    /// majority.
    pub(super) fn nodes(self, rng: &mut Rng, drawn: u64) -> u64 {
        match self {
            Self::Mixed | Self::Pauses => drawn,
            Self::Restarts if rng.chance(700) => 3,
            Self::Restarts | Self::Moves | Self::Rushes | Self::Partitions | Self::Blackouts => drawn.max(3),
        }
    }

    /// Which profile, where evenly that one was drawn: a promise that is much longer than a restart outlives it.
    pub(super) fn profile(self, rng: &mut Rng, drawn: Profile) -> Profile {
        if self == Self::Restarts && rng.chance(600) {
            *rng.pick(&[Profile::Slow, Profile::Wan])
        } else {
            drawn
        }
    }

    pub(super) const fn deck(self) -> Deck {
        match self {
            Self::Mixed | Self::Restarts | Self::Partitions | Self::Blackouts | Self::Pauses => Deck::Even,
            Self::Moves => Deck::Moves,
            Self::Rushes => Deck::Rushes,
        }
    }
}
