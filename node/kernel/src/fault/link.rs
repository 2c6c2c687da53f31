//! What faults do to bytes on their way from a node to a peer. They mean what a network under TCP makes of them: what is lost
//! or overtaken makes everything behind it wait, and what does not come as it was sent is caught, by checksum and sequence.
//!
//! What does not live here: which faults there are and how long they live (`fault`), sockets, and keeping the order.

use alloc::format;
use core::fmt;

use super::latency::{Latency, brief};
use super::loss::Share;
use super::{DELAY_MAX, FaultError};
use crate::spread::mix;
use crate::time::{Instant, Span};

/// Least rate: what is slower is a cut.
pub const RATE_MIN: u64 = 1_000;
/// Highest rate, in bytes a second: what is faster is no fault.
pub const RATE_MAX: u64 = 10_000_000_000;
/// Most bytes of a slice: what a socket takes at once.
pub const SLICE_MAX: u32 = 65_536;
/// Least time between two resets: a link that never stands is a cut.
pub const RESET_EVERY_MIN: Span = Span::from_ms(10);

/// What a fault does to bytes from this node to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault {
    /// Holds them back for a while; order is kept.
    Delay(Latency),
    /// Loses some of them, each time together with whatever set out with it. They go again after
    /// [`RETRANSMIT`](super::RETRANSMIT), lost ones after twice that, and so on; order is kept, so that all that come behind
    /// them wait as well.
    Loss(Share),
    /// Writes some of them twice. The receiver catches it by their numbers, and the link is made anew.
    Duplicate(Share),
    /// Some are overtaken: they come later, and what overtook them waits for them, as TCP makes it wait.
    Reorder {
        /// How many.
        share: Share,
        /// How much later.
        by: Span,
    },
    /// Changes a bit in some of them. The receiver catches it by their checksum, and the link is made anew.
    Corrupt(Share),
    /// Lets so many bytes a second through.
    Rate(u64),
    /// Lets nothing through; what is held back flows when it ends.
    Cut,
    /// Lets nothing through for a while, then all at once, again and again.
    Clog(Span),
    /// Breaks the connections when it is set, and again after each such time; zero for once.
    Reset(Span),
    /// Writes at most so many bytes at a time.
    Slice(u32),
    /// Breaks each connection when it has carried so many bytes, wherever that is in a frame.
    Limit(u64),
    /// A connection that ends stays open for so long: the other side does not see its end before.
    SlowClose(Span),
}

/// What becomes of bytes that set out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// They stay until the table changes; ask again then, and at [`FaultTable::next_timeout`](super::FaultTable::next_timeout).
    pub held: bool,
    /// They go no earlier; what is behind them goes no earlier than they.
    pub at: Instant,
    /// They go no faster, in bytes a second.
    pub rate: Option<u64>,
    /// What is done to them.
    pub acts: Acts,
}

/// What is done to bytes when they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acts {
    /// They are written twice.
    pub twice: bool,
    /// A bit of them is changed: the one that this number, taken by their length, stands for.
    pub corrupt: Option<u64>,
    /// At most so many are written at a time.
    pub slice: Option<u32>,
}

impl Acts {
    /// True when they are written as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Verdict {
    /// They go at once.
    #[must_use]
    pub const fn pass(since: Instant) -> Self {
        Self {
            held: false,
            at: since,
            rate: None,
            acts: Acts {
                twice: false,
                corrupt: None,
                slice: None,
            },
        }
    }

    /// Adds what one more fault does to them; `rng` is its own random number, `began` when it began.
    pub(super) fn add(&mut self, fault: &LinkFault, began: Instant, rng: u64) {
        match *fault {
            LinkFault::Delay(latency) => self.at = self.at + latency.drawn(rng),
            LinkFault::Loss(share) => self.at = self.at + share.pause(rng),
            LinkFault::Duplicate(share) => self.acts.twice |= share.takes(rng),
            LinkFault::Reorder { share, by } if share.takes(rng) => self.at = self.at + by,
            LinkFault::Corrupt(share) if share.takes(rng) => self.acts.corrupt = Some(mix(rng)),
            LinkFault::Rate(rate) => self.rate = Some(self.rate.map_or(rate, |other| other.min(rate))),
            LinkFault::Cut => self.held = true,
            LinkFault::Clog(stall) => {
                let stalls = self.at.since(began).0 / stall.0.max(1) + 1;
                self.at = began + Span(stalls.saturating_mul(stall.0));
            }
            LinkFault::Slice(bytes) => {
                self.acts.slice = Some(self.acts.slice.map_or(bytes, |other| other.min(bytes)));
            }
            LinkFault::Reorder { .. }
            | LinkFault::Corrupt(_)
            | LinkFault::Reset(_)
            | LinkFault::Limit(_)
            | LinkFault::SlowClose(_) => {}
        }
    }
}

/// When things go that set out one after the other: in their order, and no faster than their rate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacer {
    free: Instant,
}

impl Pacer {
    /// When so many bytes have gone, by their verdict; none while they are held.
    pub fn goes(&mut self, verdict: &Verdict, bytes: u64) -> Option<Instant> {
        if verdict.held {
            return None;
        }
        let takes = verdict.rate.map_or(0, |rate| {
            u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
        });
        self.free = self.free.max(verdict.at) + Span(takes);
        Some(self.free)
    }
}

impl LinkFault {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Loss(_) => "loss",
            Self::Duplicate(_) => "duplicate",
            Self::Reorder { .. } => "reorder",
            Self::Corrupt(_) => "corrupt",
            Self::Rate(_) => "rate",
            Self::Cut => "cut",
            Self::Clog(_) => "clog",
            Self::Reset(_) => "reset",
            Self::Slice(_) => "slice",
            Self::Limit(_) => "limit",
            Self::SlowClose(_) => "slow-close",
        }
    }

    /// How much of it, in words: nothing where the word says it all.
    #[must_use]
    pub const fn amount(&self) -> Amount<'_> {
        Amount(self)
    }

    /// True when what sets out with that random number is touched by it.
    pub(super) fn touches(&self, rng: u64) -> bool {
        match self {
            Self::Loss(share) => share.pause(rng) != Span::ZERO,
            Self::Duplicate(share) | Self::Reorder { share, .. } | Self::Corrupt(share) => share.takes(rng),
            Self::Reset(_) | Self::Limit(_) | Self::SlowClose(_) => false,
            Self::Delay(_) | Self::Rate(_) | Self::Cut | Self::Clog(_) | Self::Slice(_) => true,
        }
    }

    /// Whether a table takes it: its amounts are within their bounds.
    ///
    /// # Errors
    /// [`FaultError`] says what would be.
    pub fn check(&self) -> Result<(), FaultError> {
        let unfit = |fits: bool, why: fn(&Self) -> alloc::string::String| match fits {
            true => Ok(()),
            false => Err(FaultError::Unfit(why(self))),
        };
        match *self {
            Self::Delay(latency) => {
                let (asked, max) = (latency.longest(), DELAY_MAX);
                if asked > max {
                    return Err(FaultError::Delay { asked, max });
                }
                Ok(())
            }
            Self::Loss(share)
            | Self::Duplicate(share)
            | Self::Corrupt(share)
            | Self::Reorder { share, .. }
                if share == Share::NONE || share > Share::ALL =>
            {
                Err(FaultError::Share {
                    what: self.word(),
                    asked: share,
                })
            }
            Self::Reorder { by, .. } => unfit(is_time(by), |f| {
                format!(
                    "what is overtaken comes later by more than nothing and at most {}, not {}",
                    brief(DELAY_MAX),
                    f.amount()
                )
            }),
            Self::Rate(rate) => unfit((RATE_MIN..=RATE_MAX).contains(&rate), |f| {
                format!(
                    "a rate is at least {RATE_MIN} and at most {RATE_MAX} bytes a second, not {}",
                    f.amount()
                )
            }),
            Self::Clog(stall) => unfit(stall >= Span::from_ms(1) && stall <= DELAY_MAX, |f| {
                format!(
                    "a stall is at least 1ms and at most {}, not {}",
                    brief(DELAY_MAX),
                    f.amount()
                )
            }),
            Self::Reset(every) => {
                let fits = every == Span::ZERO || (RESET_EVERY_MIN..=DELAY_MAX).contains(&every);
                unfit(fits, |f| {
                    format!(
                        "resets are at least {} and at most {} apart, not {}",
                        brief(RESET_EVERY_MIN),
                        brief(DELAY_MAX),
                        f.amount()
                    )
                })
            }
            Self::Slice(bytes) => unfit((1..=SLICE_MAX).contains(&bytes), |f| {
                format!(
                    "a slice has at least 1 and at most {SLICE_MAX} bytes, not {}",
                    f.amount()
                )
            }),
            Self::Limit(bytes) => unfit(bytes > 0, |_| {
                "a connection carries at least 1 byte, not 0".into()
            }),
            Self::SlowClose(by) => unfit(is_time(by), |f| {
                format!(
                    "a connection stays open for more than nothing and at most {}, not {}",
                    brief(DELAY_MAX),
                    f.amount()
                )
            }),
            Self::Loss(_) | Self::Duplicate(_) | Self::Corrupt(_) | Self::Cut => Ok(()),
        }
    }
}

/// More than nothing, and no more than the longest.
pub(super) fn is_time(time: Span) -> bool {
    time > Span::ZERO && time <= DELAY_MAX
}

/// How much of a fault, in words.
#[derive(Debug, Clone, Copy)]
pub struct Amount<'f>(&'f LinkFault);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            LinkFault::Delay(latency) => write!(f, "{latency}"),
            LinkFault::Loss(share) | LinkFault::Duplicate(share) | LinkFault::Corrupt(share) => {
                write!(f, "{share}")
            }
            LinkFault::Reorder { share, by } => write!(f, "{share} by {}", brief(by)),
            LinkFault::Rate(rate) => write!(f, "{}/s", Bytes(rate)),
            LinkFault::Cut | LinkFault::Reset(Span::ZERO) => Ok(()),
            LinkFault::Clog(stall) => write!(f, "{}", brief(stall)),
            LinkFault::Reset(every) => write!(f, "every {}", brief(every)),
            LinkFault::Slice(bytes) => write!(f, "{}", Bytes(u64::from(bytes))),
            LinkFault::Limit(bytes) => write!(f, "{}", Bytes(bytes)),
            LinkFault::SlowClose(by) => write!(f, "{}", brief(by)),
        }
    }
}

/// As people write sizes: `512B`, `64kB`, `10MB`.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        for (unit, word) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")] {
            if bytes >= unit && bytes.is_multiple_of(unit) {
                return write!(f, "{}{word}", bytes / unit);
            }
        }
        write!(f, "{bytes}B")
    }
}
