//! The second copies of tasks at this node, and states of queues that arrive in parts. As `squall_node::exchanges::replicas`
//! and `moving` do it.

use std::collections::BTreeMap;

use squall_kernel::id::{Epoch, ExchangeId, NodeId};
use squall_kernel::message::{PeerMessage, Whole};
use squall_kernel::registry::ExchangeRecord;
use squall_kernel::tasks::{Answer, Batch, TaskInput, TaskReplica};
use squall_kernel::time::Instant;
use squall_node::data::Change;

use crate::history::TaskEvent;
use crate::sim::host::Host;

/// Copies by exchange, and parts of states.
#[derive(Default)]
pub(in crate::sim::host) struct Copies {
    all: BTreeMap<ExchangeId, TaskReplica>,
    in_parts: BTreeMap<ExchangeId, (Epoch, Whole)>,
}

impl Copies {
    pub(super) fn remove(&mut self, exchange: ExchangeId) -> Option<TaskReplica> {
        self.all.remove(&exchange)
    }
}

impl Host {
    /// Takes in changes of an exchange whose backup this node is, as far as it knows: else they come again. A run that has
    /// not joined yet is nobody's backup.
    pub(in crate::sim::host) fn task_batch(
        &mut self,
        now: Instant,
        from: NodeId,
        exchange: ExchangeId,
        batch: &Batch,
    ) {
        let me = Some(self.id());
        let record = self.registry.exchanges.get(&exchange);
        if !self.is_member() || record.is_none_or(|e| e.backup != me) {
            return;
        }
        let replica = self.copies.all.entry(exchange).or_default();
        let before = replica.is_whole();
        let answer = replica.take(now, batch);
        let whole = replica.is_whole();
        if whole != before {
            self.task_event(exchange, TaskEvent::Copy { whole });
        }
        // Lost, the owner sends the batch again.
        let _sent_again = self.message(from, exchange, &PeerMessage::TaskAnswer { exchange, answer });
    }

    pub(in crate::sim::host) fn task_answer(
        &mut self,
        now: Instant,
        from: NodeId,
        exchange: ExchangeId,
        answer: Answer,
    ) {
        self.task_step(now, exchange, &TaskInput::Answered { from, answer });
    }

    /// What an owner keeps that hands its queue over: it may be the backup then.
    pub(super) fn keep_copy(&mut self, exchange: ExchangeId, replica: TaskReplica) {
        self.copies.all.insert(exchange, replica);
        self.task_event(exchange, TaskEvent::Copy { whole: true });
    }

    /// A node that is not the backup any more drops its copy; the owner's place is looked at too.
    pub(in crate::sim::host) fn drop_copies(&mut self, change: &Change) {
        let me = Some(self.id());
        let kept = |e: &ExchangeRecord| e.backup == me || e.owner == me;
        let gone = |id: &ExchangeId| !change.exchange(*id).is_some_and(kept);
        let gone: Vec<ExchangeId> = self.copies.all.keys().copied().filter(gone).collect();
        for exchange in gone {
            self.copies.all.remove(&exchange);
            self.task_event(exchange, TaskEvent::Copy { whole: false });
        }
    }

    /// Takes in a part of a state.
    pub(in crate::sim::host) fn move_part(&mut self, now: Instant, message: PeerMessage) {
        let PeerMessage::MovePart {
            exchange,
            epoch,
            sum,
            part,
            parts,
            bytes,
        } = message
        else {
            return;
        };
        let (registry, all) = (&self.registry, &mut self.copies.in_parts);
        all.retain(|id, (e, _)| registry.exchanges.get(id).is_some_and(|r| r.epoch < *e));
        if registry.exchanges.get(&exchange).is_none_or(|r| r.epoch >= epoch) {
            return;
        }
        let (known, whole) = all.entry(exchange).or_default();
        if *known != epoch {
            (*known, *whole) = (epoch, Whole::default());
        }
        if let Some(state) = whole.take(sum, part, parts, bytes) {
            self.move_in(now, exchange, epoch, state);
        }
    }
}
