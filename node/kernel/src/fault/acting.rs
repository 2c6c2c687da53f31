//! What the faults of a node that are on no link do now, asked of the table by the parts of the node that obey.
//!
//! What does not live here: faults on links, and the table itself (`fault`).

use super::clock::{ClockFault, SKEW_PPM_MAX, STEP_MS_MAX};
use super::disk::DiskFault;
use super::message::MessageFault;
use super::process::ProcessFault;
use super::{Fault, FaultKind, FaultTable, own};
use crate::id::ExchangeName;
use crate::keys::Key;
use crate::time::{Instant, Span};

/// What a node's clocks and disk suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeSuffers {
    /// The monotonic clock runs faster by that, in parts per million: the sum of all, within the bound of one.
    pub skew_ppm: i32,
    /// The calendar is ahead by that, in milliseconds: the sum of all, within the bound of one.
    pub step_ms: i64,
    /// A sync takes so much longer: the sum of all.
    pub slow_disk: Span,
    /// The disk has no room.
    pub full_disk: bool,
    /// What is written is held back until it is synced, and how it goes then.
    pub held_disk: Option<Held>,
}

/// How what a disk has held back goes when it is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// At once.
    Whole,
    /// Piece by piece, with time in between.
    Torn,
}

/// What the handlers of an exchange at a node suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandlersSuffer {
    /// They take nothing from their mailboxes.
    pub suspended: bool,
    /// Each delivery takes so much longer: the sum of all.
    pub slow: Span,
    /// Their mailboxes count as full.
    pub full: bool,
    /// When those that were attached then were killed last.
    pub killed: Option<Instant>,
    /// When those that were attached then were last made to panic at their next delivery.
    pub panics: Option<Instant>,
}

/// What becomes of a message that leaves its exchange's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageVerdict {
    /// It is lost.
    pub lost: bool,
    /// It goes so much later.
    pub later: Span,
    /// It goes twice.
    pub twice: bool,
}

impl FaultTable {
    /// What the node's clocks and disk suffer now.
    #[must_use]
    pub fn node(&self, now: Instant) -> NodeSuffers {
        let mut suffers = NodeSuffers::default();
        for fault in self.list(now) {
            match &fault.kind {
                FaultKind::Clock(what) => suffers.clock(*what),
                FaultKind::Disk(what) => suffers.disk(*what),
                _ => {}
            }
        }
        suffers
    }

    /// What the handlers of that exchange suffer now.
    #[must_use]
    pub fn handlers(&self, exchange: &ExchangeName, now: Instant) -> HandlersSuffer {
        let mut suffer = HandlersSuffer::default();
        for fault in self.list(now) {
            if let FaultKind::Process { exchange: of, what } = &fault.kind
                && of == exchange
            {
                suffer.add(*what, fault.began);
            }
        }
        suffer
    }

    /// Counts one handler or delivery of that exchange as touched by the faults on handlers that `by` picks.
    pub fn touch_handlers(
        &mut self,
        exchange: &ExchangeName,
        now: Instant,
        by: impl Fn(ProcessFault) -> bool,
    ) {
        self.touch_where(now, |kind| match kind {
            FaultKind::Process { exchange: of, what } => of == exchange && by(*what),
            _ => false,
        });
    }

    /// The faults on handlers of that exchange that `by` picks.
    pub fn on_handlers(
        &self,
        exchange: &ExchangeName,
        now: Instant,
        by: impl Fn(ProcessFault) -> bool,
    ) -> impl Iterator<Item = &Fault> {
        self.list(now).filter(move |fault| match &fault.kind {
            FaultKind::Process { exchange: of, what } => of == exchange && by(*what),
            _ => false,
        })
    }

    /// The faults that take a message of that exchange with that random number, as [`Self::message`] counts them.
    pub fn taking(
        &self,
        exchange: &ExchangeName,
        key: Option<&Key>,
        now: Instant,
        rng: u64,
    ) -> impl Iterator<Item = &Fault> {
        self.list(now).filter(move |fault| match &fault.kind {
            FaultKind::Message { of, .. } => of.takes(exchange, key, own(rng, &fault.id)),
            _ => false,
        })
    }

    /// What becomes of a message of that exchange that leaves its owner now; `rng` is a fresh random number. Counts it as
    /// touched where a fault takes it. A loss beats the others; times add up.
    pub fn message(
        &mut self,
        exchange: &ExchangeName,
        key: Option<&Key>,
        now: Instant,
        rng: u64,
    ) -> MessageVerdict {
        let mut verdict = MessageVerdict::default();
        for fault in self.faults.values_mut().filter(|fault| fault.ends > now) {
            let FaultKind::Message { of, what } = &fault.kind else {
                continue;
            };
            if of.takes(exchange, key, own(rng, &fault.id)) {
                fault.touched = fault.touched.saturating_add(1);
                verdict.add(*what);
            }
        }
        verdict
    }
}

impl NodeSuffers {
    fn clock(&mut self, what: ClockFault) {
        match what {
            ClockFault::Skew { ppm } => {
                let max = SKEW_PPM_MAX.cast_signed();
                self.skew_ppm = self.skew_ppm.saturating_add(ppm).clamp(-max, max);
            }
            ClockFault::Step { ms } => {
                let max = STEP_MS_MAX.cast_signed();
                self.step_ms = self.step_ms.saturating_add(ms).clamp(-max, max);
            }
        }
    }

    fn disk(&mut self, what: DiskFault) {
        match what {
            DiskFault::Slow { by } => self.slow_disk = sum(self.slow_disk, by),
            DiskFault::Full => self.full_disk = true,
            DiskFault::Torn => self.held_disk = Some(Held::Torn),
            DiskFault::LostTail => {
                self.held_disk.get_or_insert(Held::Whole);
            }
        }
    }
}

impl HandlersSuffer {
    fn add(&mut self, what: ProcessFault, began: Instant) {
        match what {
            ProcessFault::Kill => self.killed = self.killed.max(Some(began)),
            ProcessFault::Suspend => self.suspended = true,
            ProcessFault::Slow { by } => self.slow = sum(self.slow, by),
            ProcessFault::Panic => self.panics = self.panics.max(Some(began)),
            ProcessFault::Fill => self.full = true,
        }
    }
}

impl MessageVerdict {
    fn add(&mut self, what: MessageFault) {
        match what {
            MessageFault::Drop => self.lost = true,
            MessageFault::Delay { by } => self.later = sum(self.later, by),
            MessageFault::Duplicate => self.twice = true,
        }
    }
}

fn sum(one: Span, other: Span) -> Span {
    Span(one.0.saturating_add(other.0))
}

#[cfg(test)]
#[path = "acting_test.rs"]
mod tests;
