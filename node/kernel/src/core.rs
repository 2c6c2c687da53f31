//! The control side of a node, composed: heartbeats, promises, its own lease, suspicion, and what the meta leader does
//! about nodes that are gone. `NodeCore::step(now, input, effects)` is all there is.
//!
//! What does not live here: exchanges (each has its own machine), Raft, joining and founding, sockets.

mod meta_leader;
mod peer;
mod step;
mod tending;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use step::{CoreConfig, CoreEffect, CoreInput, MetaView};

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
    /// Since when this node has had no lease; none while it has one.
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
            next_heartbeat: now,
            late_until: Instant(0),
            rejoined: None,
            dead: BTreeMap::new(),
            told_dead: BTreeMap::new(),
            ended: Tenure(0),
            unleased_since: Some(now),
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
            g.ready_at(self.next_heartbeat, &self.meta.voters, Span(u64::MAX))
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

    fn judge_own_timers(&mut self, now: Instant, due: Instant, out: &mut Vec<CoreEffect>) {
        if now.since(due) > self.times.late {
            if self.late_until <= now {
                out.push(CoreEffect::Elections { allowed: false });
            }
            self.late_until = now + self.times.silence;
            for peer in self.peers.values_mut().filter(|p| !p.broken) {
                peer.detector.reset(now);
                peer.heard = now;
            }
        } else if self.late_until > Instant(0) && self.late_until <= now {
            self.late_until = Instant(0);
            out.push(CoreEffect::Elections { allowed: true });
        }
    }

    fn heartbeat(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let tenure = self.my_tenure();
        let message = PeerMessage::Heartbeat {
            sent_at: now,
            tenure,
            revision: self.registry.revision,
            leased: self.said > now,
            ended: tenure > Tenure(0) && self.ended == tenure,
        };
        out.extend(
            self.peers
                .iter()
                .filter(|(_, p)| !p.broken)
                .map(|(to, _)| CoreEffect::Send {
                    to: *to,
                    message: message.clone(),
                }),
        );
        if self.meta.voters.contains(self.me) {
            match self.voter.ask(now, self.me, tenure, self.tenure_of(self.me)) {
                Promise::Given(length) => {
                    let at = self.meta.voters.at;
                    self.lease.promised(self.me, tenure, at, now, length);
                }
                Promise::Ended => self.ended = self.ended.max(tenure),
                Promise::Withheld => {}
            }
        }
    }

    fn connected(&mut self, now: Instant, node: NodeId) {
        let peer = self.peer(now, node);
        peer.broken = false;
        peer.heard = now;
        peer.acked = now;
        peer.detector.heard(now);
    }

    fn broken(&mut self, now: Instant, node: NodeId, out: &mut Vec<CoreEffect>) {
        self.peer(now, node).broken = true;
        self.set_suspect(node, true, out);
        self.work_as_meta_leader(now, false, out);
    }

    fn peer(&mut self, now: Instant, node: NodeId) -> &mut Peer {
        let heartbeat = self.times.heartbeat;
        self.peers
            .entry(node)
            .or_insert_with(|| Peer::new(now, heartbeat))
    }

    fn message(&mut self, now: Instant, from: NodeId, message: &PeerMessage, out: &mut Vec<CoreEffect>) {
        let peer = self.peer(now, from);
        peer.heard = now;
        peer.broken = false;
        if matches!(message, PeerMessage::Heartbeat { .. }) {
            peer.detector.heard(now);
        }
        self.set_suspect(from, false, out);
        match message {
            PeerMessage::Heartbeat {
                sent_at,
                tenure,
                leased,
                ended,
                ..
            } => {
                self.peer(now, from).says(now, *tenure, *leased, *ended);
                self.answer_heartbeat(now, from, *sent_at, *tenure, out);
            }
            PeerMessage::HeartbeatAck {
                sent_at,
                tenure,
                promise,
                voters,
                ended,
            } => {
                if *ended {
                    self.ended = self.ended.max(*tenure);
                }
                self.acknowledged(now, from, *sent_at, out);
                self.promised(now, from, *sent_at, *tenure, *voters, *promise);
            }
            PeerMessage::Obituary { node, incarnation } => self.died_elsewhere(now, *node, *incarnation, out),
            PeerMessage::GatherAsk { node, tenure, term } => {
                let remaining = self.voter.end(now, *node, *tenure);
                let message = PeerMessage::GatherAnswer {
                    node: *node,
                    tenure: *tenure,
                    term: *term,
                    remaining,
                };
                out.push(CoreEffect::Send { to: from, message });
            }
            PeerMessage::GatherAnswer {
                node,
                tenure,
                term,
                remaining,
            } => {
                if *term == self.meta.term
                    && let Some(gather) = self.gathers.get_mut(node).filter(|g| g.tenure == *tenure)
                {
                    gather.answer(now, from, *remaining);
                    self.work_as_meta_leader(now, false, out);
                }
            }
            PeerMessage::Goodbye { tenure } => self.goodbye(from, *tenure, out),
            _ => {}
        }
    }

    fn acknowledged(&mut self, now: Instant, from: NodeId, sent_at: Instant, out: &mut Vec<CoreEffect>) {
        let silence = self.times.silence;
        let peer = self.peer(now, from);
        // An old acknowledgement says only that the link worked then.
        if now.since(sent_at) <= silence {
            peer.acked = now;
            self.set_reach(from, true, out);
        }
    }

    fn promised(
        &mut self,
        now: Instant,
        from: NodeId,
        sent_at: Instant,
        tenure: Tenure,
        voters: VotersAt,
        promise: Span,
    ) {
        if promise > Span::ZERO {
            let counted_from = if planted::is(Bug::LengthenLease) {
                now
            } else {
                sent_at
            };
            self.lease.promised(from, tenure, voters, counted_from, promise);
        }
    }

    fn answer_heartbeat(
        &mut self,
        now: Instant,
        from: NodeId,
        sent_at: Instant,
        tenure: Tenure,
        out: &mut Vec<CoreEffect>,
    ) {
        let registered = self.tenure_of(from);
        let promise = if self.meta.voters.contains(self.me) && tenure > Tenure(0) {
            self.voter.ask(now, from, tenure, registered)
        } else {
            Promise::Withheld
        };
        let (promise, ended) = match promise {
            Promise::Given(length) => (length, false),
            Promise::Withheld => (Span::ZERO, false),
            Promise::Ended => (Span::ZERO, true),
        };
        out.push(CoreEffect::Send {
            to: from,
            message: PeerMessage::HeartbeatAck {
                sent_at,
                tenure,
                promise,
                voters: self.meta.voters.at,
                ended,
            },
        });
    }

    /// A goodbye is proof enough: the node stopped acting before it said so.
    fn goodbye(&mut self, from: NodeId, tenure: Tenure, out: &mut Vec<CoreEffect>) {
        self.set_suspect(from, true, out);
        if self.acts_as_meta_leader() && self.tenure_of(from) == Some(tenure) {
            out.push(CoreEffect::Propose(Command::NodeLost {
                node: from,
                tenure,
                reason: Lost::Goodbye,
            }));
        }
    }

    fn suspect_the_silent(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        if now < self.late_until {
            return;
        }
        let times = self.times;
        let silent = |p: &Peer| {
            let silence = now.since(p.heard);
            silence > times.silence
                || (silence.0 > 2 * times.heartbeat.0 && p.detector.phi(now) > PHI_SUSPECT)
        };
        let suspects: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, p)| silent(p))
            .map(|(id, _)| *id)
            .collect();
        for node in suspects {
            self.set_suspect(node, true, out);
        }
    }

    fn set_suspect(&mut self, node: NodeId, suspect: bool, out: &mut Vec<CoreEffect>) {
        if let Some(peer) = self.peers.get_mut(&node).filter(|p| p.suspect != suspect) {
            peer.suspect = suspect;
            out.push(CoreEffect::Suspect { node, suspect });
        }
    }

    fn rejoin_if_lost(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let lost = self.registry.nodes.get(&self.me).is_some_and(|n| !n.is_up());
        let asked = self.rejoined.is_some_and(|at| now.since(at) < self.times.silence);
        if lost && !asked {
            self.rejoined = Some(now);
            out.push(CoreEffect::Rejoin);
        }
    }

    fn registry(&mut self, now: Instant, registry: &Arc<Registry>, out: &mut Vec<CoreEffect>) {
        self.registry = Arc::clone(registry);
        self.times = registry.profile.times();
        let known = |node: NodeId| registry.nodes.contains_key(&node);
        self.voter.retain(known);
        // The next run of a node is not dead, and one that was let in again was not.
        let same_run = |node: &NodeId, dead: &mut (Incarnation, Tenure)| {
            let record = registry.nodes.get(node);
            record.is_some_and(|n| (n.incarnation, n.tenure) == *dead)
        };
        self.dead.retain(same_run);
        self.told_dead.retain(same_run);
        self.peers
            .retain(|node, _| known(*node) || registry.cluster.is_none());
        // A member that was never heard gets as long to show itself as one that fell silent.
        let me = self.me;
        for record in registry.nodes.values().filter(|n| n.id != me && n.is_up()) {
            self.peer(now, record.id);
        }
        self.count_on_voters();
        self.take_and_leave(out);
        self.hand_off(out);
        self.tell_drained(out);
        if registry
            .nodes
            .get(&self.me)
            .is_some_and(crate::registry::NodeRecord::is_up)
        {
            self.rejoined = None;
        }
        self.work_as_meta_leader(now, false, out);
    }

    fn take_and_leave(&mut self, out: &mut Vec<CoreEffect>) {
        let mine = self.is_this_run();
        let registry = Arc::clone(&self.registry);
        let mut now_owned: BTreeMap<ExchangeId, Epoch> = BTreeMap::new();
        if mine {
            now_owned.extend(registry.owned_by(self.me).map(|e| (e.id, e.epoch)));
        }
        for (exchange, epoch) in &self.owned {
            if now_owned.get(exchange) != Some(epoch) {
                let deleted = !registry.exchanges.contains_key(exchange);
                let reason = if deleted {
                    StepDown::Deleted
                } else {
                    StepDown::Superseded
                };
                out.push(CoreEffect::Disown {
                    exchange: *exchange,
                    reason,
                });
            }
        }
        for (exchange, epoch) in &now_owned {
            if self.owned.get(exchange) != Some(epoch) {
                out.push(CoreEffect::Own {
                    exchange: *exchange,
                    epoch: *epoch,
                });
            }
        }
        self.owned = now_owned;
    }

    /// What an earlier run of this node owned is not this run's.
    fn is_this_run(&self) -> bool {
        let same =
            |run: Incarnation| run == self.introduction.incarnation || planted::is(Bug::TwoIncarnations);
        self.registry
            .nodes
            .get(&self.me)
            .is_some_and(|n| n.is_up() && same(n.incarnation))
    }

    fn meta(&mut self, now: Instant, meta: &MetaView) {
        if self.meta.voters != meta.voters {
            self.voters_since = now;
        }
        if self.meta.term != meta.term {
            self.gathers.clear();
            self.told_dead.clear();
        }
        self.meta = meta.clone();
        self.count_on_voters();
    }

    /// A lease goes by voters whose entry is applied here: with it whatever was said of this node before.
    fn count_on_voters(&mut self) {
        self.lease.set_tenure(self.my_tenure());
        if self.registry.revision >= self.meta.voters.at.revision {
            self.lease.set_voters(&self.meta.voters);
        }
    }

    /// The tenure under which this run may ask for promises; 0 while the registry does not have this run.
    fn my_tenure(&self) -> Tenure {
        if self.is_this_run() {
            self.tenure_of(self.me).unwrap_or_default()
        } else {
            Tenure(0)
        }
    }

    fn tenure_of(&self, node: NodeId) -> Option<Tenure> {
        self.registry
            .nodes
            .get(&node)
            .filter(|n| n.is_up())
            .map(|n| n.tenure)
    }

    fn check_lease(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let until = self.lease.until();
        if until > now && until > self.said && self.my_tenure() > Tenure(0) {
            self.said = until;
            self.unleased_since = None;
            self.leased_since = self.leased_since.or(Some(now));
            out.push(CoreEffect::Lease { until });
        } else if self.said > Instant(0) && until <= now {
            self.said = Instant(0);
            self.unleased_since = Some(now);
            self.leased_since = None;
            out.push(CoreEffect::LeaseLost);
        }
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
