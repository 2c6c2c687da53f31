//! Between the session's types and those of the gRPC interface. The one place that says which outcome is which kind.

use bytes::Bytes;
use squall_client::handler::{Answer, Notice, NoticeKind, ServerInfo};
use squall_kernel::frame::{Frame, Priority, Status, Tags, TraceContext};
use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::limits::{DRIFT_PPM, TAG_BYTES_MAX};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::talk::Terms;
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::server_event::Event;

use super::Granted;
use crate::data::DataContext;
use crate::handlers::embedded::{checked, words};
use crate::router::{Outcome, Request, Talking};
use crate::telemetry::context::{format_traceparent, parse_traceparent};

/// Why a handler was detached, on the gRPC interface.
pub(super) const fn detach_reason(reason: DetachReason) -> v1::DetachReason {
    match reason {
        DetachReason::Asked => v1::DetachReason::Asked,
        DetachReason::NodeLost => v1::DetachReason::NodeLost,
        DetachReason::ClientGone => v1::DetachReason::ClientGone,
        DetachReason::Panicked => v1::DetachReason::Panicked,
        DetachReason::Done => v1::DetachReason::Done,
        DetachReason::ExchangeDeleted => v1::DetachReason::ExchangeDeleted,
    }
}

/// Why a client detaches its handler: the rest is not for a client to say.
pub(super) const fn detached_by_client(why: v1::DetachReason) -> DetachReason {
    match why {
        v1::DetachReason::Panicked => DetachReason::Panicked,
        v1::DetachReason::Done => DetachReason::Done,
        _ => DetachReason::Asked,
    }
}

/// The kind of an outcome on the gRPC interface.
#[must_use]
pub(super) const fn kind_of(status: Status) -> v1::OutcomeKind {
    match status {
        Status::Reply => v1::OutcomeKind::Reply,
        Status::Declined | Status::Redirect | Status::Pass | Status::Rewrite => v1::OutcomeKind::Declined,
        Status::None(reason) => match reason {
            NoReply::Timeout => v1::OutcomeKind::Timeout,
            NoReply::NoResponders => v1::OutcomeKind::NoResponders,
            NoReply::Rejected => v1::OutcomeKind::Rejected,
            NoReply::Interrupted => v1::OutcomeKind::Interrupted,
            NoReply::NoOwner
            | NoReply::NoQuorum
            | NoReply::NoLeader
            | NoReply::Settling
            | NoReply::Moved
            | NoReply::UnknownExchange
            | NoReply::Unreachable
            | NoReply::Fenced
            | NoReply::NoFunction => v1::OutcomeKind::Unavailable,
            NoReply::Degraded => v1::OutcomeKind::Degraded,
            NoReply::NoMiddleware => v1::OutcomeKind::NoMiddleware,
            NoReply::Failed => v1::OutcomeKind::Failed,
        },
    }
}

pub(super) fn outcome(context: &DataContext, id: u64, outcome: Outcome) -> v1::RequestOutcome {
    v1::RequestOutcome {
        id,
        kind: kind_of(outcome.status).into(),
        reason: outcome.reason(),
        handler: outcome
            .handler
            .map(|pid| context.pid_text(pid))
            .unwrap_or_default(),
        reply_index: outcome.index,
        reply_count: outcome.count,
        more: outcome.more,
        request_tag: text(&outcome.request_tag),
        submitted: None,
        payload: if outcome.status == Status::Reply {
            outcome.payload
        } else {
            Bytes::new()
        },
    }
}

/// The outcome of what is for an exchange that does not exist.
pub(super) fn unknown(id: u64, exchange: &str, request_tag: String) -> v1::RequestOutcome {
    let status = Status::None(NoReply::UnknownExchange);
    v1::RequestOutcome {
        id,
        kind: kind_of(status).into(),
        reason: format!("{} '{}'", NoReply::UnknownExchange, shortened(exchange)),
        request_tag,
        ..v1::RequestOutcome::default()
    }
}

/// The same as an event of a session.
pub(super) fn unknown_exchange(id: u64, exchange: &str, request_tag: String) -> v1::ServerEvent {
    v1::ServerEvent {
        event: Some(Event::Outcome(unknown(id, exchange, request_tag))),
    }
}

/// The outcome of what cannot be asked for at all.
pub(super) fn declined(id: u64, why: String) -> v1::RequestOutcome {
    v1::RequestOutcome {
        id,
        kind: v1::OutcomeKind::Declined.into(),
        reason: why,
        ..v1::RequestOutcome::default()
    }
}

/// What is wrong with the longest of these tags, if it is too long.
pub(super) fn too_long<const N: usize>(tags: [&String; N]) -> Option<String> {
    let longest = tags.into_iter().map(String::len).max().unwrap_or(0);
    (longest > TAG_BYTES_MAX).then(|| format!("a tag has at most {TAG_BYTES_MAX} bytes, not {longest}"))
}

/// # Errors
/// In words: it is none.
pub(super) fn priority(number: u32) -> Result<Priority, String> {
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    Priority::new(number).map_err(|error| error.to_string())
}

pub(super) fn request(
    call: v1::RequestCall,
    exchange: ExchangeId,
    metadata: Option<TraceContext>,
) -> Request {
    let talk = talking(&call);
    Request {
        tags: Tags {
            request: Bytes::from(call.request_tag),
            connection: Bytes::new(),
            service: Bytes::from(call.service_tag),
            key: Bytes::from(call.key),
        },
        timeout: Span::from_ms(u64::from(call.timeout_ms)),
        // A context that cannot be read is none: a broken tracer must not break messaging.
        trace: parse_traceparent(&call.traceparent)
            .ok()
            .or(metadata)
            .unwrap_or_default(),
        talk,
        ..Request::new(exchange, call.payload)
    }
}

/// What a call wants beside one reply, if anything.
pub(super) fn talking(call: &v1::RequestCall) -> Option<Talking> {
    let terms = Terms {
        credit: call.chunk_credit,
        questions: call.answers_questions,
    };
    (!terms.is_plain()).then(|| Talking {
        terms,
        ..Talking::default()
    })
}

pub(super) fn delivery(
    frame: Frame,
    delivery: u64,
    handler: u32,
    exchange: &str,
    connection_tag: &str,
) -> v1::Delivery {
    v1::Delivery {
        delivery,
        handler,
        exchange: exchange.to_owned(),
        request_tag: text(&frame.tags.request),
        connection_tag: connection_tag.to_owned(),
        key: text(&frame.tags.key),
        ahead_of: if frame.ahead {
            text(&frame.tags.service)
        } else {
            String::new()
        },
        epoch: frame.epoch.0,
        leader_epoch: frame.leader_epoch.0,
        chunk_credit: frame.credit,
        traceparent: format_traceparent(frame.trace),
        payload: frame.payload,
    }
}

/// What a handler answers, within the bounds of the wire; `verdict` is the reply's.
pub(super) fn answer(verdict: v1::Verdict, reply: v1::Reply) -> (Status, Bytes) {
    use v1::Verdict;
    let answer = match verdict {
        Verdict::Answer if reply.declined => Answer::Decline(reply.reason),
        Verdict::Answer => Answer::Reply(reply.payload),
        Verdict::Pass => Answer::Pass,
        Verdict::Rewrite => Answer::Rewrite(reply.payload),
        Verdict::Redirect => match ExchangeName::new(&reply.redirect_to) {
            Ok(name) => Answer::Redirect(name),
            Err(error) => {
                let to = shortened(&reply.redirect_to);
                Answer::Decline(format!("sent on to '{to}': {error}"))
            }
        },
        Verdict::Failed => return (Status::None(NoReply::Failed), words(reply.reason)),
    };
    checked(answer)
}

/// A notice for a client. `lease_left` is zero where this node is not the owner: it knows only its own lease.
pub(super) fn system(handler: u32, notice: Notice, lease_left: Span) -> v1::SystemMessage {
    use v1::system_message::What;
    let what = match notice.what {
        NoticeKind::Leader {
            leader,
            leader_epoch,
            you,
            servers,
        } => What::Leader(v1::LeaderMessage {
            leader: leader.unwrap_or_default(),
            leader_epoch: leader_epoch.0,
            you,
            servers: servers.iter().cloned().map(server).collect(),
            lease_left_ms: u32::try_from(lease_left.as_ms()).unwrap_or(u32::MAX),
        }),
        NoticeKind::SlaveUp(up) => What::SlaveUp(server(up)),
        NoticeKind::SlaveDown { pid, .. } => What::SlaveDown(v1::Server {
            pid,
            ..v1::Server::default()
        }),
    };
    v1::SystemMessage {
        handler,
        exchange: notice.exchange.as_str().to_owned(),
        epoch: notice.epoch.0,
        counter: notice.counter.0,
        what: Some(what),
    }
}

/// The answer to a client's question. What clocks may differ in speed is taken off here: clients in other languages just
/// add.
pub(super) fn leadership(handler: u32, granted: Granted) -> Event {
    Event::Leadership(v1::Leadership {
        handler,
        asked_at_us: granted.asked_at.0,
        leader_epoch: granted.leader_epoch.0,
        remaining_us: granted.remaining.shortened(DRIFT_PPM).0,
        ask_again_us: granted.again.0,
    })
}

fn server(server: ServerInfo) -> v1::Server {
    v1::Server {
        pid: server.pid,
        node: server.node,
        service_tag: server.service_tag,
    }
}

/// Characters of what a client gave that are said back to it.
const SHOWN_MAX: usize = 64;

/// The beginning of what a client gave: a megabyte of it is not sent back.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// What a client means by a number of a closed list.
///
/// # Errors
/// Says which number it is that stands for nothing.
pub(super) fn known<T: TryFrom<i32>>(what: &str, number: i32) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("invalid argument: there is no {what} {number}"))
}

/// Tags are bytes on the wire; on this interface they are text.
pub(super) fn text(tag: &Bytes) -> String {
    String::from_utf8_lossy(tag).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_gave_is_not_said_back_in_full_and_unknown_numbers_are_none() {
        let long = "x".repeat(1024 * 1024);
        assert!(unknown(1, &long, String::new()).reason.len() < 128);
        assert_eq!(known::<v1::Confirm>("confirm", 2), Ok(v1::Confirm::Received));
        let unknown = known::<v1::Verdict>("verdict", 77);
        assert_eq!(unknown, Err("invalid argument: there is no verdict 77".into()));
    }

    #[test]
    fn every_reason_that_says_unavailable_is_unavailable() {
        for reason in NoReply::ALL {
            let unavailable = kind_of(Status::None(*reason)) == v1::OutcomeKind::Unavailable;
            assert_eq!(
                unavailable,
                reason.as_str().starts_with("unavailable"),
                "{reason}"
            );
        }
    }
}
