//! I1: at most one owner per exchange and epoch.
//!
//! Handlers and peers accept what comes under the highest epoch they know. If two nodes held the same epoch, no fence
//! could tell them apart, and all safety that rests on epochs would be gone. The registry gives an epoch out once, by a
//! command that a majority has committed, so every node that applies the grant must name the same owner, and only that
//! node may take it up. Nor does an owner go on routing when it has given the exchange up: what it routes then, its
//! successor does not know.

use squall_kernel::id::{ClusterId, Epoch, ExchangeId, NodeId};
use squall_kernel::time::Span;

use super::alive::Alive;
use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::GRANTS_REMEMBERED;

/// What was begun before the exchange was given up may still be told a little later: live nodes have many threads.
const ROUTES_END: Span = Span::from_ms(10);

/// The checker of I1.
#[derive(Debug)]
pub struct OneOwnerPerEpoch {
    alive: Alive,
    owners: Recent<(Option<ClusterId>, ExchangeId, Epoch), (NodeId, Event)>,
    /// Which epoch a node gave up last, and when.
    given_up: Recent<(NodeId, ExchangeId), (Epoch, Event)>,
    judged: u64,
}

impl Default for OneOwnerPerEpoch {
    fn default() -> Self {
        Self {
            alive: Alive::default(),
            owners: Recent::new(GRANTS_REMEMBERED),
            given_up: Recent::new(GRANTS_REMEMBERED),
            judged: 0,
        }
    }
}

impl OneOwnerPerEpoch {
    fn routed(&mut self, event: &Event, exchange: ExchangeId, epoch: Epoch) -> Result<(), Breach> {
        let over = |(given_up, at): &&(Epoch, Event)| *given_up == epoch && event.at >= at.at + ROUTES_END;
        match self.given_up.get(&(event.node, exchange)).filter(over) {
            Some((_, before)) => {
                let text =
                    format!("#{exchange} was routed under epoch {epoch}, which its owner had given up");
                Err(Breach::new(self.id(), Some(before), event, text))
            }
            None => Ok(()),
        }
    }
}

impl Invariant for OneOwnerPerEpoch {
    fn id(&self) -> Id {
        Id(1)
    }

    fn claim(&self) -> &'static str {
        "at most one owner per exchange and epoch"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.alive.see(event);
        let (exchange, epoch, owner) = match event.what {
            What::Granted {
                exchange,
                epoch,
                owner,
            } => (exchange, epoch, owner),
            What::Own { exchange, epoch } => {
                self.given_up.remove(&(event.node, exchange));
                (exchange, epoch, event.node)
            }
            What::Disown { exchange, epoch } => {
                self.given_up
                    .insert((event.node, exchange), (epoch, event.clone()));
                return Ok(());
            }
            What::Routed { exchange, epoch, .. } => return self.routed(event, exchange, epoch),
            What::Ended { .. } => {
                self.given_up.retain(|(node, _), _| *node != event.node);
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.judged += 1;
        let key = (self.alive.cluster(event.node), exchange, epoch);
        match self.owners.get(&key) {
            Some((first, before)) if *first != owner => Err(Breach::new(
                self.id(),
                Some(before),
                event,
                format!(
                    "#{exchange} epoch {epoch} has two owners, {:x} and {:x}",
                    first.0, owner.0
                ),
            )),
            Some(_) => Ok(()),
            None => {
                self.owners.insert(key, (owner, event.clone()));
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no exchange was owned")
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{broken, disown, granted, holds, own, routed};
    use super::*;

    #[test]
    fn every_node_names_the_same_owner() {
        holds(
            OneOwnerPerEpoch::default(),
            &[
                granted(1, 1, 1, 1),
                granted(2, 2, 1, 1),
                own(3, 1, 1),
                granted(4, 1, 2, 2),
                own(5, 2, 2),
            ],
        );
    }

    #[test]
    fn an_owner_that_gave_up_and_goes_on_routing_is_told() {
        let story = [own(1, 1, 1), routed(2, 7, "", 2), disown(3, 1, 1)];
        let with = |more| [story.as_slice(), &[more]].concat();
        holds(OneOwnerPerEpoch::default(), &with(routed(4, 8, "", 2)));
        let breach = broken(OneOwnerPerEpoch::default(), &with(routed(40, 8, "", 2)));
        assert_eq!(
            breach.text,
            "#1 was routed under epoch 1, which its owner had given up"
        );
    }

    #[test]
    fn two_owners_under_one_epoch_are_told_with_both_grants() {
        let breach = broken(
            OneOwnerPerEpoch::default(),
            &[granted(1, 1, 1, 1), granted(2, 2, 1, 2)],
        );
        assert_eq!(
            breach.to_string(),
            "I1 broken: #1 epoch 1 has two owners, 1 and 2\n  \
             0.001000s 1 granted #1 epoch 1 to 1\n  0.002000s 2 granted #1 epoch 1 to 2"
        );
        broken(OneOwnerPerEpoch::default(), &[granted(1, 1, 1, 1), own(2, 2, 1)]);
    }
}
