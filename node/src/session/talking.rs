//! A session's part in chunks and questions: of the requests its client sends, and of the deliveries its client handles.
//!
//! What does not live here: the rules (`squall_kernel::talk`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::Pid;
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::talk::{HandlerEnd, TalkKey, fault_of};
use tokio::sync::Notify;

use super::{DeliveryKey, Event, OpenDelivery, Session};
use crate::limits::SESSION_TALKS_MAX;
use crate::router::{Outcome, OutcomeSink, ReplyTo, Request, Said};
use crate::talks::{TalkSink, stopped};
use crate::wire::count;

/// What waits for the client beside its mailbox: chunks that it asked for, at most one question a request, the ends of those
/// requests, and what requesters say to its handlers. The requesters' credit bounds all of it.
#[derive(Default)]
pub(super) struct TalkQueue {
    waiting: Mutex<Waiting>,
    pub(super) some: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// Chunks among them, by request.
    chunks: HashMap<u64, u32>,
}

impl TalkQueue {
    fn push(&self, event: Event) {
        let mut waiting = self.lock();
        if let Event::Said {
            id,
            said: Said::Chunk { .. },
        } = &event
        {
            *waiting.chunks.entry(*id).or_default() += 1;
        }
        waiting.events.push_back(event);
        drop(waiting);
        self.some.notify_one();
    }

    pub(super) fn pop(&self) -> Option<Event> {
        let mut waiting = self.lock();
        let event = waiting.events.pop_front()?;
        if let Event::Said {
            id,
            said: Said::Chunk { .. },
        } = &event
            && let Some(chunks) = waiting.chunks.get_mut(id)
        {
            *chunks -= 1;
            if *chunks == 0 {
                waiting.chunks.remove(id);
            }
        }
        Some(event)
    }

    fn chunks(&self, id: u64) -> u32 {
        self.lock().chunks.get(&id).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutcomeSink for TalkQueue {
    fn outcome(&self, id: u64, outcome: Outcome) -> bool {
        self.push(Event::Outcome { id, outcome });
        true
    }

    fn said(&self, id: u64, said: Said) -> bool {
        self.push(Event::Said { id, said });
        true
    }
}

/// The handler's end of a delivery, at the node of its session.
pub(super) struct NodeLine {
    end: Mutex<HandlerEnd>,
    queue: Arc<TalkQueue>,
}

impl NodeLine {
    fn end(&self) -> MutexGuard<'_, HandlerEnd> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the requester takes no answer any more.
    pub(super) fn is_over(&self) -> bool {
        self.end().is_over().is_some()
    }
}

impl TalkSink for NodeLine {
    fn hear(&self, frame: Frame) {
        let mut end = self.end();
        let passes = match (frame.kind, frame.status) {
            (Kind::Credit, Status::Reply) => end.credit(frame.credit).is_ok(),
            (Kind::Tell, _) | (Kind::Ask, Status::None(_)) => end.answer(frame.index).is_ok(),
            (Kind::Credit | Kind::Chunk, _) => {
                let first = end.is_over().is_none();
                end.end(fault_of(&frame));
                first
            }
            _ => false,
        };
        drop(end);
        if passes {
            self.queue.push(Event::Talk(frame));
        }
    }
}

impl Session {
    /// Where the outcomes of a request go; none when the client has too many of that kind open.
    pub(super) fn reply_to(&mut self, id: u64, request: &Request) -> Option<ReplyTo> {
        let Some(talking) = &request.talk else {
            let sink: Arc<dyn OutcomeSink> = Arc::<super::Entrance>::clone(&self.entrance);
            return Some(ReplyTo::Sink(sink, id));
        };
        if self.talks.len() >= SESSION_TALKS_MAX || self.talks.contains_key(&id) {
            return None;
        }
        self.talks.insert(id, talking.id.clone());
        let sink: Arc<dyn OutcomeSink> = Arc::<TalkQueue>::clone(&self.entrance.talks);
        Some(ReplyTo::Sink(sink, id))
    }

    /// The client takes more chunks of a request. [`TalkFault::Over`] says that it is unknown or has ended, which it may
    /// have meanwhile.
    pub(crate) fn take_more(&mut self, id: u64, more: u32) -> Result<(), TalkFault> {
        let talk = self.talks.get(&id).ok_or(TalkFault::Over)?;
        let waiting = self.entrance.talks.chunks(id);
        self.plane.router.take_more(talk, more, waiting)
    }

    /// The client answers a question.
    pub(crate) fn tell(
        &mut self,
        id: u64,
        number: u32,
        status: Status,
        payload: Bytes,
    ) -> Result<(), TalkFault> {
        let Some(talk) = self.talks.get(&id) else {
            count(&self.context().wire.tally.talk_faults);
            return Err(TalkFault::NoSuchQuestion);
        };
        self.plane.router.tell(talk, number, status, payload)
    }

    /// The client wants no more of a request.
    pub(crate) fn give_up(&mut self, id: u64) {
        if let Some(talk) = self.talks.get(&id) {
            self.plane.router.give_up(talk);
        }
    }

    /// A chunk or a question of one of the client's handlers.
    pub(crate) fn speak(
        &mut self,
        key: DeliveryKey,
        kind: Kind,
        (index, total): (u32, u32),
        payload: Bytes,
    ) -> Result<(), TalkFault> {
        let context = Arc::clone(self.context());
        let fault = |fault| {
            count(&context.wire.tally.talk_faults);
            Err(fault)
        };
        let Some(delivery) = self.open.get_mut(&key) else {
            return fault(TalkFault::Over);
        };
        let begins = delivery.line.is_none();
        let line = delivery.line(&self.entrance.talks);
        if begins {
            let sink: Arc<dyn TalkSink> = Arc::<NodeLine>::clone(&line);
            context.talks.listen(key.into(), sink);
        }
        let mut end = line.end();
        if end.is_over().is_some() {
            // It was told, or is about to be.
            return Err(TalkFault::Over);
        }
        let passed = if kind == Kind::Ask {
            end.question(index, payload.len())
        } else {
            end.chunk(index, total, payload.len())
        };
        let over = end.is_over().is_some();
        drop(end);
        if let Err(broken) = passed {
            if over {
                self.interrupt(key);
            }
            return fault(broken);
        }
        let from = Pid {
            node: context.node,
            serial: key.handler,
        };
        let frame = Frame {
            kind,
            index,
            count: total,
            ..delivery.back.clone().reply(from, Status::Reply, payload)
        };
        if context.wire.frame(key.origin, key.message.0, frame).is_err() {
            self.interrupt(key);
            return Err(TalkFault::Over);
        }
        Ok(())
    }

    /// What the client sends of a response can no longer be a whole one.
    fn interrupt(&mut self, key: DeliveryKey) {
        if let Some(delivery) = self.open.get_mut(&key) {
            delivery.line = None;
        }
        self.answer(key, Status::None(NoReply::Interrupted), Bytes::new());
    }

    /// Requests that would go on for nobody.
    pub(super) fn give_up_all(&mut self) {
        for talk in self.talks.values() {
            self.plane.router.give_up(talk);
        }
    }
}

impl OpenDelivery {
    fn line(&mut self, queue: &Arc<TalkQueue>) -> Arc<NodeLine> {
        let credit = if self.back.count > 1 { 0 } else { self.credit };
        let line = self.line.get_or_insert_with(|| {
            Arc::new(NodeLine {
                end: Mutex::new(HandlerEnd::new(credit)),
                queue: Arc::clone(queue),
            })
        });
        Arc::clone(line)
    }
}

impl From<DeliveryKey> for TalkKey {
    fn from(key: DeliveryKey) -> Self {
        Self {
            origin: key.origin,
            message: key.message,
            handler: key.handler,
        }
    }
}

/// What a client is told that answers what it has answered, or what has ended.
pub(super) fn answered_already(key: DeliveryKey) -> Frame {
    stopped(key.into(), NoReply::Rejected, Some(TalkFault::Over))
}
