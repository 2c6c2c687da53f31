//! A native client's frames in the router's terms, and the router's outcomes in frames.
//!
//! What does not live here: reading and writing them (`native`), and control messages (`calls`).

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::limits::{PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::publishing::{Confirm, join_tags};
use squall_kernel::reason::NoReply;
use squall_kernel::talk::Terms;
use squall_kernel::time::Span;

use crate::pubsub::SubscriberEvent;
use crate::router::{Outcome, Publish, Request, Said, Talking};
use crate::session::DeliveryKey;

/// A request ends with the frame whose reply index is 0, or when as many frames as its reply count have come.
pub(super) fn outcome_frame(id: u64, outcome: Outcome) -> Frame {
    let nobody = Pid {
        node: NodeId(0),
        serial: 0,
    };
    Frame {
        status: outcome.status,
        exchange: outcome.exchange,
        message: MessageId(id),
        from: outcome.handler.unwrap_or(nobody),
        index: outcome.index,
        count: outcome.count,
        tags: Tags {
            request: outcome.request_tag,
            ..Tags::default()
        },
        payload: outcome.payload,
        ..Frame::new(Kind::Reply)
    }
}

/// What a handler says before it answers; the end comes as an outcome.
pub(super) fn said_frame(id: u64, said: Said) -> Option<Frame> {
    let (kind, index, count, payload, from) = match said {
        Said::Chunk {
            index,
            count,
            payload,
            handler,
        } => (Kind::Chunk, index, count, payload, handler),
        Said::Question {
            number,
            payload,
            handler,
        } => (Kind::Ask, number, 0, payload, handler),
        Said::End(_) => return None,
    };
    Some(Frame {
        message: MessageId(id),
        index,
        count,
        payload,
        from,
        ..Frame::new(kind)
    })
}

/// An event for one of the client's subscribers.
pub(super) fn event_frame(subscriber: u64, event: &SubscriberEvent) -> Frame {
    let published = &event.published;
    let (connection, tags_len, payload) = join_tags(&event.connections, &published.payload);
    Frame {
        exchange: published.exchange,
        to: subscriber,
        from: published.publisher,
        credit: tags_len,
        priority: published.priority,
        trace: published.trace,
        tags: Tags {
            request: published.message_id.clone(),
            connection,
            key: published.key.clone(),
            ..Tags::default()
        },
        payload,
        ..Frame::new(Kind::Event)
    }
}

/// Which delivery a frame of the client's handler is about.
pub(super) fn delivery_of(frame: &Frame) -> DeliveryKey {
    DeliveryKey {
        origin: frame.origin,
        message: frame.message,
        handler: frame.from.serial,
    }
}

/// What a frame asks the router for.
pub(super) fn request_of(frame: Frame) -> Request {
    Request {
        submit: frame.kind == Kind::Submit,
        priority: frame.priority,
        exchange: frame.exchange,
        payload: frame.payload,
        tags: Tags {
            request: frame.tags.request,
            // Who publishes, or the terms of a task. A request's connection tag is its session's.
            connection: match frame.kind {
                Kind::Publish | Kind::Submit => frame.tags.connection,
                _ => Bytes::new(),
            },
            service: frame.tags.service,
            key: frame.tags.key,
        },
        timeout: Span::from_ms(u64::from(frame.left_ms)),
        trace: frame.trace,
        from: frame.from,
        publish: (frame.kind == Kind::Publish).then(|| Publish {
            confirm: Confirm::of(frame.signature),
            ttl_ms: frame.credit,
            priority: frame.priority,
        }),
        talk: talking((frame.kind == Kind::Request).then_some(Terms {
            credit: frame.credit,
            questions: frame.index > 0,
        })),
    }
}

/// An answer within the bounds of the wire, and none that only a node may give.
pub(super) fn bounded(status: Status, payload: Bytes) -> (Status, Bytes) {
    match status {
        Status::Reply | Status::Rewrite if payload.len() <= PAYLOAD_BYTES_MAX => (status, payload),
        Status::Reply | Status::Rewrite => (
            Status::Declined,
            Bytes::from_static(b"the reply is above the bound of a payload"),
        ),
        Status::Pass => (status, Bytes::new()),
        Status::Declined | Status::Redirect | Status::None(NoReply::Failed) => {
            let len = payload.len().min(REASON_BYTES_MAX);
            (status, payload.slice(..len))
        }
        // The handler never saw it; anything else a client says means that nobody knows.
        Status::None(NoReply::Rejected | NoReply::Unreachable) => (status, Bytes::new()),
        Status::None(_) => (Status::None(NoReply::Interrupted), Bytes::new()),
    }
}

fn talking(terms: Option<Terms>) -> Option<Talking> {
    let terms = terms.filter(|terms| !terms.is_plain())?;
    Some(Talking {
        terms,
        ..Talking::default()
    })
}
