//! Sessions of native clients: control messages and frames in, frames out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{ExchangeName, MessageId, NodeId, Pid};
use squall_kernel::limits::{PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::message::{self, Call, ClientMessage, NodeMessage};
use squall_kernel::publishing::{Confirm, join_tags};
use squall_kernel::reason::{NoReply, SentAway, TalkFault};
use squall_kernel::registry::{Command, Introduction};
use squall_kernel::talk::{Terms, refusal};
use squall_kernel::time::Span;
use tokio::sync::{mpsc, watch};

use super::talking::answered_already;
use super::{DeliveryKey, Event, Granted, Session, Wanted};
use crate::data::{DataContext, DataPlane};
use crate::grpc::Proposer;
use crate::handlers::HandlerTags;
use crate::limits::{SESSION_SEND_TIMEOUT, SESSION_SUBSCRIBERS_MAX};
use crate::pubsub::{SubscribeError, SubscriberEvent};
use crate::router::{Outcome, Publish, Request, Said, Talking};
use crate::wire::count;

/// Proposals of one client that are under way at once.
const PROPOSALS_MAX: usize = 16;

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
                    Some(frame) => self.frame(frame).await,
                    None => Err(SessionEnd::Gone),
                },
                event = self.session.next() => match event {
                    Some(event) => self.event(event).await,
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
        tracing::debug!(session = %self.session.pid(), reason = %end, "session ended");
        end
    }

    async fn send_away(&mut self, why: SentAway) -> Result<(), SessionEnd> {
        self.send(message::control(&NodeMessage::Leaving { why })).await
    }

    async fn event(&mut self, event: Event) -> Result<(), SessionEnd> {
        let frame = match event {
            Event::Deliver(frame) => frame,
            Event::System { handler, message } => message::control(&NodeMessage::System { handler, message }),
            Event::Detached { handler, reason } => {
                message::control(&NodeMessage::Detached { handler, reason })
            }
            Event::Outcome { id, outcome } => outcome_frame(id, outcome),
            Event::Published { subscriber, event } => event_frame(subscriber, &event),
            Event::SubscriberEnded { subscriber, reason } => {
                message::control(&NodeMessage::SubscriberEnded { subscriber, reason })
            }
            Event::Said { id, said } => match said_frame(id, said) {
                Some(frame) => frame,
                None => return Ok(()),
            },
            Event::Talk(frame) => frame,
            Event::Leads { handler } => match self.session.leads(handler) {
                Some(granted) => leadership(granted),
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
                let handler = frame.from.serial;
                let key = DeliveryKey {
                    origin: frame.origin,
                    message: frame.message,
                    handler,
                };
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
                Ok(message) => self.message(message).await,
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
            (Kind::Credit, Status::Reply) => self.session.take_more(id, frame.credit),
            (Kind::Credit, _) => {
                self.session.give_up(id);
                Ok(())
            }
            (Kind::Tell, Status::Reply) => self.session.tell(id, frame.index, Status::Reply, payload),
            (Kind::Tell, _) => self.session.tell(id, frame.index, Status::Declined, payload),
            (kind, _) => {
                let key = DeliveryKey {
                    origin: frame.origin,
                    message: frame.message,
                    handler: frame.from.serial,
                };
                self.session.speak(key, kind, (frame.index, frame.count), payload)
            }
        }
    }

    async fn message(&mut self, message: ClientMessage) -> Result<(), SessionEnd> {
        let answer = match message {
            ClientMessage::Lookup { call, name } => {
                let exchange = self.session.context().registry().names.get(&name).copied();
                NodeMessage::Found { call, exchange }
            }
            ClientMessage::Attach {
                call,
                name,
                service_tag,
                connection_tag,
                credit,
            } => {
                let tags = HandlerTags {
                    service: service_tag,
                    connection: connection_tag,
                    works: false,
                };
                self.attach(call, &name, tags, credit)
            }
            ClientMessage::Work {
                call,
                name,
                service_tag,
                credit,
            } => {
                let tags = HandlerTags {
                    service: service_tag,
                    works: true,
                    ..HandlerTags::default()
                };
                self.attach(call, &name, tags, credit)
            }
            ClientMessage::Detach { handler, reason } => {
                self.session.detach(handler, reason);
                return Ok(());
            }
            ClientMessage::Propose { call, command } => match self.propose(call, command) {
                Some(refused) => refused,
                None => return Ok(()),
            },
            ClientMessage::Members { call } => NodeMessage::Members {
                call,
                members: members(self.session.context()),
            },
            ClientMessage::Subscribe {
                call,
                subscriber,
                name,
                connection_tag,
                patterns,
                credit,
            } => {
                let wanted = Wanted {
                    number: subscriber,
                    name: &name,
                    connection_tag: connection_tag.into(),
                    patterns: &patterns,
                    credit,
                };
                match self.subscribe(call, wanted) {
                    Some(refused) => refused,
                    None => return Ok(()),
                }
            }
            ClientMessage::Unsubscribe { subscriber } => {
                self.session.unsubscribe(subscriber);
                return Ok(());
            }
            ClientMessage::Took { subscriber, events } => {
                self.session.took(subscriber, events);
                return Ok(());
            }
            ClientMessage::Ping { call } => NodeMessage::Pong { call },
            ClientMessage::LeadershipAsk { handler, asked_at } => {
                return match self.session.leadership_asked(handler, asked_at) {
                    Some(granted) => self.send(leadership(granted)).await,
                    None => Ok(()),
                };
            }
        };
        self.send(message::control(&answer)).await
    }

    fn attach(&mut self, call: Call, name: &ExchangeName, tags: HandlerTags, credit: u32) -> NodeMessage {
        match self.session.attach(name, tags, credit) {
            Ok(handler) => NodeMessage::Attached {
                call,
                handler: handler.pid(),
                exchange: handler.exchange(),
            },
            Err(error) => NodeMessage::Refused {
                call,
                reason: error.to_string(),
            },
        }
    }

    /// Subscribes without holding up the session; gives the refusal of what is not even tried.
    fn subscribe(&mut self, call: Call, wanted: Wanted<'_>) -> Option<NodeMessage> {
        let refused = move |error: SubscribeError| NodeMessage::Refused {
            call,
            reason: error.to_string(),
        };
        if self.subscribing.len() >= SESSION_SUBSCRIBERS_MAX {
            let max = SESSION_SUBSCRIBERS_MAX;
            return Some(refused(SubscribeError::TooMany { max }));
        }
        match self.session.subscribe(wanted) {
            Err(error) => Some(refused(error)),
            Ok((subscriber, answer)) => {
                let answered = async move {
                    match answer.await.unwrap_or(Err(SubscribeError::Ended)) {
                        Ok(()) => NodeMessage::Subscribed {
                            call,
                            subscriber: subscriber.pid(),
                            exchange: subscriber.exchange(),
                        },
                        Err(error) => refused(error),
                    }
                };
                self.subscribing.push(answered.boxed());
                None
            }
        }
    }

    /// Proposes without holding up the session; gives the refusal of what is not proposed.
    fn propose(&mut self, call: Call, command: Command) -> Option<NodeMessage> {
        if !matches!(command, Command::Declare { .. } | Command::Delete { .. }) {
            let reason = "a client may declare and delete exchanges, nothing else".to_owned();
            return Some(NodeMessage::Refused { call, reason });
        }
        if let Err(error) = crate::script::check_command(&command) {
            let reason = error.to_string();
            return Some(NodeMessage::Refused { call, reason });
        }
        if self.proposals.len() >= PROPOSALS_MAX {
            let reason = format!("at most {PROPOSALS_MAX} changes of a client are under way at once");
            return Some(NodeMessage::Refused { call, reason });
        }
        let proposer = Arc::clone(&self.proposer);
        let propose = async move {
            NodeMessage::Proposed {
                call,
                result: proposer.propose(command).await,
            }
        };
        self.proposals.push(propose.boxed());
        None
    }
}

fn members(context: &DataContext) -> Vec<Introduction> {
    let registry = context.registry();
    let up = registry.nodes.values().filter(|n| n.is_up());
    up.map(|n| Introduction {
        id: n.id,
        name: n.name.clone(),
        incarnation: n.incarnation,
        boot: n.boot,
        mesh_addr: n.mesh_addr.clone(),
        grpc_addr: n.grpc_addr.clone(),
        functions: n.functions.clone(),
        zone: n.zone.clone(),
    })
    .collect()
}

fn request_of(frame: Frame) -> Request {
    Request {
        submit: frame.kind == Kind::Submit,
        priority: frame.priority,
        exchange: frame.exchange,
        payload: frame.payload,
        tags: Tags {
            request: frame.tags.request,
            // Who publishes, or the terms of a task. A request's connection tag is its session's.
            connection: match frame.kind {
                Kind::Publish | Kind::Submit => frame.tags.connection,
                _ => Bytes::new(),
            },
            service: frame.tags.service,
            key: frame.tags.key,
        },
        timeout: Span::from_ms(u64::from(frame.left_ms)),
        trace: frame.trace,
        from: frame.from,
        publish: (frame.kind == Kind::Publish).then(|| Publish {
            confirm: Confirm::of(frame.signature),
            ttl_ms: frame.credit,
            priority: frame.priority,
        }),
        talk: talking((frame.kind == Kind::Request).then_some(Terms {
            credit: frame.credit,
            questions: frame.index > 0,
        })),
    }
}

fn talking(terms: Option<Terms>) -> Option<Talking> {
    let terms = terms.filter(|terms| !terms.is_plain())?;
    Some(Talking {
        terms,
        ..Talking::default()
    })
}

/// What a handler says before it answers; the end comes as an outcome.
fn said_frame(id: u64, said: Said) -> Option<Frame> {
    let (kind, index, count, payload, from) = match said {
        Said::Chunk {
            index,
            count,
            payload,
            handler,
        } => (Kind::Chunk, index, count, payload, handler),
        Said::Question {
            number,
            payload,
            handler,
        } => (Kind::Ask, number, 0, payload, handler),
        Said::End(_) => return None,
    };
    Some(Frame {
        message: MessageId(id),
        index,
        count,
        payload,
        from,
        ..Frame::new(kind)
    })
}

/// An answer within the bounds of the wire, and none that only a node may give.
fn bounded(status: Status, payload: Bytes) -> (Status, Bytes) {
    match status {
        Status::Reply | Status::Rewrite if payload.len() <= PAYLOAD_BYTES_MAX => (status, payload),
        Status::Reply | Status::Rewrite => (
            Status::Declined,
            Bytes::from_static(b"the reply is above the bound of a payload"),
        ),
        Status::Pass => (status, Bytes::new()),
        Status::Declined | Status::Redirect | Status::None(NoReply::Failed) => {
            let len = payload.len().min(REASON_BYTES_MAX);
            (status, payload.slice(..len))
        }
        // The handler never saw it; anything else a client says means that nobody knows.
        Status::None(NoReply::Rejected | NoReply::Unreachable) => (status, Bytes::new()),
        Status::None(_) => (Status::None(NoReply::Interrupted), Bytes::new()),
    }
}

fn leadership(granted: Granted) -> Frame {
    let Granted {
        handler,
        asked_at,
        leader_epoch,
        remaining,
        again,
    } = granted;
    message::control(&NodeMessage::Leadership {
        handler,
        asked_at,
        leader_epoch,
        remaining,
        again,
    })
}

fn event_frame(subscriber: u64, event: &SubscriberEvent) -> Frame {
    let published = &event.published;
    let (connection, tags_len, payload) = join_tags(&event.connections, &published.payload);
    Frame {
        exchange: published.exchange,
        to: subscriber,
        from: published.publisher,
        credit: tags_len,
        priority: published.priority,
        trace: published.trace,
        tags: Tags {
            request: published.message_id.clone(),
            connection,
            key: published.key.clone(),
            ..Tags::default()
        },
        payload,
        ..Frame::new(Kind::Event)
    }
}

/// A request ends with the frame whose reply index is 0, or when as many frames as its reply count have come.
fn outcome_frame(id: u64, outcome: Outcome) -> Frame {
    let nobody = Pid {
        node: NodeId(0),
        serial: 0,
    };
    Frame {
        status: outcome.status,
        exchange: outcome.exchange,
        message: MessageId(id),
        from: outcome.handler.unwrap_or(nobody),
        index: outcome.index,
        count: outcome.count,
        tags: Tags {
            request: outcome.request_tag,
            ..Tags::default()
        },
        payload: outcome.payload,
        ..Frame::new(Kind::Reply)
    }
}
