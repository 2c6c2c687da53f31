//! What the meta leader does: about nodes that are gone, weak, heard again or draining, and about moves.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{CoreEffect, NodeCore};
use crate::id::{Epoch, ExchangeId, NodeId, Tenure};
use crate::limits::{DRIFT_PPM, MOVES_AT_ONCE_MAX};
use crate::message::PeerMessage;
use crate::planted::{self, Bug};
use crate::promises::Gather;
use crate::reason::Lost;
use crate::registry::{Command, Duty, ExchangeRecord, Loads, NodeRecord, Pattern, Registry, Takeover};
use crate::time::{Instant, Span};

/// What should become of a node, in the meta leader's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Its end was seen.
    Dead,
    /// It is silent.
    Silent,
    /// It is heard, and has been without a lease for longer than a silence.
    Weak,
    /// It is well.
    Well,
    /// It was weak and has held a lease for a while.
    Fit,
}

impl NodeCore {
    pub(super) fn acts_as_meta_leader(&self) -> bool {
        self.meta.leads && (self.meta.quorum || planted::is(Bug::TrustLeaderWithoutQuorum))
    }

    /// Gathers promises of suspects, declares them lost when all promises have run out or their end is proved, lets nodes
    /// that are heard again have promises again, and tends moves. With each `beat` those voters are asked again that may
    /// not have heard.
    pub(super) fn work_as_meta_leader(&mut self, now: Instant, beat: bool, out: &mut Vec<CoreEffect>) {
        if beat {
            self.hand_over_if_unfit(now, out);
        }
        if !self.acts_as_meta_leader() {
            self.gathers.clear();
            self.tended.clear();
            return;
        }
        let (me, registry) = (self.me, Arc::clone(&self.registry));
        for record in registry.nodes.values().filter(|n| n.is_up()) {
            if record.id == me {
                self.tend_itself(now, record, beat, out);
            } else {
                self.tend_node(now, &registry, record, beat, out);
            }
        }
        self.gathers
            .retain(|node, _| registry.nodes.get(node).is_some_and(NodeRecord::is_up));
        if beat {
            self.tend_exchanges(now, &registry, out);
        }
    }

    fn tend_node(
        &mut self,
        now: Instant,
        registry: &Registry,
        record: &NodeRecord,
        beat: bool,
        out: &mut Vec<CoreEffect>,
    ) {
        let (node, tenure) = (record.id, record.tenure);
        match self.finding(now, registry, record) {
            Finding::Dead => {
                self.gathers.remove(&node);
                if beat || !self.proposed_dead(node) {
                    out.push(CoreEffect::Propose(Command::NodeLost {
                        node,
                        tenure,
                        reason: Lost::Died,
                    }));
                }
            }
            Finding::Silent => {
                let reason = Lost::Silent;
                let lost = Command::NodeLost { node, tenure, reason };
                self.gather(now, node, tenure, beat, lost, out);
            }
            Finding::Weak => self.gather(now, node, tenure, beat, Command::NodeWeak { node, tenure }, out),
            Finding::Fit if beat => out.push(CoreEffect::Propose(Command::NodeFit { node, tenure })),
            Finding::Well | Finding::Fit => {
                // Its promises may also have been ended for a leader that could not see it through.
                let gathered = self.gathers.remove(&node).is_some_and(|g| g.tenure == tenure);
                let over = beat && self.peers.get(&node).is_some_and(|p| p.ended == tenure);
                if gathered || over {
                    out.push(CoreEffect::Propose(Command::RenewTenure { node, tenure }));
                }
            }
        }
    }

    /// The meta leader is a member like the others, but nobody else proposes anything for it.
    fn tend_itself(&self, now: Instant, record: &NodeRecord, beat: bool, out: &mut Vec<CoreEffect>) {
        let (node, tenure) = (record.id, record.tenure);
        if beat && self.ended == tenure && self.my_tenure() == tenure {
            out.push(CoreEffect::Propose(Command::RenewTenure { node, tenure }));
        }
        let patience = self.patience(now);
        let well = self.leased_since.is_some_and(|since| now.since(since) > patience);
        if beat && record.duty == Duty::Weak && well {
            out.push(CoreEffect::Propose(Command::NodeFit { node, tenure }));
        }
    }

    /// How long a weak node must hold a lease before it counts as fit: not long while no fit node holds one.
    fn patience(&self, now: Instant) -> Span {
        let acts = |n: &NodeRecord| {
            let says = self.peers.get(&n.id).filter(|p| !p.suspect).and_then(|p| p.lease);
            if n.id == self.me {
                self.said > now
            } else {
                says.is_some_and(|(_, leased, _)| leased)
            }
        };
        if self.registry.nodes.values().any(|n| n.may_own() && acts(n)) {
            self.times.well
        } else {
            self.times.silence
        }
    }

    /// The first proposal goes out at once, later ones with the beat.
    fn proposed_dead(&mut self, node: NodeId) -> bool {
        let run = self.dead.get(&node).copied();
        let told = self.told_dead.get(&node).copied();
        if let Some(run) = run {
            self.told_dead.insert(node, run);
        }
        run.is_some() && run == told
    }

    fn finding(&self, now: Instant, registry: &Registry, record: &NodeRecord) -> Finding {
        let times = &self.times;
        if self.is_dead(record) {
            return Finding::Dead;
        }
        if !self.is_alive(record.id) {
            return if now >= self.late_until {
                Finding::Silent
            } else {
                Finding::Well
            };
        }
        let Some(peer) = self.peers.get(&record.id) else {
            return Finding::Well;
        };
        let others = || registry.nodes.values().any(|n| n.id != record.id && n.may_own());
        let owns = || record.may_own() || registry.owned_by(record.id).next().is_some();
        if peer.has_said(now, record.tenure, false, times.silence) && owns() && others() {
            Finding::Weak
        } else if record.duty == Duty::Weak && peer.has_said(now, record.tenure, true, self.patience(now)) {
            Finding::Fit
        } else {
            Finding::Well
        }
    }

    fn gather(
        &mut self,
        now: Instant,
        node: NodeId,
        tenure: Tenure,
        beat: bool,
        verdict: Command,
        out: &mut Vec<CoreEffect>,
    ) {
        let not_before = self.gathered_not_before();
        let is_new = self.gathers.get(&node).is_none_or(|g| g.tenure != tenure);
        if is_new {
            self.gathers.insert(node, Gather::new(tenure));
        }
        if is_new || beat {
            self.ask_voters(now, node, tenure, out);
        }
        let ready = self
            .gathers
            .get(&node)
            .and_then(|g| g.ready_at(now, &self.meta.voters, self.times.promise, not_before));
        if ready.is_some_and(|at| now >= at) || (is_new && planted::is(Bug::ProposeWithoutGathering)) {
            // The proposal may be lost with this leadership; asking and proposing go on until the registry has moved.
            if let Some(gather) = self.gathers.get_mut(&node) {
                *gather = Gather::new(tenure);
            }
            out.push(CoreEffect::Propose(verdict));
        }
    }

    /// One promise after this node saw the voters that are in force: by then what others promised has run out.
    pub(super) fn gathered_not_before(&self) -> Instant {
        self.voters_since + self.times.promise.lengthened(DRIFT_PPM)
    }

    fn ask_voters(&mut self, now: Instant, node: NodeId, tenure: Tenure, out: &mut Vec<CoreEffect>) {
        let message = PeerMessage::GatherAsk {
            node,
            tenure,
            term: self.meta.term,
        };
        let voters = self.meta.voters.ids().into_iter();
        for to in voters.filter(|v| *v != self.me && *v != node) {
            out.push(CoreEffect::Send {
                to,
                message: message.clone(),
            });
        }
        if self.meta.voters.contains(self.me) {
            let remaining = self.voter.end(now, node, tenure);
            if let Some(gather) = self.gathers.get_mut(&node) {
                gather.answer(now, self.me, remaining);
            }
        }
    }

    /// A Raft leader whose round trips do not fit a promise is kept by Raft, for its late heartbeats arrive: it gives the
    /// lead away itself, to a voter that says that it acts under a lease. So does one that is about to leave: the others
    /// would elect nobody before their patience with it ends.
    fn hand_over_if_unfit(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let silence = self.times.silence;
        let weak = self
            .unleased_since
            .is_some_and(|since| now.since(since) > silence);
        let lately = |at: Instant| now.since(at) <= Span(4 * silence.0);
        let leaves = |node: NodeId| self.registry.nodes.get(&node).is_some_and(NodeRecord::leaves);
        let unfit = weak || leaves(self.me);
        if !self.meta.leads || !unfit || now < self.late_until || self.handed_over.is_some_and(lately) {
            return;
        }
        let acts = |v: &NodeId| {
            let says = self.peers.get(v).and_then(|p| p.lease);
            self.is_alive(*v) && !leaves(*v) && says.is_some_and(|(_, leased, _)| leased)
        };
        let heir = self
            .meta
            .voters
            .ids()
            .into_iter()
            .find(|v| *v != self.me && acts(v));
        if let Some(to) = heir {
            self.handed_over = Some(now);
            out.push(CoreEffect::HandOver { to });
        }
    }

    /// Ends moves that last too long, and begins those that draining nodes, weak ones with tasks and takeovers call for.
    fn tend_exchanges(&mut self, now: Instant, registry: &Registry, out: &mut Vec<CoreEffect>) {
        let moving = |e: &&ExchangeRecord| e.moving.is_some();
        let mut under_way = registry.exchanges.values().filter(moving).count();
        let mut tended = alloc::collections::BTreeMap::new();
        let unfit = |n: &NodeRecord| n.is_draining() || n.duty == Duty::Weak;
        let unfit = registry.nodes.values().any(unfit);
        // Most exchanges are where they belong: those are passed over at the cost of a comparison.
        let at_home = |e: &ExchangeRecord| {
            let first = e.failover.first();
            first.is_none() || e.owner.and_then(|id| registry.name_of(id)) == first
        };
        let mut loads = Loads::default();
        let concerned = |e: &&ExchangeRecord| unfit || e.moving.is_some() || !at_home(e);
        for record in registry.exchanges.values().filter(concerned) {
            let Some(command) =
                self.tend_exchange(now, (registry, &mut loads), record, under_way, &mut tended)
            else {
                continue;
            };
            under_way += 1;
            out.push(CoreEffect::Propose(command));
        }
        self.tended = tended;
    }

    fn tend_exchange(
        &self,
        now: Instant,
        (registry, loads): (&Registry, &mut Loads),
        record: &ExchangeRecord,
        under_way: usize,
        tended: &mut alloc::collections::BTreeMap<ExchangeId, (Epoch, Instant)>,
    ) -> Option<Command> {
        let known = self.tended.get(&record.id).copied();
        let since = |epoch: Epoch| known.filter(|(e, _)| *e == epoch).map(|(_, at)| at);
        if let Some(moving) = record.moving {
            let begun = since(moving.epoch).unwrap_or(now);
            tended.insert(record.id, (moving.epoch, begun));
            let overdue = now.since(begun) > self.times.move_within;
            return overdue.then_some(Command::CancelMove {
                exchange: record.id,
                epoch: moving.epoch,
            });
        }
        let to = self.wanted_owner(now, (registry, loads), record)?;
        let proposed = since(record.epoch);
        let lately = proposed.is_some_and(|at| now.since(at) <= self.times.silence);
        if lately || under_way >= MOVES_AT_ONCE_MAX {
            tended.extend(known.map(|k| (record.id, k)));
            return None;
        }
        tended.insert(record.id, (record.epoch, now));
        Some(Command::Move {
            exchange: record.name.clone(),
            to: Some(registry.name_of(to)?.clone()),
            epoch: Some(record.epoch),
        })
    }

    /// Where an exchange should move to by itself: away from a draining node, or with its tasks from a weak one, or back to
    /// a preferred one.
    fn wanted_owner(
        &self,
        now: Instant,
        (registry, loads): (&Registry, &mut Loads),
        record: &ExchangeRecord,
    ) -> Option<NodeId> {
        let owner = registry.nodes.get(&record.owner?)?;
        let weak = owner.duty == Duty::Weak && record.pattern == Pattern::Task;
        if owner.is_draining() || weak {
            let next = registry.next_owner(record, loads)?;
            return registry.node_named(next.as_str()).map(|n| n.id);
        }
        if record.takeover != Takeover::Auto || record.held {
            return None;
        }
        let preferred = registry.preferred(record)?;
        (preferred != owner.id && self.has_been_well(now, registry, preferred)).then_some(preferred)
    }

    fn has_been_well(&self, now: Instant, registry: &Registry, node: NodeId) -> bool {
        if node == self.me {
            return self
                .leased_since
                .is_some_and(|since| now.since(since) > self.times.well);
        }
        let tenure = registry.nodes.get(&node).map(|n| n.tenure);
        let peer = self.peers.get(&node).filter(|p| !p.suspect);
        peer.zip(tenure)
            .is_some_and(|(p, tenure)| p.has_said(now, tenure, true, self.times.well))
    }
}
