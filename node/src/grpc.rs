//! The node's gRPC services on a thread and a runtime of their own: introspection, admin, chaos, health, reflection,
//! and what else the node adds; and its pages over plain HTTP. Connections come from the node's listener, which tells them from native frames.
//!
//! What does not live here: the listener, the session service, and the parts of the node behind the seams
//! ([`Sources`], [`Proposer`], [`FaultPlane`]).

pub mod admin;
pub mod chaos;
pub mod connection;
mod detail;
pub mod introspection;
pub mod limits;
pub mod membership;
mod metrics;
pub mod status;
mod watcher;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures::{Stream, StreamExt};
use squall_kernel::registry::Registry;
use squall_proto::v1::admin_server::AdminServer;
use squall_proto::v1::chaos_server::ChaosServer;
use squall_proto::v1::introspection_server::IntrospectionServer;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

pub use admin::{AdminService, Proposer};
pub use chaos::{CHAOS_KEY_METADATA, ChaosService, FaultPlane};
pub use introspection::IntrospectionService;
pub use membership::Membership;

use crate::breaches::Breaches;
use crate::introspect::{EventLog, Sources, Wake};
use connection::Connection;

/// What the control services stand on.
pub struct Parts<S, P> {
    /// Rows.
    pub sources: Arc<S>,
    /// Events.
    pub events: Arc<EventLog>,
    /// Rouses the watchers.
    pub wake: Wake,
    /// Brings commands, and changes of the voters, to the meta leader.
    pub proposer: Arc<P>,
    /// The registry as this node has it.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Faults; none without `--chaos`.
    pub faults: Option<Arc<dyn FaultPlane>>,
    /// What whoever sets faults must show, if anything.
    pub chaos_key: Option<Vec<u8>>,
    /// Broken invariants that the node is told of.
    pub breaches: Arc<Breaches>,
}

/// The services of a server, under the names that health and reflection give them.
#[derive(Default)]
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    pages: axum::Router,
}

impl Services {
    /// Adds a service; its own bound on message sizes must be set already (see [`limits`]).
    pub fn add<T>(&mut self, service: T)
    where
        T: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        T::Future: Send + 'static,
    {
        self.names.push(T::NAME);
        self.routes.add_service(service);
    }

    /// Adds introspection, admin and chaos over `parts`; their streams end when `closing` turns true.
    pub fn add_control<S: Sources, P: Proposer + Membership>(
        &mut self,
        parts: Parts<S, P>,
        closing: watch::Receiver<bool>,
    ) {
        let Parts {
            sources,
            events,
            wake,
            proposer,
            registry,
            faults,
            chaos_key,
            breaches,
        } = parts;
        let introspection =
            IntrospectionService::new(Arc::clone(&sources), Arc::clone(&events), wake, closing);
        let admin = AdminService::new(proposer, registry, Arc::clone(&sources));
        self.pages = std::mem::take(&mut self.pages).merge(metrics::page(Arc::clone(&sources)));
        let chaos = ChaosService::new(faults, chaos_key, sources, events, breaches);
        let max = limits::CONTROL_BYTES_MAX;
        self.add(IntrospectionServer::new(introspection).max_decoding_message_size(max));
        self.add(AdminServer::new(admin).max_decoding_message_size(max));
        self.add(ChaosServer::new(chaos).max_decoding_message_size(max));
    }
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    closing: watch::Sender<bool>,
    ended: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
    runtime: Handle,
}

impl Server {
    /// Starts the thread "grpc". `fill` adds the services; it gets what turns true when the server stops, for the
    /// streams to end then.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be had.
    pub fn start(
        incoming: mpsc::Receiver<TcpStream>,
        fill: impl FnOnce(&mut Services, &watch::Receiver<bool>),
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (closing, closed) = watch::channel(false);
        let mut services = Services::default();
        fill(&mut services, &closed);
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("grpc".into()).spawn(move || {
            run(runtime, serve(incoming, services, closed));
            // Nobody waits when the node ends without an orderly stop.
            let _ = end.send(());
        })?;
        Ok(Self {
            closing,
            ended: Some(ended),
            thread: Some(thread),
            runtime: handle,
        })
    }

    /// Where its calls run.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Stops in order: takes no new call, ends the streams, lets other calls finish for a bounded time.
    pub async fn stop(mut self) {
        self.closing.send_replace(true);
        if let Some(ended) = self.ended.take() {
            // An error means that the thread is gone, which is what is waited for.
            let _ = ended.await;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the gRPC thread panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.send_replace(true);
    }
}

fn run(runtime: Runtime, serve: impl Future<Output = ()>) {
    runtime.block_on(serve);
    runtime.shutdown_background();
}

async fn serve(incoming: mpsc::Receiver<TcpStream>, services: Services, closing: watch::Receiver<bool>) {
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, &services.names, ServingStatus::Serving).await;
    let Services {
        mut routes,
        names,
        pages,
    } = services;
    routes.add_service(health_service.max_decoding_message_size(limits::CONTROL_BYTES_MAX));
    routes.add_service(reflection());
    let mut server = tonic::transport::Server::builder()
        .accept_http1(true)
        .load_shed(true)
        .concurrency_limit_per_connection(limits::CALLS_MAX)
        .timeout(limits::CALL_TIME_MAX)
        .max_concurrent_streams(limits::STREAMS_MAX)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(limits::HEADER_BYTES_MAX);
    let (mut stop, mut closing) = (closing.clone(), closing);
    let serving = server
        .add_routes(Routes::from(routes.routes().into_axum_router().merge(pages)))
        .serve_with_incoming_shutdown(connections(incoming), closed(&mut stop));
    let overdue = async {
        closed(&mut closing).await;
        set_health(&health, &names, ServingStatus::NotServing).await;
        tokio::time::sleep(limits::STOP_TIME_MAX).await;
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::error!(%error, "the gRPC server ended");
        },
        () = overdue => tracing::debug!("calls were still open when the gRPC server stopped"),
    }
}

async fn set_health(health: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names.iter().chain(&[""]) {
        health.set_service_status(*name, status).await;
    }
}

fn reflection()
-> tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(squall_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are made by the build and read by a test")
        .max_decoding_message_size(limits::CONTROL_BYTES_MAX)
}

/// Connections from the listener, bounded in number.
fn connections(incoming: mpsc::Receiver<TcpStream>) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    ReceiverStream::new(incoming).filter_map(move |stream| {
        let taken = Connection::take(stream, &places);
        if let Err(error) = &taken {
            tracing::warn!(%error, "a gRPC connection was not taken");
        }
        std::future::ready(taken.ok().map(Ok))
    })
}

/// Waits until the server stops.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the server's handle is gone, which closes it too.
    let _ = closing.wait_for(|closing| *closing).await;
}

#[cfg(test)]
#[path = "grpc/fake.rs"]
mod fake;

#[cfg(test)]
#[path = "grpc_test.rs"]
mod tests;
