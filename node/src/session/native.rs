//! Sessions of native clients: their frames in, frames out, until either side ends it.
//!
//! What does not live here: what a client asks in control messages (`calls`), and what frames mean to the router (`frames`).

mod calls;
mod frames;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use squall_kernel::frame::{Frame, FrameError, Kind, Status};
use squall_kernel::message::{self, NodeMessage};
use squall_kernel::reason::{ClientFault, SentAway, TalkFault};
use squall_kernel::talk::refusal;
use tokio::sync::{mpsc, watch};

use self::calls::leadership;
use self::frames::{bounded, delivery_of, event_frame, outcome_frame, request_of, said_frame};
use super::talking::answered_already;
use super::{Event, Session};
use crate::data::DataPlane;
use crate::grpc::Proposer;
use crate::limits::{SESSION_BATCH_MAX, SESSION_SEND_TIMEOUT};
use crate::mesh::ReadError;
use crate::wire::count;

/// A client's connection as the listener hands it over, after the handshake.
#[derive(Debug)]
pub struct NativeConnection {
    /// Name the client gave.
    pub name: String,
    /// Frames from the client; the end of it is the end of the session.
    pub frames: mpsc::Receiver<Frame>,
    /// Frames to the client.
    pub out: mpsc::Sender<Frame>,
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
    pub fn serve(&self, connection: NativeConnection) -> tokio::task::JoinHandle<SessionEnd> {
        let session = Session::open(Arc::clone(&self.plane), &connection.name);
        let native = Native {
            session,
            frames: connection.frames,
            out: connection.out,
            proposer: Arc::clone(&self.proposer),
            proposals: FuturesUnordered::new(),
            subscribing: FuturesUnordered::new(),
        };
        let isolated = self.plane.isolation();
        self.plane
            .context
            .runtime
            .spawn(native.run(self.leaving.subscribe(), isolated))
    }

    /// What the node counts of bytes that were no frame, and what their client is told: the last it hears.
    pub(crate) fn not_a_frame(&self, error: &ReadError) -> Option<Frame> {
        let ReadError::Frame(error) = error else {
            return None;
        };
        let faults = &self.plane.context.wire.tally.client_faults;
        let fault = match error {
            FrameError::Oversized { .. } => ClientFault::TooLarge,
            _ => ClientFault::Garbage,
        };
        faults.count(fault);
        Some(message::control(&NodeMessage::Refused {
            // It answers no call: those are counted from 1.
            call: 0,
            reason: error.to_string(),
            fault: Some(fault),
        }))
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

struct Native<P> {
    session: Session,
    frames: mpsc::Receiver<Frame>,
    out: mpsc::Sender<Frame>,
    proposer: Arc<P>,
    proposals: FuturesUnordered<BoxFuture<'static, NodeMessage>>,
    /// Subscriptions that the nodes above have not taken in yet.
    subscribing: FuturesUnordered<BoxFuture<'static, NodeMessage>>,
}

impl<P: Proposer> Native<P> {
    /// A session that is opened while the node is without a majority is served: its client found no other node.
    async fn run(
        mut self,
        mut leaving: watch::Receiver<bool>,
        mut isolated: watch::Receiver<bool>,
    ) -> SessionEnd {
        let end = loop {
            let turn = tokio::select! {
                frame = self.frames.recv() => match frame {
                    Some(frame) => self.frames_from(frame).await,
                    None => Err(SessionEnd::Gone),
                },
                event = self.session.next() => match event {
                    Some(event) => self.events_from(event).await,
                    None => Err(SessionEnd::Slow),
                },
                Some(answer) = self.proposals.next() => self.send(message::control(&answer)).await,
                Some(answer) = self.subscribing.next() => self.send(message::control(&answer)).await,
                // A sender that is gone is a node that ends: the connection ends too.
                changed = leaving.changed() => match changed {
                    Ok(()) => self.send_away(SentAway::Leaving).await,
                    Err(_) => Err(SessionEnd::Gone),
                },
                Ok(()) = isolated.changed() => {
                    let alone = *isolated.borrow_and_update();
                    if alone { self.send_away(SentAway::NoQuorum).await } else { Ok(()) }
                }
            };
            if let Err(end) = turn {
                break end;
            }
        };
        if end == SessionEnd::Garbage {
            self.session.faults().count(ClientFault::Garbage);
        }
        tracing::debug!(session = %self.session.pid(), reason = %end, "session ended");
        end
    }

    /// Takes a frame and those behind it, up to a batch: to wait for whatever may happen costs more than a frame.
    async fn frames_from(&mut self, first: Frame) -> Result<(), SessionEnd> {
        self.frame(first).await?;
        for _ in 1..SESSION_BATCH_MAX {
            let Ok(frame) = self.frames.try_recv() else { break };
            self.frame(frame).await?;
        }
        Ok(())
    }

    /// The same of events for the client.
    async fn events_from(&mut self, first: Event) -> Result<(), SessionEnd> {
        self.event(first).await?;
        for _ in 1..SESSION_BATCH_MAX {
            let Some(event) = self.session.try_next() else {
                break;
            };
            self.event(event).await?;
        }
        Ok(())
    }

    async fn send_away(&mut self, why: SentAway) -> Result<(), SessionEnd> {
        self.send(message::control(&NodeMessage::Leaving { why })).await
    }

    async fn event(&mut self, event: Event) -> Result<(), SessionEnd> {
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
        self.send(frame).await
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SessionEnd> {
        let Err(error) = self.out.try_send(frame) else {
            return Ok(());
        };
        let mpsc::error::TrySendError::Full(frame) = error else {
            return Err(SessionEnd::Gone);
        };
        let patience = Duration::from_micros(SESSION_SEND_TIMEOUT.0);
        match tokio::time::timeout(patience, self.out.send(frame)).await {
            Ok(sent) => sent.map_err(|_| SessionEnd::Gone),
            Err(_) => Err(SessionEnd::Slow),
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), SessionEnd> {
        match frame.kind {
            Kind::Request | Kind::Publish | Kind::Submit => {
                let id = frame.message.0;
                match self.session.request(id, request_of(frame)) {
                    Some(refused) => self.send(outcome_frame(id, refused)).await,
                    None => Ok(()),
                }
            }
            Kind::Reply => {
                let key = delivery_of(&frame);
                let (status, payload) = bounded(frame.status, frame.payload);
                if self.session.answer(key, status, payload) {
                    return Ok(());
                }
                self.send(answered_already(key)).await
            }
            Kind::Chunk | Kind::Credit | Kind::Ask | Kind::Tell => match self.talk(&frame) {
                Ok(()) => Ok(()),
                Err(fault) => self.send(refusal(&frame, fault)).await,
            },
            Kind::Control => match message::parse(&frame.payload) {
                Ok(message) => match self.call(message) {
                    Some(answer) => self.send(message::control(&answer)).await,
                    None => Ok(()),
                },
                Err(_) => Err(SessionEnd::Garbage),
            },
            Kind::Settle => match self.session.settle(frame) {
                Some(refused) => self.send(refused).await,
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
