//! Subscribers of a session: numbered by the client, read in turn.
//!
//! What does not live here: their mailboxes (`pubsub`), and how an event looks on the wire.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use squall_kernel::id::{ExchangeId, ExchangeName, Pid};
use tokio::sync::Notify;

use super::{Entrance, Event, Session};
use crate::limits::SESSION_SUBSCRIBERS_MAX;
use crate::pubsub::{Answer, EventSink, SubscribeError, Subscriber};

/// Subscribers with something to read; each at most once.
#[derive(Default)]
pub(super) struct Readable {
    numbers: Mutex<VecDeque<u64>>,
    pub(super) some: Notify,
}

impl Readable {
    fn add(&self, number: u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if !numbers.contains(&number) {
            numbers.push_back(number);
        }
        drop(numbers);
        self.some.notify_one();
    }

    fn next(&self) -> Option<u64> {
        self.numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

struct Reader {
    entrance: Weak<Entrance>,
    number: u64,
}

impl EventSink for Reader {
    fn ready(&self, _subscriber: Pid) {
        if let Some(entrance) = self.entrance.upgrade() {
            entrance.readable.add(self.number);
        }
    }
}

/// Ends when the nodes above have said whether they take the patterns in.
pub(crate) type Subscribing = BoxFuture<'static, Result<(Pid, ExchangeId), SubscribeError>>;

/// What a session subscribes to.
pub(crate) struct Wanted<'a> {
    /// The client's number of the subscriber.
    pub(crate) number: u64,
    pub(crate) name: &'a ExchangeName,
    pub(crate) connection_tag: Bytes,
    pub(crate) patterns: &'a [String],
    pub(crate) credit: u32,
}

impl Session {
    /// Subscribes, with a new subscriber or one that is there under that number: its pid and exchange, once everything
    /// that is published from then on reaches it.
    pub(crate) fn subscribe(&mut self, wanted: Wanted<'_>) -> Result<Subscribing, SubscribeError> {
        let asked = self.ask_to_subscribe(wanted);
        let (subscriber, answer) = asked.inspect_err(|error| self.faults().not_subscribed(error))?;
        let context = Arc::clone(self.context());
        let subscribed = async move {
            let answer = answer.await.unwrap_or(Err(SubscribeError::Ended));
            let faults = &context.wire.tally.client_faults;
            answer
                .map(|()| (subscriber.pid(), subscriber.exchange()))
                .inspect_err(|error| faults.not_subscribed(error))
        };
        Ok(subscribed.boxed())
    }

    fn ask_to_subscribe(&mut self, wanted: Wanted<'_>) -> Result<(Arc<Subscriber>, Answer), SubscribeError> {
        let Wanted {
            number,
            name,
            connection_tag,
            patterns,
            credit,
        } = wanted;
        let subscriber = match self.subscribers.get(&number) {
            Some(known) if known.name() == name => Arc::clone(known),
            Some(known) => {
                let name = known.name().clone();
                return Err(SubscribeError::InUse { number, name });
            }
            None => self.subscriber(number, name, credit)?,
        };
        let answer = self
            .plane
            .pubsub
            .subscribe(&subscriber, connection_tag, patterns)?;
        Ok((subscriber, answer))
    }

    fn subscriber(
        &mut self,
        number: u64,
        name: &ExchangeName,
        credit: u32,
    ) -> Result<Arc<Subscriber>, SubscribeError> {
        if self.subscribers.len() >= SESSION_SUBSCRIBERS_MAX {
            return Err(SubscribeError::TooMany {
                max: SESSION_SUBSCRIBERS_MAX,
            });
        }
        let reader = Box::new(Reader {
            entrance: Arc::downgrade(&self.entrance),
            number,
        });
        let subscriber = self.plane.pubsub.subscriber(name, credit, reader)?;
        self.subscribers.insert(number, Arc::clone(&subscriber));
        Ok(subscriber)
    }

    /// True when a subscriber has that number.
    pub(crate) fn subscribes(&self, number: u64) -> bool {
        self.subscribers.contains_key(&number)
    }

    /// Ends a subscriber. False when there is none of that number.
    pub(crate) fn unsubscribe(&mut self, number: u64) -> bool {
        let known = self.subscribers.remove(&number);
        if let Some(subscriber) = &known {
            self.plane.pubsub.unsubscribe(subscriber);
        }
        known.is_some()
    }

    /// The client takes more events.
    pub(crate) fn took(&self, number: u64, events: u32) {
        if let Some(subscriber) = self.subscribers.get(&number) {
            subscriber.give_credit(events);
        }
    }

    /// The next event of the subscriber whose turn it is.
    pub(super) fn published(&mut self) -> Option<Event> {
        while let Some(number) = self.entrance.readable.next() {
            let Some(subscriber) = self.subscribers.get(&number) else {
                continue;
            };
            if let Some(event) = subscriber.take() {
                self.entrance.readable.add(number);
                return Some(Event::Published {
                    subscriber: number,
                    event,
                });
            }
            if let Some(reason) = subscriber.ended() {
                let exchange = subscriber.exchange();
                self.subscribers.remove(&number);
                return Some(Event::SubscriberEnded {
                    subscriber: number,
                    reason,
                    deleted: !self.context().registry().exchanges.contains_key(&exchange),
                });
            }
        }
        None
    }

    pub(super) fn unsubscribe_all(&mut self) {
        for (_, subscriber) in self.subscribers.drain() {
            self.plane.pubsub.unsubscribe(&subscriber);
        }
    }
}
