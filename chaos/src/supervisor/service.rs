//! The gRPC service of the supervisor on its Unix socket. What does not live here: what the orders mean (`roster`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use squall_kernel::time::Span;
use squall_proto::v1 as proto;
use squall_proto::v1::supervisor_server::{Supervisor, SupervisorServer};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::command::{Command, Shown};
use super::order::{Deed, Order, OsPid, Refused};
use super::roster::Phase;
use crate::judge::Judge;
use crate::layout::Place;
use crate::limits::{ACT_TIMEOUT, SOCKET_CALLS_MAX};

pub(super) struct Service {
    commands: mpsc::Sender<Command>,
    places: Vec<Place>,
    chaos: bool,
    judge: Option<Judge>,
    /// While it is there, nodes are only mended.
    lock: Mutex<Option<proto::ChaosLock>>,
}

/// Serves until the task is aborted.
pub(super) async fn serve(listener: UnixListener, service: Service) {
    let streams = u32::try_from(SOCKET_CALLS_MAX).expect("a small number");
    let outcome = tonic::transport::Server::builder()
        .timeout(ACT_TIMEOUT)
        .concurrency_limit_per_connection(SOCKET_CALLS_MAX)
        .max_concurrent_streams(streams)
        .add_service(SupervisorServer::new(service))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await;
    if let Err(error) = outcome {
        warn!(%error, "the supervisor's socket is closed");
    }
}

/// The children as messages; none when the cluster is being ended.
pub(super) async fn list(commands: &mpsc::Sender<Command>, places: &[Place]) -> Option<Vec<proto::Child>> {
    let (reply, answer) = oneshot::channel();
    commands.send(Command::List { reply }).await.ok()?;
    let shown = answer.await.ok()?;
    Some(shown.iter().map(|shown| message(shown, places)).collect())
}

#[tonic::async_trait]
impl Supervisor for Service {
    async fn list_children(
        &self,
        _: Request<proto::ListChildrenRequest>,
    ) -> Result<Response<proto::ListChildrenResponse>, Status> {
        let children = list(&self.commands, &self.places)
            .await
            .ok_or_else(|| status(&Refused::Ending))?;
        let lock = self.lock().clone();
        Ok(Response::new(proto::ListChildrenResponse { children, lock }))
    }

    async fn act(&self, request: Request<proto::ActRequest>) -> Result<Response<proto::ActResponse>, Status> {
        if !self.chaos {
            return Err(status(&Refused::ChaosOff));
        }
        let request = request.into_inner();
        let order = order(&request)?;
        if !matches!(order.deed, Deed::Resume | Deed::Restart) {
            self.check_unlocked()?;
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Act {
            order,
            by: request.by,
            reply,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| status(&Refused::Ending))?;
        let shown = answer
            .await
            .map_err(|_| status(&Refused::Ending))?
            .map_err(|refused| status(&refused))?;
        Ok(Response::new(proto::ActResponse {
            child: Some(message(&shown, &self.places)),
        }))
    }

    async fn unlock_children(
        &self,
        request: Request<proto::UnlockRequest>,
    ) -> Result<Response<proto::UnlockResponse>, Status> {
        let asked = request.into_inner();
        if asked.reason.trim().is_empty() {
            return Err(Status::invalid_argument(
                "reason: say why nodes are acted on again",
            ));
        }
        info!(by = asked.by, reason = asked.reason, "unlock");
        let was_locked = self.lock().take().is_some();
        Ok(Response::new(proto::UnlockResponse { was_locked }))
    }

    async fn verdicts(
        &self,
        _: Request<proto::VerdictsRequest>,
    ) -> Result<Response<proto::VerdictsResponse>, Status> {
        let standing = self.judge()?.standing().await;
        let standing = standing.ok_or_else(|| status(&Refused::Ending))?;
        Ok(Response::new(standing.on_wire()))
    }

    async fn session(
        &self,
        _: Request<proto::SessionRequest>,
    ) -> Result<Response<proto::SessionResponse>, Status> {
        let session = self.judge()?.session().await;
        Ok(Response::new(session.ok_or_else(|| status(&Refused::Ending))?))
    }

    async fn halt_children(
        &self,
        request: Request<proto::HaltChildrenRequest>,
    ) -> Result<Response<proto::HaltChildrenResponse>, Status> {
        let request = request.into_inner();
        if request.lock {
            self.lock().replace(proto::ChaosLock {
                by: request.by.clone(),
                reason: request.reason,
            });
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Halt {
            by: request.by,
            reply,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| status(&Refused::Ending))?;
        let nodes = answer.await.map_err(|_| status(&Refused::Ending))?;
        let nodes = nodes.iter().map(ToString::to_string).collect();
        Ok(Response::new(proto::HaltChildrenResponse { nodes }))
    }
}

impl Service {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        places: Vec<Place>,
        chaos: bool,
        judge: Option<Judge>,
    ) -> Self {
        Self {
            commands,
            places,
            chaos,
            judge,
            lock: Mutex::default(),
        }
    }

    fn judge(&self) -> Result<&Judge, Status> {
        let nobody = "nobody judges this cluster: start it with --judge";
        self.judge
            .as_ref()
            .ok_or_else(|| Status::failed_precondition(nobody))
    }

    fn lock(&self) -> MutexGuard<'_, Option<proto::ChaosLock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_unlocked(&self) -> Result<(), Status> {
        match &*self.lock() {
            None => Ok(()),
            Some(lock) => Err(status(&Refused::Locked {
                by: lock.by.clone(),
                reason: lock.reason.clone(),
            })),
        }
    }
}

fn order(request: &proto::ActRequest) -> Result<Order, Status> {
    let deed = match request.action() {
        proto::Action::Kill => Deed::Kill {
            stay_down: request.stay_down,
        },
        proto::Action::Stop => Deed::Stop {
            stay_down: request.stay_down,
        },
        proto::Action::Pause => Deed::Pause,
        proto::Action::Resume => Deed::Resume,
        proto::Action::Restart => Deed::Restart,
        proto::Action::Wipe => Deed::Wipe,
        proto::Action::Unspecified => {
            return Err(Status::invalid_argument(
                "no action, or one this version does not know",
            ));
        }
    };
    let expect = match request.expect_os_pid {
        0 => None,
        // No process has an id beyond 32 bits: such an order is refused as one for another process.
        pid => Some(OsPid(u32::try_from(pid).unwrap_or(u32::MAX))),
    };
    let ttl = Span(request.ttl_ms.saturating_mul(1000));
    Ok(Order {
        node: request.node.clone(),
        deed,
        ttl,
        expect,
    })
}

fn status(refused: &Refused) -> Status {
    let text = refused.to_string();
    match refused {
        Refused::UnknownNode { .. } => Status::not_found(text),
        Refused::TtlTooLong { .. } => Status::invalid_argument(text),
        Refused::Ending => Status::unavailable(text),
        Refused::NotRunning { .. }
        | Refused::OtherPid { .. }
        | Refused::ChaosOff
        | Refused::Locked { .. }
        | Refused::NoGuard => Status::failed_precondition(text),
    }
}

fn message(shown: &Shown, places: &[Place]) -> proto::Child {
    let Shown { child, left } = shown;
    let state = match child.phase {
        Phase::Running { .. } | Phase::Stopping { .. } => proto::ChildState::Running,
        Phase::Paused { .. } => proto::ChildState::Paused,
        Phase::Dying { .. } | Phase::Dead { .. } => proto::ChildState::Dead,
    };
    let place = places.iter().find(|place| place.name == child.name);
    proto::Child {
        name: child.name.to_string(),
        state: state.into(),
        os_pid: child.pid().map_or(0, |pid| u64::from(pid.0)),
        left_ms: left.as_ms(),
        starts: child.starts,
        mesh_addr: place.map(|place| place.mesh.to_string()).unwrap_or_default(),
        grpc_addr: place.map(|place| place.grpc.to_string()).unwrap_or_default(),
        last_exit: child.last_exit.clone(),
    }
}
