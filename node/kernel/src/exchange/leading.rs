//! Who leads among the handlers of an exchange: appointing, and the leases that a leader holds.
//!
//! What does not live here: the registry's commit of an appointment, and the holder's side of a lease.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Exchange, ExchangeEffect};
use crate::id::{LeaderEpoch, Pid};
use crate::limits::DRIFT_PPM;
use crate::planted::{self, Bug};
use crate::reason::DetachReason;
use crate::registry::LeaderRecord;
use crate::time::Instant;

impl Exchange {
    /// When another handler than the registry's leader may be appointed: after the settling time, unless that leader is
    /// known to be gone, and never while a lease granted to it may hold.
    pub(super) fn may_appoint_at(&self) -> Instant {
        let settled = if self.leader.is_some() && !self.leader_gone {
            self.settle_until
        } else {
            Instant(0)
        };
        if planted::is(Bug::AppointDuringLease) {
            return settled;
        }
        settled.max(self.granted_until)
    }

    /// A leader is wanted when none is attached. The registry's leader gets until the end of the settling time to
    /// attach again; after that the longest attached handler is appointed.
    pub(super) fn appoint_if_needed(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        if !self.config.strategy.has_leader() || self.leader().is_some() || self.leaving.is_some() {
            return;
        }
        let waits = now < self.may_appoint_at() && !self.servers.is_empty();
        let wanted = self
            .groups
            .get(&Bytes::new())
            .and_then(|all| all.members.first())
            .copied();
        let committed = self.leader.map(|l| l.pid);
        if waits
            || self.pending.is_some_and(|(p, _)| p == wanted)
            || (wanted == committed && self.pending.is_none())
        {
            return;
        }
        self.pending = Some((wanted, now));
        out.push(ExchangeEffect::Appoint { leader: wanted });
    }

    pub(super) fn leader_committed(
        &mut self,
        now: Instant,
        leader: Option<LeaderRecord>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        if leader == self.leader && self.pending.is_none() {
            return;
        }
        let changed = leader != self.leader;
        self.leader = leader;
        self.leader_gone &= !changed;
        if self
            .pending
            .is_some_and(|(wanted, _)| wanted == leader.map(|l| l.pid))
        {
            self.pending = None;
        }
        if changed && self.leaving.is_none() {
            self.counter.0 += 1;
            self.announce(&self.snapshot(), out);
        }
        self.appoint_if_needed(now, out);
    }

    /// The leader's lease is a part of the owner's: it never outlives it, and no other leader is appointed before it has
    /// run out.
    pub(super) fn grant(
        &mut self,
        now: Instant,
        handler: Pid,
        leader_epoch: LeaderEpoch,
        asked_at: Instant,
        lease_until: Instant,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let leads = self.leader()
            == Some(LeaderRecord {
                pid: handler,
                epoch: leader_epoch,
            });
        // An appointment that was proposed long ago may be committed after a later one: its leader waits for the other's lease.
        let held = now < self.granted_until && self.granted_to != Some(handler);
        let waits = held && !planted::is(Bug::AppointDuringLease);
        if !leads || waits || self.pending.is_some() || self.leaving.is_some() || now >= lease_until {
            return;
        }
        self.granted_to = Some(handler);
        let remaining = lease_until.since(now);
        // The holder's clock may be slower than this one by the drift; it shortens, this side lengthens.
        self.granted_until = self.granted_until.max(now + remaining.lengthened(DRIFT_PPM));
        out.push(ExchangeEffect::GrantLease {
            handler,
            leader_epoch,
            asked_at,
            remaining,
        });
    }

    /// A leader that left of its own will, or whose end was caught, holds no lease any more. One whose client is gone may
    /// live on, cut off.
    pub(super) fn end_grant(&mut self, handler: Pid, reason: DetachReason) {
        let over = matches!(reason, DetachReason::Asked | DetachReason::Panicked);
        if over && self.granted_to == Some(handler) {
            self.granted_until = Instant(0);
        }
        self.leader_gone |= over && self.leader.is_some_and(|l| l.pid == handler);
    }
}
