//! Time as an argument: microseconds of some monotonic clock, and spans. Nothing here reads a clock.

use core::fmt;
use core::ops::Add;

use serde::{Deserialize, Serialize};

/// A point on the node's monotonic clock, in microseconds since the node started. Never compared
/// between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Instant(pub u64);

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `ms` milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1000)
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 / 1000
    }

    /// The span shortened by `ppm` parts per million: for a lease its holder counts.
    #[must_use]
    pub const fn shortened(self, ppm: u64) -> Self {
        Self(self.0 - part(self.0, ppm))
    }

    /// The span lengthened by `ppm` parts per million: for a wait before taking over.
    #[must_use]
    pub const fn lengthened(self, ppm: u64) -> Self {
        Self(self.0.saturating_add(part(self.0, ppm)).saturating_add(1))
    }
}

/// `ppm` parts per million of a number of any size.
const fn part(of: u64, ppm: u64) -> u64 {
    of / 1_000_000 * ppm + of % 1_000_000 * ppm / 1_000_000
}

impl Instant {
    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Instant {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}ms", self.0 / 1000, self.0 % 1000)
    }
}
