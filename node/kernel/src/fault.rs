//! The fault table: which faults a node holds, until when, and what those on links do to bytes that leave it. One meaning
//! in the simulator and live; both ask [`FaultTable::verdict`].
//!
//! What does not live here: what faults do to the node itself, its handlers and messages (`fault/acting`), timers, sockets,
//! and who may set a fault.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::id::NodeName;
use crate::spread::mix;
use crate::time::{Instant, Span};

mod acting;
mod clock;
mod disk;
mod kind;
mod latency;
mod link;
mod loss;
mod message;
mod process;

pub use acting::{HandlersSuffer, Held, MessageVerdict, NodeSuffers};
pub use clock::{ClockFault, SKEW_PPM_MAX, STEP_MS_MAX};
pub use disk::DiskFault;
pub use kind::FaultKind;
pub use latency::{Latency, Shape};
pub use link::{Acts, Amount, LinkFault, Pacer, RATE_MAX, RATE_MIN, RESET_EVERY_MIN, SLICE_MAX, Verdict};
pub use loss::{LOSSES_MAX, RETRANSMIT, Share};
pub use message::{MessageFault, Wanted};
pub use process::ProcessFault;

/// Longest life of a fault: one hour; nobody forgets one for longer.
pub const TTL_MAX: Span = Span::from_ms(3_600_000);
/// Life of a fault when none is given.
pub const TTL_DEFAULT: Span = Span::from_ms(30_000);
/// Longest delay: more is a cut.
pub const DELAY_MAX: Span = Span::from_ms(60_000);
/// Faults a node holds at once.
pub const FAULTS_MAX: usize = 256;
/// Threads that spin at once: more than any machine that a cluster is tried on has.
pub const BURN_THREADS_MAX: u8 = 64;
/// Bytes of a fault's id, and of its author's name.
pub const FAULT_ID_BYTES_MAX: usize = 64;

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Id.
    pub id: String,
    /// What it does.
    pub kind: FaultKind,
    /// Who asked for it.
    pub by: String,
    /// When it was set.
    pub began: Instant,
    /// When it ends by itself.
    pub ends: Instant,
    /// Frames, messages, deliveries or handlers that it has touched.
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
    /// Nothing, or more than there is, would be touched.
    #[error("{what} takes more than 0% and at most 100%, not {asked}")]
    Share {
        /// Word of the fault.
        what: &'static str,
        /// Share asked for.
        asked: Share,
    },
    /// Something else of it does not fit: what, and what would.
    #[error("{0}")]
    Unfit(String),
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
        self.check_burns(id, kind.threads())?;
        let id = if id.is_empty() { self.choose() } else { id.into() };
        // The same once more is the same fault, which goes on for longer; what is done once is done once more.
        let goes_on = !matches!(kind, FaultKind::Process { .. } | FaultKind::Burn { .. });
        let same = self
            .faults
            .get(&id)
            .filter(|before| goes_on && before.kind == kind);
        let (began, touched) = same.map_or((now, 0), |before| (before.began, before.touched));
        let fault = Fault {
            id: id.clone(),
            kind,
            by: by.into(),
            began,
            ends: now + ttl,
            touched,
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
    /// touched, by a fault on a share of them only where it takes them. A cut beats the others; times add up.
    pub fn verdict(&mut self, to: &NodeName, now: Instant, rng: u64, frames: u64) -> Verdict {
        let mut verdict = Verdict::pass(now);
        for fault in self.faults.values_mut().filter(|f| f.ends > now) {
            let Some(what) = fault.kind.on(to).copied() else {
                continue;
            };
            let own = own(rng, &fault.id);
            if what.touches(own) {
                fault.touched = fault.touched.saturating_add(frames);
            }
            verdict.add(&what, fault.began, own);
        }
        verdict
    }

    /// As [`Self::verdict`] for what set out at `since` and was counted then, as the table stands `now`: what was drawn
    /// stays drawn.
    #[must_use]
    pub fn judge(&self, to: &NodeName, since: Instant, now: Instant, rng: u64) -> Verdict {
        let mut verdict = Verdict::pass(since);
        for fault in self.list(now) {
            if let Some(what) = fault.kind.on(to) {
                verdict.add(what, fault.began, own(rng, &fault.id));
            }
        }
        verdict
    }

    /// The faults that touch what sets out for `to` with that random number, as [`Self::verdict`] counts them.
    pub fn touching(&self, to: &NodeName, now: Instant, rng: u64) -> impl Iterator<Item = &Fault> {
        self.list(now).filter(move |fault| {
            let on = fault.kind.on(to);
            on.is_some_and(|what| what.touches(own(rng, &fault.id)))
        })
    }

    /// What a connection to `to` that was opened at `opened` has to bear now.
    #[must_use]
    pub fn bears(&self, to: &NodeName, opened: Instant, now: Instant) -> Bears {
        let mut bears = Bears::default();
        for fault in self.list(now) {
            match fault.kind.on(to) {
                Some(LinkFault::Reset(every)) => {
                    let latest = last_time(fault.began, *every, now);
                    bears.broken |= opened < latest;
                    if *every > Span::ZERO {
                        let next = latest + *every;
                        bears.next_break = Some(bears.next_break.map_or(next, |other| other.min(next)));
                    }
                }
                Some(LinkFault::Limit(bytes)) => {
                    bears.limit = Some(bears.limit.map_or(*bytes, |other| other.min(*bytes)));
                }
                Some(LinkFault::SlowClose(by)) => bears.slow_close = bears.slow_close.max(*by),
                _ => {}
            }
        }
        bears
    }

    /// Counts one connection to `to` as touched by what broke it, or held it open.
    pub fn touch(&mut self, to: &NodeName, now: Instant, by: impl Fn(&LinkFault) -> bool) {
        self.touch_where(now, |kind| kind.on(to).is_some_and(&by));
    }

    fn touch_where(&mut self, now: Instant, touched: impl Fn(&FaultKind) -> bool) {
        let acting = self.faults.values_mut().filter(|f| f.ends > now);
        for fault in acting.filter(|f| touched(&f.kind)) {
            fault.touched = fault.touched.saturating_add(1);
        }
    }

    /// All such faults together spin no more threads than one of them may.
    fn check_burns(&self, id: &str, threads: u8) -> Result<(), FaultError> {
        let others = self.faults.values().filter(|fault| fault.id != id);
        let spinning: u32 = others.map(|fault| u32::from(fault.kind.threads())).sum();
        let fits = threads == 0 || spinning + u32::from(threads) <= u32::from(BURN_THREADS_MAX);
        unfit(fits, || {
            alloc::format!(
                "{spinning} threads spin already, and at most {BURN_THREADS_MAX} do, not {threads} more"
            )
        })
    }
}

/// What a connection has to bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bears {
    /// It is to be broken now.
    pub broken: bool,
    /// When it is to be broken next, if it stands then.
    pub next_break: Option<Instant>,
    /// Bytes that it may carry.
    pub limit: Option<u64>,
    /// How long it stays open when it ends.
    pub slow_close: Span,
}

/// The latest of the times that begin with `began` and are `every` apart, up to `now`.
fn last_time(began: Instant, every: Span, now: Instant) -> Instant {
    match every {
        Span::ZERO => began,
        every => began + Span(now.since(began).0 / every.0 * every.0),
    }
}

/// What does not fit is refused with what would.
fn unfit(fits: bool, why: impl FnOnce() -> String) -> Result<(), FaultError> {
    if fits {
        Ok(())
    } else {
        Err(FaultError::Unfit(why()))
    }
}

/// The random number of one of several faults: its own, whichever others there are.
fn own(rng: u64, id: &str) -> u64 {
    id.bytes().fold(rng, |sum, byte| mix(sum ^ u64::from(byte)))
}

fn check(id: &str, kind: &FaultKind, ttl: Span, by: &str) -> Result<(), FaultError> {
    if ttl == Span::ZERO || ttl > TTL_MAX {
        return Err(FaultError::Ttl {
            asked: ttl,
            max: TTL_MAX,
        });
    }
    kind.check()?;
    let len = id.len().max(by.len());
    if len > FAULT_ID_BYTES_MAX {
        return Err(FaultError::TooLong {
            len,
            max: FAULT_ID_BYTES_MAX,
        });
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
