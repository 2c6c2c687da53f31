//! A publish on its way out: at the owner to each node with a subscriber, one frame a node; at each node into the
//! mailboxes of its subscribers.
//!
//! What does not live here: who matches (the kernel's machine), and mailboxes (`subscriber`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use squall_kernel::dedup::Seen;
use squall_kernel::exchange::Signature;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{NodeId, Pid};
use squall_kernel::keys::Key;
use squall_kernel::publishing::{Confirm, DUPLICATE};
use squall_kernel::reason::NoReply;
use squall_kernel::subscriptions::Arrival;
use squall_kernel::subscriptions::SubscriptionInput as Input;
use squall_kernel::time::Instant;

use super::subscriber::{Offered, Published, Receipt, SubscriberEvent};
use super::table::Running;
use super::{until, wants_word};
use crate::wire::{ReturnPath, count, lane_key};

impl Running {
    /// At the owner.
    pub(super) fn publish(&mut self, mut frame: Frame, put: Instant) {
        let now = self.context.clock.now();
        if let Err(reason) = self.may_publish(&frame, now) {
            return self.answer(&frame, Status::None(reason), Bytes::new());
        }
        let key = match Key::take(frame.tags.key.clone()) {
            Ok(key) => key,
            Err(error) => return self.answer(&frame, Status::Declined, Bytes::from(error.to_string())),
        };
        let Ok(pass) = self.core.admit(frame.epoch) else {
            count(&self.context.wire.tally.fenced);
            return self.answer(&frame, Status::None(NoReply::Fenced), Bytes::new());
        };
        if let Some(window) = &mut self.dedup
            && window.seen(now, publisher(&frame), &frame.tags.request) == Seen::Duplicate
        {
            count(&self.post.figures.duplicates);
            return self.answer(&frame, Status::Reply, Bytes::from_static(DUPLICATE));
        }
        let waited = u32::try_from(now.since(put).as_ms()).unwrap_or(u32::MAX);
        frame.credit = match (frame.credit, self.settings.ttl) {
            (0, None) => 0,
            (0, Some(ttl)) => u32::try_from(ttl.as_ms().max(1)).unwrap_or(u32::MAX),
            (ttl, _) => ttl.saturating_sub(waited).max(1),
        };
        count(&self.post.figures.published);
        let mut fanout = std::mem::take(&mut self.fanout);
        self.core.route(&pass, &key, None, &mut fanout);
        self.fanout = fanout;
        self.fan_out(frame);
    }

    /// Only who acts for the exchange may take a publish, and not before it knows all subscribers.
    fn may_publish(&self, frame: &Frame, now: Instant) -> Result<(), NoReply> {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&self.id).ok_or(NoReply::UnknownExchange)?;
        if record.moving.is_some() || self.owns != Some(frame.epoch) || record.epoch != frame.epoch {
            Err(NoReply::Moved)
        } else if self.context.lease.until() <= now {
            Err(NoReply::NoQuorum)
        } else if !self.awaited.is_empty() {
            Err(NoReply::Settling)
        } else {
            Ok(())
        }
    }

    fn fan_out(&mut self, frame: Frame) {
        let here = !self.fanout.copies().is_empty();
        let nodes = self.fanout.nodes().to_vec();
        let confirmed = Confirm::of(frame.signature) == Confirm::Received;
        let places = if confirmed {
            nodes.len() + usize::from(here)
        } else {
            0
        };
        let places = u32::try_from(places).expect("no more than nodes");
        if !confirmed || places == 0 {
            self.answer(&frame, Status::Reply, Bytes::new());
        }
        let mut event = Frame {
            kind: Kind::Event,
            epoch: self.core.epoch(),
            count: places,
            ..frame
        };
        for node in nodes {
            event.index += u32::from(confirmed);
            self.send(node, event.clone());
        }
        if here {
            event.index += u32::from(confirmed);
            self.deliver_here(&event);
        }
    }

    fn send(&self, node: NodeId, event: Frame) {
        let refused = wants_word(&event).then(|| ReturnPath::of(&event));
        let key = lane_key(self.id, event.from.serial);
        match self.context.wire.frame(node, key, event) {
            Ok(()) => {
                count(&self.post.figures.sent);
                self.process.count_sent(1);
            }
            Err(error) => {
                count(&self.context.wire.tally.events_lost);
                if let Some(back) = refused {
                    self.context
                        .wire
                        .reply(back.none(self.process.pid(), error.reason()));
                }
            }
        }
    }

    /// At a node with subscribers, from the one above.
    pub(super) fn event(&mut self, from: NodeId, mut frame: Frame, put: Instant) {
        let Ok(pass) = self.core.admit(frame.epoch) else {
            count(&self.context.wire.tally.fenced);
            return self.strange(&frame, NoReply::Fenced);
        };
        let publisher = Pid {
            node: frame.origin,
            serial: frame.from.serial,
        };
        match self.core.arrive(from, publisher, frame.message) {
            Arrival::First => {}
            Arrival::Again => {
                count(&self.post.figures.strange);
                return self.answer(&frame, Status::Reply, Bytes::new());
            }
            Arrival::Stranger => {
                self.strange(&frame, NoReply::Moved);
                return self.step(Input::SnapshotAsked { by: from });
            }
        }
        let Ok(key) = Key::take(frame.tags.key.clone()) else {
            count(&self.context.wire.tally.garbled);
            return self.strange(&frame, NoReply::Interrupted);
        };
        if frame.credit > 0 {
            let waited = self.context.clock.now().since(put).as_ms();
            frame.credit = frame
                .credit
                .saturating_sub(u32::try_from(waited).unwrap_or(u32::MAX))
                .max(1);
        }
        let mut fanout = std::mem::take(&mut self.fanout);
        self.core.route(&pass, &key, Some(from), &mut fanout);
        self.fanout = fanout;
        self.deliver_here(&frame);
    }

    /// A publish that no owner took.
    pub(super) fn publish_locally(&mut self, frame: &Frame) {
        let epoch = self.core.epoch();
        let (Ok(key), Ok(pass)) = (Key::take(frame.tags.key.clone()), self.core.admit(epoch)) else {
            return;
        };
        let mut fanout = std::mem::take(&mut self.fanout);
        self.core.route(&pass, &key, None, &mut fanout);
        self.fanout = fanout;
        self.deliver_here(frame);
    }

    /// Into the mailboxes; the node's word goes out when the last of them has it.
    fn deliver_here(&mut self, frame: &Frame) {
        let receipt =
            wants_word(frame).then(|| Receipt::new(&self.context, ReturnPath::of(frame), self.process.pid()));
        let published = Arc::new(Published {
            exchange: self.id,
            key: frame.tags.key.clone(),
            payload: frame.payload.clone(),
            publisher: frame.from,
            message_id: frame.tags.request.clone(),
            priority: frame.priority,
            trace: frame.trace,
        });
        let until = until(self.context.clock.now(), frame.credit);
        for copy in self.fanout.copies() {
            let Some(subscriber) = self.subscribers.get(&copy.subscriber) else {
                continue;
            };
            let event = SubscriberEvent {
                published: Arc::clone(&published),
                connections: self.fanout.connections(copy).cloned().collect(),
            };
            match subscriber.offer(event, until, receipt.as_ref()) {
                Offered::Taken => self.post.figures.delivered.fetch_add(1, Ordering::Relaxed),
                Offered::Rejected => self.post.figures.rejected.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    fn strange(&self, frame: &Frame, reason: NoReply) {
        count(&self.post.figures.strange);
        self.answer(frame, Status::None(reason), Bytes::new());
    }

    /// The table's word on a publish or an event, where somebody waits for it.
    fn answer(&self, frame: &Frame, status: Status, payload: Bytes) {
        if wants_word(frame) {
            let nobody = Pid {
                node: self.context.node,
                serial: 0,
            };
            self.context
                .wire
                .reply(ReturnPath::of(frame).reply(nobody, status, payload));
        }
    }
}

/// Whose id it is: the publisher as it names itself, so that it is the same on its next connection; else the process.
fn publisher(frame: &Frame) -> Pid {
    let own = &frame.tags.connection;
    if own.is_empty() {
        return Pid {
            node: frame.origin,
            serial: frame.from.serial,
        };
    }
    Pid {
        node: NodeId(0),
        serial: Signature::of_key(own).value(),
    }
}
