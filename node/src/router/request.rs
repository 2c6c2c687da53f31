//! What enters the cluster: a request, a publish, or a task for a queue. What does not live here: its way.

use bytes::Bytes;
use squall_kernel::frame::{Priority, Tags, TraceContext};
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::limits::{PAYLOAD_BYTES_MAX, TAG_BYTES_MAX};
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Span;

use super::Talking;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Exchange.
    pub exchange: ExchangeId,
    /// It is a task for the queue of the exchange; its terms are in the connection tag.
    pub submit: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Payload.
    pub payload: Bytes,
    /// Tags.
    pub tags: Tags,
    /// Time until it times out; zero for the default of five seconds.
    pub timeout: Span,
    /// Trace context of the caller.
    pub trace: TraceContext,
    /// Process it comes from; order holds per process.
    pub from: Pid,
    /// What the requester takes beside one reply: chunks, questions; none for nothing more.
    pub talk: Option<Talking>,
    /// Set where it is no request but a publish: the key and the publisher's id are in the tags.
    pub publish: Option<Publish>,
}

/// What makes a publish of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Publish {
    /// What is to be confirmed.
    pub confirm: Confirm,
    /// How long it is good for, in milliseconds; 0 for as long as its exchange says.
    pub ttl_ms: u32,
    /// How urgent it is.
    pub priority: Priority,
}

impl Request {
    /// A request without tags and trace, under the default timeout.
    #[must_use]
    pub fn new(exchange: ExchangeId, payload: Bytes) -> Self {
        Self {
            exchange,
            submit: false,
            priority: Priority::default(),
            payload,
            tags: Tags::default(),
            timeout: Span::ZERO,
            trace: TraceContext::default(),
            from: Pid {
                node: NodeId(0),
                serial: 0,
            },
            talk: None,
            publish: None,
        }
    }

    /// A publish without tags and trace but the key, under the default timeout.
    #[must_use]
    pub fn publish(exchange: ExchangeId, key: Bytes, payload: Bytes, publish: Publish) -> Self {
        Self {
            tags: Tags {
                key,
                ..Tags::default()
            },
            publish: Some(publish),
            ..Self::new(exchange, payload)
        }
    }
}

/// What is too large about it.
pub(super) fn oversized(request: &Request) -> Option<String> {
    let len = request.payload.len();
    if len > PAYLOAD_BYTES_MAX {
        return Some(format!(
            "a payload of {len} bytes is above the bound of {PAYLOAD_BYTES_MAX}"
        ));
    }
    let longest = request.tags.all().into_iter().map(Bytes::len).max().unwrap_or(0);
    (longest > TAG_BYTES_MAX)
        .then(|| format!("a tag of {longest} bytes is above the bound of {TAG_BYTES_MAX}"))
}
