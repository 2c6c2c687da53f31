//! Subscribers that run inside the node.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::id::{ExchangeName, Pid};
use tokio::sync::Notify;

use super::subscriber::EventSink;
use super::{PubSub, SubscribeError, Subscriber, SubscriberEvent};

/// A subscriber inside the node. Dropping it ends its subscriptions.
pub struct Subscription {
    pubsub: Arc<PubSub>,
    subscriber: Arc<Subscriber>,
    ready: Arc<Notify>,
}

struct Here(Arc<Notify>);

impl EventSink for Here {
    fn ready(&self, _subscriber: Pid) {
        self.0.notify_one();
    }
}

impl PubSub {
    /// Subscribes to an exchange, and waits until all publishes that match come.
    ///
    /// # Errors
    /// [`SubscribeError`], also when a node above refuses a pattern.
    pub async fn subscribe_embedded<P: AsRef<str>>(
        self: &Arc<Self>,
        exchange: &ExchangeName,
        connection: impl Into<Bytes>,
        patterns: &[P],
    ) -> Result<Subscription, SubscribeError> {
        let ready = Arc::new(Notify::new());
        let here = Box::new(Here(Arc::clone(&ready)));
        let subscription = Subscription {
            pubsub: Arc::clone(self),
            subscriber: self.subscriber(exchange, u32::MAX, here)?,
            ready,
        };
        subscription.also(connection, patterns).await?;
        Ok(subscription)
    }
}

impl Subscription {
    /// Subscribes to more, under another connection tag or the same: what matches several comes once, with all tags.
    ///
    /// # Errors
    /// [`SubscribeError`]; what it had before stands.
    pub async fn also<P: AsRef<str>>(
        &self,
        connection: impl Into<Bytes>,
        patterns: &[P],
    ) -> Result<(), SubscribeError> {
        let answer = self
            .pubsub
            .subscribe(&self.subscriber, connection.into(), patterns)?;
        answer.await.unwrap_or(Err(SubscribeError::Ended))
    }

    /// The subscriber's pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.subscriber.pid()
    }

    /// Waits for the next event; none when the subscriber has ended. Loses nothing when it is cancelled.
    pub async fn next(&mut self) -> Option<SubscriberEvent> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.subscriber.ended().is_some() {
                return None;
            }
            self.ready.notified().await;
        }
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<SubscriberEvent> {
        self.subscriber.take()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.pubsub.unsubscribe(&self.subscriber);
    }
}
