//! The roll call after an owner has changed: tells the new owner when it has all handlers of this node.
//!
//! A node tells so when each of its handlers of that exchange is confirmed under the owner's epoch: the owner has each, and
//! what each claims. What does not live here: what the owner makes of it (the kernel's `exchange::roll`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_kernel::id::{Epoch, ExchangeId, NodeId};
use squall_kernel::limits::{ATTACH_CAP, ATTACH_FIRST, ROLL_MAX};
use squall_kernel::message::PeerMessage;
use squall_kernel::time::Span;

use super::Handlers;
use super::due::Due;
use crate::data::Change;

/// Rolls that are to be called. Bounded: one entry an exchange.
#[derive(Default)]
pub(super) struct Rolls {
    pending: Mutex<Pending>,
    again: Due,
}

#[derive(Default)]
struct Pending {
    exchanges: BTreeMap<ExchangeId, Epoch>,
    backoff: Option<Span>,
}

impl Rolls {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handlers {
    /// Calls the roll with the owners that are new.
    pub(super) fn call_rolls(&self, change: &Change) {
        let new: Vec<(ExchangeId, Epoch)> = change
            .owners_changed()
            .filter(|record| record.epoch > Epoch(1) && record.owner.is_some())
            .map(|record| (record.id, record.epoch))
            .collect();
        let waiting = {
            let mut pending = self.rolls.lock();
            pending.exchanges.extend(new);
            pending
                .exchanges
                .retain(|id, epoch| change.exchange(*id).is_some_and(|record| record.epoch <= *epoch));
            pending.backoff = None;
            !pending.exchanges.is_empty()
        };
        if waiting {
            self.call_all();
        }
    }

    /// Calls the roll of one exchange, if it is to be called and every handler is confirmed.
    pub(super) fn call_roll_of(&self, exchange: ExchangeId) {
        if !self.rolls.lock().exchanges.contains_key(&exchange) {
            return;
        }
        self.call(vec![exchange]);
    }

    /// The owner did not get it, or does not act under that epoch yet.
    pub(crate) fn roll_again(&self, exchanges: &[(ExchangeId, Epoch)]) {
        let at = {
            let mut pending = self.rolls.lock();
            let registry = self.context.registry();
            let current = |(id, epoch): &(ExchangeId, Epoch)| {
                registry
                    .exchanges
                    .get(id)
                    .is_some_and(|record| record.epoch == *epoch)
            };
            pending
                .exchanges
                .extend(exchanges.iter().filter(|named| current(named)).copied());
            if pending.exchanges.is_empty() {
                return;
            }
            let wait = pending.backoff.unwrap_or(ATTACH_FIRST);
            pending.backoff = Some(Span((wait.0 * 2).min(ATTACH_CAP.0)));
            self.context.clock.now() + wait
        };
        self.rolls.again.plan(at, 0);
    }

    /// Calls again what was not heard, for ever.
    pub(crate) async fn keep_rolling(self: Arc<Self>) {
        loop {
            self.rolls.again.next(&self.context.clock).await;
            self.call_all();
        }
    }

    fn call_all(&self) {
        let all = self.rolls.lock().exchanges.keys().copied().collect();
        self.call(all);
    }

    fn call(&self, exchanges: Vec<ExchangeId>) {
        let mut by_owner: BTreeMap<NodeId, Vec<(ExchangeId, Epoch)>> = BTreeMap::new();
        let registry = self.context.registry_kept();
        for id in exchanges {
            let Some(record) = registry.exchanges.get(&id) else {
                continue;
            };
            let Some(owner) = record.owner.filter(|_| self.all_confirmed(id, record.epoch)) else {
                continue;
            };
            let mut pending = self.rolls.lock();
            if pending.exchanges.get(&id) == Some(&record.epoch) {
                pending.exchanges.remove(&id);
                by_owner.entry(owner).or_default().push((id, record.epoch));
            }
        }
        for (owner, named) in by_owner {
            for some in named.chunks(ROLL_MAX) {
                self.send_roll(owner, some);
            }
        }
    }

    fn send_roll(&self, owner: NodeId, exchanges: &[(ExchangeId, Epoch)]) {
        let Some((first, _)) = exchanges.first().copied() else {
            return;
        };
        let message = PeerMessage::Roll {
            exchanges: exchanges.to_vec(),
        };
        if self.context.wire.message(owner, first, message).is_err() {
            self.roll_again(exchanges);
        }
    }

    fn all_confirmed(&self, exchange: ExchangeId, epoch: Epoch) -> bool {
        let attachments = self.read();
        let mut all = attachments
            .by_exchange
            .get(&exchange)
            .into_iter()
            .flat_map(BTreeMap::values);
        all.all(|attachment| attachment.view().confirmed() == Some(epoch))
    }
}
