//! The spans of what passes between requester and handler beside request and reply, at the requester's node: the chunks of a
//! response as one, from the first that came to the last; and each question, from when it came to when its answer left. They are
//! told when their request ends.
//!
//! What does not live here: the rules (`squall_kernel::talk`).

use std::time::SystemTime;

use opentelemetry::trace::SpanKind;
use squall_kernel::frame::{Frame, Kind, Status, TraceContext};
use squall_kernel::limits::QUESTIONS_MAX;
use squall_kernel::talk::is_end_mark;

use super::{SYSTEM, status_word};
use crate::telemetry::told::{SpanSink, Told};

/// What was said so far, of what is sampled.
#[derive(Debug, Default)]
pub(super) struct Talk {
    chunks: Option<Chunks>,
    /// A handler has one question open at a time: the last one.
    questions: Vec<Question>,
}

#[derive(Debug)]
struct Chunks {
    below: TraceContext,
    began: SystemTime,
    latest: SystemTime,
    count: u64,
    bytes: u64,
    whole: bool,
}

#[derive(Debug)]
struct Question {
    below: TraceContext,
    number: u32,
    bytes: usize,
    began: SystemTime,
    answered: Option<(SystemTime, Status)>,
}

impl Talk {
    /// A chunk or a question has come.
    pub(super) fn came(&mut self, frame: &Frame, now: SystemTime) {
        if frame.kind == Kind::Ask {
            self.asked(frame, now);
            return;
        }
        let chunks = self.chunks.get_or_insert(Chunks {
            below: frame.trace,
            began: now,
            latest: now,
            count: 0,
            bytes: 0,
            whole: false,
        });
        chunks.latest = now;
        // A response whose length was not known before ends with a mark that is no chunk.
        chunks.count += u64::from(!is_end_mark(frame.count, frame.payload.len()));
        chunks.bytes += frame.payload.len() as u64;
        chunks.whole |= frame.count > 0;
    }

    fn asked(&mut self, frame: &Frame, now: SystemTime) {
        if self.questions.len() < QUESTIONS_MAX as usize {
            self.questions.push(Question {
                below: frame.trace,
                number: frame.index,
                bytes: frame.payload.len(),
                began: now,
                answered: None,
            });
        }
    }

    /// The requester has answered the question of that number.
    pub(super) fn answered(&mut self, number: u32, status: Status, now: SystemTime) {
        let open = self
            .questions
            .iter_mut()
            .find(|question| question.number == number);
        if let Some(question) = open {
            question.answered.get_or_insert((now, status));
        }
    }

    /// The request has ended, with an error where `failed` has one: what was not over by then never will be.
    pub(super) fn tell(self, sink: &SpanSink, exchange: &str, failed: Option<&'static str>, now: SystemTime) {
        // Whoever ends well has answered nobody's question any more, or has what it asked for.
        let unfinished = failed.unwrap_or("over");
        if let Some(chunks) = self.chunks {
            let told = Told::below(chunks.below, format!("chunks {exchange}"), chunks.began)
                .until(chunks.latest)
                .with("messaging.system", SYSTEM)
                .with("messaging.operation.name", "chunks")
                .with("messaging.destination.name", exchange.to_owned())
                .number("squall.chunks", chunks.count)
                .number("messaging.message.body.size", chunks.bytes);
            sink.tell(if chunks.whole {
                told
            } else {
                told.failed(unfinished)
            });
        }
        for question in self.questions {
            let told = Told::below(question.below, format!("question {exchange}"), question.began)
                .of_kind(SpanKind::Consumer)
                .with("messaging.system", SYSTEM)
                .with("messaging.operation.name", "question")
                .with("messaging.operation.type", "process")
                .with("messaging.destination.name", exchange.to_owned())
                .number("messaging.message.body.size", question.bytes as u64)
                .number("squall.question", question.number.into());
            sink.tell(match question.answered {
                Some((at, status)) => told.until(at).with("squall.outcome", status_word(status)),
                None => told.until(now).failed(unfinished),
            });
        }
    }
}
