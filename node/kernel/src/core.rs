//! The control side of a node, composed: heartbeats, promises, its own lease, suspicion, and what the meta leader does
//! about nodes that are gone. `NodeCore::step(now, input, effects)` is all there is.
//!
//! What does not live here: exchanges (each has its own machine), Raft, joining and founding, sockets.

mod meta_leader;
mod owning;
mod peer;
mod pulse;
mod step;
mod tending;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use step::{CoreConfig, CoreEffect, CoreInput, MetaView};

use owning::first_lease_within;
use peer::Peer;

use crate::id::{Epoch, ExchangeId, Incarnation, NodeId, Revision, Tenure};
use crate::message::PeerMessage;
use crate::planted::{self, Bug};
use crate::profile::Times;
use crate::promises::{Gather, Lease, Promise, Voter, VotersAt};
use crate::reason::{Lost, StepDown};
use crate::registry::{Command, Duty, Introduction, Moving, Registry};
use crate::time::{Instant, Span};

fn milli(phi: f64) -> u64 {
    // Saturates; a phi beyond that says nothing more.
    (phi * 1000.0) as u64
}

/// Phi above which a peer is suspect: one wrong accusation in 10^8 heartbeats, if delays are normal
/// (Hayashibara et al., "The φ accrual failure detector", 2004, section 3).
const PHI_SUSPECT: f64 = 8.0;

/// The control side of a node.
#[derive(Debug, Clone)]
pub struct NodeCore {
    me: NodeId,
    introduction: Introduction,
    times: Times,
    registry: Arc<Registry>,
    meta: MetaView,
    /// When the set of voters was last seen to change.
    voters_since: Instant,
    voter: Voter,
    lease: Lease,
    /// The end of the lease as last said; zero while there is none.
    said: Instant,
    peers: BTreeMap<NodeId, Peer>,
    gathers: BTreeMap<NodeId, Gather>,
    owned: BTreeMap<ExchangeId, Epoch>,
    /// What the registry gives to this node it gave to this run of it, as it was last.
    took_part: bool,
    next_heartbeat: Instant,
    /// Until then this node's own timers are not to be trusted.
    late_until: Instant,
    /// When this node last asked to be let in again.
    rejoined: Option<Instant>,
    /// Runs whose end was seen, by this node or by another member, and their tenure then: a run that is let in again
    /// after it was declared lost was called dead wrongly.
    dead: BTreeMap<NodeId, (Incarnation, Tenure)>,
    /// Ends that this meta leader has proposed to declare.
    told_dead: BTreeMap<NodeId, (Incarnation, Tenure)>,
    /// Latest tenure of this node that a voter has ended: nobody promises anything under it any more. It takes a new one,
    /// which only the meta leader can propose.
    ended: Tenure,
    /// Since when this node has had no lease, but for what the first one may take; none while it has one.
    unleased_since: Option<Instant>,
    /// Since when it has had one without a gap.
    leased_since: Option<Instant>,
    /// It has said that clients are better off elsewhere.
    isolated: bool,
    /// Moves of exchanges owned here that have been handed off.
    moving: BTreeMap<ExchangeId, Moving>,
    /// It has said that it has handed over everything.
    drained: Option<bool>,
    /// When another voter was last asked to lead in this node's place.
    handed_over: Option<Instant>,
    /// Moves this meta leader has seen or proposed, and since when.
    tended: BTreeMap<ExchangeId, (Epoch, Instant)>,
}

impl NodeCore {
    /// A core that starts at `now`.
    #[must_use]
    pub fn new(now: Instant, config: &CoreConfig) -> Self {
        let times = config.profile.times();
        Self {
            me: config.me.id,
            introduction: config.me.clone(),
            times,
            registry: Arc::new(Registry::default()),
            meta: MetaView::default(),
            voters_since: now,
            voter: Voter::new(now, times.promise),
            lease: Lease::default(),
            said: Instant(0),
            peers: BTreeMap::new(),
            gathers: BTreeMap::new(),
            owned: BTreeMap::new(),
            took_part: false,
            next_heartbeat: now,
            late_until: Instant(0),
            rejoined: None,
            dead: BTreeMap::new(),
            told_dead: BTreeMap::new(),
            ended: Tenure(0),
            unleased_since: Some(now + first_lease_within(&times)),
            leased_since: None,
            isolated: false,
            moving: BTreeMap::new(),
            drained: None,
            handed_over: None,
            tended: BTreeMap::new(),
        }
    }

    /// Steps the core; effects are appended to `out`.
    pub fn step(&mut self, now: Instant, input: &CoreInput, out: &mut Vec<CoreEffect>) {
        match input {
            CoreInput::Tick { due } => self.tick(now, *due, out),
            CoreInput::Connected { node } => self.connected(now, *node),
            CoreInput::Broken { node } => self.broken(now, *node, out),
            CoreInput::Message { from, message } => self.message(now, *from, message, out),
            CoreInput::Died { node, incarnation } => self.died(now, *node, *incarnation, out),
            CoreInput::Registry(registry) => self.registry(now, registry, out),
            CoreInput::Meta(meta) => self.meta(now, meta),
        }
        self.check_lease(now, out);
    }

    /// When the core next needs a `Tick`.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        let gather = self.gathers.values().filter_map(|g| {
            g.ready_at(
                self.next_heartbeat,
                &self.meta.voters,
                Span(u64::MAX),
                self.gathered_not_before(),
            )
            .filter(|at| at.0 > 0)
        });
        let lease = (self.said > Instant(0)).then_some(self.said);
        gather.chain(lease).fold(self.next_heartbeat, Instant::min)
    }

    /// Until when this node may act as owner.
    #[must_use]
    pub fn lease_until(&self) -> Instant {
        self.lease.until()
    }

    /// Suspicion of a peer in thousandths of phi, and when it was last heard; none for strangers.
    #[must_use]
    pub fn opinion(&self, now: Instant, peer: NodeId) -> Option<(u64, Instant, bool)> {
        self.peers
            .get(&peer)
            .map(|p| (milli(p.detector.phi(now)), p.heard, p.suspect))
    }

    /// True when a majority of voters, this node included where it votes, is not suspect here.
    #[must_use]
    pub fn sees_quorum(&self) -> bool {
        self.meta.voters.has_majority(|v| self.is_alive(v))
    }

    /// True when `node` is this node, or a peer that is connected and not suspect.
    #[must_use]
    pub fn is_alive(&self, node: NodeId) -> bool {
        node == self.me || self.peers.get(&node).is_some_and(|p| !p.suspect)
    }

    fn tick(&mut self, now: Instant, due: Instant, out: &mut Vec<CoreEffect>) {
        self.judge_own_timers(now, due, out);
        let beat = now >= self.next_heartbeat;
        if beat {
            self.next_heartbeat = now + self.times.heartbeat;
            self.heartbeat(now, out);
            self.suspect_the_silent(now, out);
            self.judge_reach(now, out);
            self.judge_isolation(now, out);
            self.rejoin_if_lost(now, out);
        }
        self.work_as_meta_leader(now, beat, out);
    }

    fn peer(&mut self, now: Instant, node: NodeId) -> &mut Peer {
        let heartbeat = self.times.heartbeat;
        self.peers
            .entry(node)
            .or_insert_with(|| Peer::new(now, heartbeat))
    }

    /// Revision applied here.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.registry.revision
    }
}

#[cfg(test)]
#[path = "core_test.rs"]
mod tests;
