//! Publishing: what is confirmed, and what became of it. What does not live here: the way of a frame (`ask`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::{Priority, TraceContext};
use squall_kernel::keys::{Key, KeyError, What};
use squall_kernel::publishing::{Confirm, DUPLICATE};
use squall_kernel::reason::NoReply;

use crate::ask::{Ask, check_tag};
use crate::error::{Invalid, RequestError};
use crate::options::RequestOptions;
use crate::state::Shared;

/// A publish's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOptions {
    /// What is to be confirmed.
    pub confirm: Confirm,
    /// How long it is good for, to the millisecond; none for as long as its exchange says.
    pub ttl: Option<Duration>,
    /// How urgent it is: 0, the usual, to 9.
    pub priority: Priority,
    /// The publisher's own id of it, at most 255 bytes: within the exchange's window a second publish of the same
    /// publisher with the same id is taken for the first. Empty for none.
    pub message_id: Bytes,
    /// Whose id that is, at most 255 bytes: the same name in another client, or in a later run of the program, is the same
    /// publisher. Empty for this client alone, for as long as it lives.
    pub publisher: Bytes,
    /// Time until the confirm is given up, at most one hour.
    pub timeout: Duration,
    /// Trace the publish belongs to.
    pub trace: TraceContext,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            confirm: Confirm::Accepted,
            ttl: None,
            priority: Priority::default(),
            message_id: Bytes::new(),
            publisher: Bytes::new(),
            timeout: Duration::from_secs(5),
            trace: TraceContext::default(),
        }
    }
}

/// What the confirm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishReceipt {
    /// Nodes that have it for all their subscribers, the handler's node on an inverted exchange; 0 unless that was to be
    /// confirmed, or when nobody subscribes.
    pub nodes: u32,
    /// Its id was known: it was published before, and not again.
    pub duplicate: bool,
}

/// Why a publish has no confirm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No owner took it: subscribers at the publisher's own node got it, and nobody else.
    #[error("degraded: no owner took it, only subscribers at the publisher's node got it")]
    Degraded,
    /// Some nodes have it, some do not.
    #[error("{received} of {nodes} nodes have it: {why}")]
    Partly {
        /// Nodes that have it for all their subscribers.
        received: u32,
        /// Nodes with a subscriber.
        nodes: u32,
        /// Why the first other one has not.
        why: RequestError,
    },
    /// As a request that has no reply.
    #[error(transparent)]
    Failed(RequestError),
    /// Not a key; nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<RequestError> for PublishError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unavailable(NoReply::Degraded) => Self::Degraded,
            other => Self::Failed(other),
        }
    }
}

impl From<Invalid> for PublishError {
    fn from(error: Invalid) -> Self {
        Self::Failed(error.into())
    }
}

/// What a publish's frame carries beside that of a request.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Who publishes: the same on every connection.
    pub(crate) publisher: Bytes,
    pub(crate) confirm: Confirm,
    pub(crate) ttl_ms: u32,
    pub(crate) priority: Priority,
}

pub(crate) async fn publish(
    shared: &Arc<Shared>,
    exchange: &str,
    key: &str,
    payload: Bytes,
    options: PublishOptions,
) -> Result<PublishReceipt, PublishError> {
    check_tag("message id", options.message_id.len())?;
    check_tag("publisher", options.publisher.len())?;
    // An inverted exchange takes publishes without a key; where one is needed the node says so.
    let keyless = key.is_empty();
    let key = if keyless {
        Bytes::new()
    } else {
        Key::new(key)?.into()
    };
    let head = Head {
        publisher: if options.publisher.is_empty() {
            shared.publisher.clone()
        } else {
            options.publisher
        },
        confirm: options.confirm,
        ttl_ms: options
            .ttl
            .map_or(0, |ttl| u32::try_from(ttl.as_millis().max(1)).unwrap_or(u32::MAX)),
        priority: options.priority,
    };
    let request = RequestOptions {
        timeout: options.timeout,
        request_tag: options.message_id,
        service_tag: Bytes::new(),
        key,
        trace: options.trace,
    };
    let ask = Ask::new(exchange, payload, request)?.publishing(head);
    let published = match options.confirm {
        Confirm::None => {
            ask.unconfirmed(shared).await?;
            Ok(PublishReceipt::default())
        }
        Confirm::Accepted => {
            let accepted = ask.one(shared).await;
            accepted
                .map(|reply| receipt(&reply.payload, 0))
                .map_err(Into::into)
        }
        Confirm::Received => received(&ask, shared).await,
    };
    published.map_err(|error| if keyless { key_needed(error) } else { error })
}

/// The node's word that a key is needed is the same error as that of any other bad key.
fn key_needed(error: PublishError) -> PublishError {
    let needed = KeyError::Empty { what: What::Key };
    match error {
        PublishError::Failed(RequestError::Declined(words)) if words == needed.to_string() => needed.into(),
        other => other,
    }
}

/// Once more when the exchange has another number by now.
async fn received(ask: &Ask, shared: &Arc<Shared>) -> Result<PublishReceipt, PublishError> {
    let unknown = PublishError::Failed(RequestError::Unavailable(NoReply::UnknownExchange));
    let cached = ask.is_cached(shared);
    match received_once(ask, shared).await {
        Err(error) if error == unknown && cached => received_once(ask, shared).await,
        outcome => outcome,
    }
}

async fn received_once(ask: &Ask, shared: &Arc<Shared>) -> Result<PublishReceipt, PublishError> {
    let mut replies = ask.many(shared).await?;
    let (mut nodes, mut of, mut failed) = (0, 0, None);
    while let Some(reply) = replies.next().await {
        match reply {
            // Nobody subscribes, or it is known: there is nobody to wait for.
            Ok(reply) if reply.index == 0 => return Ok(receipt(&reply.payload, 0)),
            Ok(reply) => (nodes, of) = (nodes + 1, reply.count),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        None => Ok(receipt(&[], nodes)),
        Some(error) if nodes == 0 => Err(error.into()),
        Some(why) => Err(PublishError::Partly {
            received: nodes,
            nodes: of,
            why,
        }),
    }
}

fn receipt(payload: &[u8], nodes: u32) -> PublishReceipt {
    PublishReceipt {
        nodes,
        duplicate: payload == DUPLICATE,
    }
}
