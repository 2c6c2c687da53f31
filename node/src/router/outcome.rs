//! How requests end, and who is told.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::limits::HANDLERS_PER_EXCHANGE_MAX;
use squall_kernel::reason::NoReply;
use tokio::sync::{mpsc, oneshot};

use super::talking::Said;
use crate::process::{Envelope, Letter};
use crate::spans;

/// Outcomes of one request: one a handler, and the end.
pub(super) const OUTCOMES_MAX: usize = HANDLERS_PER_EXCHANGE_MAX + 1;

/// How a request ended, or one of its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Exchange.
    pub exchange: ExchangeId,
    /// How.
    pub status: Status,
    /// Payload of the reply, or why it was declined or failed, as text.
    pub payload: Bytes,
    /// Handler that replied or declined.
    pub handler: Option<Pid>,
    /// Number of the copy, from 1; 0 when the request ended as a whole.
    pub index: u32,
    /// Copies of the request.
    pub count: u32,
    /// True when further outcomes follow.
    pub more: bool,
    /// Request tag.
    pub request_tag: Bytes,
}

/// Under the number of its requester: what waits for those that send without a session.
impl Letter for (u64, Outcome) {
    fn envelope(&self) -> Envelope {
        Envelope {
            bytes: self.1.payload.len(),
            ..Envelope::of("outcome")
        }
    }
}

impl Outcome {
    pub(super) fn of(frame: Frame, more: bool) -> Self {
        // What the exchange itself declines comes from no process.
        let answered = matches!(frame.status, Status::Reply | Status::Declined) && frame.from.serial != 0;
        Self {
            exchange: frame.exchange,
            status: frame.status,
            payload: frame.payload,
            handler: answered.then_some(frame.from),
            index: frame.index,
            count: frame.count,
            more,
            request_tag: frame.tags.request,
        }
    }

    pub(crate) fn none(exchange: ExchangeId, reason: NoReply, request_tag: Bytes) -> Self {
        let status = Status::None(reason);
        Self {
            exchange,
            status,
            payload: Bytes::new(),
            handler: None,
            index: 0,
            count: 0,
            more: false,
            request_tag,
        }
    }

    /// Declined before it went anywhere.
    pub(crate) fn declined(exchange: ExchangeId, why: String) -> Self {
        let none = Self::none(exchange, NoReply::Rejected, Bytes::new());
        Self {
            status: Status::Declined,
            payload: Bytes::from(why),
            ..none
        }
    }

    /// Why there is no reply, in words; empty when there is one.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.status {
            Status::Reply => String::new(),
            Status::Declined => String::from_utf8_lossy(&self.payload).into_owned(),
            _ if self.payload.is_empty() => spans::status_word(self.status).to_owned(),
            _ => {
                let words = String::from_utf8_lossy(&self.payload);
                format!("{}: {words}", spans::status_word(self.status))
            }
        }
    }
}

/// Takes outcomes without waiting.
pub trait OutcomeSink: Send + Sync {
    /// Takes the outcome of the request submitted under `id`. False when nobody is there to take it.
    fn outcome(&self, id: u64, outcome: Outcome) -> bool;

    /// Takes what a handler says before it answers. False where nobody takes such a thing.
    fn said(&self, id: u64, said: Said) -> bool {
        let _ = (id, said);
        false
    }
}

/// Who is told of the outcomes of a request.
pub enum ReplyTo {
    /// The first reply, or the last failure.
    First(oneshot::Sender<Outcome>),
    /// All outcomes, in a queue that holds one a handler.
    All(mpsc::Sender<Outcome>),
    /// All outcomes, under the caller's own id.
    Sink(Arc<dyn OutcomeSink>, u64),
    /// Chunks, questions and the outcome.
    Talk(mpsc::Sender<Said>),
}

impl ReplyTo {
    /// True when that is all that is wanted.
    pub(super) fn suffices(&self, status: Status) -> bool {
        self.hears_the_end_alone() && !matches!(status, Status::None(_))
    }

    /// True for whoever gets one outcome, however many there are.
    pub(super) const fn hears_the_end_alone(&self) -> bool {
        matches!(self, Self::First(_))
    }

    /// Tells of an outcome that is not the last one. False when nobody takes it.
    pub(super) fn tell(&self, outcome: Outcome) -> bool {
        match self {
            Self::First(_) => true,
            Self::All(outcomes) => outcomes.try_send(outcome).is_ok(),
            Self::Sink(sink, id) => sink.outcome(*id, outcome),
            Self::Talk(said) => said.try_send(Said::End(outcome)).is_ok(),
        }
    }

    /// Tells of a chunk or a question. False when nobody takes it.
    pub(super) fn say(&self, said: Said) -> bool {
        match self {
            Self::First(_) | Self::All(_) => false,
            Self::Sink(sink, id) => sink.said(*id, said),
            Self::Talk(to) => to.try_send(said).is_ok(),
        }
    }

    /// Tells of the last outcome. False when nobody takes it.
    pub(super) fn finish(self, outcome: Outcome) -> bool {
        match self {
            Self::First(first) => first.send(outcome).is_ok(),
            other => other.tell(outcome),
        }
    }
}
