//! The second copies of tasks at this node: of each exchange whose backup it is.
//!
//! What does not live here: what a copy is (the kernel's `tasks`), and who is the backup (the registry).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use squall_kernel::id::{ExchangeId, NodeId};
use squall_kernel::message::PeerMessage;
use squall_kernel::registry::ExchangeRecord;
use squall_kernel::tasks::{Answer, Batch, TaskReplica};

use super::Exchanges;
use super::post::Mail;
use crate::data::{Change, DataContext};
use crate::journal::TaskEvent;

/// Copies by exchange. Bounded by the exchanges whose backup this node is.
#[derive(Default)]
pub(super) struct Replicas(Mutex<HashMap<ExchangeId, TaskReplica>>);

impl Replicas {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExchangeId, TaskReplica>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remove(&self, exchange: ExchangeId) -> Option<TaskReplica> {
        self.lock().remove(&exchange)
    }

    /// What an owner keeps that hands its queue over: it may be the backup then.
    pub(super) fn keep(&self, context: &DataContext, exchange: ExchangeId, replica: TaskReplica) {
        let mut all = self.lock();
        all.insert(exchange, replica);
        context.tell_of_tasks(exchange, || TaskEvent::Copy { whole: true });
    }

    /// Takes in changes. That the copy is whole is told before the owner can hear of it.
    fn take(&self, context: &DataContext, exchange: ExchangeId, batch: &Batch) -> Answer {
        let now = context.clock.now();
        let mut all = self.lock();
        let replica = all.entry(exchange).or_default();
        let before = replica.is_whole();
        let answer = replica.take(now, batch);
        let whole = replica.is_whole();
        if whole != before {
            context.tell_of_tasks(exchange, || TaskEvent::Copy { whole });
        }
        answer
    }
}

impl Exchanges {
    /// Takes in changes of an exchange whose backup this node is, as far as it knows: else they come again. A run that has
    /// not joined yet is nobody's backup: that was the run before it.
    pub(crate) fn task_batch(&self, from: NodeId, exchange: ExchangeId, batch: &Batch) {
        let named = {
            let registry = self.context.registry();
            let record = registry.exchanges.get(&exchange);
            self.is_member(&registry) && record.is_some_and(|e| e.backup == Some(self.context.node))
        };
        if !named {
            return;
        }
        let answer = self.replicas.take(&self.context, exchange, batch);
        let message = PeerMessage::TaskAnswer { exchange, answer };
        // Lost, the owner sends the batch again.
        let _sent_again = self.context.wire.message(from, exchange, message);
    }

    pub(crate) fn task_answer(&self, from: NodeId, exchange: ExchangeId, answer: Answer) {
        if let Some(owned) = self.read().get(&exchange) {
            let _sent_again = owned.mailbox.push(Mail::TaskAnswer { from, answer });
        }
    }

    /// A node that is not the backup any more drops its copy. The owner's place is looked at too: one that takes over
    /// begins with the copy, one that hands over leaves its own.
    pub(super) fn drop_replicas(&self, change: &Change) {
        let me = Some(self.context.node);
        let kept = |e: &ExchangeRecord| e.backup == me || e.owner == me;
        let mut all = self.replicas.lock();
        all.retain(|id, _| {
            let stays = change.exchange(*id).is_some_and(kept);
            if !stays {
                self.context
                    .tell_of_tasks(*id, || TaskEvent::Copy { whole: false });
            }
            stays
        });
    }

    /// Open tasks in the copies at this node, by exchange.
    #[must_use]
    pub fn copies(&self) -> Vec<(ExchangeId, usize)> {
        let all = self.replicas.lock();
        all.iter().map(|(id, copy)| (*id, copy.tasks())).collect()
    }
}
