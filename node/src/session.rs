//! Sessions: what a client of this node may do, and what reaches it, the same for native frames and for gRPC. When a
//! session ends, its handlers are detached and the deliveries it had are interrupted.
//!
//! What does not live here: connections and their bytes (the mesh's listener, tonic).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::Pid;
use squall_kernel::reason::{ClientFault, DetachReason, NoReply};
use squall_kernel::time::Instant;
use tokio::sync::Notify;

use crate::client_faults::ClientFaults;
use crate::data::{DataContext, DataPlane};
use crate::handlers::{Attachment, Told};
use crate::limits::{SESSION_MAILBOX, SESSION_REQUESTS_MAX};
use crate::process::{Envelope, Inbox, Letter, Load, Process, ProcessKind, envelope_of, mailbox};
use crate::pubsub::{Subscriber, SubscriberEvent};
use crate::router::{Outcome, Request, Said, TalkId};
use crate::wire::ReturnPath;

mod convert;
mod entrance;
mod grpc;
mod handling;
mod native;
mod subscribing;
mod talking;

pub use grpc::GrpcSessions;
pub use native::{NativeConnection, NativeSessions, SessionEnd};

use entrance::Entrance;
use handling::OpenDelivery;
pub(crate) use handling::{DeliveryKey, Granted};
use subscribing::Readable;
pub(crate) use subscribing::Wanted;

/// What reaches a session.
pub(crate) enum Event {
    /// A request for a handler, and when it came.
    Deliver(Box<Frame>),
    /// A system message for a handler.
    System { handler: u64, told: Arc<Told> },
    /// The node detached a handler.
    Detached { handler: u64, reason: DetachReason },
    /// The outcome of a request.
    Outcome { id: u64, outcome: Outcome },
    /// A handler has begun to hold a lease of its leadership.
    Leads { handler: u64 },
    /// A publish for a subscriber.
    Published { subscriber: u64, event: SubscriberEvent },
    /// A subscriber is no more; `deleted` when its exchange is not either.
    SubscriberEnded {
        subscriber: u64,
        reason: String,
        deleted: bool,
    },
    /// What the handler of a request says before it answers.
    Said { id: u64, said: Said },
    /// What a requester says to a handler.
    Talk(Frame),
}

impl Letter for Event {
    fn envelope(&self) -> Envelope {
        match self {
            Self::Deliver(frame) if frame.kind == Kind::Task => envelope_of("task", frame),
            Self::Deliver(frame) if frame.kind == Kind::Settle => envelope_of("owner's word", frame),
            Self::Deliver(frame) => envelope_of("request", frame),
            Self::Talk(frame) => envelope_of("talk", frame),
            Self::System { told, .. } => Envelope {
                exchange: Some(told.message().exchange),
                ..Envelope::of("system")
            },
            Self::Detached { .. } => Envelope::of("detached"),
            Self::Outcome { .. } => Envelope::of("outcome"),
            Self::Leads { .. } => Envelope::of("leads"),
            Self::Published { .. } => Envelope::of("publish"),
            Self::SubscriberEnded { .. } => Envelope::of("subscription ended"),
            Self::Said { .. } => Envelope::of("said"),
        }
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
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock.clone(), SESSION_MAILBOX);
        let entrance = Arc::new(Entrance {
            context,
            mailbox,
            talks: Arc::default(),
            requests: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            overflow: Notify::new(),
            readable: Readable::default(),
            load: Load::default(),
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

    /// Where what is refused to the client is counted.
    pub(crate) fn faults(&self) -> &ClientFaults {
        &self.plane.context.wire.tally.client_faults
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
        if let Event::Deliver(frame) = &event
            && matches!(frame.kind, Kind::Deliver | Kind::Task)
        {
            self.entrance.load.take(frame.payload.len());
        }
        match &mut event {
            Event::Deliver(frame) if frame.kind == Kind::Deliver => self.delivered(frame, put),
            // A task is in hand at this node until its owner says otherwise, but waits no longer.
            Event::Deliver(frame) => {
                if let Some(worker) = self.handlers.get(&frame.to).filter(|_| frame.kind == Kind::Task) {
                    worker.process().count_dequeued(put);
                }
            }
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

    /// Sends a request under the client's own id. Gives the outcome when the session has too many open.
    pub(crate) fn request(&mut self, id: u64, request: Request) -> Option<Outcome> {
        let room = self.entrance.requests.load(Ordering::Relaxed) < SESSION_REQUESTS_MAX;
        let Some(reply_to) = room.then(|| self.reply_to(id, &request)).flatten() else {
            self.faults().count(ClientFault::TooMany);
            return Some(Outcome::none(
                request.exchange,
                NoReply::Rejected,
                request.tags.request,
            ));
        };
        self.faults().look_at(&request);
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
                let back = ReturnPath::of(&frame);
                self.plane.context.given_back(handler, &back);
                wire.reply(back.none(handler, NoReply::Unreachable));
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
