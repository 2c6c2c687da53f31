//! The gRPC `Session` service: sessions for clients in any language, events in batches.

use std::sync::Arc;

use squall_kernel::frame::TraceContext;
use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::reason::ClientFault;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::session_server::{Session as SessionService, SessionServer};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};

use self::capped::Capped;
use self::outgoing::{Outgoing, Outgoings};
use self::stream::Grpc;
use super::{Session, convert};
use crate::client_faults::ClientFaults;
use crate::data::DataPlane;
use crate::grpc::limits::{MESSAGE_BYTES_MAX, SESSION_BYTES_MAX};
use crate::process::{Process, ProcessKind};
use crate::telemetry::context::parse_traceparent;

mod acting;
mod capped;
mod deliveries;
mod outgoing;
mod publishing;
mod stream;
mod talking;
mod tasks;
mod telling;

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
    pub fn into_server(self) -> Capped<SessionServer<Self>> {
        let context = Arc::clone(&self.plane.context);
        let server = SessionServer::new(self)
            .max_decoding_message_size(SESSION_BYTES_MAX)
            .max_encoding_message_size(2 * MESSAGE_BYTES_MAX);
        Capped::new(server, context)
    }
}

#[tonic::async_trait]
impl SessionService for GrpcSessions {
    type OpenStream = Outgoings;

    async fn open(
        &self,
        request: Request<Streaming<v1::ClientBatch>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let trace = traceparent_of(&request);
        let (out, last_word, events) = outgoing::channel();
        let plane = Arc::clone(&self.plane);
        let runtime = plane.context.runtime.clone();
        let away = Away {
            leaving: self.leaving.clone(),
            isolated: plane.isolation(),
        };
        runtime.spawn(async move {
            let end = serve(plane, request.into_inner(), out, trace, away).await;
            if let (Err(status), Some(last_word)) = (end, last_word) {
                last_word.say(status);
            }
        });
        Ok(Response::new(events))
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
        let id = call.id;
        if let Some(why) = convert::too_long([&call.request_tag, &call.service_tag, &call.key]) {
            faults(&self.plane).count(ClientFault::TooLong);
            return Ok(Response::new(convert::declined(id, why)));
        }
        let Some(exchange) = lookup(&self.plane, &call.exchange) else {
            let unknown = convert::unknown(id, &call.exchange, call.request_tag);
            return Ok(Response::new(unknown));
        };
        self.requester.count_sent(1);
        let asked = crate::router::Request {
            from: self.requester.pid(),
            ..convert::request(call, exchange, trace)
        };
        faults(&self.plane).look_at(&asked);
        let outcome = self.plane.router.request(asked).await;
        Ok(Response::new(convert::outcome(&self.plane.context, id, outcome)))
    }
}

fn traceparent_of<T>(request: &Request<T>) -> Option<TraceContext> {
    let text = request.metadata().get("traceparent")?.to_str().ok()?;
    parse_traceparent(text).ok()
}

fn faults(plane: &DataPlane) -> &ClientFaults {
    &plane.context.wire.tally.client_faults
}

/// Counts what could not be read: a message above the bound, of which only the length was looked at, or none.
fn count_unread(faults: &ClientFaults, code: Code) {
    match code {
        Code::OutOfRange => faults.count(ClientFault::TooLarge),
        Code::Internal => faults.count(ClientFault::Garbage),
        _ => {}
    }
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
    out: Outgoing,
    trace: Option<TraceContext>,
    away: Away,
) -> Result<(), Status> {
    let faults = Arc::clone(&plane.context);
    let end = match open(&plane, &mut actions).await {
        Ok((session, rest)) => {
            Grpc::new(plane, session, out, trace)
                .run(actions, rest, away)
                .await
        }
        Err(status) => Err(status),
    };
    if let Err(status) = &end {
        count_unread(&faults.wire.tally.client_faults, status.code());
    }
    end
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
                faults(plane).count(ClientFault::TooLong);
                return Err(Status::invalid_argument(format!(
                    "a session's name has at most {NAME_BYTES_MAX} bytes"
                )));
            }
            Some(_) => {
                faults(plane).count(ClientFault::Garbage);
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
