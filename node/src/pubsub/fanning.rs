//! A publish on its way out: at the owner, and at a proxy, to each node with a subscriber, one frame a node; at each node
//! into the mailboxes of its subscribers.
//!
//! What does not live here: who matches (the kernel's machine), and mailboxes (`subscriber`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use squall_kernel::dedup::Seen;
use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{NodeId, Pid};
use squall_kernel::keys::Key;
use squall_kernel::publishing::{Confirm, DUPLICATE, Place};
use squall_kernel::reason::NoReply;
use squall_kernel::subscriptions::Arrival;
use squall_kernel::subscriptions::SubscriptionInput as Input;
use squall_kernel::time::{Instant, Span};

use super::subscriber::{Offered, Published, Receipt, SubscriberEvent};
use super::table::Running;
use super::{until, wants_word};
use crate::faults::Kinds;
use crate::journal::PublishEvent;
use crate::spans::{self, COPIES_TOLD_MAX, FanOut};
use crate::telemetry::told::Told;
use crate::wire::{ReturnPath, count, event_key};

impl Running {
    /// At the owner.
    pub(super) fn publish(&mut self, mut frame: Frame, put: Instant) {
        let now = self.context.clock.now();
        if frame.origin != self.context.node {
            count(&self.post.figures.brought);
        }
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
        let seen = match &mut self.dedup {
            Some(window) => window.seen(now, publisher_of(&frame), &frame.tags.request),
            None => Seen::First,
        };
        let known = seen == Seen::Duplicate;
        self.context
            .tell_publish(self.id, || taken(&frame, self.settings.dedup, known));
        if known {
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
        let told = self.traced(&mut frame, "owner", now.since(put));
        self.fan_out(frame);
        self.tell_passed(told);
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

    /// Puts the publish under the span of what is done with it here, where it is traced.
    fn traced(&self, frame: &mut Frame, role: &'static str, waited: Span) -> Option<Told> {
        let told = spans::fan_out(&self.context.spans, frame.trace, || FanOut {
            exchange: self.name.as_str(),
            key: String::from_utf8_lossy(&frame.tags.key).into_owned(),
            epoch: self.core.epoch().0,
            role,
            nodes: self.fanout.nodes().len(),
            subscribers: self.fanout.copies().len(),
            waited,
        })?;
        frame.trace = told.context;
        Some(told)
    }

    /// It has gone on from here.
    fn tell_passed(&self, told: Option<Told>) {
        if let Some(told) = told {
            self.context.spans.tell(told.until(SystemTime::now()));
        }
    }

    fn fan_out(&mut self, frame: Frame) {
        let receivers = self.receivers();
        let confirmed = Confirm::of(frame.signature) == Confirm::Received;
        if !confirmed || receivers == 0 {
            self.answer(&frame, Status::Reply, Bytes::new());
        }
        let event = Frame {
            kind: Kind::Event,
            epoch: self.core.epoch(),
            index: 0,
            count: 0,
            ..frame
        };
        let places = if confirmed { receivers } else { 0 };
        self.pass_on(&event, &Place::all(places).collect::<Vec<_>>());
    }

    /// Nodes that get the publish from here, this one included.
    fn receivers(&self) -> usize {
        self.fanout.nodes().len() + usize::from(!self.fanout.copies().is_empty())
    }

    /// One frame to each node, and the copies here; where each node confirms, each has its place.
    fn pass_on(&mut self, event: &Frame, places: &[Place]) {
        let mut places = places.iter();
        let mut placed = |event: &Frame| {
            let (index, count) = places
                .next()
                .map_or((event.index, event.count), |place| place.numbers());
            Frame {
                index,
                count,
                ..event.clone()
            }
        };
        for node in self.fanout.nodes() {
            self.send(*node, placed(event));
        }
        if !self.fanout.copies().is_empty() {
            self.leave_for_here(placed(event));
        }
    }

    /// At the owner, what goes to subscribers here leaves it as well.
    fn leave_for_here(&mut self, event: Frame) {
        if self.owns.is_none() || !self.context.faults.act(Kinds::MESSAGE) {
            return self.deliver_here(&event);
        }
        for event in self.context.leaving(&self.name, (self.context.node, 0), event) {
            self.deliver_here(&event);
        }
    }

    fn send(&self, node: NodeId, event: Frame) {
        let refused = wants_word(&event).then(|| ReturnPath::of(&event));
        let (key, publish) = (event_key(&event), RequestKey::of(&event));
        // Told first: when it has left, its publisher may hear of it at once, and try it again.
        self.context
            .tell_publish(self.id, || PublishEvent::Passed { publish, to: node });
        let sent = if self.owns.is_some() {
            self.context.leave(&self.name, (node, key), event)
        } else {
            self.context.wire.frame(node, key, event)
        };
        match sent {
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

    /// At a node with subscribers or a proxy, from the one above.
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
        count(&self.post.figures.arrived);
        let role = if self.fanout.nodes().is_empty() {
            "subscribers"
        } else {
            "proxy"
        };
        let told = self.traced(&mut frame, role, self.context.clock.now().since(put));
        self.event_arrived(frame);
        self.tell_passed(told);
    }

    /// To the subscribers here, and to the nodes that get their publishes from this one.
    fn event_arrived(&mut self, mut frame: Frame) {
        let receivers = self.receivers();
        if !self.vouches() {
            // Meant for the run before this one, or for nodes that it was passed on to and that have left.
            let reason = if receivers == 0 {
                NoReply::Moved
            } else {
                NoReply::Interrupted
            };
            self.strange(&frame, reason);
            frame.signature = Confirm::Accepted.number();
            return self.pass_on(&frame, &[]);
        }
        if receivers == 0 {
            return self.answer(&frame, Status::Reply, Bytes::new());
        }
        let places = match Place::of(frame.index, frame.count).divided(receivers) {
            _ if !wants_word(&frame) => Vec::new(),
            Some(places) => places,
            None => {
                self.answer(&frame, Status::None(NoReply::Interrupted), Bytes::new());
                frame.signature = Confirm::Accepted.number();
                Vec::new()
            }
        };
        self.pass_on(&frame, &places);
    }

    /// True when those here, and behind this node, are all that the node above meant. Whoever has passed publishes on may be
    /// held for lost and not know it: nodes leave it without a word, and what was on its way is not for them any more. It has
    /// no lease then, until it knows of its next tenure.
    fn vouches(&self) -> bool {
        if !self.core.has_passed_on() {
            return self.core.is_joined();
        }
        // The lease first: what it was given for is in the registry by then.
        let leased = self.context.lease.until() > self.context.clock.now();
        let registry = self.context.registry();
        let tenure = registry.nodes.get(&self.context.node).map(|me| me.tenure);
        leased && tenure == self.tenure && self.core.is_joined()
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
        let mut frame = frame.clone();
        let told = self.traced(&mut frame, "degraded", Span::ZERO);
        self.deliver_here(&frame);
        self.tell_passed(told);
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
            request: RequestKey::of(frame),
            message_id: frame.tags.request.clone(),
            priority: frame.priority,
            trace: frame.trace,
        });
        // All copies are put in at one time.
        let now = self.context.clock.now();
        let _step = self.context.clock.step_at(now);
        let until = until(now, frame.credit);
        let mut told = if frame.trace.sampled { COPIES_TOLD_MAX } else { 0 };
        for copy in self.fanout.copies() {
            let Some(subscriber) = self.subscribers.get(&copy.subscriber) else {
                continue;
            };
            let event = SubscriberEvent {
                published: Arc::clone(&published),
                connections: self.fanout.connections(copy).collect(),
                traced: told > 0,
            };
            told = told.saturating_sub(1);
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

/// A publish that its owner takes, for the journal; its id only where the exchange remembers ids, for that long.
pub(crate) fn taken(publish: &Frame, window: Option<Span>, known: bool) -> PublishEvent {
    let window = window.filter(|_| !publish.tags.request.is_empty());
    PublishEvent::Taken {
        publish: RequestKey::of(publish),
        epoch: publish.epoch,
        id: window.map(|span| (name_of(publisher_of(publish), &publish.tags.request), span)),
        known,
    }
}

/// An id as journals have it: with its publisher. It may be any bytes, and different ones have different names.
#[must_use]
pub fn name_of(publisher: Pid, id: &[u8]) -> String {
    format!("{publisher} {}", id.escape_ascii())
}

/// Whose id a publish has: the publisher's as it names itself, so that it is the same on its next connection; else the
/// process's.
#[must_use]
pub fn publisher_of(frame: &Frame) -> Pid {
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
