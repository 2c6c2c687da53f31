//! Kinds of networks, each as what it does to a link in one direction. What does not live here: doing it.

use squall_kernel::fault::{Latency, LinkFault, Shape, Share};
use squall_kernel::time::Span;

/// A kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkProfile {
    /// Machines in one room: a quarter of a millisecond each way.
    Lan,
    /// Data centres on two sides of an ocean: some 80 ms from there and back, now and then a loss.
    CrossRegion,
    /// A telephone on a 3G network, as web performance tests have it: 300 ms from there and back, 1.6 Mbit/s.
    ThreeG,
    /// A wireless network through two walls: quick most of the time, with losses and stragglers.
    FlakyWifi,
}

impl LinkProfile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lan, Self::CrossRegion, Self::ThreeG, Self::FlakyWifi];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::CrossRegion => "cross-region",
            Self::ThreeG => "3g",
            Self::FlakyWifi => "flaky-wifi",
        }
    }

    /// The one with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == word)
    }

    /// What it does to a link.
    #[must_use]
    pub fn faults(self) -> Vec<LinkFault> {
        let delay = |time: u64, jitter: u64, shape: Shape| {
            LinkFault::Delay(Latency {
                time: Span(time),
                jitter: Span(jitter),
                shape,
            })
        };
        match self {
            Self::Lan => vec![delay(250, 50, Shape::Normal)],
            Self::CrossRegion => vec![delay(40_000, 2_000, Shape::Normal), LinkFault::Loss(Share(100))],
            Self::ThreeG => vec![delay(150_000, 20_000, Shape::Normal), LinkFault::Rate(200_000)],
            Self::FlakyWifi => vec![
                delay(2_000, 6_000, Shape::Exponential),
                LinkFault::Loss(Share::from_percent(1)),
                LinkFault::Reorder {
                    share: Share::from_percent(2),
                    by: Span::from_ms(15),
                },
            ],
        }
    }
}
