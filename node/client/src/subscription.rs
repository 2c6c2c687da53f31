//! A subscriber's place at an exchange: subscribed, and subscribed again after a reconnect. What does not live here: the
//! connection that brings its events.

mod keeper;
mod routes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use squall_kernel::frame::{Frame, TraceContext};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::keys::{KeyError, KeyPattern};
use squall_kernel::limits::PATTERNS_PER_SUBSCRIBER_MAX;
use squall_kernel::message::{ClientMessage, control};
use squall_kernel::publishing::split_tags;
use tokio::sync::{mpsc, oneshot, watch};

use self::keeper::{Keeper, Standing};
pub(crate) use self::routes::Subscribers;
use self::routes::{Route, Taken};
use crate::ask::check_tag;
use crate::client::Client;
use crate::error::{Ended, Invalid};
use crate::limits::SUBSCRIPTION_CREDIT_MAX;
use crate::link::Generation;
use crate::state::Outgoing;

/// A subscriber's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Given back with every event that the patterns given with it match (A26). At most 255 bytes.
    pub connection_tag: String,
    /// Events that wait here at most, from 1 to 65 536; the others wait at the node, in the subscriber's mailbox.
    pub credit: u32,
    /// How long to look for a node, and how long a node may refuse the subscriptions after a reconnect.
    pub wait: Duration,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            connection_tag: String::new(),
            credit: 256,
            wait: Duration::from_secs(10),
        }
    }
}

/// Why nobody was subscribed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// A pattern that is none; nothing was sent.
    #[error("'{pattern}': {error}")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong, and where.
        error: KeyError,
    },
    /// No pattern, or too many.
    #[error("a subscriber asks for 1 to {PATTERNS_PER_SUBSCRIBER_MAX} patterns at once, not for {0}")]
    Patterns(usize),
    /// The credit is zero or too high.
    #[error("a credit lies between 1 and {SUBSCRIPTION_CREDIT_MAX}, this one is {0}")]
    Credit(u32),
    /// It ended before it stood.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// Never sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A publish that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its key.
    pub key: String,
    /// Its payload.
    pub payload: Bytes,
    /// Tags of the attachments that it matched, each once; one of them at least.
    pub connection_tags: Vec<Bytes>,
    /// Who published it.
    pub publisher: Pid,
    /// The publisher's own id of it; empty without one.
    pub message_id: Bytes,
    /// Trace it belongs to.
    pub trace: TraceContext,
}

/// Patterns, and the tag they were given with.
#[derive(Debug, Clone)]
struct Wanted {
    connection_tag: String,
    patterns: Vec<String>,
}

/// A subscriber. Dropping it ends its subscriptions.
///
/// After a reconnect it is subscribed again by itself; what is published in between does not reach it, and
/// [`Subscription::times_subscribed`] grows.
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    id: u64,
    events: mpsc::Receiver<Taken>,
    wanted: Arc<Mutex<Vec<Wanted>>>,
    asks: mpsc::Sender<keeper::Ask>,
    standing: watch::Receiver<Standing>,
    credit: u32,
    /// Events of that connection that were read, and that the node has not been told of.
    read: (Generation, u32),
    _stop: oneshot::Sender<()>,
}

pub(crate) async fn subscribe(
    client: Client,
    exchange: &str,
    patterns: Vec<String>,
    options: SubscribeOptions,
) -> Result<Subscription, SubscribeError> {
    let name = ExchangeName::new(exchange).map_err(Invalid::Name)?;
    check(&options.connection_tag, &patterns)?;
    if !(1..=SUBSCRIPTION_CREDIT_MAX).contains(&options.credit) {
        return Err(SubscribeError::Credit(options.credit));
    }
    let shared = Arc::clone(client.shared());
    let credit = options.credit;
    let (route, events, ended) = Route::new(credit);
    let id = shared.subscribers.enter(route);
    let wanted = Arc::new(Mutex::new(vec![Wanted {
        connection_tag: options.connection_tag.clone(),
        patterns,
    }]));
    let (asks, asked) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel();
    let status = watch::Sender::new(Standing::default());
    let standing = status.subscribe();
    let keeper = Keeper {
        shared,
        id,
        name,
        options,
        wanted: Arc::clone(&wanted),
        asked,
        ended,
        status,
    };
    tokio::spawn(keeper.run(stopped));
    let mut subscription = Subscription {
        client,
        id,
        events,
        wanted,
        asks,
        standing,
        credit,
        read: (Generation::default(), 0),
        _stop: stop,
    };
    let decided = subscription
        .standing
        .wait_for(|standing| standing.times > 0 || standing.ended.is_some())
        .await;
    match decided.as_deref() {
        Ok(Standing { ended: Some(why), .. }) => return Err(why.clone().into()),
        Ok(_) => {}
        Err(_) => return Err(Ended::Closed.into()),
    }
    drop(decided);
    Ok(subscription)
}

fn check(tag: &str, patterns: &[String]) -> Result<(), SubscribeError> {
    check_tag("connection tag", tag.len())?;
    if patterns.is_empty() || patterns.len() > PATTERNS_PER_SUBSCRIBER_MAX {
        return Err(SubscribeError::Patterns(patterns.len()));
    }
    for pattern in patterns {
        if let Err(error) = KeyPattern::new(pattern) {
            return Err(SubscribeError::Pattern {
                pattern: pattern.chars().take(64).collect(),
                error,
            });
        }
    }
    Ok(())
}

impl Subscription {
    /// Subscribes to more, under another connection tag or the same. A publish that matches several comes once, with all
    /// tags.
    ///
    /// # Errors
    /// [`SubscribeError`]; what it had before stands.
    pub async fn also<P: Into<String>>(
        &self,
        connection_tag: &str,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<(), SubscribeError> {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        check(connection_tag, &patterns)?;
        let wanted = Wanted {
            connection_tag: connection_tag.to_owned(),
            patterns,
        };
        let (answer, answered) = oneshot::channel();
        let ask = keeper::Ask {
            wanted: wanted.clone(),
            answer,
        };
        if self.asks.send(ask).await.is_err() {
            return Err(Ended::Closed.into());
        }
        answered.await.unwrap_or(Err(Ended::Closed))?;
        let mut all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(wanted);
        Ok(())
    }

    /// Waits for the next event; `None` when the subscription has ended, for which [`Subscription::ended`] tells why.
    /// Loses nothing when it is cancelled.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.tell_what_was_read().await;
            let taken = tokio::select! {
                biased;
                taken = self.events.recv() => taken,
                _ = self.standing.wait_for(|standing| standing.ended.is_some()) => self.events.try_recv().ok(),
            };
            let Taken { generation, frame } = taken?;
            if self.read.0 != generation {
                self.read = (generation, 0);
            }
            self.read.1 += 1;
            match event_of(*frame) {
                Some(event) => return Some(event),
                None => tracing::warn!("an event whose tags are longer than itself"),
            }
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Event> + Send {
        futures::stream::unfold(self, |mut subscription| async move {
            subscription.next().await.map(|event| (event, subscription))
        })
    }

    /// How often it was subscribed: each time after the first, what was published before that has not reached it.
    #[must_use]
    pub fn times_subscribed(&self) -> u64 {
        self.standing.borrow().times
    }

    /// Why it is over, once it is.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.standing.borrow().ended.clone()
    }

    /// Half a credit at a time: enough to keep the events flowing, and little to say.
    async fn tell_what_was_read(&mut self) {
        let (generation, events) = self.read;
        if events < self.credit.div_ceil(2) {
            return;
        }
        let subscriber = self.id;
        let frame = control(&ClientMessage::Took { subscriber, events });
        let told = Outgoing::bound(generation, frame);
        // A client that is closed has nobody to tell.
        let _closed = self.client.shared().outbound.send(told).await;
        self.read.1 = 0;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.shared().subscribers.leave(self.id);
    }
}

fn event_of(frame: Frame) -> Option<Event> {
    let (connection_tags, payload) = split_tags(frame.tags.connection, frame.credit, frame.payload)?;
    Some(Event {
        key: String::from_utf8_lossy(&frame.tags.key).into_owned(),
        payload,
        connection_tags,
        publisher: frame.from,
        message_id: frame.tags.request,
        trace: frame.trace,
    })
}
