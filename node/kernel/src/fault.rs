//! The fault table: which faults a node holds, until when, and what they do to bytes that leave it. One meaning in
//! the simulator and live; both ask [`FaultTable::verdict`].
//!
//! What does not live here: timers, sockets, and who may set a fault.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::NodeName;
use crate::time::{Instant, Span};

mod loss;

pub use loss::{LOSSES_MAX, RETRANSMIT, Share, retransmission};

/// Longest life of a fault: one hour; nobody forgets one for longer.
pub const TTL_MAX: Span = Span::from_ms(3_600_000);
/// Life of a fault when none is given.
pub const TTL_DEFAULT: Span = Span::from_ms(30_000);
/// Longest delay: more is a cut.
pub const DELAY_MAX: Span = Span::from_ms(60_000);
/// Faults a node holds at once.
pub const FAULTS_MAX: usize = 256;
/// Bytes of a fault's id, and of its author's name.
pub const FAULT_ID_BYTES_MAX: usize = 64;

/// What a fault does to bytes from this node to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Holds them back for a while; order is kept.
    Delay {
        /// The peer.
        to: NodeName,
        /// How long.
        delay: Span,
        /// Uniformly up to this much less or more.
        jitter: Span,
    },
    /// Loses some of them, each time together with whatever set out with it. They go again after [`RETRANSMIT`], lost
    /// ones after twice that, and so on; order is kept, so that all that come behind them wait as well.
    Loss {
        /// The peer.
        to: NodeName,
        /// How much.
        share: Share,
    },
    /// Lets nothing through; what is held back flows when it ends.
    Cut {
        /// The peer.
        to: NodeName,
    },
}

impl FaultKind {
    /// The peer whose bytes it touches.
    #[must_use]
    pub const fn to(&self) -> &NodeName {
        match self {
            Self::Delay { to, .. } | Self::Loss { to, .. } | Self::Cut { to } => to,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay { to, delay, jitter } if *jitter == Span::ZERO => write!(f, "delay {delay} to {to}"),
            Self::Delay { to, delay, jitter } => write!(f, "delay {delay} ± {jitter} to {to}"),
            Self::Loss { to, share } => write!(f, "loss of {share} to {to}"),
            Self::Cut { to } => write!(f, "cut to {to}"),
        }
    }
}

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Id.
    pub id: String,
    /// What it does.
    pub kind: FaultKind,
    /// Who asked for it.
    pub by: String,
    /// When it ends by itself.
    pub ends: Instant,
    /// Frames it has touched.
    pub touched: u64,
}

/// Why a fault was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// It would live too long, or not at all.
    #[error("a fault lives longer than nothing and at most {max}, not {asked}")]
    Ttl {
        /// Time asked for.
        asked: Span,
        /// The bound.
        max: Span,
    },
    /// The delay with its jitter is too long.
    #[error("a delay with its jitter is at most {max}, not {asked}")]
    Delay {
        /// Time asked for.
        asked: Span,
        /// The bound.
        max: Span,
    },
    /// Nothing, or more than there is, would be lost.
    #[error("a loss is more than 0% and at most 100%, not {asked}")]
    Loss {
        /// Share asked for.
        asked: Share,
    },
    /// The id or the author's name is too long.
    #[error("the id and the author of a fault have at most {max} bytes, not {len}")]
    TooLong {
        /// Length given, in bytes.
        len: usize,
        /// Bound, in bytes.
        max: usize,
    },
    /// The table is full.
    #[error("{max} faults are active already")]
    Full {
        /// The bound.
        max: usize,
    },
}

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They go.
    Pass,
    /// They go then, and none of the same link before those that came earlier.
    DelayUntil(Instant),
    /// They stay until the table changes; ask again then, and at [`FaultTable::next_timeout`].
    Hold,
}

/// The faults of one node.
#[derive(Debug, Clone, Default)]
pub struct FaultTable {
    faults: BTreeMap<String, Fault>,
    chosen: u64,
}

impl FaultTable {
    /// Sets a fault, in place of the one with the same id. With an empty id the table chooses one. Returns the id.
    ///
    /// # Errors
    /// [`FaultError`]; nothing has changed then.
    pub fn set(
        &mut self,
        now: Instant,
        id: &str,
        kind: FaultKind,
        ttl: Span,
        by: &str,
    ) -> Result<String, FaultError> {
        self.expire(now);
        check(id, &kind, ttl, by)?;
        if !self.faults.contains_key(id) && self.faults.len() >= FAULTS_MAX {
            return Err(FaultError::Full { max: FAULTS_MAX });
        }
        let id = if id.is_empty() { self.choose() } else { id.into() };
        let fault = Fault {
            id: id.clone(),
            kind,
            by: by.into(),
            ends: now + ttl,
            touched: 0,
        };
        self.faults.insert(id.clone(), fault);
        Ok(id)
    }

    /// Ends one fault; returns it, or none when it is not there.
    pub fn clear(&mut self, id: &str) -> Option<Fault> {
        self.faults.remove(id)
    }

    /// Ends all; returns them.
    pub fn halt(&mut self) -> Vec<Fault> {
        core::mem::take(&mut self.faults).into_values().collect()
    }

    /// Takes out those whose time is over; returns them.
    pub fn expire(&mut self, now: Instant) -> Vec<Fault> {
        let over: Vec<String> = self
            .faults
            .values()
            .filter(|f| f.ends <= now)
            .map(|f| f.id.clone())
            .collect();
        over.iter().filter_map(|id| self.faults.remove(id)).collect()
    }

    /// Those in force, by id.
    pub fn list(&self, now: Instant) -> impl Iterator<Item = &Fault> {
        self.faults.values().filter(move |fault| fault.ends > now)
    }

    /// True when none is in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// When the next one ends.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.faults.values().map(|fault| fault.ends).min()
    }

    /// What becomes of `frames` that set out for `to` together now; `rng` is a fresh random number. Counts them as
    /// touched, by a loss only where they are lost. A cut beats the others; delays and the pauses of losses add up.
    pub fn verdict(&mut self, to: &NodeName, now: Instant, rng: u64, frames: u64) -> Verdict {
        let acting = self
            .faults
            .values_mut()
            .filter(|f| f.ends > now && f.kind.to() == to);
        for (n, fault) in (0_u64..).zip(acting) {
            let spared =
                matches!(fault.kind, FaultKind::Loss { share, .. } if share.pause(own(rng, n)) == Span::ZERO);
            if !spared {
                fault.touched = fault.touched.saturating_add(frames);
            }
        }
        self.judge(to, now, rng)
    }

    /// As [`Self::verdict`] for what was counted before: without touching.
    #[must_use]
    pub fn judge(&self, to: &NodeName, now: Instant, rng: u64) -> Verdict {
        let mut wait = Span::ZERO;
        for (n, fault) in (0_u64..).zip(self.list(now).filter(|f| f.kind.to() == to)) {
            match &fault.kind {
                FaultKind::Cut { .. } => return Verdict::Hold,
                FaultKind::Delay { delay, jitter, .. } => {
                    wait.0 += drawn(*delay, *jitter, own(rng, n)).0;
                }
                FaultKind::Loss { share, .. } => wait.0 += share.pause(own(rng, n)).0,
            }
        }
        if wait == Span::ZERO {
            Verdict::Pass
        } else {
            Verdict::DelayUntil(now + wait)
        }
    }
}

/// The random number of one of several faults on a link.
const fn own(rng: u64, n: u64) -> u64 {
    rng ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A number of the range `delay ± jitter`, never below zero.
fn drawn(delay: Span, jitter: Span, rng: u64) -> Span {
    let offset = rng % (2 * jitter.0 + 1);
    Span((delay.0 + offset).saturating_sub(jitter.0))
}

fn check(id: &str, kind: &FaultKind, ttl: Span, by: &str) -> Result<(), FaultError> {
    if ttl == Span::ZERO || ttl > TTL_MAX {
        return Err(FaultError::Ttl {
            asked: ttl,
            max: TTL_MAX,
        });
    }
    check_kind(kind)?;
    let len = id.len().max(by.len());
    if len > FAULT_ID_BYTES_MAX {
        return Err(FaultError::TooLong {
            len,
            max: FAULT_ID_BYTES_MAX,
        });
    }
    Ok(())
}

fn check_kind(kind: &FaultKind) -> Result<(), FaultError> {
    match *kind {
        FaultKind::Delay { delay, jitter, .. } => {
            let asked = Span(delay.0.saturating_add(jitter.0));
            if asked > DELAY_MAX {
                return Err(FaultError::Delay {
                    asked,
                    max: DELAY_MAX,
                });
            }
        }
        FaultKind::Loss { share: asked, .. } if asked == Share::NONE || asked > Share::ALL => {
            return Err(FaultError::Loss { asked });
        }
        FaultKind::Loss { .. } | FaultKind::Cut { .. } => {}
    }
    Ok(())
}

impl FaultTable {
    fn choose(&mut self) -> String {
        loop {
            self.chosen += 1;
            let id = alloc::format!("f{}", self.chosen);
            if !self.faults.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
#[path = "fault_test.rs"]
mod tests;
