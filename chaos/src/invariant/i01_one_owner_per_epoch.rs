//! I1: at most one owner per exchange and epoch.
//!
//! Handlers and peers accept what comes under the highest epoch they know. If two nodes held the same epoch, no fence
//! could tell them apart, and all safety that rests on epochs would be gone. The registry gives an epoch out once, by a
//! command that a majority has committed, so every node that applies the grant must name the same owner, and only that
//! node may take it up.

use squall_kernel::id::{ClusterId, Epoch, ExchangeId, NodeId};

use super::alive::Alive;
use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::GRANTS_REMEMBERED;

/// The checker of I1.
#[derive(Debug)]
pub struct OneOwnerPerEpoch {
    alive: Alive,
    owners: Recent<(Option<ClusterId>, ExchangeId, Epoch), (NodeId, Event)>,
    judged: u64,
}

impl Default for OneOwnerPerEpoch {
    fn default() -> Self {
        Self {
            alive: Alive::default(),
            owners: Recent::new(GRANTS_REMEMBERED),
            judged: 0,
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
            What::Own { exchange, epoch } => (exchange, epoch, event.node),
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
    use super::super::story::{broken, granted, holds, own};
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
