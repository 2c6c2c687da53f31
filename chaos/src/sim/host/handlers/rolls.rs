//! The roll call after an owner has changed. As `squall_node::handlers::rolls` does it.

use std::collections::BTreeMap;

use squall_kernel::id::{Epoch, ExchangeId, NodeId};
use squall_kernel::limits::{ATTACH_CAP, ATTACH_FIRST};
use squall_kernel::message::PeerMessage;
use squall_kernel::time::{Instant, Span};
use squall_node::data::Change;

use crate::sim::host::Host;

/// Rolls that are to be called.
#[derive(Default)]
pub(super) struct Rolls {
    pending: BTreeMap<ExchangeId, Epoch>,
    again: Option<Instant>,
    backoff: Option<Span>,
}

impl Rolls {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.again
    }
}

impl Host {
    pub(super) fn call_rolls(&mut self, now: Instant, change: &Change) {
        let new = change.owners_changed();
        let new = new.filter(|record| record.epoch > Epoch(1) && record.owner.is_some());
        let rolls = &mut self.handlers.rolls;
        rolls.pending.extend(new.map(|record| (record.id, record.epoch)));
        rolls
            .pending
            .retain(|id, epoch| change.exchange(*id).is_some_and(|record| record.epoch <= *epoch));
        rolls.backoff = None;
        self.call_all(now);
    }

    pub(super) fn call_roll_of(&mut self, now: Instant, exchange: ExchangeId) {
        self.call(now, vec![exchange]);
    }

    /// The owner did not get it, or does not act under that epoch yet.
    pub(in crate::sim::host) fn roll_again(&mut self, now: Instant, exchanges: &[(ExchangeId, Epoch)]) {
        let registry = &self.registry;
        let current = |(id, epoch): &&(ExchangeId, Epoch)| {
            registry
                .exchanges
                .get(id)
                .is_some_and(|record| record.epoch == *epoch)
        };
        let rolls = &mut self.handlers.rolls;
        rolls.pending.extend(exchanges.iter().filter(current).copied());
        if rolls.pending.is_empty() {
            return;
        }
        let wait = rolls.backoff.unwrap_or(ATTACH_FIRST);
        rolls.backoff = Some(Span((wait.0 * 2).min(ATTACH_CAP.0)));
        rolls.again = Some(rolls.again.unwrap_or(now + wait).min(now + wait));
    }

    pub(super) fn tick_rolls(&mut self, now: Instant) {
        if self.handlers.rolls.again.is_some_and(|at| at <= now) {
            self.handlers.rolls.again = None;
            self.call_all(now);
        }
    }

    fn call_all(&mut self, now: Instant) {
        let all = self.handlers.rolls.pending.keys().copied().collect();
        self.call(now, all);
    }

    fn call(&mut self, now: Instant, exchanges: Vec<ExchangeId>) {
        let mut by_owner: BTreeMap<NodeId, Vec<(ExchangeId, Epoch)>> = BTreeMap::new();
        for id in exchanges {
            let grant = self.registry.exchanges.get(&id).map(|e| (e.owner, e.epoch));
            let Some((Some(owner), epoch)) = grant else {
                continue;
            };
            if self.handlers.rolls.pending.get(&id) == Some(&epoch) && self.all_confirmed(id, epoch) {
                self.handlers.rolls.pending.remove(&id);
                by_owner.entry(owner).or_default().push((id, epoch));
            }
        }
        for (owner, exchanges) in by_owner {
            let first = exchanges[0].0;
            let message = PeerMessage::Roll {
                exchanges: exchanges.clone(),
            };
            if self.message(owner, first, &message).is_err() {
                self.roll_again(now, &exchanges);
            }
        }
    }

    fn all_confirmed(&self, exchange: ExchangeId, epoch: Epoch) -> bool {
        let all = self.handlers.by_serial.values();
        let mut here = all.filter(|attachment| attachment.exchange == exchange);
        here.all(|attachment| attachment.view.confirmed() == Some(epoch))
    }
}
