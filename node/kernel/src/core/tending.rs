//! Ends of other nodes' runs, reach and isolation as this node sees them, and the part of an owner that hands over.
//!
//! What does not live here: what the meta leader makes of it (`meta_leader`).

use super::*;
use crate::registry::NodeRecord;

impl NodeCore {
    /// The end of a run was seen by this node's own eyes; the others are told, for the meta leader may stand on another
    /// machine.
    pub(super) fn died(&mut self, now: Instant, node: NodeId, run: Incarnation, out: &mut Vec<CoreEffect>) {
        if self.note_death(now, node, run, out) {
            let others = self.peers.iter().filter(|(id, p)| **id != node && !p.broken);
            out.extend(others.map(|(to, _)| CoreEffect::Send {
                to: *to,
                message: PeerMessage::Obituary {
                    node,
                    incarnation: run,
                },
            }));
        }
    }

    pub(super) fn died_elsewhere(
        &mut self,
        now: Instant,
        node: NodeId,
        run: Incarnation,
        out: &mut Vec<CoreEffect>,
    ) {
        // A node that hears of its own death knows better.
        if node != self.me {
            self.note_death(now, node, run, out);
        }
    }

    /// True when it is news of the run that the registry holds for alive.
    fn note_death(
        &mut self,
        now: Instant,
        node: NodeId,
        run: Incarnation,
        out: &mut Vec<CoreEffect>,
    ) -> bool {
        let record = self.registry.nodes.get(&node);
        let Some(dead) = record.filter(|n| n.incarnation == run).map(|n| (run, n.tenure)) else {
            return false;
        };
        if self.dead.insert(node, dead) == Some(dead) {
            return false;
        }
        self.set_suspect(node, true, out);
        self.work_as_meta_leader(now, false, out);
        true
    }

    pub(super) fn is_dead(&self, record: &NodeRecord) -> bool {
        self.dead.get(&record.id) == Some(&(record.incarnation, record.tenure))
    }

    /// A peer whose acknowledgements stay out is not reached, even if it is heard: one direction of the link is cut.
    pub(super) fn judge_reach(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        if now < self.late_until {
            return;
        }
        let silence = self.times.silence;
        // A broken connection may come back in time; what it held is resumed then.
        let lost = |p: &Peer| now.since(p.acked) > silence;
        let cut: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, p)| p.reachable && lost(p))
            .map(|(id, _)| *id)
            .collect();
        for node in cut {
            self.set_reach(node, false, out);
        }
    }

    pub(super) fn set_reach(&mut self, node: NodeId, reachable: bool, out: &mut Vec<CoreEffect>) {
        if let Some(peer) = self.peers.get_mut(&node).filter(|p| p.reachable != reachable) {
            peer.reachable = reachable;
            out.push(CoreEffect::Reach { node, reachable });
        }
    }

    /// A member without a lease for longer than a silence serves its clients badly.
    pub(super) fn judge_isolation(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let alone = self.registry.cluster.is_some()
            && self
                .unleased_since
                .is_some_and(|since| now.since(since) > self.times.silence);
        if alone != self.isolated {
            self.isolated = alone;
            out.push(CoreEffect::Isolated { isolated: alone });
        }
    }

    /// Exchanges owned here that the registry has moving: the old owner stops and sends what it knows.
    pub(super) fn hand_off(&mut self, changed: &[ExchangeId], out: &mut Vec<CoreEffect>) {
        for exchange in changed {
            let record = self
                .registry
                .exchanges
                .get(exchange)
                .filter(|_| self.owned.contains_key(exchange));
            let Some(moving) = record.and_then(|record| record.moving) else {
                self.moving.remove(exchange);
                continue;
            };
            let before = self.moving.insert(*exchange, moving);
            if before.map(|before| before.epoch) != Some(moving.epoch) {
                out.push(CoreEffect::HandOff {
                    exchange: *exchange,
                    to: moving.to,
                    epoch: moving.epoch,
                });
            }
        }
    }

    /// A draining node that owns nothing any more says so, once.
    pub(super) fn tell_drained(&mut self, out: &mut Vec<CoreEffect>) {
        let draining = self.registry.nodes.get(&self.me).and_then(|n| match n.duty {
            Duty::Draining { leave } if self.is_this_run() && self.owned.is_empty() => Some(leave),
            _ => None,
        });
        if let Some(leave) = draining
            && self.drained != Some(leave)
        {
            out.push(CoreEffect::Drained { leave });
        }
        self.drained = draining;
    }

    /// True while a move of an exchange owned here is under way.
    #[must_use]
    pub fn hands_off(&self, exchange: ExchangeId) -> bool {
        self.moving.contains_key(&exchange)
    }

    /// True when heartbeats of this node to `node` are acknowledged.
    #[must_use]
    pub fn reaches(&self, node: NodeId) -> bool {
        node == self.me || self.peers.get(&node).is_some_and(|p| p.reachable)
    }

    /// Voters that would still answer if `node` were gone: fewer than a majority means that stopping it stops the
    /// registry (B7).
    #[must_use]
    pub fn is_quorum_critical(&self, node: NodeId) -> bool {
        let voters = &self.meta.voters;
        voters.contains(node) && !voters.has_majority(|v| v != node && self.is_alive(v))
    }
}

#[cfg(test)]
#[path = "tending_test.rs"]
mod tests;
