//! Who is attached to the exchanges of this node: handlers and workers come and go, and nodes have told of all of theirs.

use squall_kernel::exchange::{ExchangeInput, Signature};
use squall_kernel::id::{Epoch, ExchangeId, NodeId, Pid, Revision};
use squall_kernel::message::{Attach, PeerMessage, Work};
use squall_kernel::reason::DetachReason;
use squall_kernel::tasks::TaskInput;
use squall_kernel::time::Instant;

use super::Owned;
use crate::sim::host::Host;

impl Host {
    pub(in crate::sim::host) fn take_attach(&mut self, now: Instant, from: NodeId, attach: Attach) {
        let (exchange, handler) = (attach.exchange, attach.handler);
        let seen = self.owned.get(&exchange).map(Owned::epoch);
        let early = attach.returned.is_some_and(|lost| lost > self.registry.revision);
        if seen == Some(attach.epoch) && !early {
            let claims = (attach.bound, attach.returned);
            return self.attach_to(now, exchange, (handler, attach.service_tag), claims, attach.work);
        }
        let refused = PeerMessage::AttachRefused {
            exchange,
            handler,
            seen: seen.unwrap_or_default(),
        };
        let _comes_again_by_itself = self.message(from, exchange, &refused);
    }

    /// A node has told of all its handlers of these exchanges.
    pub(in crate::sim::host) fn take_roll(
        &mut self,
        now: Instant,
        from: NodeId,
        exchanges: Vec<(ExchangeId, Epoch)>,
    ) {
        let mut early = Vec::new();
        for (exchange, epoch) in exchanges {
            match self.owned.get(&exchange).map(Owned::epoch) {
                Some(own) if own == epoch => {
                    self.step_exchange(now, exchange, &ExchangeInput::Roll { node: from }, None);
                    self.task_step(now, exchange, &TaskInput::Rolled { node: from });
                }
                own if own.is_none_or(|own| own < epoch) => early.push((exchange, epoch)),
                _ => {}
            }
        }
        if let Some((first, _)) = early.first().copied() {
            let refused = PeerMessage::RollRefused { exchanges: early };
            let _told_or_lost = self.message(from, first, &refused);
        }
    }

    pub(super) fn attach_to(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        (handler, service_tag): (Pid, String),
        (bound, returned): (Vec<Signature>, Option<Revision>),
        work: Option<Work>,
    ) {
        let input = ExchangeInput::Attach {
            handler,
            service_tag: service_tag.clone(),
            bound,
            returned,
        };
        if let Some(owned) = self.owned.get_mut(&exchange) {
            owned.attached.entry(handler).or_insert(service_tag.clone());
        }
        self.step_exchange(now, exchange, &input, None);
        self.worker_attached(now, exchange, (handler, service_tag), work);
    }

    pub(in crate::sim::host) fn take_detach(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        handler: Pid,
        reason: DetachReason,
    ) {
        if let Some(owned) = self.owned.get_mut(&exchange) {
            owned.attached.remove(&handler);
            self.step_exchange(now, exchange, &ExchangeInput::Detach { handler, reason }, None);
            self.worker_detached(now, exchange, handler);
        }
    }
}
