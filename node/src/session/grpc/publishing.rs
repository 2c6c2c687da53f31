//! Publishing and subscribing in gRPC sessions.
//!
//! What does not live here: subscribers of a session (`subscribing`), and the stream.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use squall_kernel::frame::Tags;
use squall_kernel::id::ExchangeName;
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::ClientFault;
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::server_event::Event as Out;

use super::stream::{Grpc, event};
use super::{convert, lookup};
use crate::limits::{CREDIT_DEFAULT, SESSION_SUBSCRIBERS_MAX};
use crate::pubsub::{SubscribeError, SubscriberEvent};
use crate::router::{Publish, Request};
use crate::session::Wanted;

impl Grpc {
    /// Subscribes without holding up the session; gives the refusal of what is not even tried.
    pub(super) fn subscribe(&mut self, subscribe: v1::Subscribe) -> Option<v1::ServerEvent> {
        let number = subscribe.subscriber;
        let name = match ExchangeName::new(&subscribe.exchange) {
            Ok(name) => name,
            Err(error) => {
                self.session.faults().not_a_name(&error);
                let why = format!("'{}': {error}", convert::shortened(&subscribe.exchange));
                // Certainly not the exchange of a subscriber that has the number already.
                return Some(if self.session.subscribes(u64::from(number)) {
                    in_use(number, why)
                } else {
                    self.no_subscriber(number, why, v1::SubscriberEnd::Refused)
                });
            }
        };
        if self.subscribing.len() >= SESSION_SUBSCRIBERS_MAX {
            let max = SESSION_SUBSCRIBERS_MAX;
            self.session.faults().count(ClientFault::TooMany);
            return Some(self.not_subscribed(number, &SubscribeError::TooMany { max }));
        }
        let wanted = Wanted {
            number: u64::from(number),
            name: &name,
            connection_tag: Bytes::from(subscribe.connection_tag),
            patterns: &subscribe.patterns,
            credit: if subscribe.credit == 0 {
                CREDIT_DEFAULT
            } else {
                subscribe.credit
            },
        };
        match self.session.subscribe(wanted) {
            Err(error @ SubscribeError::InUse { .. }) => Some(in_use(number, error.to_string())),
            Err(error) => Some(self.not_subscribed(number, &error)),
            Ok(subscribing) => {
                let context = Arc::clone(&self.plane.context);
                let answered =
                    subscribing.map(move |done| (number, done.map(|(pid, _)| context.pid_text(pid))));
                self.subscribing.push(answered.boxed());
                None
            }
        }
    }

    /// The table's answer to a subscribe.
    pub(super) fn subscribed(
        &mut self,
        number: u32,
        answer: Result<String, SubscribeError>,
    ) -> v1::ServerEvent {
        match answer {
            Ok(pid) => event(Out::Subscribed(v1::Subscribed {
                subscriber: number,
                pid,
            })),
            Err(error) => self.not_subscribed(number, &error),
        }
    }

    fn not_subscribed(&mut self, number: u32, error: &SubscribeError) -> v1::ServerEvent {
        let why = match error {
            SubscribeError::UnknownExchange(_) => v1::SubscriberEnd::UnknownExchange,
            _ => v1::SubscriberEnd::Refused,
        };
        self.no_subscriber(number, error.to_string(), why)
    }

    fn no_subscriber(&mut self, number: u32, reason: String, why: v1::SubscriberEnd) -> v1::ServerEvent {
        self.session.unsubscribe(u64::from(number));
        event(ended(number, reason, why))
    }

    pub(super) fn unsubscribe(&mut self, number: u32) -> Option<v1::ServerEvent> {
        let known = self.session.unsubscribe(u64::from(number));
        (!known).then(|| {
            self.session.faults().count(ClientFault::NotThere);
            let why = format!("there is no subscriber {number}");
            event(ended(number, why, v1::SubscriberEnd::Refused))
        })
    }

    pub(super) fn published(&self, subscriber: u64, taken: &SubscriberEvent) -> Option<Out> {
        let published = &taken.published;
        let context = &self.plane.context;
        let name = context
            .registry()
            .exchanges
            .get(&published.exchange)
            .map_or_else(String::new, |e| e.name.as_str().to_owned());
        Some(Out::Published(v1::Published {
            subscriber: u32::try_from(subscriber).ok()?,
            exchange: name,
            key: convert::text(&published.key),
            payload: published.payload.clone(),
            connection_tags: taken.connections.iter().map(convert::text).collect(),
            publisher: context.pid_text(published.publisher),
            message_id: convert::text(&published.message_id),
            priority: u32::from(published.priority.number()),
        }))
    }

    pub(super) fn publish(&mut self, publish: v1::Publish) -> Option<v1::ServerEvent> {
        let id = publish.id;
        if let Some(why) = convert::too_long([&publish.key, &publish.message_id, &publish.publisher]) {
            return Some(self.declined(id, ClientFault::TooLong, why));
        }
        let terms = convert::priority(publish.priority).and_then(|priority| {
            Ok(Publish {
                confirm: confirm(publish.confirm)?,
                ttl_ms: publish.ttl_ms,
                priority,
            })
        });
        let terms = match terms {
            Ok(terms) => terms,
            Err(why) => return Some(self.declined(id, ClientFault::Malformed, why)),
        };
        let Some(exchange) = lookup(&self.plane, &publish.exchange) else {
            return Some(convert::unknown_exchange(
                id,
                &publish.exchange,
                publish.message_id,
            ));
        };
        let request = Request {
            tags: Tags {
                request: Bytes::from(publish.message_id),
                connection: Bytes::from(publish.publisher),
                service: Bytes::new(),
                key: Bytes::from(publish.key),
            },
            timeout: Span::from_ms(u64::from(publish.timeout_ms)),
            trace: self.trace_of(&publish.traceparent),
            publish: Some(terms),
            ..Request::new(exchange, publish.payload)
        };
        self.ask(id, request)
    }
}

fn confirm(number: i32) -> Result<Confirm, String> {
    Ok(match convert::known("confirm", number)? {
        v1::Confirm::Accepted => Confirm::Accepted,
        v1::Confirm::None => Confirm::None,
        v1::Confirm::Received => Confirm::Received,
    })
}

/// The subscriber that has the number goes on.
fn in_use(subscriber: u32, reason: String) -> v1::ServerEvent {
    event(Out::Refused(v1::Refused {
        subscriber,
        reason,
        ..v1::Refused::default()
    }))
}

pub(super) fn ended(subscriber: u32, reason: String, why: v1::SubscriberEnd) -> Out {
    Out::SubscriberEnded(v1::SubscriberEnded {
        subscriber,
        reason,
        why: why.into(),
    })
}
