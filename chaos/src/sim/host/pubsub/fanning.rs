//! A publish on its way out. As `squall_node::pubsub::fanning` does it.

use bytes::Bytes;
use squall_kernel::dedup::Seen;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::keys::Key;
use squall_kernel::publishing::{Confirm, DUPLICATE, Place};
use squall_kernel::reason::NoReply;
use squall_kernel::subscriptions::{Arrival, SubscriptionInput as Input};
use squall_kernel::time::Instant;
use squall_node::pubsub::{name_of, publisher_of};
use squall_node::wire::{ReturnPath, event_key};

use super::wants_word;
use crate::history::{Mark, PublishEvent, What};
use crate::sim::host::Host;

impl Host {
    /// At the owner.
    pub(in crate::sim::host) fn take_publish(&mut self, now: Instant, frame: &Frame) {
        let id = frame.exchange;
        if let Err(reason) = self.may_publish(now, frame) {
            return self.answer_publish(frame, Status::None(reason), Bytes::new());
        }
        let key = match Key::take(frame.tags.key.clone()) {
            Ok(key) => key,
            Err(error) => {
                return self.answer_publish(frame, Status::Declined, Bytes::from(error.to_string()));
            }
        };
        let Some(table) = self.tables.get(id) else { return };
        let Ok(pass) = table.core.admit(frame.epoch) else {
            return self.answer_publish(frame, Status::None(NoReply::Fenced), Bytes::new());
        };
        let publisher = publisher_of(frame);
        let seen = table.dedup.as_mut().map_or(Seen::First, |window| {
            window.seen(now, publisher, &frame.tags.request)
        });
        let known = seen == Seen::Duplicate;
        let named = table.settings.dedup.filter(|_| !frame.tags.request.is_empty());
        let taken = PublishEvent::Taken {
            publish: Self::request_key_of(frame),
            epoch: frame.epoch,
            id: named.map(|span| (name_of(publisher, &frame.tags.request), span)),
            known,
        };
        if !known {
            table.core.route(&pass, &key, None, &mut table.fanout);
        }
        self.tell_of(id, taken);
        if known {
            return self.answer_publish(frame, Status::Reply, Bytes::from_static(DUPLICATE));
        }
        self.fan_out(now, frame);
    }

    /// Only who acts for the exchange may take a publish, and not before it knows all subscribers.
    fn may_publish(&self, now: Instant, frame: &Frame) -> Result<(), NoReply> {
        let record = self.registry.exchanges.get(&frame.exchange);
        let record = record.ok_or(NoReply::UnknownExchange)?;
        let table = self
            .tables
            .by_exchange
            .get(&frame.exchange)
            .ok_or(NoReply::Moved)?;
        if record.moving.is_some() || table.owns != Some(frame.epoch) || record.epoch != frame.epoch {
            Err(NoReply::Moved)
        } else if self.lease_until <= now {
            Err(NoReply::NoQuorum)
        } else if !table.awaited.is_empty() {
            Err(NoReply::Settling)
        } else {
            Ok(())
        }
    }

    fn fan_out(&mut self, now: Instant, frame: &Frame) {
        let id = frame.exchange;
        let receivers = self.receivers(id);
        let confirmed = Confirm::of(frame.signature) == Confirm::Received;
        if !confirmed || receivers == 0 {
            self.answer_publish(frame, Status::Reply, Bytes::new());
        }
        let epoch = self.tables.by_exchange.get(&id).map(|table| table.core.epoch());
        let event = Frame {
            kind: Kind::Event,
            epoch: epoch.unwrap_or_default(),
            index: 0,
            count: 0,
            ..frame.clone()
        };
        let places = if confirmed { receivers } else { 0 };
        self.pass_on(now, &event, &Place::all(places).collect::<Vec<_>>());
    }

    /// Nodes that get the publish from here, this one included.
    fn receivers(&self, id: ExchangeId) -> usize {
        let fanout = self.tables.by_exchange.get(&id).map(|table| &table.fanout);
        fanout.map_or(0, |fanout| {
            fanout.nodes().len() + usize::from(!fanout.copies().is_empty())
        })
    }

    /// One frame to each node, and the copies here; where each node confirms, each has its place.
    fn pass_on(&mut self, now: Instant, event: &Frame, places: &[Place]) {
        let mut places = places.iter();
        let mut placed = || {
            let (index, count) = places
                .next()
                .map_or((event.index, event.count), |place| place.numbers());
            Frame {
                index,
                count,
                ..event.clone()
            }
        };
        let Some(table) = self.tables.by_exchange.get(&event.exchange) else {
            return;
        };
        let nodes: Vec<(NodeId, Frame)> = table
            .fanout
            .nodes()
            .iter()
            .map(|node| (*node, placed()))
            .collect();
        let here = (!table.fanout.copies().is_empty()).then(placed);
        for (node, event) in nodes {
            self.send_event(node, event);
        }
        if let Some(event) = here {
            self.deliver_here(now, &event);
        }
    }

    fn send_event(&mut self, to: NodeId, event: Frame) {
        let refused = wants_word(&event).then(|| ReturnPath::of(&event));
        let (exchange, publish) = (event.exchange, Self::request_key_of(&event));
        self.tell_of(exchange, PublishEvent::Passed { publish, to });
        if let Err(error) = self.send(to, event_key(&event), event) {
            self.count("events lost");
            if let Some(back) = refused {
                self.reply(back.none(self.nobody(), error.reason()));
            }
        }
    }

    /// At a node with subscribers or a proxy, from the one above.
    pub(in crate::sim::host) fn take_event(&mut self, now: Instant, from: NodeId, frame: &Frame) {
        let id = frame.exchange;
        let Some(table) = self.tables.get(id) else {
            return self.strange(frame, NoReply::NoResponders);
        };
        let Ok(pass) = table.core.admit(frame.epoch) else {
            self.count("events fenced");
            return self.strange(frame, NoReply::Fenced);
        };
        let publisher = Pid {
            node: frame.origin,
            serial: frame.from.serial,
        };
        match table.core.arrive(from, publisher, frame.message) {
            Arrival::First => {}
            Arrival::Again => {
                self.event(What::Mark(Mark::CameByBothWays));
                return self.answer_publish(frame, Status::Reply, Bytes::new());
            }
            Arrival::Stranger => {
                self.strange(frame, NoReply::Moved);
                return self.table_step(now, id, Input::SnapshotAsked { by: from });
            }
        }
        let Ok(key) = Key::take(frame.tags.key.clone()) else {
            return self.strange(frame, NoReply::Interrupted);
        };
        table.core.route(&pass, &key, Some(from), &mut table.fanout);
        self.event_arrived(now, frame.clone());
    }

    /// To the subscribers here, and to the nodes that get their publishes from this one.
    fn event_arrived(&mut self, now: Instant, mut frame: Frame) {
        let receivers = self.receivers(frame.exchange);
        if !self.vouches(now, frame.exchange) {
            // Meant for the run before this one, or for nodes that it was passed on to and that have left.
            let reason = if receivers == 0 {
                NoReply::Moved
            } else {
                NoReply::Interrupted
            };
            self.strange(&frame, reason);
            frame.signature = Confirm::Accepted.number();
            return self.pass_on(now, &frame, &[]);
        }
        if receivers == 0 {
            return self.answer_publish(&frame, Status::Reply, Bytes::new());
        }
        let places = match Place::of(frame.index, frame.count).divided(receivers) {
            _ if !wants_word(&frame) => Vec::new(),
            Some(places) => places,
            None => {
                self.answer_publish(&frame, Status::None(NoReply::Interrupted), Bytes::new());
                frame.signature = Confirm::Accepted.number();
                Vec::new()
            }
        };
        let table = self.tables.by_exchange.get(&frame.exchange);
        if table.is_some_and(|table| !table.fanout.nodes().is_empty()) {
            self.event(What::Mark(Mark::ProxyPassedOn));
        }
        self.pass_on(now, &frame, &places);
    }

    /// True when those here, and behind this node, are all that the node above meant.
    fn vouches(&self, now: Instant, exchange: ExchangeId) -> bool {
        let core = self.tables.by_exchange.get(&exchange).map(|table| &table.core);
        core.is_some_and(|core| core.is_joined() && (!core.has_passed_on() || self.lease_until > now))
    }

    /// A publish that no owner took. False when the exchange is no publish-subscribe exchange.
    pub(in crate::sim::host) fn publish_locally(&mut self, now: Instant, frame: &Frame) -> bool {
        let id = frame.exchange;
        if self.begin_table(now, id).is_none() {
            return false;
        }
        let Some(table) = self.tables.get(id) else {
            return false;
        };
        let epoch = table.core.epoch();
        let (Ok(key), Ok(pass)) = (Key::take(frame.tags.key.clone()), table.core.admit(epoch)) else {
            return true;
        };
        table.core.route(&pass, &key, None, &mut table.fanout);
        self.deliver_here(now, frame);
        true
    }

    /// Into the mailboxes; the node's word goes out when the last of them has it.
    fn deliver_here(&mut self, _now: Instant, frame: &Frame) {
        let (id, publish) = (frame.exchange, Self::request_key_of(frame));
        let Some(table) = self.tables.by_exchange.get(&id) else {
            return;
        };
        let there = table.fanout.copies().iter().map(|copy| copy.subscriber);
        let there: Vec<Pid> = there.filter(|pid| table.subscribers.contains(pid)).collect();
        for subscriber in there {
            self.tell_of(id, PublishEvent::Got { publish, subscriber });
        }
        self.answer_publish(frame, Status::Reply, Bytes::new());
    }

    fn strange(&mut self, frame: &Frame, reason: NoReply) {
        self.count("events of strangers");
        self.answer_publish(frame, Status::None(reason), Bytes::new());
    }

    /// An event did not arrive, or nobody knows.
    pub(in crate::sim::host) fn event_lost(&mut self, frame: &Frame, reason: NoReply) {
        self.count("events lost");
        self.answer_publish(frame, Status::None(reason), Bytes::new());
    }

    /// The word on a publish or an event, where somebody waits for it.
    fn answer_publish(&mut self, frame: &Frame, status: Status, payload: Bytes) {
        if wants_word(frame) {
            self.reply(ReturnPath::of(frame).reply(self.nobody(), status, payload));
        }
    }
}
