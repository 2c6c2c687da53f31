//! Publishes on their way from the publisher's node to the owner, beside what they share with requests. As
//! `squall_node::router::publishing` does it.

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeId, MessageId, Pid};
use squall_kernel::publishing::{Confirm, DUPLICATE, GIVEN_BACK, Place, Places};
use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};

use super::{Open, Sort};
use crate::history::{PublishEvent, What};
use crate::sim::host::Host;

/// Above the serials of handlers and subscribers.
const PUBLISHERS: u32 = 1 << 20;

/// What a publisher gives beside key and time.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// Which of the node's publishers.
    pub publisher: u32,
    /// What it waits for.
    pub confirm: Confirm,
    /// Its id of the publish, or none.
    pub id: Bytes,
    /// How the publisher names itself, wherever it is, or not at all.
    pub name: Bytes,
}

/// An open publish.
#[derive(Debug)]
pub(super) struct Published {
    what: Publishing,
    places: Places,
    /// Some node did not take it.
    failed: bool,
    /// It goes to one handler,
    to_one: bool,
    /// which did not take it.
    pub(super) given_back: bool,
}

impl Host {
    /// A publisher publishes.
    pub fn publish(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        key: &str,
        what: Publishing,
        timeout: Span,
    ) {
        let published = Published {
            what,
            places: Places::default(),
            failed: false,
            to_one: !self.has_subscribers(exchange),
            given_back: false,
        };
        self.begin(now, exchange, ("", key), Sort::Publish(published), timeout);
    }

    pub(super) fn publisher(&self, number: u32) -> Pid {
        Pid::new(self.id(), self.config.me.boot, PUBLISHERS + number)
    }

    /// Nothing is heard of it any more.
    pub(super) fn sent_unconfirmed(&mut self, now: Instant, message: MessageId) {
        let unconfirmed =
            |open: &Open| matches!(&open.sort, Sort::Publish(p) if p.what.confirm == Confirm::None);
        if self.requests.open.get(&message).is_some_and(unconfirmed)
            && let Some(open) = self.requests.take(message)
        {
            let sent = Frame {
                status: Status::Reply,
                from: self.nobody(),
                ..Frame::new(Kind::Reply)
            };
            self.conclude(now, &open, &sent);
        }
    }

    /// A node's word on a publish; the last one ends it.
    pub(super) fn take_place(&mut self, now: Instant, frame: &Frame) {
        let Some(open) = self.requests.open.get_mut(&frame.message) else {
            return;
        };
        let Sort::Publish(published) = &mut open.sort else {
            return;
        };
        if !published.places.take(Place::of(frame.index, frame.count)) {
            return self.late(frame);
        }
        published.failed |= frame.status != Status::Reply;
        if published.places.is_whole()
            && let Some(open) = self.requests.take(frame.message)
        {
            self.conclude(now, &open, frame);
        }
    }

    /// What the publisher was told, for the history: only a publish that every word confirmed is confirmed.
    pub(super) fn confirmed(&mut self, open: &Open, frame: &Frame) {
        let Sort::Publish(published) = &open.sort else {
            return;
        };
        if !published.failed && frame.status == Status::Reply {
            let what = PublishEvent::Confirmed {
                publish: self.key(open.first),
                known: frame.payload == DUPLICATE,
            };
            let exchange = open.exchange;
            self.event(What::Publish { exchange, what });
        }
    }

    /// A publish that no owner took goes to the subscribers on this node, and is said to be degraded.
    pub(super) fn published_here(&mut self, now: Instant, open: &Open, reason: NoReply) -> NoReply {
        let Sort::Publish(published) = &open.sort else {
            return reason;
        };
        if !reason.may_be_sent_again() {
            return reason;
        }
        let event = Frame {
            kind: Kind::Event,
            index: 0,
            message: self.requests.next_id(),
            signature: Confirm::None.number(),
            from: self.publisher(published.what.publisher),
            ..self.frame(now, open, MessageId(0))
        };
        self.tell_again_of(open);
        if self.publish_locally(now, &event) {
            NoReply::Degraded
        } else {
            reason
        }
    }

    /// A publish goes out once more.
    pub(super) fn tell_again_of(&mut self, open: &Open) {
        if matches!(open.sort, Sort::Publish(_)) {
            let publish = self.key(open.first);
            let (exchange, what) = (open.exchange, PublishEvent::Again { publish });
            self.event(What::Publish { exchange, what });
        }
    }

    pub(super) fn tell_begun(&mut self, open: &Open) {
        let Sort::Publish(published) = &open.sort else {
            return;
        };
        let what = PublishEvent::Begun {
            publish: self.key(open.first),
            publisher: open.from,
            key: String::from_utf8_lossy(&open.key).into_owned(),
            confirm: published.what.confirm,
            to_one: published.to_one,
        };
        let exchange = open.exchange;
        self.event(What::Publish { exchange, what });
    }
}

impl Published {
    pub(super) fn publisher(&self) -> u32 {
        self.what.publisher
    }

    pub(super) fn has_id(&self) -> bool {
        !self.what.id.is_empty()
    }

    /// A frame of the right kind, with what a publish carries beside payload and key.
    pub(super) fn head(&self) -> Frame {
        let mut frame = Frame {
            index: if self.given_back { GIVEN_BACK } else { 0 },
            signature: self.what.confirm.number(),
            ..Frame::new(Kind::Publish)
        };
        frame.tags.request = self.what.id.clone();
        frame.tags.connection = self.what.name.clone();
        frame
    }
}
