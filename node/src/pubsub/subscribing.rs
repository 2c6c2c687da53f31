//! Subscribing at this node: checks, and the table's answer when publishes come.
//!
//! What does not live here: who reads a subscriber's mailbox (`embedded`, the session).

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::id::ExchangeName;
use squall_kernel::keys::KeyPattern;
use squall_kernel::limits::{PATTERNS_PER_SUBSCRIBER_MAX, TAG_BYTES_MAX};
use squall_kernel::registry::Pattern;
use tokio::sync::oneshot;

use super::subscriber::EventSink;
use super::{Mail, PubSub, SubscribeError, Subscriber, Subscribing};
use crate::process::Push;

/// The table's answer: publishes that match from then on reach the subscriber.
pub(crate) type Answer = oneshot::Receiver<Result<(), SubscribeError>>;

impl PubSub {
    /// A subscriber that subscribes to nothing yet, and whose reader takes `credit` events.
    pub(crate) fn subscriber(
        &self,
        name: &ExchangeName,
        credit: u32,
        reader: Box<dyn EventSink>,
    ) -> Result<Arc<Subscriber>, SubscribeError> {
        let registry = self.context.registry_kept();
        let record = registry
            .exchange(name)
            .ok_or_else(|| SubscribeError::UnknownExchange(name.clone()))?;
        if record.pattern != Pattern::PublishSubscribe {
            return Err(SubscribeError::Pattern {
                name: name.clone(),
                pattern: record.pattern,
            });
        }
        Ok(Subscriber::new(&self.context, record, credit, reader))
    }

    /// Subscribes to patterns, beside those that the subscriber has.
    pub(crate) fn subscribe<P: AsRef<str>>(
        &self,
        subscriber: &Arc<Subscriber>,
        connection: Bytes,
        patterns: &[P],
    ) -> Result<Answer, SubscribeError> {
        let patterns = checked(&connection, patterns)?;
        let table = self
            .table(subscriber.exchange())
            .ok_or_else(|| SubscribeError::UnknownExchange(subscriber.name().clone()))?;
        let (answer, answered) = oneshot::channel();
        let subscribing = Subscribing {
            subscriber: Arc::clone(subscriber),
            connection,
            patterns,
            answer,
        };
        match table.mailbox.push(Mail::Subscribe(subscribing)) {
            Ok(()) => Ok(answered),
            Err(Push::Full(_)) => Err(SubscribeError::Overloaded),
            Err(Push::Closed(_)) => Err(SubscribeError::Ended),
        }
    }

    /// Ends a subscriber and all its subscriptions.
    pub(crate) fn unsubscribe(&self, subscriber: &Subscriber) {
        subscriber.leave();
        if let Some(table) = self.known(subscriber.exchange()) {
            table.post.order(|orders| {
                orders.gone.insert(subscriber.pid());
            });
        }
    }
}

fn checked<P: AsRef<str>>(connection: &Bytes, patterns: &[P]) -> Result<Vec<KeyPattern>, SubscribeError> {
    if connection.len() > TAG_BYTES_MAX {
        return Err(SubscribeError::Tag(connection.len()));
    }
    if patterns.is_empty() || patterns.len() > PATTERNS_PER_SUBSCRIBER_MAX {
        return Err(SubscribeError::Patterns(patterns.len()));
    }
    let check = |text: &P| {
        let text = text.as_ref();
        KeyPattern::new(text).map_err(|error| SubscribeError::Key {
            pattern: text.chars().take(64).collect(),
            error,
        })
    };
    patterns.iter().map(check).collect()
}
