//! Sessions of native clients: their frames in, frames out, until either side ends it.
//!
//! What does not live here: what a client asks in control messages (`calls`), and what frames mean to the router (`frames`).

mod calls;
mod frames;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use squall_kernel::frame::{Frame, FrameError, Kind, Status};
use squall_kernel::id::LinkSeq;
use squall_kernel::message::{self, NodeMessage};
use squall_kernel::reason::{ClientFault, SentAway, TalkFault};
use squall_kernel::talk::refusal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use self::calls::leadership;
use self::frames::{bounded, delivery_of, event_frame, outcome_frame, request_of, said_frame};
use super::talking::answered_already;
use super::{Event, Session};
use crate::data::DataPlane;
use crate::grpc::Proposer;
use crate::limits::{
    SESSION_BATCH_MAX, SESSION_SEND_TIMEOUT, SESSION_SIGNALS_EVERY, SESSION_UNWRITTEN_BYTES,
    SESSION_UNWRITTEN_TURNS,
};
use crate::mesh::{FrameReader, FrameWriter, ReadError};
use crate::wire::count;

/// A client's connection as the listener hands it over, after the handshake.
#[derive(Debug)]
pub struct NativeConnection<R, W> {
    /// Name the client gave.
    pub name: String,
    /// Frames from the client; the end of it is the end of the session.
    pub frames: FrameReader<R>,
    /// Frames to the client.
    pub out: FrameWriter<W>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// The client closed its connection, or it broke.
    #[error("the client is gone")]
    Gone,
    /// The client sent what no client sends.
    #[error("the client sent a frame of the wrong kind, or no control message")]
    Garbage,
    /// The client took nothing for too long, or too little.
    #[error("the client does not take what it is sent")]
    Slow,
}

/// Serves native clients.
pub struct NativeSessions<P> {
    plane: Arc<DataPlane>,
    proposer: Arc<P>,
    leaving: watch::Sender<bool>,
}

impl<P: Proposer> NativeSessions<P> {
    /// Sessions on that data plane; registry commands go to `proposer`.
    #[must_use]
    pub fn new(plane: Arc<DataPlane>, proposer: Arc<P>) -> Self {
        Self {
            plane,
            proposer,
            leaving: watch::Sender::new(false),
        }
    }

    /// Serves a connection on the data plane's runtime until it ends.
    pub fn serve<R, W>(&self, connection: NativeConnection<R, W>) -> tokio::task::JoinHandle<SessionEnd>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let session = Session::open(Arc::clone(&self.plane), &connection.name);
        let native = Native {
            session,
            frames: connection.frames,
            out: connection.out,
            proposer: Arc::clone(&self.proposer),
            proposals: FuturesUnordered::new(),
            subscribing: FuturesUnordered::new(),
            unwritten: 0,
        };
        let isolated = self.plane.isolation();
        self.plane
            .context
            .runtime
            .spawn(native.run(self.leaving.subscribe(), isolated))
    }

    /// Turns true when the node leaves.
    #[must_use]
    pub fn departure(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Tells all clients that the node leaves.
    pub fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Returns when no session is left.
    pub async fn gone(&self) {
        self.leaving.closed().await;
    }
}

struct Native<P, R, W> {
    session: Session,
    frames: FrameReader<R>,
    out: FrameWriter<W>,
    proposer: Arc<P>,
    proposals: FuturesUnordered<BoxFuture<'static, NodeMessage>>,
    /// Subscriptions that the nodes above have not taken in yet.
    subscribing: FuturesUnordered<BoxFuture<'static, NodeMessage>>,
    /// Turns since something waits to be written.
    unwritten: u32,
}

/// What seldom happens to a session.
struct Signals {
    leaving: watch::Receiver<bool>,
    isolated: watch::Receiver<bool>,
}

impl Signals {
    /// What its client is told of next; none when the node ends.
    async fn next(&mut self) -> Option<SentAway> {
        loop {
            tokio::select! {
                changed = self.leaving.changed() => return changed.ok().map(|()| SentAway::Leaving),
                Ok(()) = self.isolated.changed() => {
                    if *self.isolated.borrow_and_update() {
                        return Some(SentAway::NoQuorum);
                    }
                }
            }
        }
    }
}

impl<P, R, W> Native<P, R, W>
where
    P: Proposer,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    /// A session that is opened while the node is without a majority is served: its client found no other node.
    async fn run(mut self, leaving: watch::Receiver<bool>, isolated: watch::Receiver<bool>) -> SessionEnd {
        let mut signals = Signals { leaving, isolated };
        let mut turns: u32 = 0;
        let end = loop {
            turns = turns.wrapping_add(1);
            let turn = async {
                // Frames that come without end hold up nothing else.
                if turns.is_multiple_of(SESSION_SIGNALS_EVERY)
                    && let Some(why) = signals.next().now_or_never()
                {
                    self.send_away(why)?;
                }
                self.turn(&mut signals).await?;
                self.write_if_due().await
            };
            if let Err(end) = turn.await {
                break end;
            }
        };
        if end == SessionEnd::Garbage {
            self.session.faults().count(ClientFault::Garbage);
        }
        tracing::debug!(session = %self.session.pid(), reason = %end, "session ended");
        // Before its last words are written: nobody waits for those.
        drop((signals, self.session));
        self.out.close().await;
        end
    }

    /// Waits for what happens next, and does what belongs to it. What is to be written is written when nothing else is to be done.
    async fn turn(&mut self, signals: &mut Signals) -> Result<(), SessionEnd> {
        tokio::select! {
            biased;
            frame = self.frames.next() => {
                self.frames_from(frame)?;
                self.events()
            }
            event = self.session.next() => {
                self.event(event.ok_or(SessionEnd::Slow)?)?;
                self.events()
            }
            Some(answer) = self.proposals.next() => self.send(&message::control(&answer)),
            Some(answer) = self.subscribing.next() => self.send(&message::control(&answer)),
            why = signals.next() => self.send_away(why),
            written = self.out.write(), if self.out.waiting() > 0 => written.map_err(|_| SessionEnd::Gone),
        }
    }

    /// Takes a frame and those behind it, up to a batch: to wait for whatever may happen costs more than a frame. Bytes that are no
    /// frame end the session; its client is told so before, and that is the last it hears.
    fn frames_from(&mut self, first: Result<Option<(LinkSeq, Frame)>, ReadError>) -> Result<(), SessionEnd> {
        let mut next = Some(first.transpose().ok_or(SessionEnd::Gone)?);
        let mut taken = 0;
        while let Some(read) = next {
            match read {
                Ok((_, frame)) => self.frame(frame)?,
                Err(error) => {
                    tracing::debug!(%error, "client connection ended");
                    return self.not_a_frame(&error);
                }
            }
            taken += 1;
            let more = taken < SESSION_BATCH_MAX;
            next = more
                .then(|| self.frames.decode().transpose())
                .flatten()
                .map(|read| Ok(read?));
        }
        Ok(())
    }

    /// What is counted of bytes that were no frame, and what their client is told.
    fn not_a_frame(&mut self, error: &ReadError) -> Result<(), SessionEnd> {
        if let ReadError::Frame(error) = error {
            let fault = match error {
                FrameError::Oversized { .. } => ClientFault::TooLarge,
                _ => ClientFault::Garbage,
            };
            self.session.faults().count(fault);
            self.send(&message::control(&NodeMessage::Refused {
                // It answers no call: those are counted from 1.
                call: 0,
                reason: error.to_string(),
                fault: Some(fault),
            }))?;
        }
        Err(SessionEnd::Gone)
    }

    /// Events for the client that are there already, up to a batch.
    fn events(&mut self) -> Result<(), SessionEnd> {
        for _ in 1..SESSION_BATCH_MAX {
            if self.out.is_full() {
                break;
            }
            let Some(event) = self.session.try_next() else {
                break;
            };
            self.event(event)?;
        }
        Ok(())
    }

    /// Writes what has waited for some turns, or is much. A client that takes nothing holds this up only when no more can be queued.
    async fn write_if_due(&mut self) -> Result<(), SessionEnd> {
        if self.out.waiting() == 0 {
            self.unwritten = 0;
            return Ok(());
        }
        self.unwritten += 1;
        let written = if self.out.is_full() {
            Some(self.write_until_room().await?)
        } else if self.unwritten >= SESSION_UNWRITTEN_TURNS || self.out.waiting() >= SESSION_UNWRITTEN_BYTES {
            self.out.write().now_or_never()
        } else {
            None
        };
        match written {
            None => Ok(()),
            Some(Ok(())) => {
                self.unwritten = 0;
                Ok(())
            }
            Some(Err(_)) => Err(SessionEnd::Gone),
        }
    }

    /// For as long as the client takes something of it.
    async fn write_until_room(&mut self) -> Result<std::io::Result<()>, SessionEnd> {
        let patience = Duration::from_micros(SESSION_SEND_TIMEOUT.0);
        while self.out.is_full() {
            let taken = tokio::time::timeout(patience, self.out.write_some()).await;
            if let Err(error) = taken.map_err(|_| SessionEnd::Slow)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn send_away(&mut self, why: Option<SentAway>) -> Result<(), SessionEnd> {
        // A node that ends: the connection ends too.
        let why = why.ok_or(SessionEnd::Gone)?;
        self.send(&message::control(&NodeMessage::Leaving { why }))
    }

    fn event(&mut self, event: Event) -> Result<(), SessionEnd> {
        let frame = match event {
            Event::Deliver(frame) => *frame,
            Event::System { handler, told } => {
                let message = told.message().clone();
                message::control(&NodeMessage::System { handler, message })
            }
            Event::Detached { handler, reason } => {
                message::control(&NodeMessage::Detached { handler, reason })
            }
            Event::Outcome { id, outcome } => outcome_frame(id, outcome),
            Event::Published { subscriber, event } => event_frame(subscriber, &event),
            Event::SubscriberEnded {
                subscriber,
                reason,
                deleted,
            } => message::control(&NodeMessage::SubscriberEnded {
                subscriber,
                reason,
                deleted,
            }),
            Event::Said { id, said } => match said_frame(id, said) {
                Some(frame) => frame,
                None => return Ok(()),
            },
            Event::Talk(frame) => frame,
            Event::Leads { handler } => match self.session.leads(handler) {
                Some(granted) => message::control(&leadership(granted)),
                None => return Ok(()),
            },
        };
        self.send(&frame)
    }

    fn send(&mut self, frame: &Frame) -> Result<(), SessionEnd> {
        self.out.put(frame).map_err(|error| {
            tracing::warn!(session = %self.session.pid(), %error, "what a client is to be sent cannot be queued");
            SessionEnd::Slow
        })
    }

    fn frame(&mut self, frame: Frame) -> Result<(), SessionEnd> {
        match frame.kind {
            Kind::Request | Kind::Publish | Kind::Submit => {
                let id = frame.message.0;
                match self.session.request(id, request_of(frame)) {
                    Some(refused) => self.send(&outcome_frame(id, refused)),
                    None => Ok(()),
                }
            }
            Kind::Reply => {
                let key = delivery_of(&frame);
                let (status, payload) = bounded(frame.status, frame.payload);
                if self.session.answer(key, status, payload) {
                    return Ok(());
                }
                self.send(&answered_already(key))
            }
            Kind::Chunk | Kind::Credit | Kind::Ask | Kind::Tell => match self.talk(&frame) {
                Ok(()) => Ok(()),
                Err(fault) => self.send(&refusal(&frame, fault)),
            },
            Kind::Control => match message::parse(&frame.payload) {
                Ok(message) => match self.call(message) {
                    Some(answer) => self.send(&message::control(&answer)),
                    None => Ok(()),
                },
                Err(_) => Err(SessionEnd::Garbage),
            },
            Kind::Settle => match self.session.settle(frame) {
                Some(refused) => self.send(&refused),
                None => Ok(()),
            },
            Kind::Deliver | Kind::Task => Err(SessionEnd::Garbage),
            Kind::Ack => Ok(()),
            Kind::Event => {
                count(&self.session.context().wire.tally.garbled);
                Ok(())
            }
        }
    }

    /// Of a handler of the client: chunks and questions. Of the client's own requests: credit, or that it gives them up,
    /// and answers.
    fn talk(&mut self, frame: &Frame) -> Result<(), TalkFault> {
        let (id, payload) = (frame.message.0, frame.payload.clone());
        match (frame.kind, frame.status) {
            (Kind::Credit, Status::Reply) => match self.session.take_more(id, frame.credit) {
                // Its end is on its way to the client: no fault.
                Err(TalkFault::Over) => Ok(()),
                taken => taken,
            },
            (Kind::Credit, _) => {
                self.session.give_up(id);
                Ok(())
            }
            (Kind::Tell, Status::Reply) => self.session.tell(id, frame.index, Status::Reply, payload),
            (Kind::Tell, _) => self.session.tell(id, frame.index, Status::Declined, payload),
            (kind, _) => {
                let part = (frame.index, frame.count);
                self.session.speak(delivery_of(frame), kind, part, payload)
            }
        }
    }
}
