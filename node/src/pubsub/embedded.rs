//! Subscribers that run inside the node.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::task::AtomicWaker;
use squall_kernel::id::{ExchangeName, Pid};

use super::subscriber::EventSink;
use super::{PubSub, SubscribeError, Subscriber, SubscriberEvent};

/// A subscriber inside the node. Dropping it ends its subscriptions.
pub struct Subscription {
    pubsub: Arc<PubSub>,
    subscriber: Arc<Subscriber>,
    waits: Arc<AtomicWaker>,
}

/// Wakes the one task that reads it.
struct Here(Arc<AtomicWaker>);

impl EventSink for Here {
    fn ready(&self, _subscriber: Pid) {
        self.0.wake();
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
        let waits = Arc::new(AtomicWaker::new());
        let here = Box::new(Here(Arc::clone(&waits)));
        let subscription = Subscription {
            pubsub: Arc::clone(self),
            subscriber: self.subscriber(exchange, u32::MAX, here)?,
            waits,
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
        poll_fn(|task| self.poll_next(task)).await
    }

    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<SubscriberEvent>> {
        loop {
            if let Some(event) = self.try_next() {
                return Poll::Ready(Some(event));
            }
            if self.subscriber.has_ended() {
                return Poll::Ready(None);
            }
            self.waits.register(task.waker());
            // Something that came in between found nobody to wake.
            if !self.subscriber.is_told() {
                return Poll::Pending;
            }
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
