//! The gRPC `Session` service: sessions for clients in any language, events in batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use squall_kernel::frame::TraceContext;
use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::limits::TAG_BYTES_MAX;
use squall_kernel::reason::{DetachReason, TalkFault};
use squall_kernel::time::{Instant, Span};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event as Out;
use squall_proto::v1::session_server::{Session as SessionService, SessionServer};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{DeliveryKey, Event, Session, convert};
use crate::data::DataPlane;
use crate::grpc::limits::MESSAGE_BYTES_MAX;
use crate::handlers::embedded::checked;
use crate::handlers::{HandlerTags, notice_of};
use crate::limits::{SESSION_BATCH_MAX, SESSION_OUT_MAX, SESSION_SEND_TIMEOUT};
use crate::process::{Process, ProcessKind};
use crate::pubsub::SubscribeError;
use crate::router::Said;
use crate::telemetry::context::parse_traceparent;

mod publishing;
mod talking;

/// Bytes of payload in one batch: it stays below the bound of a message with one more event of the largest size.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Longest name of a session, as shown in the list of processes.
const NAME_BYTES_MAX: usize = 255;

/// The service.
pub struct GrpcSessions {
    plane: Arc<DataPlane>,
    leaving: watch::Receiver<bool>,
    /// Stands for all single requests in the list of processes.
    requester: Arc<Process>,
}

impl GrpcSessions {
    /// The service on that data plane; `leaving` turns true when the node leaves.
    #[must_use]
    pub fn new(plane: Arc<DataPlane>, leaving: watch::Receiver<bool>) -> Self {
        let context = &plane.context;
        let requester =
            context
                .processes
                .enter(ProcessKind::Requester, "grpc requests", 0, context.clock.now());
        Self {
            plane,
            leaving,
            requester,
        }
    }

    /// Ready to be added to a server, its bounds set.
    #[must_use]
    pub fn into_server(self) -> SessionServer<Self> {
        SessionServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(2 * MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl SessionService for GrpcSessions {
    type OpenStream = ReceiverStream<Result<v1::ServerBatch, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<v1::ClientBatch>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let trace = traceparent_of(&request);
        let (out, events) = mpsc::channel(SESSION_OUT_MAX);
        let plane = Arc::clone(&self.plane);
        let runtime = plane.context.runtime.clone();
        let away = Away {
            leaving: self.leaving.clone(),
            isolated: plane.isolation(),
        };
        runtime.spawn(serve(plane, request.into_inner(), out, trace, away));
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn request(
        &self,
        request: Request<v1::RequestCall>,
    ) -> Result<Response<v1::RequestOutcome>, Status> {
        let trace = traceparent_of(&request);
        let call = request.into_inner();
        if convert::talking(&call).is_some() {
            return Err(Status::failed_precondition(
                "chunks and questions need a session: see Session.Open",
            ));
        }
        let Some(exchange) = lookup(&self.plane, &call.exchange) else {
            return Ok(Response::new(convert::unknown_exchange(&call)));
        };
        let id = call.id;
        self.requester.count_sent(1);
        let asked = crate::router::Request {
            from: self.requester.pid(),
            ..convert::request(call, exchange, trace)
        };
        let outcome = self.plane.router.request(asked).await;
        Ok(Response::new(convert::outcome(&self.plane.context, id, outcome)))
    }
}

fn traceparent_of<T>(request: &Request<T>) -> Option<TraceContext> {
    let text = request.metadata().get("traceparent")?.to_str().ok()?;
    parse_traceparent(text).ok()
}

fn lookup(plane: &DataPlane, exchange: &str) -> Option<ExchangeId> {
    ExchangeName::new(exchange)
        .ok()
        .and_then(|name| plane.lookup(&name))
}

/// Serves a stream until it ends; then the session is dropped, and with it all it had.
async fn serve(
    plane: Arc<DataPlane>,
    mut actions: Streaming<v1::ClientBatch>,
    out: mpsc::Sender<Result<v1::ServerBatch, Status>>,
    trace: Option<TraceContext>,
    away: Away,
) {
    let end = match open(&plane, &mut actions).await {
        Ok((session, rest)) => {
            let grpc = Grpc {
                plane,
                session,
                out: out.clone(),
                trace,
                serials: HashMap::new(),
                numbers: HashMap::new(),
                deliveries: HashMap::new(),
                talks: HashMap::new(),
                last: 0,
                subscribing: FuturesUnordered::new(),
            };
            grpc.run(actions, rest, away).await
        }
        Err(status) => Err(status),
    };
    if let Err(status) = end {
        // A client that takes nothing more does not take the reason either.
        let _not_taken = out.try_send(Err(status));
    }
}

/// Waits for the first batch, which must begin with `OpenSession`.
async fn open(
    plane: &Arc<DataPlane>,
    actions: &mut Streaming<v1::ClientBatch>,
) -> Result<(Session, Vec<v1::ClientAction>), Status> {
    loop {
        let Some(batch) = actions.message().await? else {
            return Err(Status::cancelled("the stream ended before OpenSession"));
        };
        let mut batch = batch.actions.into_iter();
        match batch.next().map(|first| first.action) {
            None => {}
            Some(Some(Action::Open(open))) if open.name.len() <= NAME_BYTES_MAX => {
                return Ok((Session::open(Arc::clone(plane), &open.name), batch.collect()));
            }
            Some(Some(Action::Open(_))) => {
                return Err(Status::invalid_argument(format!(
                    "a session's name has at most {NAME_BYTES_MAX} bytes"
                )));
            }
            Some(_) => {
                return Err(Status::failed_precondition(
                    "the first action must be OpenSession",
                ));
            }
        }
    }
}

/// What sends a client away.
struct Away {
    leaving: watch::Receiver<bool>,
    isolated: watch::Receiver<bool>,
}

impl Away {
    /// The next time that the client is to be sent away. A session that is opened while the node is without a majority
    /// is served: its client found no other node.
    async fn next(&mut self) -> v1::SentAway {
        loop {
            tokio::select! {
                Ok(()) = self.leaving.changed() => return v1::SentAway::Leaving,
                Ok(()) = self.isolated.changed() => {
                    if *self.isolated.borrow_and_update() {
                        return v1::SentAway::NoQuorum;
                    }
                }
                // A node that ends closes the stream.
                else => std::future::pending::<()>().await,
            }
        }
    }
}

struct Grpc {
    plane: Arc<DataPlane>,
    session: Session,
    out: mpsc::Sender<Result<v1::ServerBatch, Status>>,
    trace: Option<TraceContext>,
    /// Serials of handlers by the client's numbers, and the other way round.
    serials: HashMap<u32, u64>,
    numbers: HashMap<u64, u32>,
    deliveries: HashMap<u64, DeliveryKey>,
    /// Numbers of those deliveries whose handlers have spoken before they answer.
    talks: HashMap<DeliveryKey, u64>,
    /// Number of the last delivery.
    last: u64,
    /// Subscriptions that the nodes above have not taken in yet.
    subscribing: FuturesUnordered<BoxFuture<'static, (u32, Result<String, SubscribeError>)>>,
}

impl Grpc {
    async fn run(
        mut self,
        mut actions: Streaming<v1::ClientBatch>,
        first: Vec<v1::ClientAction>,
        mut away: Away,
    ) -> Result<(), Status> {
        let opened = v1::Opened {
            pid: self.plane.context.pid_text(self.session.pid()),
            node: self.plane.context.name.as_str().to_owned(),
        };
        let mut events = vec![event(Out::Opened(opened))];
        self.actions(first, &mut events)?;
        self.send(events).await?;
        loop {
            let mut events = Vec::new();
            tokio::select! {
                batch = actions.message() => match batch? {
                    Some(batch) => self.actions(batch.actions, &mut events)?,
                    None => return Ok(()),
                },
                next = self.session.next() => match next {
                    Some(next) => self.events(next, &mut events),
                    None => return Err(Status::resource_exhausted("the client does not take what it is sent")),
                },
                Some((number, answer)) = self.subscribing.next() => events.push(self.subscribed(number, answer)),
                why = away.next() => {
                    events.push(event(Out::GoElsewhere(v1::GoElsewhere { why: why.into() })));
                }
            }
            self.send(events).await?;
        }
    }

    async fn send(&mut self, events: Vec<v1::ServerEvent>) -> Result<(), Status> {
        if events.is_empty() {
            return Ok(());
        }
        let patience = Duration::from_micros(SESSION_SEND_TIMEOUT.0);
        match tokio::time::timeout(patience, self.out.send(Ok(v1::ServerBatch { events }))).await {
            Ok(sent) => sent.map_err(|_| Status::cancelled("the client is gone")),
            Err(_) => Err(Status::resource_exhausted(
                "the client does not take what it is sent",
            )),
        }
    }

    /// Takes what is there, up to a batch.
    fn events(&mut self, first: Event, out: &mut Vec<v1::ServerEvent>) {
        let mut next = Some(first);
        let mut bytes = 0;
        while let Some(taken) = next {
            if let Event::Deliver(frame) = &taken {
                bytes += frame.payload.len();
            } else if let Event::Outcome { outcome, .. } = &taken {
                bytes += outcome.payload.len();
            } else if let Event::Published { event, .. } = &taken {
                bytes += event.published.payload.len();
            } else if let Event::Said {
                said: Said::Chunk { payload, .. } | Said::Question { payload, .. },
                ..
            } = &taken
            {
                bytes += payload.len();
            }
            out.extend(self.event(taken));
            next = (out.len() < SESSION_BATCH_MAX && bytes < BATCH_BYTES_MAX)
                .then(|| self.session.try_next())
                .flatten();
        }
    }

    fn event(&mut self, taken: Event) -> Option<v1::ServerEvent> {
        let out = match taken {
            Event::Deliver(frame) => self.delivery(frame)?,
            Event::System { handler, message } => {
                let number = *self.numbers.get(&handler)?;
                let attachment = self.session.handler(handler)?;
                let context = &self.plane.context;
                let notice = notice_of(context, attachment.pid(), attachment.name(), &message);
                let owner = context
                    .registry()
                    .exchanges
                    .get(&message.exchange)
                    .and_then(|e| e.owner);
                let own = owner == Some(context.node);
                let left = if own {
                    context.lease.left(context.clock.now())
                } else {
                    Span::ZERO
                };
                Out::System(convert::system(number, notice, left))
            }
            Event::Detached { handler, reason } => {
                let number = self.numbers.remove(&handler)?;
                self.serials.remove(&number);
                Out::Detached(v1::Detached {
                    handler: number,
                    reason: reason.as_str().to_owned(),
                })
            }
            Event::Leads { handler } => self.leadership(handler)?,
            Event::Published { subscriber, event } => self.published(subscriber, &event)?,
            Event::SubscriberEnded { subscriber, reason } => {
                publishing::ended(u32::try_from(subscriber).ok()?, reason)
            }
            Event::Said { id, said } => talking::said(&self.plane.context, id, said)?,
            Event::Talk(frame) => self.talked(&frame)?,
            Event::Outcome { id, outcome } => {
                Out::Outcome(convert::outcome(&self.plane.context, id, outcome))
            }
        };
        Some(event(out))
    }

    /// The answer to a question that waited for the lease.
    fn leadership(&mut self, handler: u64) -> Option<Out> {
        let number = *self.numbers.get(&handler)?;
        let granted = self.session.leads(handler)?;
        Some(convert::leadership(number, granted))
    }

    fn leadership_asked(&mut self, ask: v1::LeadershipAsk) -> Option<v1::ServerEvent> {
        let serial = *self.serials.get(&ask.handler)?;
        let granted = self.session.leadership_asked(serial, Instant(ask.asked_at_us))?;
        Some(event(convert::leadership(ask.handler, granted)))
    }

    fn delivery(&mut self, frame: squall_kernel::frame::Frame) -> Option<Out> {
        let key = DeliveryKey {
            origin: frame.origin,
            message: frame.message,
            handler: frame.to,
        };
        let known = self
            .numbers
            .get(&frame.to)
            .copied()
            .zip(self.session.handler(frame.to));
        let Some((number, attachment)) = known else {
            // Detached while it was on its way: the client has never seen it.
            let unreachable = squall_kernel::reason::NoReply::Unreachable;
            self.session
                .answer(key, squall_kernel::frame::Status::None(unreachable), Bytes::new());
            return None;
        };
        self.last += 1;
        let (name, tag) = (attachment.name().as_str(), attachment.tags().connection.as_str());
        let delivery = convert::delivery(frame, self.last, number, name, tag);
        self.deliveries.insert(self.last, key);
        Some(Out::Delivery(delivery))
    }

    fn actions(
        &mut self,
        actions: Vec<v1::ClientAction>,
        out: &mut Vec<v1::ServerEvent>,
    ) -> Result<(), Status> {
        for action in actions {
            match action.action {
                Some(Action::Open(_)) => {
                    return Err(Status::failed_precondition("the session is open already"));
                }
                Some(Action::Attach(attach)) => out.push(self.attach(attach)),
                Some(Action::Detach(detach)) => out.extend(self.detach(detach.handler)),
                Some(Action::Reply(reply)) => out.extend(self.reply(reply)),
                Some(Action::SendChunk(chunk)) => out.extend(self.send_chunk(chunk)),
                Some(Action::AskBack(question)) => out.extend(self.ask_back(question)),
                Some(Action::TakeChunks(take)) => out.extend(self.take_chunks(take)),
                Some(Action::AnswerQuestion(answer)) => out.extend(self.answer_question(answer)),
                Some(Action::GiveUp(request)) => self.session.give_up(request.id),
                Some(Action::Request(call)) => out.extend(self.request(call)),
                Some(Action::Subscribe(subscribe)) => out.extend(self.subscribe(subscribe)),
                Some(Action::Unsubscribe(it)) => out.extend(self.unsubscribe(it.subscriber)),
                Some(Action::Publish(publish)) => out.extend(self.publish(publish)),
                Some(Action::Took(took)) => self.session.took(u64::from(took.subscriber), took.events),
                Some(Action::LeadershipAsk(ask)) => out.extend(self.leadership_asked(ask)),
                None => return Err(Status::new(Code::InvalidArgument, "an action of an unknown kind")),
            }
        }
        Ok(())
    }

    fn attach(&mut self, attach: v1::Attach) -> v1::ServerEvent {
        let number = attach.handler;
        if self.serials.contains_key(&number) {
            return refused(number, format!("handler {number} is attached already"));
        }
        let name = match ExchangeName::new(&attach.exchange) {
            Ok(name) => name,
            Err(error) => return refused(number, format!("'{}': {error}", attach.exchange)),
        };
        let tags = HandlerTags {
            service: attach.service_tag,
            connection: attach.connection_tag,
            works: false,
        };
        match self.session.attach(&name, tags, attach.credit) {
            Ok(attachment) => {
                let pid = attachment.pid();
                self.serials.insert(number, pid.serial);
                self.numbers.insert(pid.serial, number);
                let context = &self.plane.context;
                let epoch = context
                    .registry()
                    .exchanges
                    .get(&attachment.exchange())
                    .map_or(0, |e| e.epoch.0);
                event(Out::Attached(v1::Attached {
                    handler: number,
                    pid: context.pid_text(pid),
                    epoch,
                }))
            }
            Err(error) => refused(number, error.to_string()),
        }
    }

    fn detach(&mut self, number: u32) -> Option<v1::ServerEvent> {
        let detached = self
            .serials
            .get(&number)
            .is_some_and(|serial| self.session.detach(*serial, DetachReason::Asked));
        (!detached).then(|| refused(number, format!("there is no handler {number}")))
    }

    fn reply(&mut self, reply: v1::Reply) -> Option<v1::ServerEvent> {
        let delivery = reply.delivery;
        let (status, payload) = convert::answer(reply);
        let Some(key) = self.deliveries.remove(&delivery) else {
            crate::wire::count(&self.plane.context.wire.tally.late_replies);
            return Some(talking::refused(delivery, TalkFault::Over));
        };
        self.talks.remove(&key);
        let taken = self.session.answer(key, status, payload);
        (!taken).then(|| talking::refused(delivery, TalkFault::Over))
    }

    fn request(&mut self, call: v1::RequestCall) -> Option<v1::ServerEvent> {
        let id = call.id;
        let longest = [&call.request_tag, &call.service_tag, &call.key]
            .map(String::len)
            .into_iter()
            .max()
            .unwrap_or(0);
        if longest > TAG_BYTES_MAX {
            return Some(refused(
                0,
                format!("request {id}: a tag has at most {TAG_BYTES_MAX} bytes, not {longest}"),
            ));
        }
        let Some(exchange) = lookup(&self.plane, &call.exchange) else {
            return Some(event(Out::Outcome(convert::unknown_exchange(&call))));
        };
        let refused = self
            .session
            .request(id, convert::request(call, exchange, self.trace))?;
        Some(event(Out::Outcome(convert::outcome(
            &self.plane.context,
            id,
            refused,
        ))))
    }
}

fn event(event: Out) -> v1::ServerEvent {
    v1::ServerEvent { event: Some(event) }
}

fn refused(handler: u32, reason: String) -> v1::ServerEvent {
    event(Out::Refused(v1::Refused { handler, reason }))
}
