//! What requesters saw, and from when on it counts. What does not live here: the loops that ask.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::bench::Histogram;

/// How long a loop runs before it counts, and how long it counts.
pub(in crate::bench) type Times = (Duration, Duration);

/// When requests are sent, and from when on they count.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Window {
    opened: Instant,
    pub(in crate::bench) counts_from: Instant,
    pub(in crate::bench) until: Instant,
}

impl Window {
    /// From now on.
    pub(in crate::bench) fn opens((warm_up, measured): Times) -> Self {
        let opened = Instant::now();
        let counts_from = opened + warm_up;
        Self {
            opened,
            counts_from,
            until: counts_from + measured,
        }
    }

    /// Its moments, the warm-up's among them.
    pub(in crate::bench) fn moments(&self) -> Range<tokio::time::Instant> {
        self.opened.into()..self.until.into()
    }

    /// The moment counts.
    pub(in crate::bench) fn holds(&self, moment: Instant) -> bool {
        moment >= self.counts_from && moment <= self.until
    }
}

/// What requesters saw.
#[derive(Debug, Default)]
pub(in crate::bench) struct Tally {
    /// Requests that have ended, those of the warm-up included.
    pub(in crate::bench) asked: u64,
    /// How long those took that count: in a closed loop those that ended within the measured time, in an open one those that were to
    /// be sent within it.
    pub(in crate::bench) took: Histogram,
    /// Requests of an open loop that were not sent: too many were open.
    pub(in crate::bench) held_back: u64,
    /// Requests that did not end in exactly their own reply.
    pub(in crate::bench) failed: u64,
    /// What happened to the first of them.
    pub(in crate::bench) failure: Option<String>,
}

impl Tally {
    /// A request has ended; what it took is given when it counts.
    pub(in crate::bench) fn ended(&mut self, took: Option<Duration>, wrong: Option<String>) {
        self.asked += 1;
        if let Some(wrong) = wrong {
            self.fail(wrong);
        } else if let Some(took) = took {
            self.took.count(took);
        }
    }

    /// Something was wrong.
    pub(in crate::bench) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failure.get_or_insert(what);
    }

    /// Adds what others saw.
    pub(in crate::bench) fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.failed += other.failed;
        self.held_back += other.held_back;
        self.took.add(&other.took);
        if let Some(failure) = other.failure {
            self.failure.get_or_insert(failure);
        }
    }
}
