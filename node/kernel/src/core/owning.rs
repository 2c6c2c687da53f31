//! What the registry and the log say of this node: its run, its tenure, its voters, what it owns and under which lease.
//!
//! What does not live here: how promises are counted (`promises`).

use alloc::collections::BTreeSet;

use super::*;

/// How long a node may take to its first lease before anybody wonders: where all start together the voters promise nothing
/// for a while, and must be let in themselves.
pub(super) fn first_lease_within(times: &Times) -> Span {
    Span(4 * times.silence.0)
}

impl NodeCore {
    pub(super) fn rejoin_if_lost(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let lost = self.registry.nodes.get(&self.me).is_some_and(|n| !n.is_up());
        // The log says so only to its members: who was removed while it was cut off hears it from those that stayed. Where
        // it is still a member the meta leader gives it a new tenure, and sooner.
        let patience = Span(2 * self.times.silence.0);
        let over = self.ended > Tenure(0)
            && self.ended == self.my_tenure()
            && self
                .unleased_since
                .is_some_and(|since| now.since(since) > patience);
        let lost = lost || over;
        let asked = self.rejoined.is_some_and(|at| now.since(at) < self.times.silence);
        if lost && !asked {
            self.rejoined = Some(now);
            out.push(CoreEffect::Rejoin);
        }
    }

    pub(super) fn registry(&mut self, now: Instant, registry: &Arc<Registry>, out: &mut Vec<CoreEffect>) {
        let was_in = self.my_tenure() > Tenure(0);
        let before = core::mem::replace(&mut self.registry, Arc::clone(registry));
        self.times = registry.profile.times();
        if !was_in && !self.isolated && self.my_tenure() > Tenure(0) {
            let by = now + first_lease_within(&self.times);
            self.unleased_since = self.unleased_since.map(|_| by);
        }
        if registry.cluster.is_some() {
            self.voter.set_length(self.times.promise);
        }
        let known = |node: NodeId| registry.nodes.contains_key(&node);
        self.voter.retain(known, registry.tenures_used);
        // The next run of a node is not dead, and one that was let in again was not.
        let same_run = |node: &NodeId, dead: &mut (Incarnation, Tenure)| {
            let record = registry.nodes.get(node);
            record.is_some_and(|n| (n.incarnation, n.tenure) == *dead)
        };
        self.dead.retain(same_run);
        self.told_dead.retain(same_run);
        // Who is connected is heard, known or not: a node that waits to be let in may know of no node that could do it, and
        // none of those of it.
        self.peers.retain(|node, peer| known(*node) || !peer.broken);
        // A member that was never heard gets as long to show itself as one that fell silent.
        let me = self.me;
        for record in registry.nodes.values().filter(|n| n.id != me && n.is_up()) {
            self.peer(now, record.id);
        }
        self.count_on_voters();
        let changed = self.concerned(&before);
        self.take_and_leave(&changed, out);
        self.hand_off(&changed, out);
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

    /// Exchanges of which this node may own another epoch than before the registry moved, or hand it off: those that have changed,
    /// and all where it is another matter whether this run owns anything.
    fn concerned(&mut self, before: &Registry) -> Vec<ExchangeId> {
        let mine = self.is_this_run();
        if core::mem::replace(&mut self.took_part, mine) == mine {
            let changes = self.registry.exchanges.changes(&before.exchanges);
            return changes.map(|changed| *changed.key).collect();
        }
        let mut all: BTreeSet<ExchangeId> = self.owned.keys().copied().collect();
        all.extend(self.registry.owned_by(self.me).map(|record| record.id));
        all.into_iter().collect()
    }

    fn take_and_leave(&mut self, changed: &[ExchangeId], out: &mut Vec<CoreEffect>) {
        let registry = Arc::clone(&self.registry);
        let granted = |exchange: &ExchangeId| {
            let record = registry.exchanges.get(exchange).filter(|_| self.took_part);
            record
                .filter(|record| record.owner == Some(self.me))
                .map(|record| record.epoch)
        };
        let moved: Vec<(ExchangeId, Option<Epoch>)> = changed
            .iter()
            .map(|exchange| (*exchange, granted(exchange)))
            .filter(|(exchange, epoch)| self.owned.get(exchange).copied() != *epoch)
            .collect();
        for (exchange, _) in &moved {
            if self.owned.remove(exchange).is_some() {
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
        for (exchange, epoch) in moved {
            if let Some(epoch) = epoch {
                self.owned.insert(exchange, epoch);
                out.push(CoreEffect::Own { exchange, epoch });
            }
        }
    }

    /// What an earlier run of this node owned is not this run's.
    pub(super) fn is_this_run(&self) -> bool {
        let same =
            |run: Incarnation| run == self.introduction.incarnation || planted::is(Bug::TwoIncarnations);
        self.registry
            .nodes
            .get(&self.me)
            .is_some_and(|n| n.is_up() && same(n.incarnation))
    }

    /// A voter that starts again has forgotten whose promises it had ended, and the verdict that rests on them may still be
    /// under way in the log. It stands there before the entry that takes in this run, so until that one is applied here
    /// nothing is promised.
    pub(super) fn may_promise(&self) -> bool {
        let me = self.registry.nodes.get(&self.me);
        self.meta.voters.contains(self.me)
            && me.is_some_and(|n| {
                n.incarnation == self.introduction.incarnation || planted::is(Bug::RestartedVoterPromises)
            })
    }

    pub(super) fn meta(&mut self, now: Instant, meta: &MetaView) {
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
    pub(super) fn count_on_voters(&mut self) {
        self.lease.set_tenure(self.my_tenure());
        if self.registry.revision >= self.meta.voters.at.revision {
            self.lease.set_voters(&self.meta.voters);
        }
    }

    /// The tenure under which this run may ask for promises; 0 while the registry does not have this run.
    pub(super) fn my_tenure(&self) -> Tenure {
        if self.is_this_run() {
            self.tenure_of(self.me).unwrap_or_default()
        } else {
            Tenure(0)
        }
    }

    pub(super) fn tenure_of(&self, node: NodeId) -> Option<Tenure> {
        self.registry
            .nodes
            .get(&node)
            .filter(|n| n.is_up())
            .map(|n| n.tenure)
    }

    pub(super) fn check_lease(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
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
}
