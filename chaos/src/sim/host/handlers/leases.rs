//! How long a handler may count on its leadership: it asks the owner, and counts from when it asked. As
//! `squall_node::handlers` does it.

use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, Pid};
use squall_kernel::limits::DRIFT_PPM;
use squall_kernel::message::PeerMessage;
use squall_kernel::time::{Instant, Span};

use super::super::{Host, Output};

/// A leader's lease as its handler holds it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    leader_epoch: LeaderEpoch,
    until: Instant,
    /// When it asks again; none while it does not lead.
    ask_at: Option<Instant>,
}

impl Held {
    pub(super) fn next_ask(&self) -> Option<Instant> {
        self.ask_at
    }
}

/// The owner's answer, as it came.
pub(in crate::sim::host) struct Lease {
    pub(in crate::sim::host) exchange: ExchangeId,
    pub(in crate::sim::host) epoch: Epoch,
    pub(in crate::sim::host) handler: Pid,
    pub(in crate::sim::host) leader_epoch: LeaderEpoch,
    pub(in crate::sim::host) asked_at: Instant,
    pub(in crate::sim::host) remaining: Span,
}

impl Host {
    /// After news of who leads: who leads asks for its lease, who does not believes so no longer.
    pub(super) fn lead_or_not(&mut self, now: Instant, serial: u64) {
        let pid = self.pid(serial);
        let Some(attachment) = self.handlers.by_serial.get_mut(&serial) else {
            return;
        };
        let leads = attachment.seen.leader.is_some_and(|(leader, _)| leader == pid);
        let lease = &mut attachment.lease;
        if leads {
            lease.ask_at = lease.ask_at.or(Some(now));
            return;
        }
        lease.ask_at = None;
        if lease.until > now {
            lease.until = now;
            let (exchange, leader_epoch) = (attachment.exchange, lease.leader_epoch);
            self.tell_leadership(exchange, pid, leader_epoch, now);
        }
    }

    /// A handler that is gone believes nothing.
    pub(super) fn end_leadership(&mut self, now: Instant, exchange: ExchangeId, handler: Pid, lease: &Held) {
        if lease.until > now {
            self.tell_leadership(exchange, handler, lease.leader_epoch, now);
        }
    }

    pub(super) fn tick_leases(&mut self, now: Instant) {
        let due = |held: &Held| held.ask_at.is_some_and(|at| at <= now);
        let asking = self.handlers.by_serial.iter().filter(|(_, a)| due(&a.lease));
        let asking: Vec<u64> = asking.map(|(serial, _)| *serial).collect();
        for serial in asking {
            self.ask_for_lease(now, serial);
        }
    }

    fn ask_for_lease(&mut self, now: Instant, serial: u64) {
        let (handler, again) = (self.pid(serial), now + self.times.heartbeat);
        let Some(attachment) = self.handlers.by_serial.get_mut(&serial) else {
            return;
        };
        attachment.lease.ask_at = Some(again);
        let exchange = attachment.exchange;
        let (Some(epoch), Some((_, leader_epoch))) = (attachment.view.confirmed(), attachment.seen.leader)
        else {
            return;
        };
        let owner = self
            .registry
            .exchanges
            .get(&exchange)
            .filter(|e| e.epoch == epoch);
        let Some(owner) = owner.and_then(|e| e.owner) else {
            return;
        };
        let ask = PeerMessage::LeaderLeaseAsk {
            exchange,
            epoch,
            handler,
            leader_epoch,
            asked_at: now,
        };
        let _asked_again = self.message(owner, exchange, &ask);
    }

    /// Counted from the question, shortened by what clocks may differ; never lengthened but by a later answer.
    pub(in crate::sim::host) fn leased(&mut self, lease: &Lease) {
        let Some(attachment) = self.handlers.by_serial.get_mut(&lease.handler.serial) else {
            return;
        };
        let current =
            attachment.view.confirmed() == Some(lease.epoch) && attachment.exchange == lease.exchange;
        let leads = attachment.seen.leader == Some((lease.handler, lease.leader_epoch));
        let until = lease.asked_at + lease.remaining.shortened(DRIFT_PPM);
        let held = &mut attachment.lease;
        if !current || !leads || (held.leader_epoch == lease.leader_epoch && held.until >= until) {
            return;
        }
        (held.leader_epoch, held.until) = (lease.leader_epoch, until);
        self.tell_leadership(lease.exchange, lease.handler, lease.leader_epoch, until);
    }

    fn tell_leadership(
        &mut self,
        exchange: ExchangeId,
        handler: Pid,
        leader_epoch: LeaderEpoch,
        until: Instant,
    ) {
        self.out.push(Output::Leads {
            exchange,
            handler,
            leader_epoch,
            until,
        });
    }
}
