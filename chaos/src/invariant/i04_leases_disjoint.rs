//! I4: leases of one exchange held by different owners are disjoint in true time, and so are the leases of its leaders.
//!
//! Between the epochs, which need no clock, and the user, who wants one leader at a time, stands the lease: an owner acts
//! only while a majority's promises hold, and nobody else is made owner before the last of them has run out or the
//! owner's death is proved. A node believes that it owns from `Own` to `Disown`, as far as its lease reaches in *true*
//! time; a node that is paused or cut off goes on believing, one that has ended does not. The same goes for handlers that
//! were told that they lead; and of two that lead one after the other the later one has the higher leader epoch.

use std::collections::BTreeMap;

use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, NodeId, Pid};
use squall_kernel::time::Instant;

use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};

/// A handler that believes it leads.
#[derive(Debug, Clone)]
struct Leading {
    epoch: LeaderEpoch,
    until: Instant,
    event: Event,
}

/// The checker of I4. Holds one entry for each exchange an owner has, and one for each handler that led lately.
#[derive(Debug, Default)]
pub struct LeasesDisjoint {
    leases: BTreeMap<NodeId, Instant>,
    owners: BTreeMap<ExchangeId, BTreeMap<NodeId, (Epoch, Event)>>,
    leaders: BTreeMap<ExchangeId, BTreeMap<Pid, Leading>>,
    judged: u64,
}

impl LeasesDisjoint {
    fn until(&self, node: NodeId) -> Instant {
        self.leases.get(&node).copied().unwrap_or(Instant(0))
    }

    /// `event` let its node believe that it owns `exchange`, or believe so for longer.
    fn owners_apart(&mut self, event: &Event, exchange: ExchangeId) -> Result<(), Breach> {
        let mine = self.until(event.node);
        let Some(owners) = self.owners.get(&exchange) else {
            return Ok(());
        };
        if mine <= event.at {
            return Ok(());
        }
        self.judged += 1;
        let Some((own_epoch, _)) = owners.get(&event.node) else {
            return Ok(());
        };
        for (node, (epoch, before)) in owners.iter().filter(|(node, _)| **node != event.node) {
            let until = self.until(*node);
            if until > event.at {
                let (at, node, me) = (event.at, node.0, event.node.0);
                let text = format!(
                    "#{exchange} has two owners at {at}: {node:x} under epoch {epoch} until {until}, {me:x} under epoch \
                     {own_epoch} until {mine}"
                );
                return Err(Breach::new(self.id(), Some(before), event, text));
            }
        }
        Ok(())
    }

    fn lease(&mut self, event: &Event, until: Instant) -> Result<(), Breach> {
        self.leases.insert(event.node, until);
        let mine: Vec<ExchangeId> = self
            .owners
            .iter()
            .filter(|(_, owners)| owners.contains_key(&event.node))
            .map(|(exchange, _)| *exchange)
            .collect();
        mine.into_iter()
            .try_for_each(|exchange| self.owners_apart(event, exchange))
    }

    fn disown(&mut self, node: NodeId, exchange: ExchangeId, epoch: Epoch) {
        if let Some(owners) = self.owners.get_mut(&exchange) {
            owners.retain(|owner, (held, _)| *owner != node || *held > epoch);
            if owners.is_empty() {
                self.owners.remove(&exchange);
            }
        }
    }

    fn leads(
        &mut self,
        event: &Event,
        exchange: ExchangeId,
        (handler, epoch): (Pid, LeaderEpoch),
        until: Instant,
    ) -> Result<(), Breach> {
        let id = self.id();
        let leaders = self.leaders.entry(exchange).or_default();
        if until <= event.at {
            if let Some(leading) = leaders.get_mut(&handler).filter(|l| l.epoch <= epoch) {
                leading.until = event.at;
            }
            return Ok(());
        }
        self.judged += 1;
        for (other, leading) in leaders.iter().filter(|(other, _)| **other != handler) {
            let text = if leading.until > event.at {
                format!(
                    "#{exchange} has two leaders at {}: {other} under leader epoch {} until {}, {handler} under leader \
                     epoch {epoch} until {until}",
                    event.at, leading.epoch, leading.until
                )
            } else if leading.epoch >= epoch {
                format!(
                    "#{exchange}: {handler} leads under leader epoch {epoch} after {other} led under {}",
                    leading.epoch
                )
            } else {
                continue;
            };
            return Err(Breach::new(id, Some(&leading.event), event, text));
        }
        // Of leaders whose time is over the latest is enough: its epoch is the highest.
        leaders.retain(|other, leading| *other == handler || leading.until > event.at);
        let event = event.clone();
        leaders.insert(handler, Leading { epoch, until, event });
        Ok(())
    }

    fn ended(&mut self, at: Instant, node: NodeId) {
        self.leases.remove(&node);
        self.owners.retain(|_, owners| {
            owners.remove(&node);
            !owners.is_empty()
        });
        for leaders in self.leaders.values_mut() {
            for (_, leading) in leaders.iter_mut().filter(|(handler, _)| handler.node == node) {
                leading.until = leading.until.min(at);
            }
        }
    }
}

impl Invariant for LeasesDisjoint {
    fn id(&self) -> Id {
        Id(4)
    }

    fn claim(&self) -> &'static str {
        "leases of one exchange held by different owners, or leaders, are disjoint"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::Lease { until } => return self.lease(event, *until),
            What::Own { exchange, epoch } => {
                let owners = self.owners.entry(*exchange).or_default();
                owners.insert(event.node, (*epoch, event.clone()));
                return self.owners_apart(event, *exchange);
            }
            What::Disown { exchange, epoch } => self.disown(event.node, *exchange, *epoch),
            What::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            } => return self.leads(event, *exchange, (*handler, *leader_epoch), *until),
            What::Started { .. } | What::Ended { .. } => self.ended(event.at, event.node),
            What::Deleted { exchange } => {
                self.leaders.remove(exchange);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no owner with a lease was seen")
    }
}

#[cfg(test)]
#[path = "i04_leases_disjoint_test.rs"]
mod tests;
