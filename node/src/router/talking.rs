//! The requester's side of a response in chunks and of questions asked back: what comes from the handler's node is checked
//! and given to the requester, what the requester says goes to the handler's node.
//!
//! What does not live here: the rules (`squall_kernel::talk`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::registry::Strategy;
use squall_kernel::talk::{RequesterEnd, Speaker, Terms, refusal, stop};
use tokio::sync::mpsc;

use super::open::Open;
use super::table::Talked;
use super::{Outcome, ReplyTo, Request, Router};
use crate::data::Change;
use crate::wire::count;

/// Names a request to whoever sent it, whatever number it has on the wire.
#[derive(Debug, Clone, Default)]
pub struct TalkId(Arc<AtomicU64>);

impl TalkId {
    pub(super) fn is(&self, message: MessageId) {
        self.0.store(message.0, Ordering::Release);
    }

    fn message(&self) -> MessageId {
        MessageId(self.0.load(Ordering::Acquire))
    }
}

/// What a requester takes beside one reply, and how it names the request.
#[derive(Debug, Clone, Default)]
pub struct Talking {
    /// What it takes.
    pub terms: Terms,
    /// Name.
    pub id: TalkId,
}

/// What reaches the requester of a talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A chunk.
    Chunk {
        /// Number, from 1.
        index: u32,
        /// Chunks in all, on the last one; 0 before.
        count: u32,
        /// Payload.
        payload: Bytes,
        /// Handler.
        handler: Pid,
    },
    /// A question of the handler.
    Question {
        /// Number, from 1.
        number: u32,
        /// Payload.
        payload: Bytes,
        /// Handler.
        handler: Pid,
    },
    /// The end.
    End(Outcome),
}

impl Said {
    pub(super) fn of(frame: &Frame) -> Self {
        let (payload, handler) = (frame.payload.clone(), frame.from);
        if frame.kind == Kind::Ask {
            Self::Question {
                number: frame.index,
                payload,
                handler,
            }
        } else {
            Self::Chunk {
                index: frame.index,
                count: frame.count,
                payload,
                handler,
            }
        }
    }
}

impl Router {
    /// Sends a request on those terms. What comes of it ends with [`Said::End`].
    #[must_use]
    pub fn converse(&self, request: Request, terms: Terms) -> (TalkId, mpsc::Receiver<Said>) {
        let id = TalkId::default();
        // All chunks that may be under way, a question, and the end.
        let (said, heard) = mpsc::channel(squall_kernel::limits::CHUNK_CREDIT_MAX as usize + 2);
        let talk = Some(Talking {
            terms,
            id: id.clone(),
        });
        self.submit(Request { talk, ..request }, ReplyTo::Talk(said));
        (id, heard)
    }

    /// The requester takes more chunks, and has `waiting` that it was not handed yet. Too much of it ends the request.
    ///
    /// # Errors
    /// [`TalkFault::CreditAbuse`]; [`TalkFault::Over`] when the request has ended, which it may have meanwhile.
    pub fn take_more(&self, id: &TalkId, more: u32, waiting: u32) -> Result<(), TalkFault> {
        let message = id.message();
        let granted = self.table.talk_of(message, |talk| talk.credit(more, waiting));
        match granted.ok_or(TalkFault::Over)? {
            Ok(None) => Ok(()),
            Ok(Some((handler, credit))) => {
                self.grant(message, handler, credit);
                Ok(())
            }
            Err(fault) => {
                count(&self.context.wire.tally.talk_faults);
                if let Some(open) = self.table.take(message) {
                    let outcome = Outcome::declined(open.request.exchange, fault.as_str().to_owned());
                    self.conclude(open, outcome);
                }
                Err(fault)
            }
        }
    }

    /// The requester's answer to a question of the handler.
    ///
    /// # Errors
    /// [`TalkFault`]: it is not passed on.
    pub fn tell(&self, id: &TalkId, number: u32, status: Status, payload: Bytes) -> Result<(), TalkFault> {
        let message = id.message();
        let answered = self
            .table
            .talk_of(message, |talk| talk.answer(number, payload.len()))
            .ok_or(TalkFault::NoSuchQuestion)
            .flatten();
        let speaker = answered.inspect_err(|_| count(&self.context.wire.tally.talk_faults))?;
        if self.context.spans.is_on() {
            self.table
                .traced_of(message, |traced| traced.answered(number, status));
        }
        let frame = Frame {
            index: number,
            status,
            payload,
            ..Frame::new(Kind::Tell)
        };
        if self.to_handler(message, speaker, frame).is_err() {
            self.interrupt(message);
        }
        Ok(())
    }

    /// Credit, or an answer, that did not arrive: its handler would wait for it until the deadline.
    pub(crate) fn untold(&self, frame: &Frame) {
        if matches!(frame.status, Status::Reply | Status::Declined) {
            self.interrupt(frame.message);
        }
    }

    /// The requester wants no more of it. Nothing happens when the request has ended.
    pub fn give_up(&self, id: &TalkId) {
        self.interrupt(id.message());
    }

    /// Takes in a chunk or a question.
    pub(crate) fn talked(&self, from: NodeId, frame: &Frame) {
        match self.table.talk(frame) {
            Talked::Given { credit: 0 } => {}
            Talked::Given { credit } => self.grant(frame.message, frame.from, credit),
            Talked::Refused(fault) => self.refuse(from, frame, fault),
            Talked::Broken(open, fault) => {
                self.refuse(from, frame, fault);
                self.end(open, NoReply::Interrupted);
            }
        }
    }

    /// A handler sent what it may not, or an answer to nothing that is open: it is told, and nobody else.
    fn refuse(&self, to: NodeId, frame: &Frame, fault: TalkFault) {
        count(&self.context.wire.tally.talk_faults);
        self.tell_refused(to, frame, fault);
    }

    fn tell_refused(&self, to: NodeId, frame: &Frame, fault: TalkFault) {
        let told = match frame.kind {
            // A reply cannot come back as one: this node would be taken for its requester's.
            Kind::Reply => Frame {
                kind: Kind::Credit,
                ..refusal(frame, fault)
            },
            _ => refusal(frame, fault),
        };
        // Not told, it finds out when the next one is refused, or by the deadline.
        let _later = self.context.wire.frame(to, frame.message.0, told);
    }

    /// A handler's answer to a request that has ended, or is another's: it is told so. It was counted as late.
    pub(super) fn refuse_late(&self, frame: &Frame) {
        let answers = matches!(frame.status, Status::Reply | Status::Declined);
        if answers && frame.from.serial != 0 {
            let fenced = self.table.is_fenced(frame);
            let fault = if fenced {
                TalkFault::Fenced
            } else {
                TalkFault::Over
            };
            self.tell_refused(frame.from.node, frame, fault);
        }
    }

    fn grant(&self, message: MessageId, handler: Pid, credit: u32) {
        let speaker = self.table.talk_of(message, |talk| talk.speaker()).flatten();
        let Some(speaker) = speaker.filter(|speaker| speaker.handler == handler) else {
            return;
        };
        let frame = Frame {
            credit,
            ..Frame::new(Kind::Credit)
        };
        if self.to_handler(message, speaker, frame).is_err() {
            self.interrupt(message);
        }
    }

    fn to_handler(
        &self,
        message: MessageId,
        speaker: Speaker,
        frame: Frame,
    ) -> Result<(), crate::wire::LinkError> {
        let frame = Frame {
            epoch: speaker.epoch,
            leader_epoch: speaker.leader_epoch,
            message,
            origin: self.context.node,
            to: speaker.handler.serial,
            ..frame
        };
        self.context.wire.frame(speaker.handler.node, message.0, frame)
    }

    /// A request that had begun to be answered has ended, and not by its handler's word: the handler need not go on.
    pub(super) fn let_go(&self, open: &Open, outcome: &Outcome) {
        let (Some(talk), Some(talking)) = (&open.talk, &open.request.talk) else {
            return;
        };
        let Some(speaker) = talk.speaker().filter(|s| outcome.handler != Some(s.handler)) else {
            return;
        };
        let why = match outcome.status {
            Status::None(reason) => reason,
            _ => NoReply::Interrupted,
        };
        // Not told, it finds out by the deadline.
        let _later = self.to_handler(talking.id.message(), speaker, stop(why, None));
    }

    /// Why a request cannot be made on its terms.
    pub(super) fn out_of_terms(&self, request: &Request) -> Option<String> {
        let terms = request.talk.as_ref()?.terms;
        if let Err(fault) = terms.check() {
            count(&self.context.wire.tally.talk_faults);
            return Some(fault.as_str().to_owned());
        }
        let registry = self.context.registry();
        let strategy = registry.exchanges.get(&request.exchange)?.strategy;
        (strategy == Strategy::Default).then(|| {
            "chunks and questions are between a requester and one handler: not under the strategy default"
                .to_owned()
        })
    }

    /// A frame that ends a request, as its requester may take it: what was begun is not sent again, and a response without
    /// its last chunk is none.
    pub(super) fn judged(&self, open: &Open, mut frame: Box<Frame>) -> Box<Frame> {
        let Some(talk) = &open.talk else { return frame };
        let interrupted = match frame.status {
            Status::None(reason) => talk.has_begun() && reason.may_be_sent_again(),
            Status::Reply => talk.reply(Speaker::of(&frame)).is_err_and(|fault| {
                self.refuse(frame.from.node, &frame, fault);
                true
            }),
            Status::Redirect | Status::Pass | Status::Rewrite => talk.has_begun(),
            Status::Declined => false,
        };
        if !interrupted {
            return frame;
        }
        (frame.status, frame.payload) = (Status::None(NoReply::Interrupted), Bytes::new());
        frame
    }
}

/// True when that is an answer of a handler that does not have the request, or had it under an epoch that is over.
pub(super) fn is_fenced(open: &Open, frame: &Frame) -> bool {
    let answers = matches!(frame.status, Status::Reply | Status::Declined) && frame.from.serial != 0;
    let fenced = |talk: &RequesterEnd| talk.reply(Speaker::of(frame)) == Err(TalkFault::Fenced);
    answers && open.talk.as_deref().is_some_and(fenced)
}

/// True when the handler that answers went with its node.
pub(super) fn handler_lost(open: &Open, change: &Change) -> bool {
    let Some(speaker) = open.talk.as_ref().and_then(|talk| talk.speaker()) else {
        return false;
    };
    change.is_lost(speaker.handler.node)
}
