//! I3: no effect is accepted with an epoch below the highest seen at that resource.
//!
//! This is what "exactly one" comes down to when clocks and proofs of death lie: an owner that was paused, or cut off,
//! may wake up and act, but nothing it sends takes effect where its successor has been heard. A handler hears of an epoch
//! with every delivery, with every system message, and when it refuses one; the highest stays with it for as long as it
//! lives, whatever becomes of the attachment in between. Leader epoch 0 stands for a strategy without leader.

use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, Pid};

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::HANDLERS_REMEMBERED;

/// The highest epochs a handler has heard of, and when.
#[derive(Debug, Clone, Default)]
struct Seen {
    epoch: Option<(Epoch, Event)>,
    leader: Option<(LeaderEpoch, Event)>,
}

/// The checker of I3.
#[derive(Debug)]
pub struct NoStaleEffect {
    seen: Recent<(ExchangeId, Pid), Seen>,
    judged: u64,
}

impl Default for NoStaleEffect {
    fn default() -> Self {
        Self {
            seen: Recent::new(HANDLERS_REMEMBERED),
            judged: 0,
        }
    }
}

impl NoStaleEffect {
    fn heard(&mut self, event: &Event, at: (ExchangeId, Pid), epoch: Epoch, leader: LeaderEpoch) {
        if self.seen.get(&at).is_none() {
            self.seen.insert(at, Seen::default());
        }
        let Some(seen) = self.seen.get_mut(&at) else {
            return;
        };
        if seen.epoch.as_ref().is_none_or(|(highest, _)| epoch > *highest) {
            seen.epoch = Some((epoch, event.clone()));
        }
        let higher = seen.leader.as_ref().is_none_or(|(highest, _)| leader > *highest);
        if leader > LeaderEpoch(0) && higher {
            seen.leader = Some((leader, event.clone()));
        }
    }

    fn accepted(
        &mut self,
        event: &Event,
        at: (ExchangeId, Pid),
        epoch: Epoch,
        leader: LeaderEpoch,
    ) -> Result<(), Breach> {
        self.judged += 1;
        let (exchange, handler) = at;
        if let Some(seen) = self.seen.get(&at) {
            if let Some((highest, before)) = seen.epoch.as_ref().filter(|(highest, _)| epoch < *highest) {
                let text = format!("{handler} of #{exchange} accepted epoch {epoch} after epoch {highest}");
                return Err(Breach::new(self.id(), Some(before), event, text));
            }
            let stale = |highest: LeaderEpoch| leader > LeaderEpoch(0) && leader < highest;
            if let Some((highest, before)) = seen.leader.as_ref().filter(|(highest, _)| stale(*highest)) {
                let text = format!(
                    "{handler} of #{exchange} accepted leader epoch {leader} after leader epoch {highest}"
                );
                return Err(Breach::new(self.id(), Some(before), event, text));
            }
        }
        self.heard(event, at, epoch, leader);
        Ok(())
    }
}

impl Invariant for NoStaleEffect {
    fn id(&self) -> Id {
        Id(3)
    }

    fn claim(&self) -> &'static str {
        "no effect is accepted with an epoch below the highest seen at that resource"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::Handled {
                exchange,
                handler,
                epoch,
                leader_epoch,
                ..
            } => return self.accepted(event, (*exchange, *handler), *epoch, *leader_epoch),
            What::Fenced {
                exchange,
                handler,
                seen,
                ..
            } => self.heard(event, (*exchange, *handler), *seen, LeaderEpoch(0)),
            What::HandlerView {
                exchange,
                handler,
                version: (epoch, _),
                view,
            } => {
                let leader = view.leader.map_or(LeaderEpoch(0), |(_, epoch)| epoch);
                self.heard(event, (*exchange, *handler), *epoch, leader);
            }
            What::Ended { .. } => self.seen.retain(|(_, handler), _| handler.node != event.node),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no handler accepted anything")
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{broken, ended, fenced, handled, handler_view, holds};
    use super::*;

    #[test]
    fn epochs_that_rise_and_a_new_life_of_the_node_hold() {
        holds(
            NoStaleEffect::default(),
            &[
                handled(1, 1, 7, 1, 0),
                handled(2, 1, 8, 2, 0),
                handled(3, 2, 9, 1, 0),
                ended(4, 1),
                handled(5, 1, 10, 1, 0),
            ],
        );
    }

    #[test]
    fn an_effect_of_an_owner_whose_time_is_over_is_a_breach() {
        let breach = broken(
            NoStaleEffect::default(),
            &[handled(1, 1, 7, 2, 0), handled(2, 1, 8, 1, 0)],
        );
        assert_eq!(breach.text, "<1.1:1> of #1 accepted epoch 1 after epoch 2");
        broken(
            NoStaleEffect::default(),
            &[fenced(1, 1, 1, 2), handled(2, 1, 8, 1, 0)],
        );
        broken(
            NoStaleEffect::default(),
            &[handler_view(1, 1, (2, 1), None, &[1]), handled(2, 1, 8, 1, 0)],
        );
    }

    #[test]
    fn an_effect_for_a_leader_whose_time_is_over_is_a_breach() {
        let breach = broken(
            NoStaleEffect::default(),
            &[handled(1, 1, 7, 1, 5), handled(2, 1, 8, 2, 4)],
        );
        assert_eq!(
            breach.text,
            "<1.1:1> of #1 accepted leader epoch 4 after leader epoch 5"
        );
        holds(
            NoStaleEffect::default(),
            &[handled(1, 1, 7, 1, 5), handled(2, 1, 8, 2, 0)],
        );
    }
}
