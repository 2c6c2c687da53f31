//! Moves of exchanges between live nodes: `Moving{to, e+1}`, the state travels, `Owned{to, e+1}`. Any end other than that
//! one grants e+2, so that the epoch that was promised to the next owner is never given to anybody else.
//!
//! What does not live here: the state that travels (`exchange`), and who proposes what and when (`core`).

use super::{ExchangeRecord, Loads, Moving, NoPreferred, NodeRecord, Pattern, Refused, Registry};
use crate::id::{Epoch, ExchangeId, ExchangeName, NodeId, NodeName};

impl ExchangeRecord {
    pub(super) fn begin_moving(&mut self, to: NodeId) {
        self.moving = Some(Moving {
            to,
            epoch: Epoch(self.epoch.0 + 1),
            backup: self.backup,
        });
    }

    /// Ends a move that did not come to its end: its epoch is used up.
    pub(super) fn end_moving(&mut self) {
        if let Some(moving) = self.moving.take() {
            self.epoch = self.epoch.max(moving.epoch);
        }
    }

    /// The owner goes on, under the epoch after the one that was promised away.
    fn keep(&mut self) {
        self.end_moving();
        self.epoch.0 += 1;
        self.kept = true;
    }
}

impl Registry {
    /// Where an exchange of a node that is to own nothing should go: the first fit node of its list, else the least
    /// loaded one; none when there is nobody else.
    #[must_use]
    pub fn next_owner(&self, exchange: &ExchangeRecord, loads: &mut Loads) -> Option<&NodeName> {
        let elsewhere = |id: &NodeId| exchange.owner != Some(*id);
        let listed = self.preferred(exchange).filter(elsewhere);
        let mut any = || {
            let fit = |n: &&NodeRecord| n.may_own() && elsewhere(&n.id) && exchange.can_live_on(n);
            let others = self.nodes.values().filter(fit);
            others
                .min_by_key(|n| (loads.owned(self, n.id), n.name.clone()))
                .map(|n| n.id)
        };
        listed.or_else(&mut any).and_then(|id| self.name_of(id))
    }

    pub(super) fn begin_move(
        &mut self,
        name: &ExchangeName,
        to: Option<&NodeName>,
        epoch: Option<Epoch>,
    ) -> Result<bool, Refused> {
        let record = self
            .exchange(name)
            .ok_or_else(|| Refused::UnknownExchange(name.as_str().into()))?;
        if let Some(moving) = record.moving {
            return Err(Refused::MovingAlready {
                exchange: name.clone(),
                to: self
                    .name_of(moving.to)
                    .map_or_else(|| "?".into(), |n| n.as_str().into()),
            });
        }
        if epoch.is_some_and(|e| e != record.epoch) {
            return Err(Refused::Fenced { seen: record.epoch.0 });
        }
        let by_operator = epoch.is_none() && to.is_some();
        let to = self.destination(record, to)?;
        let id = record.id;
        if let Some(record) = self.exchanges.get_mut(&id) {
            record.held = by_operator;
            record.begin_moving(to);
        }
        Ok(true)
    }

    /// The node a move goes to, or why it cannot.
    fn destination(&self, record: &ExchangeRecord, to: Option<&NodeName>) -> Result<NodeId, Refused> {
        let owner = record
            .owner
            .ok_or_else(|| Refused::NoOwner(record.name.clone()))?;
        let node = match to {
            Some(name) => self
                .node_named(name.as_str())
                .ok_or_else(|| Refused::UnknownNodeName(name.as_str().into()))?,
            None => self
                .preferred(record)
                .and_then(|id| self.nodes.get(&id))
                .ok_or_else(|| no_preferred(record))?,
        };
        if !node.is_up() {
            return Err(Refused::NodeDown(node.name.clone()));
        }
        if node.id == owner {
            return Err(Refused::OwnsAlready {
                exchange: record.name.clone(),
                node: node.name.clone(),
            });
        }
        if !record.can_live_on(node) {
            let needed = record.function.as_ref().map(|f| alloc::format!("without {f}"));
            return Err(Refused::NotFit {
                node: node.name.clone(),
                why: needed.unwrap_or_default(),
            });
        }
        if !node.may_own() {
            let why = if node.is_draining() {
                "draining"
            } else {
                "too slow to hold a lease"
            };
            return Err(Refused::NotFit {
                node: node.name.clone(),
                why: why.into(),
            });
        }
        Ok(node.id)
    }

    pub(super) fn end_move(
        &mut self,
        exchange: ExchangeId,
        epoch: Epoch,
        to: NodeId,
        doubled: bool,
    ) -> Result<bool, Refused> {
        let record = self.moving(exchange, epoch)?;
        let Some(moving) = record.moving.take_if(|moving| moving.to == to) else {
            return Err(Refused::Fenced { seen: record.epoch.0 });
        };
        record.kept = true;
        let has_all = doubled && moving.backup == record.backup && record.backup != Some(to);
        if record.pattern == Pattern::Task && !has_all {
            // The owner before has every task: it keeps them as the second copy.
            record.backup = record.owner;
        }
        record.owner = Some(to);
        record.epoch = epoch;
        record.since = epoch;
        Ok(true)
    }

    pub(super) fn cancel_move(&mut self, exchange: ExchangeId, epoch: Epoch) -> Result<bool, Refused> {
        self.moving(exchange, epoch)?.keep();
        Ok(true)
    }

    /// The next owner is gone: the owner goes on, after the epoch that was promised away.
    pub(super) fn cancel_moves_to(&mut self, node: NodeId) {
        for record in self.exchanges.values_mut() {
            if record.moving.is_some_and(|m| m.to == node) {
                record.keep();
            }
        }
    }

    /// The exchange, if that very move is under way.
    fn moving(&mut self, exchange: ExchangeId, epoch: Epoch) -> Result<&mut ExchangeRecord, Refused> {
        let record = self
            .exchanges
            .get_mut(&exchange)
            .ok_or_else(|| Refused::UnknownExchange(alloc::format!("#{exchange}")))?;
        match record.moving {
            Some(moving) if moving.epoch == epoch => Ok(record),
            _ => Err(Refused::Fenced { seen: record.epoch.0 }),
        }
    }
}

fn no_preferred(record: &ExchangeRecord) -> Refused {
    Refused::NoPreferred {
        exchange: record.name.clone(),
        why: if record.failover.is_empty() {
            NoPreferred::NoList
        } else {
            NoPreferred::NobodyFit
        },
    }
}

#[cfg(test)]
#[path = "moves_test.rs"]
mod tests;
