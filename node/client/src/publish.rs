//! Publishing: what is confirmed, and what became of it. What does not live here: the way of a frame (`ask`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::{Priority, TraceContext};
use squall_kernel::keys::{Key, KeyError};
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
    /// The publisher's own id of it, at most 255 bytes: within the exchange's window a second publish of this client with
    /// the same id is taken for the first. Empty for none.
    pub message_id: Bytes,
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
            timeout: Duration::from_secs(5),
            trace: TraceContext::default(),
        }
    }
}

/// What the confirm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishReceipt {
    /// Nodes that have it for all their subscribers; 0 unless that was to be confirmed.
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
    /// Who publishes: the same on every connection of this client.
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
    // An inverted exchange takes publishes without a key; where one is needed the node says so.
    let key = if key.is_empty() {
        Bytes::new()
    } else {
        Key::new(key)?.into()
    };
    let head = Head {
        publisher: shared.publisher.clone(),
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
    match options.confirm {
        Confirm::None => {
            ask.unconfirmed(shared).await?;
            Ok(PublishReceipt::default())
        }
        Confirm::Accepted => Ok(receipt(&ask.one(shared).await?.payload, 0)),
        Confirm::Received => received(&ask, shared).await,
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
