//! Handlers that send chunks or ask back: what their requesters send goes to them, and nothing gets through that breaks the
//! rules. As `squall_node::talks` and `session::talking` do it for a client's handler.
//!
//! What does not live here: the rules (`squall_kernel::talk`), what a handler has to say (`workload::talk`), and the
//! requester's side (`requests`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::talk::{HandlerEnd, TalkKey, fault_of, stop};
use squall_kernel::time::Instant;
use squall_node::data::Change;
use squall_node::wire::ReturnPath;

use super::Host;
use crate::history::{TalkEvent, What};
use crate::sim::workload::talk::{Course, Slip};

/// Origin and number of a request, and the handler's serial.
type Key = (NodeId, MessageId, u64);

fn key_of(key: TalkKey) -> Key {
    (key.origin, key.message, key.handler)
}

/// A handler that has something to say before it answers.
#[derive(Debug)]
pub(super) struct Speaking {
    handler: Pid,
    request: RequestKey,
    back: ReturnPath,
    /// What it answers at last.
    reply: Frame,
    /// Beside the handler, and at its node.
    own: HandlerEnd,
    node: HandlerEnd,
    course: Course,
    sent: u32,
    asked: u32,
    /// It waits for an answer.
    asking: bool,
    until: Instant,
}

impl Speaking {
    /// Of a delivery, whose last word is `reply`. Nothing where there is nothing to say.
    pub(super) fn new(
        delivery: &Frame,
        request: RequestKey,
        reply: &Frame,
        course: Course,
        until: Instant,
    ) -> Option<Box<Self>> {
        if course.chunks == 0 && course.questions == 0 {
            return None;
        }
        let end = HandlerEnd::new(delivery.credit);
        Some(Box::new(Self {
            handler: reply.from,
            request,
            back: ReturnPath::of(delivery),
            reply: reply.clone(),
            own: end.clone(),
            node: end,
            course,
            sent: 0,
            asked: 0,
            asking: false,
            until,
        }))
    }

    fn key(&self) -> Key {
        (self.back.origin, self.back.message, self.handler.serial)
    }

    fn frame(&self, kind: Kind, (index, count): (u32, u32), number: Option<u32>) -> Frame {
        let first = self.request.message.0.to_le_bytes();
        let payload = number.map_or_else(Bytes::new, |number| {
            Bytes::from([first.as_slice(), &number.to_le_bytes()].concat())
        });
        Frame {
            kind,
            index,
            count,
            ..self.back.clone().reply(self.handler, Status::Reply, payload)
        }
    }

    /// The next chunk as the handler sends it, its mistakes included; nothing while the requester takes no more.
    fn next_chunk(&mut self) -> Option<Frame> {
        let all = self.course.chunks + u32::from(self.course.mark);
        let last = self.sent + 1 == all;
        let mark = last && self.course.mark;
        let slip = self.course.slip.filter(|_| self.sent + 2 == all && all > 1);
        let len = if mark { 0 } else { 12 };
        let number = match self.own.next_chunk(last, len) {
            Ok(Some(number)) => number,
            Ok(None) if slip == Some(Slip::BeyondCredit) => self.sent + 1,
            Ok(None) | Err(_) => return None,
        };
        self.sent = number;
        let number = match slip {
            Some(Slip::Gap) => number + 1,
            Some(Slip::Again) => number - 1,
            _ => number,
        };
        let count = if last { number } else { 0 };
        Some(self.frame(Kind::Chunk, (number, count), (!mark).then_some(number)))
    }

    fn is_done(&self) -> bool {
        let all = match self.course.chunks {
            0 => 0,
            chunks => chunks + u32::from(self.course.mark),
        };
        let unfinished = self.course.slip == Some(Slip::Unfinished) && all > 1;
        self.sent + u32::from(unfinished) >= all
    }
}

/// The handlers of a node that speak.
#[derive(Debug, Default)]
pub(super) struct Talks {
    open: BTreeMap<Key, Box<Speaking>>,
    due: BTreeSet<(Instant, Key)>,
}

impl Talks {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// A handler is gone, and what it would have said with it.
    pub(super) fn forget(&mut self, serial: u64) {
        self.open.retain(|(_, _, handler), _| *handler != serial);
    }
}

impl Host {
    pub(super) fn begin_talk(&mut self, now: Instant, speaking: Box<Speaking>) {
        let key = speaking.key();
        // What is never said ends at the deadline.
        self.talks.due.insert((speaking.until, key));
        self.talks.open.insert(key, speaking);
        self.go_on_talking(now, key);
    }

    pub(super) fn tick_talks(&mut self, now: Instant) {
        while let Some((at, key)) = self.talks.due.first().copied()
            && at <= now
        {
            self.talks.due.remove(&(at, key));
            self.go_on_talking(now, key);
        }
    }

    /// What a requester says to a handler, or what came back from it.
    pub(super) fn hear_talk(&mut self, now: Instant, frame: &Frame) {
        let key = key_of(TalkKey::to_handler(frame));
        let Some(speaking) = self.talks.open.get_mut(&key) else {
            return;
        };
        let mut answered = None;
        match (frame.kind, frame.status) {
            (Kind::Credit, Status::Reply) => {
                // What is not granted is not there.
                let _abuse = (
                    speaking.own.credit(frame.credit),
                    speaking.node.credit(frame.credit),
                );
            }
            (Kind::Tell, _) | (Kind::Ask, Status::None(_)) => {
                let _of_old = speaking.own.answer(frame.index);
                if speaking.node.answer(frame.index).is_ok() {
                    speaking.asking = false;
                    let told = frame.kind == Kind::Tell;
                    answered = told.then_some((speaking.request, speaking.back.exchange));
                }
            }
            (Kind::Credit | Kind::Chunk, _) => {
                speaking.own.end(fault_of(frame));
                speaking.node.end(fault_of(frame));
            }
            _ => {}
        }
        if let Some((request, exchange)) = answered {
            let (handler, number) = (self.pid(frame.to), frame.index);
            let wrote = wrote(frame).unwrap_or_default();
            self.tell_talk(
                exchange,
                request,
                TalkEvent::Answered {
                    handler,
                    number,
                    wrote,
                },
            );
        }
        self.go_on_talking(now, key);
    }

    fn go_on_talking(&mut self, now: Instant, key: Key) {
        let Some(speaking) = self.talks.open.get_mut(&key) else {
            return;
        };
        if speaking.node.is_over().is_some() || now >= speaking.until {
            // Its requester takes no answer any more.
            return self.end_talk(key, None);
        }
        if speaking.asking {
            return;
        }
        let again = now + speaking.course.pause;
        if speaking.asked < speaking.course.questions {
            self.ask_back(key);
        } else if speaking.is_done() {
            let reply = speaking.reply.clone();
            self.end_talk(key, Some(reply));
        } else if let Some(chunk) = speaking.next_chunk() {
            self.say(key, chunk);
            self.talks.due.insert((again, key));
        }
    }

    fn ask_back(&mut self, key: Key) {
        let Some(speaking) = self.talks.open.get_mut(&key) else {
            return;
        };
        let number = speaking.asked + 1;
        let frame = speaking.frame(Kind::Ask, (number, 0), Some(number));
        let len = frame.payload.len();
        let may = (
            speaking.own.question(number, len),
            speaking.node.question(number, len),
        );
        speaking.asked = number;
        if may == (Ok(()), Ok(())) {
            speaking.asking = true;
            self.carry(key, frame);
        }
    }

    fn say(&mut self, key: Key, chunk: Frame) {
        let Some(speaking) = self.talks.open.get_mut(&key) else {
            return;
        };
        let (index, mark) = (chunk.index, chunk.payload.is_empty());
        let passed = speaking.node.chunk(index, chunk.count, chunk.payload.len());
        let (handler, request, exchange) = (speaking.handler, speaking.request, speaking.back.exchange);
        if passed.is_err() {
            self.count("chunks that a handler's node did not let through");
            return self.break_talk_off(key);
        }
        let said = TalkEvent::Said { handler, index, mark };
        self.tell_talk(exchange, request, said);
        self.carry(key, chunk);
    }

    fn carry(&mut self, key: Key, frame: Frame) {
        // The lane of the reply: chunks arrive before it.
        if self.send(frame.origin, frame.message.0, frame).is_err() {
            self.break_talk_off(key);
        }
    }

    /// What it sends of a response can no longer be a whole one.
    fn break_talk_off(&mut self, key: Key) {
        let speaking = self.talks.open.get(&key);
        let none = speaking.map(|speaking| {
            let back = speaking.back.clone();
            back.none(speaking.handler, NoReply::Interrupted)
        });
        self.end_talk(key, none);
    }

    fn end_talk(&mut self, key: Key, last_word: Option<Frame>) {
        let Some(speaking) = self.talks.open.remove(&key) else {
            return;
        };
        self.talks.due.remove(&(speaking.until, key));
        self.handlers.answered(speaking.handler.serial);
        if let Some(reply) = last_word {
            self.reply(reply);
        }
    }

    /// A chunk or a question came back, or nobody knows what became of it: its handler stops, and its requester is told.
    pub(super) fn talk_broken_off(&mut self, now: Instant, frame: &Frame) {
        if frame.status != Status::Reply {
            return;
        }
        let stopped = stopped(TalkKey::from_handler(frame));
        self.hear_talk(now, &stopped);
        let back = ReturnPath {
            index: 0,
            count: 0,
            ..ReturnPath::of(frame)
        };
        self.reply(back.none(frame.from, NoReply::Interrupted));
    }

    /// The requesters of a lost node take nothing more.
    pub(super) fn talks_changed(&mut self, now: Instant, change: &Change) {
        let all = self.talks.open.keys().copied();
        let gone: Vec<Key> = all.filter(|(origin, _, _)| change.is_lost(*origin)).collect();
        for (origin, message, handler) in gone {
            let key = TalkKey {
                origin,
                message,
                handler,
            };
            self.hear_talk(now, &stopped(key));
        }
    }

    pub(super) fn tell_talk(&mut self, exchange: ExchangeId, request: RequestKey, what: TalkEvent) {
        self.event(What::Talk {
            request,
            exchange,
            what,
        });
    }
}

/// What a handler is told whose requester takes nothing more.
fn stopped(key: TalkKey) -> Frame {
    Frame {
        origin: key.origin,
        message: key.message,
        to: key.handler,
        ..stop(NoReply::Interrupted, None::<TalkFault>)
    }
}

/// The number in the payload of a chunk, a question or an answer, behind that of the request.
pub(super) fn wrote(frame: &Frame) -> Option<u32> {
    let bytes = frame.payload.get(8..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}
