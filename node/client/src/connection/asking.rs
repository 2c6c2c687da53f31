//! Asks the node how long the client's leaders may count on their leadership: one timer for all of them.
//!
//! What does not live here: what a handler does with it (`leadership`).

use std::time::Duration;

use squall_kernel::id::LeaderEpoch;
use squall_kernel::limits::DRIFT_PPM;
use squall_kernel::message::{ClientMessage, control};
use squall_kernel::time::{Instant as Stamp, Span};
use tokio::time::{Instant, sleep_until};

use super::Connection;
use crate::leadership::{Grants, ask_again_in};
use crate::limits::LEASE_EVERY;

/// When the next question goes out.
#[derive(Debug)]
pub(super) struct Asking {
    at: Option<Instant>,
    /// As the node has it: a part of a promise.
    every: Duration,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            at: None,
            every: LEASE_EVERY,
        }
    }
}

impl Asking {
    /// Waits until it is time to ask; for ever when nobody leads.
    pub(super) async fn due(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Asks at once for a handler that was told that it leads.
    pub(super) fn again(&mut self, grants: &Grants) {
        if grants.leads().is_some() && grants.context().leadership().is_none() {
            self.at = Some(Instant::now());
        }
    }

    fn sooner(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |planned| planned.min(at)));
    }
}

impl Connection {
    /// One question for each handler that leads.
    pub(super) fn ask_for_leases(&mut self) {
        let now = Instant::now();
        self.asking.at = None;
        for (handler, route) in self.shared.leading() {
            // Before it is queued: whatever holds it up on the way makes the lease shorter, never longer.
            let asked_at = self.shared.clock(now);
            self.send(control(&ClientMessage::LeadershipAsk { handler, asked_at }));
            let held = route.grants().context().leadership();
            let left = held.map_or(Duration::ZERO, |held| held.remaining());
            self.asking.sooner(now + ask_again_in(left, self.asking.every));
        }
    }

    /// The node's answer: counted from the question by this process's own clock, and shortened by what clocks may
    /// differ, however late it is read.
    pub(super) fn granted(
        &mut self,
        handler: u64,
        asked_at: Stamp,
        leader_epoch: LeaderEpoch,
        remaining: Span,
        again: Span,
    ) {
        let Some(route) = self.shared.handler(handler) else {
            return;
        };
        let Some(asked) = self.shared.asked_at(asked_at) else {
            tracing::warn!("an answer to a question that was never asked");
            return;
        };
        self.asking.every = Duration::from_micros(again.0.max(1000));
        let held = Duration::from_micros(remaining.shortened(DRIFT_PPM).0);
        route.grants().granted(leader_epoch, asked + held);
        if let Some(leadership) = route.grants().context().leadership() {
            let next = ask_again_in(leadership.remaining(), self.asking.every);
            self.asking.sooner(Instant::now() + next);
        }
    }
}
