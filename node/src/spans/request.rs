//! The span of a request, a publish or a task at the node where it entered, from then to its end. It is told when it is over:
//! of those that were drawn, and of those that something happened to (a fault touched them, or they ended badly), whether they
//! were drawn or not.
//!
//! What does not live here: how they end (`router`).

use std::time::SystemTime;

use opentelemetry::trace::SpanKind;
use squall_kernel::frame::{Frame, Status, TraceContext};
use squall_kernel::reason::NoReply;

use super::talk::Talk;
use super::{SYSTEM, status_word};
use crate::telemetry::told::{SpanSink, Told};

/// The trace of a request, while it is open.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    /// What its messages carry.
    context: TraceContext,
    /// Whoever sent it, where that has a trace.
    caller: TraceContext,
    /// It was drawn when it entered, or its caller was.
    drawn: bool,
    /// Spans are told of it.
    on: bool,
    notes: Vec<Note>,
    /// What was said beside the reply, where anything was.
    talk: Option<Box<Talk>>,
    /// How it was refused and went out again, where it was.
    wait: Option<Box<Wait>>,
}

/// It was certainly not delivered, and went out again.
#[derive(Debug)]
struct Wait {
    began: SystemTime,
    until: SystemTime,
    refusals: u64,
    /// The latest.
    reason: NoReply,
}

/// Something that is known of a request beside its way.
#[derive(Debug)]
struct Note {
    key: &'static str,
    value: String,
    of: TraceContext,
}

/// What a request is that enters.
pub(crate) struct Sent {
    /// The exchange that was asked for.
    pub(crate) exchange: String,
    /// The one at which it ended, where that is another one.
    pub(crate) answered_by: Option<String>,
    /// Node of the owner that had it last, where one did.
    pub(crate) owner: Option<String>,
    /// `request`, `publish` or `submit`.
    pub(crate) operation: &'static str,
    /// Its sender's own id of it; empty without one.
    pub(crate) id: String,
    /// Routing key; empty without one.
    pub(crate) key: String,
    /// Bytes of the payload.
    pub(crate) bytes: usize,
    /// Who sends it, as people read it.
    pub(crate) from: String,
    /// When it entered.
    pub(crate) began: SystemTime,
}

/// How it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// How.
    pub(crate) status: Status,
    /// Chunks that came before the end.
    pub(crate) chunks: u32,
    /// Questions that its handler asked.
    pub(crate) questions: u32,
}

impl Traced {
    /// Of what enters under that context.
    pub(crate) fn of(sink: &SpanSink, caller: TraceContext) -> Self {
        let Some(sampling) = sink.sampling() else {
            return Self {
                context: caller,
                ..Self::default()
            };
        };
        let context = sampling.context(caller);
        Self {
            context,
            caller,
            drawn: context.sampled,
            on: true,
            ..Self::default()
        }
    }

    /// What its messages carry.
    pub(crate) const fn context(&self) -> TraceContext {
        self.context
    }

    /// Spans may be told of it: what is to be noted is worth finding out.
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// Something came back under that context: where it is sampled and the request was not, a fault has touched it.
    pub(crate) fn heard(&mut self, context: &TraceContext) {
        self.context.sampled |= context.sampled && self.on;
    }

    /// A chunk or a question has come.
    pub(crate) fn came(&mut self, frame: &Frame) {
        self.heard(&frame.trace);
        if frame.trace.sampled && self.on {
            let talk = self.talk.get_or_insert_default();
            talk.came(frame, SystemTime::now());
        }
    }

    /// The question of that number was answered.
    pub(crate) fn answered(&mut self, number: u32, status: Status) {
        if let Some(talk) = &mut self.talk {
            talk.answered(number, status, SystemTime::now());
        }
    }

    /// It was refused, certainly not delivered, and waits to go out again.
    pub(crate) fn waits(&mut self, reason: NoReply) {
        if !self.on {
            return;
        }
        let now = SystemTime::now();
        let wait = self.wait.get_or_insert_with(|| {
            Box::new(Wait {
                began: now,
                until: now,
                refusals: 0,
                reason,
            })
        });
        (wait.until, wait.reason) = (now, reason);
        wait.refusals += 1;
    }

    /// It goes out, for the first time or again.
    pub(crate) fn goes_on(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.until = SystemTime::now();
        }
    }

    /// When it began to wait for somebody who takes it, where it had to.
    pub(crate) fn waited_since(&self) -> Option<SystemTime> {
        self.wait.as_ref().map(|wait| wait.began)
    }

    /// Notes something that is told when it ends, pointing to `of`.
    pub(crate) fn note(&mut self, key: &'static str, value: String, of: TraceContext) {
        self.notes.push(Note { key, value, of });
    }

    /// Something is known of how it ended.
    pub(crate) const fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// It has ended. Its span is told where there is to be one; `sent` is asked for only then.
    pub(crate) fn ended(mut self, sink: &SpanSink, ended: Ended, sent: impl FnOnce() -> Sent) {
        let failed = match ended.status {
            Status::None(reason) => Some(reason.as_str()),
            _ => None,
        };
        let wanted = self.context.sampled || failed.is_some() || self.wait.is_some();
        if self.on && wanted && sink.has_room() {
            let sent = sent();
            if let Some(talk) = self.talk.take() {
                talk.tell(sink, &sent.exchange, failed, SystemTime::now());
            }
            self.tell_of_wait(sink, &sent.exchange);
            sink.tell(self.told(ended, failed, sent));
        }
    }

    /// Its own context, as it is told of.
    const fn kept(&self) -> TraceContext {
        TraceContext {
            sampled: true,
            ..self.context
        }
    }

    fn tell_of_wait(&self, sink: &SpanSink, exchange: &str) {
        let Some(wait) = &self.wait else { return };
        let told = Told::below(self.kept(), format!("wait {exchange}"), wait.began)
            .until(wait.until)
            .with("messaging.system", SYSTEM)
            .with("messaging.operation.name", "wait")
            .with("messaging.destination.name", exchange.to_owned())
            .with("squall.reason", wait.reason.as_str())
            .number("squall.refusals", wait.refusals);
        sink.tell(told);
    }

    fn told(self, ended: Ended, failed: Option<&'static str>, sent: Sent) -> Told {
        let context = self.kept();
        let name = format!("{} {}", sent.operation, sent.exchange);
        let mut told = Told::root(context, name, sent.began)
            .until(SystemTime::now())
            .of_kind(SpanKind::Producer)
            .with("messaging.system", SYSTEM)
            .with("messaging.operation.name", sent.operation)
            .with("messaging.operation.type", "send")
            .with("messaging.destination.name", sent.exchange)
            .number("messaging.message.body.size", sent.bytes as u64)
            .with("squall.from", sent.from)
            .with("squall.outcome", status_word(ended.status));
        for (key, text) in [
            ("messaging.message.id", sent.id),
            ("squall.key", sent.key),
            ("squall.answered_by", sent.answered_by.unwrap_or_default()),
            ("squall.owner", sent.owner.unwrap_or_default()),
        ] {
            if !text.is_empty() {
                told = told.with(key, text);
            }
        }
        for (key, count) in [
            ("squall.chunks", ended.chunks),
            ("squall.questions", ended.questions),
        ] {
            if count > 0 {
                told = told.number(key, count.into());
            }
        }
        if self.drawn {
            told.parent = self.caller.span_id;
        } else {
            // Nobody tells of its caller: it is a root, and says where it comes from.
            let why = match failed {
                Some(_) => "failed",
                None if self.context.sampled => "fault",
                None => "waited",
            };
            told = told.with("squall.kept", why);
            told = told.linked(self.caller);
        }
        for note in self.notes {
            told = told.with(note.key, note.value).linked(note.of);
        }
        match failed {
            Some(why) => told.failed(why),
            None => told,
        }
    }
}

/// The moment at which an answer came back to the node that had asked, below whoever sent it.
pub(crate) fn reply(sink: &SpanSink, frame: &Frame, exchange: impl FnOnce() -> String) {
    if !frame.trace.sampled || !sink.has_room() {
        return;
    }
    let told = Told::below(frame.trace, "reply", SystemTime::now())
        .with("messaging.system", SYSTEM)
        .with("messaging.operation.name", "reply")
        .with("messaging.destination.name", exchange())
        .with("squall.outcome", status_word(frame.status));
    sink.tell(told);
}
