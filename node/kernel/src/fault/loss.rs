//! Loss on a link as TCP makes it felt: what sets out together and is lost comes after a pause, and what comes behind it
//! waits.
//!
//! What does not live here: which link loses what (`fault`), and keeping the order (the links).

use core::fmt;

use crate::spread::mix;
use crate::time::Span;

/// What TCP waits before it sends again; doubles with every further loss (RFC 6298 with Linux's least timeout).
pub const RETRANSMIT: Span = Span::from_ms(200);
/// Losses in a row that count: the first pause and six doublings, 25.4 s in all. What is lost that often
/// goes through then: a link that lets nothing through at all is a cut.
pub const LOSSES_MAX: u32 = 7;

/// A part of what sets out, in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// So many of a hundred.
    #[must_use]
    pub const fn from_percent(percent: u32) -> Self {
        Self(percent.saturating_mul(10_000))
    }

    /// True when it takes what sets out with that random number.
    pub(super) fn takes(self, rng: u64) -> bool {
        mix(rng) % u64::from(Self::ALL.0) < u64::from(self.0)
    }

    /// How much later that arrives which sets out now; `rng` is a fresh random number, and the same one gives the same.
    pub(super) fn pause(self, rng: u64) -> Span {
        let mut state = rng;
        retransmission(LOSSES_MAX, || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state) % u64::from(Self::ALL.0) < u64::from(self.0)
        })
    }
}

impl fmt::Display for Share {
    /// As people write it: `5%`, `0.5%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut rest, mut digits) = (self.0 / 10_000, self.0 % 10_000, 4);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        while rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        write!(f, "{whole}.{rest:0digits$}%")
    }
}

/// The pauses of something that sets out, added up: one before each time it is sent again, every one twice as long as the
/// one before, until `lost` says that it is not lost, or it was lost `most` times.
fn retransmission(most: u32, mut lost: impl FnMut() -> bool) -> Span {
    let mut wait = Span::ZERO;
    let mut losses = 0;
    while losses < most && lost() {
        wait.0 += RETRANSMIT.0 << losses;
        losses += 1;
    }
    wait
}
