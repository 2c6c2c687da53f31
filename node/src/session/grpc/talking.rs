//! Chunks, credit, questions and answers on the gRPC interface.

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::reason::TalkFault;
use squall_kernel::talk::fault_of;
use squall_proto::v1;
use squall_proto::v1::server_event::Event as Out;

use super::stream::{Grpc, event};
use crate::data::DataContext;
use crate::handlers::embedded::words;
use crate::router::Said;
use crate::session::DeliveryKey;

impl Grpc {
    pub(super) fn send_chunk(&mut self, chunk: v1::SendChunk) -> Option<v1::ServerEvent> {
        let count = if chunk.last { chunk.index } else { 0 };
        self.speak(chunk.delivery, Kind::Chunk, (chunk.index, count), chunk.payload)
    }

    pub(super) fn ask_back(&mut self, question: v1::AskBack) -> Option<v1::ServerEvent> {
        self.speak(
            question.delivery,
            Kind::Ask,
            (question.number, 0),
            question.payload,
        )
    }

    fn speak(
        &mut self,
        delivery: u64,
        kind: Kind,
        (index, count): (u32, u32),
        payload: Bytes,
    ) -> Option<v1::ServerEvent> {
        let Some(key) = self.deliveries.open(delivery) else {
            crate::wire::count(&self.plane.context.wire.tally.talk_faults);
            return Some(refused(delivery, TalkFault::Over));
        };
        let fault = self.session.speak(key, kind, (index, count), payload).err()?;
        let question = if kind == Kind::Ask { index } else { 0 };
        Some(event(refusal(delivery, question, fault)))
    }

    pub(super) fn take_chunks(&mut self, take: v1::TakeChunks) -> Option<v1::ServerEvent> {
        let fault = self.session.take_more(take.id, take.chunks).err()?;
        if fault == TalkFault::Over {
            crate::wire::count(&self.plane.context.wire.tally.talk_faults);
        }
        Some(requester_refused(take.id, 0, fault))
    }

    pub(super) fn answer_question(&mut self, answer: v1::AnswerQuestion) -> Option<v1::ServerEvent> {
        let (status, payload) = if answer.declined {
            (Status::Declined, words(answer.reason))
        } else {
            (Status::Reply, answer.payload)
        };
        let told = self.session.tell(answer.id, answer.number, status, payload);
        let fault = told.err()?;
        Some(requester_refused(answer.id, answer.number, fault))
    }

    /// What a requester says to a handler of this client.
    pub(super) fn talked(&self, frame: &Frame) -> Option<Out> {
        let key = DeliveryKey {
            origin: frame.origin,
            message: frame.message,
            handler: frame.to,
        };
        // One that was answered so long ago that nobody knows its number: it was counted where it was refused.
        let delivery = self.deliveries.number(key)?;
        Some(match (frame.kind, frame.status) {
            (Kind::Credit, Status::Reply) => Out::MoreChunks(v1::MoreChunks {
                delivery,
                chunks: frame.credit,
            }),
            (Kind::Tell, Status::Reply) => Out::QuestionAnswered(v1::QuestionAnswered {
                delivery,
                number: frame.index,
                payload: frame.payload.clone(),
                ..v1::QuestionAnswered::default()
            }),
            (Kind::Tell, Status::Declined) => Out::QuestionAnswered(v1::QuestionAnswered {
                delivery,
                number: frame.index,
                declined: true,
                reason: String::from_utf8_lossy(&frame.payload).into_owned(),
                ..v1::QuestionAnswered::default()
            }),
            (Kind::Ask | Kind::Tell, _) => refusal(delivery, frame.index, fault_of(frame)),
            _ => refusal(delivery, 0, fault_of(frame)),
        })
    }
}

/// What the handler of a request says before it answers; the end comes as an outcome.
pub(super) fn said(context: &DataContext, id: u64, said: Said) -> Option<Out> {
    Some(match said {
        Said::Chunk {
            index,
            count,
            payload,
            handler,
        } => Out::Chunk(v1::ResponseChunk {
            id,
            index,
            count,
            payload,
            handler: context.pid_text(handler),
        }),
        Said::Question {
            number,
            payload,
            handler,
        } => Out::Question(v1::Question {
            id,
            number,
            payload,
            handler: context.pid_text(handler),
        }),
        Said::End(_) => return None,
    })
}

/// Tells a handler's client that nothing more is taken for a delivery.
pub(super) fn refused(delivery: u64, fault: TalkFault) -> v1::ServerEvent {
    event(refusal(delivery, 0, fault))
}

/// Tells a handler's client that its verdict is none; the delivery waits for another one.
pub(super) fn malformed(delivery: u64, reason: String) -> v1::ServerEvent {
    event(Out::TalkRefused(v1::TalkRefused {
        delivery,
        fault: v1::TalkFault::Malformed.into(),
        reason,
        ..v1::TalkRefused::default()
    }))
}

fn refusal(delivery: u64, question: u32, fault: TalkFault) -> Out {
    Out::TalkRefused(v1::TalkRefused {
        delivery,
        question,
        fault: kind_of(fault).into(),
        reason: fault.as_str().to_owned(),
        ..v1::TalkRefused::default()
    })
}

fn requester_refused(id: u64, question: u32, fault: TalkFault) -> v1::ServerEvent {
    event(Out::TalkRefused(v1::TalkRefused {
        id,
        question,
        fault: kind_of(fault).into(),
        reason: fault.as_str().to_owned(),
        ..v1::TalkRefused::default()
    }))
}

const fn kind_of(fault: TalkFault) -> v1::TalkFault {
    match fault {
        TalkFault::Gap => v1::TalkFault::Gap,
        TalkFault::Repeated => v1::TalkFault::Repeated,
        TalkFault::BeyondCredit => v1::TalkFault::BeyondCredit,
        TalkFault::AfterLast => v1::TalkFault::AfterLast,
        TalkFault::WrongCount => v1::TalkFault::WrongCount,
        TalkFault::Incomplete => v1::TalkFault::Incomplete,
        TalkFault::TooLarge => v1::TalkFault::TooLarge,
        TalkFault::CreditAbuse => v1::TalkFault::CreditAbuse,
        TalkFault::QuestionOpen => v1::TalkFault::QuestionOpen,
        TalkFault::QuestionOrder => v1::TalkFault::QuestionOrder,
        TalkFault::TooManyQuestions => v1::TalkFault::TooManyQuestions,
        TalkFault::NoQuestions => v1::TalkFault::NoQuestions,
        TalkFault::NoSuchQuestion => v1::TalkFault::NoSuchQuestion,
        TalkFault::Fenced => v1::TalkFault::Fenced,
        TalkFault::Over => v1::TalkFault::Over,
    }
}
