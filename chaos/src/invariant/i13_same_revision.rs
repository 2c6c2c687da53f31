//! I13: after a heal all nodes reach the same revision within a bound, and every exchange has an owner that acts.
//!
//! Safety alone is kept by a cluster that does nothing. So whoever drives the run mends everything, says `Healed`, gives
//! the cluster the time that P3 promises, and says `Settled`: by then every node that runs has the same registry, and the
//! owner of every exchange, under its latest epoch, has taken it up and holds a lease.

use std::collections::BTreeMap;

use squall_kernel::id::{ClusterId, Epoch, ExchangeId, NodeId, Revision};
use squall_kernel::time::Instant;

use super::alive::Alive;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};

/// The checker of I13. Holds one entry for each node and each exchange.
#[derive(Debug, Default)]
pub struct SameRevision {
    alive: Alive,
    reached: BTreeMap<NodeId, (ClusterId, Revision, u64, Event)>,
    granted: BTreeMap<ExchangeId, (Epoch, NodeId, Event)>,
    owned: BTreeMap<(NodeId, ExchangeId), Epoch>,
    leases: BTreeMap<NodeId, Instant>,
    healed: bool,
    settled: bool,
}

impl SameRevision {
    /// True when all is well now that must be in the end.
    #[must_use]
    pub fn is_good(&self, at: Instant) -> bool {
        let (node, what) = (NodeId(0), What::Settled);
        let now = Event { at, node, what };
        self.same_everywhere(&now).is_ok() && self.owned_everywhere(&now).is_ok()
    }

    fn ended(&mut self, node: NodeId) {
        self.reached.remove(&node);
        self.leases.remove(&node);
        self.owned.retain(|(owner, _), _| *owner != node);
    }

    fn granted(&mut self, event: &Event, exchange: ExchangeId, epoch: Epoch, owner: NodeId) {
        let later = self
            .granted
            .get(&exchange)
            .is_none_or(|(highest, ..)| epoch >= *highest);
        if later {
            self.granted.insert(exchange, (epoch, owner, event.clone()));
        }
    }

    fn same_everywhere(&self, event: &Event) -> Result<(), Breach> {
        let running: Vec<NodeId> = self.alive.running().collect();
        if let Some(NodeId(node)) = running.iter().find(|node| !self.reached.contains_key(node)) {
            let text = format!("node {node:x} runs and has no registry");
            return Err(Breach::new(self.id(), None, event, text));
        }
        let mut reached = running.iter().filter_map(|node| self.reached.get(node));
        let Some(one) = reached.next() else { return Ok(()) };
        let differs =
            |other: &&(ClusterId, Revision, u64, Event)| (other.0, other.1, other.2) != (one.0, one.1, one.2);
        match reached.find(differs) {
            Some(other) => {
                let text = format!(
                    "node {:x} ended at revision {} ({:016x}), node {:x} at revision {} ({:016x})",
                    one.3.node.0, one.1, one.2, other.3.node.0, other.1, other.2
                );
                Err(Breach::new(self.id(), Some(&one.3), &other.3, text))
            }
            None => Ok(()),
        }
    }

    fn owned_everywhere(&self, event: &Event) -> Result<(), Breach> {
        for (exchange, (epoch, owner, granted)) in &self.granted {
            let held = self.owned.get(&(*owner, *exchange)) == Some(epoch);
            let until = self.leases.get(owner).copied().unwrap_or_default();
            let why = if !self.alive.running().any(|node| node == *owner) {
                "does not run"
            } else if !held {
                "has not taken it up"
            } else if until <= event.at {
                "has no lease"
            } else {
                continue;
            };
            let NodeId(owner) = owner;
            let text = format!("#{exchange} belongs to node {owner:x} under epoch {epoch}, which {why}");
            return Err(Breach::new(self.id(), Some(granted), event, text));
        }
        Ok(())
    }
}

impl Invariant for SameRevision {
    fn id(&self) -> Id {
        Id(13)
    }

    fn claim(&self) -> &'static str {
        "after a heal all nodes reach the same revision, and every exchange has an owner that acts"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.alive.see(event);
        match &event.what {
            What::Started { .. } | What::Ended { .. } => self.ended(event.node),
            What::Applied {
                cluster,
                revision,
                digest,
            } => {
                self.reached
                    .insert(event.node, (*cluster, *revision, *digest, event.clone()));
            }
            What::Granted {
                exchange,
                epoch,
                owner,
            } => self.granted(event, *exchange, *epoch, *owner),
            What::Deleted { exchange } => {
                self.granted.remove(exchange);
            }
            What::Own { exchange, epoch } => {
                self.owned.insert((event.node, *exchange), *epoch);
            }
            What::Disown { exchange, epoch } => {
                let key = (event.node, *exchange);
                if self.owned.get(&key).is_some_and(|held| held <= epoch) {
                    self.owned.remove(&key);
                }
            }
            What::Lease { until } => {
                self.leases.insert(event.node, *until);
            }
            What::Healed => self.healed = true,
            What::Settled if self.healed => {
                self.settled = true;
                self.same_everywhere(event)?;
                return self.owned_everywhere(event);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(u64::from(self.settled), "the run was not healed and settled")
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{applied, at, broken, ended, granted, holds, lease, own, started, unknown};
    use super::*;

    fn healed(more: &[Event]) -> Vec<Event> {
        let mut story = vec![
            started(0, 1),
            started(0, 2),
            applied(1, 1, 5, 0x50),
            applied(1, 2, 5, 0x50),
            granted(1, 1, 3, 1),
            own(1, 1, 3),
            lease(1, 1, 20),
        ];
        story.extend_from_slice(more);
        story.extend([at(5, 1, What::Healed), at(10, 1, What::Settled)]);
        story
    }

    #[test]
    fn one_registry_and_an_owner_that_acts_hold() {
        holds(SameRevision::default(), &healed(&[]));
        holds(SameRevision::default(), &healed(&[ended(2, 2)]));
        unknown(SameRevision::default(), &healed(&[])[..8]);
    }

    #[test]
    fn a_node_that_stays_behind_is_a_breach() {
        let breach = broken(SameRevision::default(), &healed(&[applied(2, 2, 6, 0x60)]));
        assert_eq!(
            breach.text,
            "node 1 ended at revision 5 (0000000000000050), node 2 at revision 6 (0000000000000060)"
        );
        let breach = broken(SameRevision::default(), &healed(&[started(2, 3)]));
        assert_eq!(breach.text, "node 3 runs and has no registry");
    }

    #[test]
    fn an_exchange_whose_owner_does_not_act_is_a_breach() {
        for (event, why) in [
            (
                granted(2, 2, 4, 2),
                "#1 belongs to node 2 under epoch 4, which has not taken it up",
            ),
            (
                ended(2, 1),
                "#1 belongs to node 1 under epoch 3, which does not run",
            ),
            (
                lease(2, 1, 9),
                "#1 belongs to node 1 under epoch 3, which has no lease",
            ),
        ] {
            assert_eq!(broken(SameRevision::default(), &healed(&[event])).text, why);
        }
    }
}
