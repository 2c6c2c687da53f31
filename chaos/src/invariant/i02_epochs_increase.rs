//! I2: epochs strictly increase.
//!
//! A fence remembers the highest epoch it saw. It keeps stale owners out only if every new grant is higher than all
//! before it, for the owners of an exchange and for the leaders of its handlers alike. Each node applies the same log in
//! the same order, so within one run of a node the epochs it learns only go up; after a restart it may read the log
//! again. An owner's view, ordered by its version, carries leader epochs that only go up, and a higher one for every
//! other leader.

use squall_kernel::id::{ClusterId, Counter, Epoch, ExchangeId, LeaderEpoch, NodeId, Pid};

use super::alive::Alive;
use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, View, What};
use crate::limits::GRANTS_REMEMBERED;

/// The latest leader in an owner's views.
#[derive(Debug, Clone)]
struct Led {
    version: (Epoch, Counter),
    leader: Option<(Pid, LeaderEpoch)>,
    event: Event,
}

/// The checker of I2.
#[derive(Debug)]
pub struct EpochsIncrease {
    alive: Alive,
    /// Grants and what was taken up, apart: a node may take up a grant a little after it has read on in the log.
    granted: Recent<(NodeId, ExchangeId, bool), (Epoch, Event)>,
    led: Recent<(Option<ClusterId>, ExchangeId), Led>,
    judged: u64,
}

impl Default for EpochsIncrease {
    fn default() -> Self {
        Self {
            alive: Alive::default(),
            granted: Recent::new(GRANTS_REMEMBERED),
            led: Recent::new(GRANTS_REMEMBERED),
            judged: 0,
        }
    }
}

impl EpochsIncrease {
    fn granted(&mut self, event: &Event, exchange: ExchangeId, epoch: Epoch) -> Result<(), Breach> {
        self.judged += 1;
        let key = (event.node, exchange, matches!(event.what, What::Own { .. }));
        if let Some((highest, before)) = self.granted.get(&key)
            && epoch < *highest
        {
            let text = format!("#{exchange} got epoch {epoch} after epoch {highest}");
            return Err(Breach::new(self.id(), Some(before), event, text));
        }
        self.granted.insert(key, (epoch, event.clone()));
        Ok(())
    }

    fn viewed(
        &mut self,
        event: &Event,
        exchange: ExchangeId,
        version: (Epoch, Counter),
        view: &View,
    ) -> Result<(), Breach> {
        let id = self.id();
        let key = (self.alive.cluster(event.node), exchange);
        let Some(led) = self.led.get_mut(&key) else {
            let led = Led {
                version,
                leader: view.leader,
                event: event.clone(),
            };
            self.led.insert(key, led);
            return Ok(());
        };
        // An owner whose time is over may look at its view once more.
        if version <= led.version {
            return Ok(());
        }
        led.version = version;
        let Some((pid, epoch)) = view.leader else {
            return Ok(());
        };
        self.judged += 1;
        if let Some((before, highest)) = led.leader
            && (epoch < highest || (epoch == highest && pid != before))
        {
            let text = format!("#{exchange}: {pid} leads under leader epoch {epoch}, {before} had {highest}");
            return Err(Breach::new(id, Some(&led.event), event, text));
        }
        led.leader = view.leader;
        led.event = event.clone();
        Ok(())
    }
}

impl Invariant for EpochsIncrease {
    fn id(&self) -> Id {
        Id(2)
    }

    fn claim(&self) -> &'static str {
        "epochs of owners and leaders strictly increase"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.alive.see(event);
        match &event.what {
            What::Started { .. } => {
                self.granted.retain(|(node, ..), _| *node != event.node);
                Ok(())
            }
            What::Granted { exchange, epoch, .. } | What::Own { exchange, epoch } => {
                self.granted(event, *exchange, *epoch)
            }
            What::OwnerView {
                exchange,
                version,
                view,
            } => self.viewed(event, *exchange, *version, view),
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no epoch was given out")
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{broken, granted, holds, owner_view, started};
    use super::*;

    #[test]
    fn a_node_that_starts_again_may_read_the_log_again() {
        holds(
            EpochsIncrease::default(),
            &[
                granted(1, 1, 1, 1),
                granted(2, 1, 2, 2),
                started(3, 1),
                granted(4, 1, 1, 1),
                granted(5, 1, 2, 2),
            ],
        );
    }

    #[test]
    fn an_epoch_that_falls_is_a_breach() {
        let breach = broken(
            EpochsIncrease::default(),
            &[granted(1, 1, 2, 1), granted(2, 1, 1, 2)],
        );
        assert_eq!(breach.text, "#1 got epoch 1 after epoch 2");
    }

    #[test]
    fn another_leader_needs_a_higher_leader_epoch() {
        holds(
            EpochsIncrease::default(),
            &[
                owner_view(1, 1, (1, 1), Some((1, 1)), &[1]),
                owner_view(2, 1, (1, 2), None, &[]),
                owner_view(3, 1, (1, 3), Some((2, 2)), &[2]),
                owner_view(4, 2, (1, 2), Some((1, 1)), &[1]),
            ],
        );
        let breach = broken(
            EpochsIncrease::default(),
            &[
                owner_view(1, 1, (1, 1), Some((1, 1)), &[1]),
                owner_view(2, 1, (1, 2), None, &[]),
                owner_view(3, 1, (1, 3), Some((2, 1)), &[2]),
            ],
        );
        assert_eq!(
            breach.text,
            "#1: <2.1:1> leads under leader epoch 1, <1.1:1> had 1"
        );
    }
}
