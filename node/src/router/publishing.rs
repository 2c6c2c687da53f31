//! Publishes on their way from the publisher's node to the owner, beside what they share with requests.
//!
//! What does not live here: subscribers and who confirms (`pubsub`).

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{MessageId, Pid};
use squall_kernel::keys::Key;
use squall_kernel::publishing::{Confirm, DUPLICATE, GIVEN_BACK, GIVEN_UP};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{ExchangeRecord, Pattern};

use super::open::Open;
use super::{Outcome, Request, Router};
use crate::journal::{Fact, PublishEvent};
use crate::wire::lane_key;

/// What keeps a request from an exchange whose pattern has no place for it, or a publish from one without a good key.
pub(super) fn misplaced(record: &ExchangeRecord, request: &Request) -> Option<String> {
    let (name, pattern) = (&record.name, record.pattern);
    let publishes = matches!(
        pattern,
        Pattern::PublishSubscribe | Pattern::InvertedPublishSubscribe
    );
    match (request.publish, publishes) {
        (None, true) => Some(format!(
            "exchange '{name}' is {}: it takes publishes, not requests",
            pattern.as_str()
        )),
        (Some(_), false) => Some(format!(
            "exchange '{name}' is {}: it takes no publishes",
            pattern.as_str()
        )),
        (Some(_), true) if pattern == Pattern::PublishSubscribe || !request.tags.key.is_empty() => {
            Key::take(request.tags.key.clone())
                .err()
                .map(|error| error.to_string())
        }
        _ => None,
    }
}

impl Router {
    /// The same, of the exchange that it is for now.
    pub(super) fn misplaced(&self, request: &Request) -> Option<String> {
        let registry = self.context.registry();
        misplaced(registry.exchanges.get(&request.exchange)?, request)
    }

    /// Nothing is heard of it any more: whoever waits is told that it was sent.
    pub(super) fn sent_unconfirmed(&self, message: MessageId) {
        if let Some(open) = self.table.take(message) {
            let sent = Outcome {
                status: Status::Reply,
                ..Outcome::none(
                    open.request.exchange,
                    NoReply::Timeout,
                    open.request.tags.request.clone(),
                )
            };
            self.conclude(open, sent);
        }
    }

    /// A publish that came back from the one handler that was to have it, and is not tried again: its id is new again, and may
    /// be published by whoever hears of this. Where the owner cannot be told, the id is known for as long as any.
    pub(super) fn publish_given_up(&self, open: &Open, outcome: &Outcome) {
        let uncertain = [NoReply::Interrupted, NoReply::Timeout].map(Status::None);
        let certain = matches!(outcome.status, Status::None(_)) && !uncertain.contains(&outcome.status);
        if !open.given_back || !certain {
            return;
        }
        let registry = self.context.registry();
        let record = registry.exchanges.get(&open.request.exchange);
        let Some((owner, epoch)) = record.and_then(|record| Some((record.owner?, record.epoch))) else {
            return;
        };
        let word = Frame {
            epoch,
            index: GIVEN_UP,
            signature: Confirm::None.number(),
            payload: Bytes::new(),
            ..self.frame(open, self.table.next_id(), self.context.clock.now())
        };
        let key = lane_key(open.request.exchange, open.request.from.serial);
        let _known_for_longer = self.context.wire.frame(owner, key, word);
    }

    /// A publish that no owner took goes to the subscribers on this node, and is said to be degraded.
    pub(super) fn published_here(&self, open: &Open, reason: NoReply) -> NoReply {
        let request = &open.request;
        if request.publish.is_none() || !reason.may_be_sent_again() {
            return reason;
        }
        let message = self.table.next_id();
        if let Some(request) = open.told {
            self.context.tell(|| Fact::Tried { request, message });
        }
        let event = Frame {
            exchange: request.exchange,
            message,
            origin: self.context.node,
            from: request.from,
            trace: open.traced.context(),
            tags: request.tags.clone(),
            payload: request.payload.clone(),
            kind: Kind::Event,
            signature: Confirm::None.number(),
            ..head(request, false)
        };
        if self.context.wire.publish_here(event) {
            NoReply::Degraded
        } else {
            reason
        }
    }
}

impl Router {
    /// A publish has begun, and has that number in the journal. Its order counts where it comes from a process that publishes one
    /// after the other.
    pub(super) fn tell_published(&self, request: &Request, number: MessageId) {
        let Some(publish) = request.publish else {
            return;
        };
        let registry = self.context.registry();
        let pattern = registry.exchanges.get(&request.exchange).map(|e| e.pattern);
        self.context
            .tell_publish(request.exchange, || PublishEvent::Begun {
                publish: self.own(number),
                publisher: Pid {
                    node: self.context.node,
                    serial: request.from.serial,
                },
                key: String::from_utf8_lossy(&request.tags.key).into_owned(),
                confirm: publish.confirm,
                to_one: pattern == Some(Pattern::InvertedPublishSubscribe),
            });
    }

    /// What its publisher is told now is a confirm, for every node that was waited for.
    pub(super) fn tell_confirmed(&self, open: &Open, outcome: &Outcome) {
        let Some(number) = open.told.filter(|_| open.request.publish.is_some()) else {
            return;
        };
        if outcome.status == Status::Reply && open.copies.failed.is_none() {
            self.context
                .tell_publish(outcome.exchange, || PublishEvent::Confirmed {
                    publish: self.own(number),
                    known: outcome.payload == DUPLICATE,
                });
        }
    }

    fn own(&self, message: MessageId) -> RequestKey {
        RequestKey {
            origin: self.context.node,
            message,
        }
    }
}

/// A frame of the right kind, with what a publish or a task carries beside its payload and tags.
pub(super) fn head(request: &Request, given_back: bool) -> Frame {
    match request.publish {
        Some(publish) => Frame {
            index: if given_back { GIVEN_BACK } else { 0 },
            signature: publish.confirm.number(),
            credit: publish.ttl_ms,
            priority: publish.priority,
            ..Frame::new(Kind::Publish)
        },
        None => Frame {
            priority: request.priority,
            credit: request.talk.as_ref().map_or(0, |talking| talking.terms.credit),
            ..Frame::new(if request.submit {
                Kind::Submit
            } else {
                Kind::Request
            })
        },
    }
}

/// True when the owner took a publish with an id, and the only node that should get it did not: sent again it would be taken
/// for known, and confirmed although nobody has it.
pub(super) fn was_taken(request: &Request, frame: &Frame) -> bool {
    request.publish.is_some() && !request.tags.request.is_empty() && frame.index > 0 && frame.count > 0
}

/// True for the refusal of a publish that was passed on to one handler: its id is known to the owner now, and nobody has it.
pub(super) fn was_given_back(request: &Request, frame: &Frame) -> bool {
    let place = (frame.index, frame.count);
    request.publish.is_some() && place == (GIVEN_BACK, 0) && matches!(frame.status, Status::None(_))
}

pub(super) fn is_unconfirmed(request: &Request) -> bool {
    request
        .publish
        .is_some_and(|publish| publish.confirm == Confirm::None)
}
