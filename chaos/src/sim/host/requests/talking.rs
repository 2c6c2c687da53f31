//! The requester's side of a response in chunks and of questions asked back. As `squall_node::router::talking` does it; the
//! requester itself is the simulator's.
//!
//! What does not live here: the rules (`squall_kernel::talk`), and what a requester takes (`workload::talk`).

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::talk::{RequesterEnd, Speaker, refusal, stop};
use squall_kernel::time::Instant;
use squall_node::data::Change;
use squall_node::wire::LinkError;

use super::{Open, Stage};
use crate::history::{Mark, TalkEvent, What};
use crate::sim::host::Host;
use crate::sim::host::talks::wrote;
use crate::sim::workload::talk::Taking;

/// What goes between a requester and its handler beside the reply.
#[derive(Debug)]
pub(super) struct Talking {
    taking: Taking,
    pub(super) end: RequesterEnd,
    /// Chunks that the requester has.
    given: u32,
}

impl Talking {
    pub(super) fn new(taking: Taking) -> Box<Self> {
        Box::new(Self {
            end: RequesterEnd::new(taking.terms),
            taking,
            given: 0,
        })
    }

    pub(super) const fn credit(&self) -> u32 {
        self.taking.terms.credit
    }
}

/// True when that is an answer of a handler that does not have the request, or had it under an epoch that is over.
pub(super) fn is_fenced(open: &Open, frame: &Frame) -> bool {
    let answers = matches!(frame.status, Status::Reply | Status::Declined) && frame.from.serial != 0;
    let talk = open.talk.as_ref().filter(|_| answers);
    talk.is_some_and(|talk| talk.end.reply(Speaker::of(frame)) == Err(TalkFault::Fenced))
}

/// True when the handler that answers went with its node.
pub(super) fn handler_lost(open: &Open, change: &Change) -> bool {
    let speaker = open.talk.as_ref().and_then(|talk| talk.end.speaker());
    speaker.is_some_and(|speaker| change.is_lost(speaker.handler.node))
}

/// True when the talk is with a handler on that node.
pub(super) fn is_with(open: &Open, node: NodeId) -> bool {
    open.talk.as_ref().is_some_and(|talk| talk.end.is_with(node))
}

impl Host {
    /// Tells what the requester takes with its request, and gives what it says of more before it has heard anything.
    pub(super) fn takes_early(&mut self, open: &Open) -> Option<u32> {
        let talk = open.talk.as_ref()?;
        let (credit, taking) = (talk.credit(), talk.taking);
        let request = self.key(open.first);
        self.tell_talk(open.exchange, request, TalkEvent::Takes { credit });
        (taking.early && taking.more > 0 && credit > 0).then_some(taking.more)
    }

    /// The requester takes more chunks. Too much of it ends the request.
    pub(super) fn take_more(&mut self, now: Instant, message: MessageId, more: u32) {
        let Some(open) = self.requests.open.get_mut(&message) else {
            return;
        };
        let Some(talk) = &mut open.talk else { return };
        let granted = talk.end.credit(more, 0);
        let (first, exchange) = (open.first, open.exchange);
        match granted {
            Ok(told) => {
                let request = self.key(first);
                self.tell_talk(exchange, request, TalkEvent::Takes { credit: more });
                if let Some((handler, credit)) = told {
                    self.grant(now, message, handler, credit);
                }
            }
            Err(_) => {
                // Live its requester is told what it did; its handler may have carried it out.
                self.interrupt_request(now, message);
            }
        }
    }

    /// Takes in a chunk or a question.
    pub(in crate::sim::host) fn take_talk(&mut self, now: Instant, from: NodeId, frame: &Frame) {
        let asks = frame.kind == Kind::Ask;
        let sent =
            |open: &&mut Open| matches!(open.stage, Stage::Sent { .. }) && open.exchange == frame.exchange;
        let Some(open) = self.requests.open.get_mut(&frame.message).filter(sent) else {
            return self.refuse_talk(from, frame, TalkFault::Over);
        };
        let first = open.first;
        let Some(talk) = &mut open.talk else {
            let unwanted = [TalkFault::BeyondCredit, TalkFault::NoQuestions];
            return self.refuse_talk(from, frame, unwanted[usize::from(asks)]);
        };
        let (speaker, len) = (Speaker::of(frame), frame.payload.len());
        let taken = if asks {
            talk.end.question(speaker, frame.index, len)
        } else {
            let taken = talk.end.chunk(speaker, frame.index, frame.count, len);
            talk.given += u32::from(taken.is_ok_and(|taken| taken.give));
            taken.map(|taken| taken.credit)
        };
        match taken {
            Ok(credit) => {
                self.tell_heard(first, frame);
                if credit > 0 {
                    self.grant(now, frame.message, frame.from, credit);
                }
                self.requester_hears(now, frame);
            }
            Err(fault) => {
                self.refuse_talk(from, frame, fault);
                if !asks && fault != TalkFault::Fenced {
                    self.interrupt_request(now, frame.message);
                }
            }
        }
    }

    fn tell_heard(&mut self, first: MessageId, frame: &Frame) {
        let (handler, index) = (frame.from, frame.index);
        let what = if frame.kind == Kind::Ask {
            TalkEvent::Asked {
                handler,
                number: index,
            }
        } else {
            TalkEvent::Given {
                handler,
                index,
                count: frame.count,
                wrote: wrote(frame),
            }
        };
        let request = self.key(first);
        self.tell_talk(frame.exchange, request, what);
    }

    /// The requester does what it does.
    fn requester_hears(&mut self, now: Instant, frame: &Frame) {
        let message = frame.message;
        let Some(talk) = self
            .requests
            .open
            .get(&message)
            .and_then(|open| open.talk.as_ref())
        else {
            return;
        };
        let taking = talk.taking;
        if frame.kind == Kind::Ask {
            if taking.answers {
                self.answer_question(now, message, frame.index);
            }
        } else if taking.gives_up_after.is_some_and(|most| talk.given >= most) {
            self.interrupt_request(now, message);
        } else if taking.more > 0 && talk.end.outstanding() == 0 && frame.count == 0 {
            self.take_more(now, message, taking.more);
        }
    }

    fn answer_question(&mut self, now: Instant, message: MessageId, number: u32) {
        let Some(open) = self.requests.open.get_mut(&message) else {
            return;
        };
        let first = open.first;
        let talk = open.talk.as_mut();
        let Some(Ok(speaker)) = talk.map(|talk| talk.end.answer(number, 12)) else {
            return;
        };
        let payload = [first.0.to_le_bytes().as_slice(), &number.to_le_bytes()].concat();
        let frame = Frame {
            index: number,
            payload: Bytes::from(payload),
            ..Frame::new(Kind::Tell)
        };
        if self.send_to_handler(message, speaker, frame).is_err() {
            self.interrupt_request(now, message);
        }
    }

    /// Credit, or an answer, that did not arrive: its handler would wait for it until the deadline.
    pub(in crate::sim::host) fn talk_untold(&mut self, now: Instant, frame: &Frame) {
        if matches!(frame.status, Status::Reply | Status::Declined) {
            self.interrupt_request(now, frame.message);
        }
    }

    fn refuse_talk(&mut self, to: NodeId, frame: &Frame, fault: TalkFault) {
        self.event(What::Mark(Mark::TalkRefused));
        let told = match frame.kind {
            // A reply cannot come back as one: this node would be taken for its requester's.
            Kind::Reply => Frame {
                kind: Kind::Credit,
                ..refusal(frame, fault)
            },
            _ => refusal(frame, fault),
        };
        let _later = self.send(to, frame.message.0, told);
    }

    /// A handler's answer to a request that has ended, or is another's: it is told so.
    pub(super) fn refuse_late(&mut self, frame: &Frame) {
        let answers = matches!(frame.status, Status::Reply | Status::Declined);
        // Where nobody takes chunks there is nobody to be stopped.
        if self.config.work.talks == 0 || !answers || frame.from.serial == 0 {
            return;
        }
        let open = self.requests.open.get(&frame.message);
        let fault = if open.is_some_and(|open| is_fenced(open, frame)) {
            TalkFault::Fenced
        } else {
            TalkFault::Over
        };
        self.refuse_talk(frame.from.node, frame, fault);
    }

    fn grant(&mut self, now: Instant, message: MessageId, handler: Pid, credit: u32) {
        let talk = self
            .requests
            .open
            .get(&message)
            .and_then(|open| open.talk.as_ref());
        let speaker = talk.and_then(|talk| talk.end.speaker());
        let Some(speaker) = speaker.filter(|speaker| speaker.handler == handler) else {
            return;
        };
        let frame = Frame {
            credit,
            ..Frame::new(Kind::Credit)
        };
        if self.send_to_handler(message, speaker, frame).is_err() {
            self.interrupt_request(now, message);
        }
    }

    fn send_to_handler(
        &mut self,
        message: MessageId,
        speaker: Speaker,
        frame: Frame,
    ) -> Result<(), LinkError> {
        let frame = Frame {
            epoch: speaker.epoch,
            leader_epoch: speaker.leader_epoch,
            message,
            origin: self.id(),
            to: speaker.handler.serial,
            ..frame
        };
        self.send(speaker.handler.node, message.0, frame)
    }

    /// A request that had begun to be answered has ended, and not by its handler's word: the handler need not go on.
    pub(super) fn let_go(&mut self, open: &Open, handler: Option<Pid>, why: NoReply) {
        let speaker = open.talk.as_ref().and_then(|talk| talk.end.speaker());
        if let Some(speaker) = speaker.filter(|speaker| handler != Some(speaker.handler)) {
            // Not told, it finds out by the deadline.
            let _later = self.send_to_handler(open.message, speaker, stop(why, None));
        }
    }

    /// A frame that ends a request, as its requester may take it: what was begun is not sent again, and a response without
    /// its last chunk is none.
    pub(super) fn judged(&mut self, open: &Open, frame: &Frame) -> Option<Frame> {
        let talk = open.talk.as_ref()?;
        let interrupted = match frame.status {
            Status::None(reason) => talk.end.has_begun() && reason.may_be_sent_again(),
            Status::Reply => match talk.end.reply(Speaker::of(frame)) {
                Ok(()) => false,
                Err(fault) => {
                    self.refuse_talk(frame.from.node, frame, fault);
                    true
                }
            },
            Status::Redirect | Status::Pass | Status::Rewrite => talk.end.has_begun(),
            Status::Declined => false,
        };
        interrupted.then(|| Frame {
            status: Status::None(NoReply::Interrupted),
            payload: Bytes::new(),
            ..frame.clone()
        })
    }
}
