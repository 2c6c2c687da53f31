//! Handlers attached through this node: keeps each attached with the owner of its exchange, and lets deliveries and system
//! messages through to them. As `squall_node::handlers` does it. A handler does one thing at a time.
//!
//! What does not live here: deliveries (`delivering`), what they hear (`hearing`), leases (`leases`) and roll calls (`rolls`).

mod delivering;
mod hearing;
mod leases;
mod rolls;
mod view;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::exchange::Signature;
use squall_kernel::frame::Frame;
use squall_kernel::id::{Boot, Epoch, ExchangeId, LeaderEpoch, NodeId, Pid};
use squall_kernel::message::{Attach, PeerMessage};
use squall_kernel::reason::DetachReason;
use squall_kernel::tasks::{LeaseNo, TaskId};
use squall_kernel::time::Instant;
use squall_kernel::view::View;
use squall_node::data::Change;

use super::talks::Speaking;
use super::{Host, workers};
use crate::history::{View as Seen, What};
pub(super) use leases::Lease;

/// Deliveries a simulated handler takes at once: few, so that it is sometimes overloaded.
pub(super) const CREDIT: usize = 16;

/// A handler.
pub(super) struct Attachment {
    pub(super) exchange: ExchangeId,
    service_tag: String,
    pub(super) view: View,
    /// Signatures delivered to it.
    bound: BTreeSet<Signature>,
    /// Tasks it has in hand: what it says to the next owner.
    pub(super) in_hand: BTreeMap<TaskId, LeaseNo>,
    /// What it was told of the others.
    seen: Seen,
    lease: leases::Held,
    /// Deliveries taken and not answered.
    open: usize,
    busy_until: Instant,
}

/// The handlers of a node.
pub(super) struct Handlers {
    node: NodeId,
    boot: Boot,
    last: u32,
    pub(super) by_serial: BTreeMap<u64, Attachment>,
    /// When which unconfirmed attachment is sent again.
    due: BTreeSet<(Instant, u64)>,
    /// Answers under way, by when they are ready and how many came before.
    answers: BTreeMap<(Instant, u64), Answering>,
    taken: u64,
    rolls: rolls::Rolls,
}

struct Answering {
    serial: u64,
    frame: Frame,
    /// What it says before.
    speaking: Option<Box<Speaking>>,
}

impl Handlers {
    pub(super) fn new(node: NodeId, boot: Boot) -> Self {
        Self {
            node,
            boot,
            last: 0,
            by_serial: BTreeMap::new(),
            due: BTreeSet::new(),
            answers: BTreeMap::new(),
            taken: 0,
            rolls: rolls::Rolls::default(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
        let ask = self.by_serial.values().filter_map(|a| a.lease.next_ask()).min();
        let roll = self.rolls.next_timeout();
        due.into_iter().chain(answer).chain(ask).chain(roll).min()
    }

    /// The pid of one more process of this node.
    pub(super) fn next_pid(&mut self) -> Pid {
        self.last += 1;
        Pid::new(self.node, self.boot, self.last)
    }

    /// A delivery is answered, or will not be.
    pub(super) fn answered(&mut self, serial: u64) {
        if let Some(attachment) = self.by_serial.get_mut(&serial) {
            attachment.open -= 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_serial.len()
    }

    pub(super) fn answering(&self) -> usize {
        self.answers.len()
    }
}

impl Host {
    /// Attaches a handler through this node.
    pub fn attach(&mut self, now: Instant, exchange: ExchangeId, service_tag: &str) -> Pid {
        let pid = self.handlers.next_pid();
        let attachment = Attachment {
            exchange,
            service_tag: service_tag.to_owned(),
            view: View::default(),
            bound: BTreeSet::new(),
            in_hand: BTreeMap::new(),
            seen: Seen::default(),
            lease: leases::Held::default(),
            open: 0,
            busy_until: now,
        };
        self.handlers.by_serial.insert(pid.serial, attachment);
        self.send_attach(now, pid.serial);
        self.settle(now);
        pid
    }

    /// Detaches a handler; what was delivered to it is still answered, unless it is gone with its client.
    pub fn detach(&mut self, now: Instant, serial: u64, reason: DetachReason) {
        self.detach_quietly(now, serial, reason);
        self.settle(now);
    }

    /// Serials of the handlers attached here, with their exchanges.
    pub fn attached(&self) -> impl Iterator<Item = (u64, ExchangeId)> + '_ {
        self.handlers
            .by_serial
            .iter()
            .map(|(serial, a)| (*serial, a.exchange))
    }

    fn detach_quietly(&mut self, now: Instant, serial: u64, reason: DetachReason) {
        let Some(attachment) = self.handlers.by_serial.remove(&serial) else {
            return;
        };
        if reason != DetachReason::Asked {
            self.handlers
                .answers
                .retain(|_, answering| answering.serial != serial);
        }
        if reason != DetachReason::Asked {
            self.talks.forget(serial);
        }
        self.lay_down(serial);
        let exchange = attachment.exchange;
        let pid = self.pid(serial);
        self.event(What::Detached { handler: pid });
        // One that is cut off from its node lives on, and believes what it was told last.
        if reason != DetachReason::ClientGone {
            self.end_leadership(now, exchange, pid, &attachment.lease);
        }
        let Some(owner) = self.registry.exchanges.get(&exchange).and_then(|e| e.owner) else {
            return;
        };
        let message = PeerMessage::Detach {
            exchange,
            handler: pid,
            reason,
        };
        // An owner that does not hear of it is told when it next speaks of it.
        let _told_later = self.message(owner, exchange, &message);
        self.call_roll_of(now, exchange);
    }

    pub(super) fn pid(&self, serial: u64) -> Pid {
        Pid {
            node: self.handlers.node,
            serial,
        }
    }

    pub(super) fn attach_refused(&mut self, now: Instant, handler: Pid) {
        if self.handlers.by_serial.contains_key(&handler.serial) {
            self.schedule_attach(now, handler.serial);
        }
    }

    pub(super) fn handlers_changed(&mut self, now: Instant, change: &Change) {
        let all: Vec<(u64, ExchangeId)> = self.attached().collect();
        let lost = change.was_lost(self.id(), self.config.me.boot);
        for (serial, exchange) in all {
            let record = change.exchange(exchange);
            let Some((epoch, sticky)) = record.map(|r| (r.epoch, r.strategy.is_sticky())) else {
                self.detach_quietly(now, serial, DetachReason::ExchangeDeleted);
                continue;
            };
            let Some(attachment) = self.handlers.by_serial.get_mut(&serial) else {
                continue;
            };
            if change.own_tenure_ended {
                attachment.view.forget();
            }
            if lost && sticky {
                // Its signatures have gone to others since.
                attachment.view.lost(change.new.revision);
                attachment.bound.clear();
            }
            if change.owner_changed(exchange) {
                // What an earlier owner sends from now on is refused, although the new one has said nothing here yet.
                let _raised = attachment.view.fence(epoch, LeaderEpoch(0));
            }
            let unconfirmed = attachment.view.confirmed() != Some(epoch);
            if unconfirmed && (change.own_tenure_ended || change.owner_changed(exchange)) {
                attachment.view.hurry();
                self.send_attach(now, serial);
            }
        }
        self.call_rolls(now, change);
    }

    /// Signatures that a handler claimed belong to others.
    pub(super) fn unbound(
        &mut self,
        exchange: ExchangeId,
        epoch: Epoch,
        handler: Pid,
        signatures: &[Signature],
    ) {
        let attachment = self.handlers.by_serial.get_mut(&handler.serial);
        let Some(attachment) = attachment.filter(|a| a.exchange == exchange) else {
            return;
        };
        if attachment.view.fence(epoch, LeaderEpoch(0)).is_ok() {
            attachment
                .bound
                .retain(|signature| !signatures.contains(signature));
        }
    }

    /// Sends an attachment to the owner, and again later unless it is confirmed by then.
    fn send_attach(&mut self, now: Instant, serial: u64) {
        self.schedule_attach(now, serial);
        let Some(attachment) = self.handlers.by_serial.get(&serial) else {
            return;
        };
        let exchange = attachment.exchange;
        let work = self.works(exchange).then(|| workers::work(attachment));
        let grant = self.registry.exchanges.get(&exchange).map(|e| (e.owner, e.epoch));
        // Without an owner the registry's next change sends it.
        let Some((Some(owner), epoch)) = grant else { return };
        let message = PeerMessage::Attach(Attach {
            exchange,
            epoch,
            handler: self.pid(serial),
            service_tag: attachment.service_tag.clone(),
            connection_tag: String::new(),
            work,
            bound: attachment.bound.iter().copied().collect(),
            returned: attachment.view.returned(),
        });
        let _sent_again = self.message(owner, exchange, &message);
    }

    fn schedule_attach(&mut self, now: Instant, serial: u64) {
        let handler = self.handlers.by_serial.get_mut(&serial);
        if let Some(at) = handler.and_then(|a| a.view.next_try(now)) {
            self.handlers.due.insert((at, serial));
        }
    }

    pub(super) fn tick_handlers(&mut self, now: Instant) {
        self.tick_leases(now);
        self.tick_rolls(now);
        while let Some(((at, n), _)) = self.handlers.answers.first_key_value()
            && *at <= now
        {
            let key = (*at, *n);
            self.answer(now, key);
        }
        while let Some((at, serial)) = self.handlers.due.first().copied()
            && at <= now
        {
            self.handlers.due.remove(&(at, serial));
            let Some(attachment) = self.handlers.by_serial.get_mut(&serial) else {
                continue;
            };
            let epoch: Option<Epoch> = self.registry.exchanges.get(&attachment.exchange).map(|e| e.epoch);
            if attachment.view.is_due(at, epoch) {
                self.send_attach(now, serial);
            }
        }
    }
}
