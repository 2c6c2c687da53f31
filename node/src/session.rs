//! Sessions: what a client of this node may do, and what reaches it, the same for native frames and for gRPC. When a
//! session ends, its handlers are detached and the deliveries it had are interrupted.
//!
//! What does not live here: connections and their bytes (the mesh's listener, tonic).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeName, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::message::SystemMessage;
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::time::{Instant, Span};
use tokio::sync::Notify;

use crate::data::{DataContext, DataPlane};
use crate::handlers::{AttachError, Attachment, HandlerSink, HandlerTags};
use crate::limits::{
    CREDIT_DEFAULT, CREDIT_MAX, SESSION_HANDLERS_MAX, SESSION_MAILBOX, SESSION_REQUESTS_MAX,
};
use crate::process::{Inbox, Mailbox, Process, ProcessKind, Push, mailbox};
use crate::pubsub::{Subscriber, SubscriberEvent};
use crate::router::{Outcome, OutcomeSink, Request, Said, TalkId};
use crate::spans;
use crate::wire::{ReturnPath, count};

mod convert;
mod grpc;
mod native;
mod subscribing;
mod talking;

pub use grpc::GrpcSessions;
use talking::{NodeLine, TalkQueue};

pub use native::{NativeConnection, NativeSessions, SessionEnd};

use subscribing::Readable;
pub(crate) use subscribing::Wanted;

/// What reaches a session.
pub(crate) enum Event {
    /// A request for a handler, and when it came.
    Deliver(Frame),
    /// A system message for a handler.
    System { handler: u64, message: SystemMessage },
    /// The node detached a handler.
    Detached { handler: u64, reason: DetachReason },
    /// The outcome of a request.
    Outcome { id: u64, outcome: Outcome },
    /// A handler has begun to hold a lease of its leadership.
    Leads { handler: u64 },
    /// A publish for a subscriber.
    Published { subscriber: u64, event: SubscriberEvent },
    /// A subscriber is no more.
    SubscriberEnded { subscriber: u64, reason: String },
    /// What the handler of a request says before it answers.
    Said { id: u64, said: Said },
    /// What a requester says to a handler.
    Talk(Frame),
}

/// The answer to the question how long a handler may count on its leadership: what this node holds for it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) handler: u64,
    /// As asked, by the client's clock.
    pub(crate) asked_at: Instant,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) remaining: Span,
    /// How soon to ask again at the latest.
    pub(crate) again: Span,
}

/// A delivery that the client has not answered: which request, at which handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DeliveryKey {
    pub(crate) origin: NodeId,
    pub(crate) message: MessageId,
    pub(crate) handler: u64,
}

struct OpenDelivery {
    back: ReturnPath,
    put: Instant,
    /// Chunks that its requester takes at first.
    credit: u32,
    /// What goes between the requester and the handler, once the handler has spoken.
    line: Option<Arc<NodeLine>>,
    /// Lives until the answer.
    _span: tracing::Span,
}

/// The end of a session that others put messages into.
struct Entrance {
    context: Arc<DataContext>,
    mailbox: Mailbox<Event>,
    talks: Arc<TalkQueue>,
    requests: AtomicUsize,
    overflowed: AtomicBool,
    overflow: Notify,
    readable: Readable,
}

impl Entrance {
    /// Deliveries and system messages leave room for the outcomes, which must not be lost.
    #[expect(
        clippy::result_large_err,
        reason = "a delivery that fits must not cost an allocation"
    )]
    fn push_if_room(&self, event: Event) -> Result<(), Push<Event>> {
        if self.mailbox.room() <= SESSION_REQUESTS_MAX {
            self.mailbox.process().count_dropped();
            return Err(Push::Full(event));
        }
        self.mailbox.push(event)
    }
}

impl HandlerSink for Entrance {
    fn deliver(&self, _pass: Pass, handler: &Arc<Attachment>, frame: Frame) -> Result<(), Push<Frame>> {
        let pushed = self.push_if_room(Event::Deliver(frame));
        if pushed.is_ok() {
            handler.process().count_enqueued(self.context.clock.now());
        }
        pushed.map_err(|push| match push {
            Push::Full(Event::Deliver(frame)) => Push::Full(frame),
            Push::Closed(Event::Deliver(frame)) => Push::Closed(frame),
            _ => unreachable!("a mailbox gives back what was put in"),
        })
    }

    fn system(&self, handler: &Arc<Attachment>, message: &SystemMessage) -> bool {
        self.push_if_room(Event::System {
            handler: handler.pid().serial,
            message: message.clone(),
        })
        .is_ok()
    }

    fn settled(&self, _handler: &Arc<Attachment>, frame: Frame) {
        // Without room its worker says it again.
        let _asked_again = self.push_if_room(Event::Deliver(frame));
    }

    fn too_late(&self, _handler: &Arc<Attachment>, frame: Frame) {
        // Without room it goes untold: it was counted.
        let _counted = self.push_if_room(Event::Talk(frame));
    }

    fn leads(&self, handler: &Arc<Attachment>) {
        // Without room the client is answered when it asks the next time.
        let _asked_again = self.push_if_room(Event::Leads {
            handler: handler.pid().serial,
        });
    }

    fn detached(&self, handler: &Arc<Attachment>, reason: DetachReason) {
        // Without room the session is about to be closed anyway.
        let _no_room = self.mailbox.push(Event::Detached {
            handler: handler.pid().serial,
            reason,
        });
    }
}

impl OutcomeSink for Entrance {
    fn outcome(&self, id: u64, outcome: Outcome) -> bool {
        let taken = self.mailbox.push(Event::Outcome { id, outcome });
        if matches!(taken, Err(Push::Full(_))) {
            self.overflowed.store(true, Ordering::Release);
            self.overflow.notify_one();
        }
        taken.is_ok()
    }
}

/// An open session.
pub(crate) struct Session {
    plane: Arc<DataPlane>,
    process: Arc<Process>,
    entrance: Arc<Entrance>,
    inbox: Inbox<Event>,
    handlers: HashMap<u64, Arc<Attachment>>,
    open: HashMap<DeliveryKey, OpenDelivery>,
    /// Handlers that asked for a lease which this node does not hold yet, and when by their clock. Bounded by the
    /// handlers.
    asked: HashMap<u64, Instant>,
    /// By the client's own numbers.
    subscribers: HashMap<u64, Arc<Subscriber>>,
    /// Events of subscribers and everything else take turns.
    subscribers_turn: bool,
    /// Open requests of the client that have more than one reply, by the client's own ids.
    talks: HashMap<u64, TalkId>,
    /// What belongs to talks and everything else take turns.
    talks_turn: bool,
}

impl Session {
    pub(crate) fn open(plane: Arc<DataPlane>, name: &str) -> Self {
        let context = Arc::clone(&plane.context);
        let process =
            context
                .processes
                .enter(ProcessKind::Session, name, SESSION_MAILBOX, context.clock.now());
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock, SESSION_MAILBOX);
        let entrance = Arc::new(Entrance {
            context,
            mailbox,
            talks: Arc::default(),
            requests: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            overflow: Notify::new(),
            readable: Readable::default(),
        });
        Self {
            plane,
            process,
            entrance,
            inbox,
            handlers: HashMap::new(),
            open: HashMap::new(),
            asked: HashMap::new(),
            subscribers: HashMap::new(),
            subscribers_turn: false,
            talks: HashMap::new(),
            talks_turn: false,
        }
    }

    pub(crate) fn context(&self) -> &Arc<DataContext> {
        &self.plane.context
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// The next event for the client; none when it takes them too slowly to go on.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let entrance = Arc::clone(&self.entrance);
        loop {
            if entrance.overflowed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            let taken = tokio::select! {
                biased;
                () = entrance.overflow.notified() => continue,
                () = entrance.readable.some.notified() => continue,
                () = entrance.talks.some.notified() => continue,
                taken = self.inbox.next() => taken,
            };
            let (event, put) = taken.expect("the session itself holds the other end");
            return Some(self.seen(event, put));
        }
    }

    /// The next event, if there is one now.
    pub(crate) fn try_next(&mut self) -> Option<Event> {
        self.subscribers_turn = !self.subscribers_turn;
        if self.subscribers_turn
            && let Some(event) = self.beside()
        {
            return Some(event);
        }
        match self.inbox.try_next() {
            Some((event, put)) => Some(self.seen(event, put)),
            None => self.beside(),
        }
    }

    /// What does not come through the mailbox: publishes and talks in turn.
    fn beside(&mut self) -> Option<Event> {
        self.talks_turn = !self.talks_turn;
        if self.talks_turn {
            self.talk().or_else(|| self.published())
        } else {
            self.published().or_else(|| self.talk())
        }
    }

    fn talk(&mut self) -> Option<Event> {
        let event = self.entrance.talks.pop()?;
        if let Event::Outcome { id, .. } = &event {
            self.talks.remove(id);
        }
        let now = self.context().clock.now();
        Some(self.seen(event, now))
    }

    fn seen(&mut self, mut event: Event, put: Instant) -> Event {
        match &mut event {
            Event::Deliver(frame) if frame.kind == Kind::Deliver => self.delivered(frame, put),
            // A task is in hand at this node until its owner says otherwise.
            Event::Deliver(_) => {}
            Event::Outcome { outcome, .. } if !outcome.more => {
                self.entrance.requests.fetch_sub(1, Ordering::Relaxed);
            }
            Event::Outcome { .. }
            | Event::System { .. }
            | Event::Leads { .. }
            | Event::Published { .. }
            | Event::SubscriberEnded { .. }
            | Event::Said { .. }
            | Event::Talk(_) => {}
            Event::Detached { handler, .. } => {
                self.handlers.remove(handler);
                self.asked.remove(handler);
            }
        }
        event
    }

    fn delivered(&mut self, frame: &mut Frame, put: Instant) {
        let key = DeliveryKey {
            origin: frame.origin,
            message: frame.message,
            handler: frame.to,
        };
        let handler = Pid {
            node: self.context().node,
            serial: frame.to,
        };
        let name = self.handlers.get(&frame.to).map_or("", |a| a.name().as_str());
        let span = spans::handle_span(&frame.trace, name, || self.context().pid_text(handler));
        frame.trace = spans::context_of(&span, frame.trace);
        self.open.insert(
            key,
            OpenDelivery {
                back: ReturnPath::of(frame),
                put,
                credit: frame.credit,
                line: None,
                _span: span,
            },
        );
    }

    /// Attaches a handler; 0 stands for the default credit.
    pub(crate) fn attach(
        &mut self,
        name: &ExchangeName,
        tags: HandlerTags,
        credit: u32,
    ) -> Result<Arc<Attachment>, AttachError> {
        if self.handlers.len() >= SESSION_HANDLERS_MAX {
            return Err(AttachError::TooMany {
                max: SESSION_HANDLERS_MAX,
            });
        }
        let credit = if credit == 0 {
            CREDIT_DEFAULT
        } else {
            credit.min(CREDIT_MAX)
        };
        let context = self.context();
        let bound = usize::try_from(credit).expect("at most CREDIT_MAX");
        let process =
            context
                .processes
                .enter(ProcessKind::Handler, name.as_str(), bound, context.clock.now());
        let sink: Arc<dyn HandlerSink> = Arc::<Entrance>::clone(&self.entrance);
        let attachment = self.plane.handlers.attach(name, tags, credit, process, sink)?;
        self.handlers
            .insert(attachment.pid().serial, Arc::clone(&attachment));
        Ok(attachment)
    }

    /// Detaches a handler of this session. False when it has none of that serial.
    pub(crate) fn detach(&mut self, handler: u64, reason: DetachReason) -> bool {
        let reason = match reason {
            DetachReason::Panicked | DetachReason::Done => reason,
            // Nothing else is for a client to say.
            _ => DetachReason::Asked,
        };
        self.handlers.contains_key(&handler) && self.plane.handlers.detach(handler, reason)
    }

    pub(crate) fn handler(&self, serial: u64) -> Option<&Arc<Attachment>> {
        self.handlers.get(&serial)
    }

    /// A handler's client asks how long the handler may count on its leadership. Without a lease the question waits for
    /// one.
    pub(crate) fn leadership_asked(&mut self, handler: u64, asked_at: Instant) -> Option<Granted> {
        self.handlers.contains_key(&handler).then(|| {
            self.asked.insert(handler, asked_at);
        })?;
        self.leads(handler)
    }

    /// The answer to the question that waits, if there is one and a lease is held.
    pub(crate) fn leads(&mut self, handler: u64) -> Option<Granted> {
        let leadership = self.handlers.get(&handler)?.leadership()?;
        let asked_at = self.asked.remove(&handler)?;
        let left = u64::try_from(leadership.remaining().as_micros()).unwrap_or(u64::MAX);
        Some(Granted {
            handler,
            asked_at,
            leader_epoch: leadership.epoch(),
            remaining: Span(left),
            again: self.plane.handlers.lease_every(),
        })
    }

    /// Answers a delivery. An answer to nothing that is open is counted and refused: false.
    pub(crate) fn answer(&mut self, key: DeliveryKey, status: Status, payload: Bytes) -> bool {
        let context = Arc::clone(self.context());
        let Some(delivery) = self.open.remove(&key) else {
            count(&context.wire.tally.late_replies);
            return false;
        };
        if let Some(handler) = self.handlers.get(&key.handler) {
            let now = context.clock.now();
            handler.give_credit();
            self.plane.handlers.next_in_line(handler);
            handler.process().count_dequeued(delivery.put);
            handler.process().count_busy(now.since(delivery.put));
            handler.process().count_sent(1);
            if status == Status::None(NoReply::Failed) {
                handler.process().count_restart();
                self.plane.handlers.failed(handler, &payload);
            }
        }
        let from = Pid {
            node: context.node,
            serial: key.handler,
        };
        let given_up = delivery.line.as_ref().is_some_and(|line| line.is_over());
        context.talks.forget(key.into());
        if !given_up {
            context.wire.reply(delivery.back.reply(from, status, payload));
        }
        true
    }

    /// Passes on what a worker of this session says of a task. Gives the answer where it goes nowhere.
    pub(crate) fn settle(&mut self, frame: Frame) -> Option<Frame> {
        let worker = self.handlers.get(&frame.from.serial)?;
        worker.process().count_sent(1);
        self.plane.handlers.settle(worker, frame)
    }

    /// Sends a request under the client's own id. Gives the outcome when the session has too many open.
    pub(crate) fn request(&mut self, id: u64, request: Request) -> Option<Outcome> {
        let requests = &self.entrance.requests;
        if requests.load(Ordering::Relaxed) >= SESSION_REQUESTS_MAX {
            return Some(Outcome::none(
                request.exchange,
                NoReply::Rejected,
                request.tags.request,
            ));
        }
        let Some(reply_to) = self.reply_to(id, &request) else {
            return Some(Outcome::none(
                request.exchange,
                NoReply::Rejected,
                request.tags.request,
            ));
        };
        self.entrance.requests.fetch_add(1, Ordering::Relaxed);
        self.process.count_sent(1);
        self.plane.router.submit(
            Request {
                from: self.pid(),
                ..request
            },
            reply_to,
        );
        None
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for serial in self.handlers.keys() {
            self.plane.handlers.detach(*serial, DetachReason::ClientGone);
        }
        self.unsubscribe_all();
        self.inbox.close();
        self.give_up_all();
        let wire = &self.plane.context.wire;
        let node = self.plane.context.node;
        // What never reached the client was certainly not delivered; what did may have been carried out.
        while let Some((event, _)) = self.inbox.try_next() {
            if let Event::Deliver(frame) = event
                && frame.kind == Kind::Deliver
            {
                let handler = Pid {
                    node,
                    serial: frame.to,
                };
                wire.reply(ReturnPath::of(&frame).none(handler, NoReply::Unreachable));
            }
        }
        for (key, delivery) in self.open.drain() {
            self.plane.context.talks.forget(key.into());
            wire.reply(delivery.back.none(
                Pid {
                    node,
                    serial: key.handler,
                },
                NoReply::Interrupted,
            ));
        }
    }
}
