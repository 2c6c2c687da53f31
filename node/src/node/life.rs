//! The life of a node, on its control thread: what starts in which order, and its orderly end.
//!
//! Three runtimes: `control` (heartbeats, promises, Raft, the control links) on one thread, `grpc` on another, `data`
//! (data links, exchanges, handlers, sessions) on its own workers; storage has a thread of its own. So a handler that
//! blocks costs no lease, no election and no gap in the observer.
//!
//! What does not live here: how the parts are put together (`planes`), and what is done before the goodbye (`leaving`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use squall_kernel::registry::Introduction;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

use super::leaving::Leave;
use super::planes::{Ground, Planes, Runtimes};
use super::{NodeError, NodeOptions, Started, journal_file, nearness};
use crate::clients;
use crate::clock::Clock;
use crate::datadir::DataDir;
use crate::grpc::Server;
use crate::journal::Fact;
use crate::metrics::Pusher;

/// How long the goodbye may take to leave.
const FAREWELL: Duration = Duration::from_millis(100);
/// How long Raft may take to stop and to close its file.
const META_STOP: Duration = Duration::from_secs(3);

/// From the start to the end; `ready` hears of the start, or why there is none.
pub(super) fn run(
    dir: DataDir,
    options: NodeOptions,
    ready: &SyncSender<Result<Started, NodeError>>,
    leave: watch::Receiver<Leave>,
) -> Result<(), NodeError> {
    let control = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Thread)?;
    let data = data_runtime(options.data_workers).map_err(NodeError::Thread)?;
    let runtimes = Runtimes {
        control: control.handle().clone(),
        data: data.handle().clone(),
    };
    let outcome = control.block_on(live(dir, options, &runtimes, ready, leave));
    data.shutdown_background();
    control.shutdown_background();
    outcome
}

fn data_runtime(workers: usize) -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // At least two: one may be blocked by an embedded handler.
    let workers = if workers == 0 { cores.clamp(2, 8) } else { workers };
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("data")
        .enable_all()
        .build()
}

async fn live(
    dir: DataDir,
    options: NodeOptions,
    runtimes: &Runtimes,
    ready: &SyncSender<Result<Started, NodeError>>,
    leave: watch::Receiver<Leave>,
) -> Result<(), NodeError> {
    let clock = Clock::start();
    let (me, listeners) = listen(&dir, &options).await?;
    let (journal, journal_writer) = journal_file::start(options.journal.as_deref(), &me, &clock)?.unzip();
    let spans = options.spans.clone();
    let ground = Ground::new(
        me,
        clock.clone(),
        journal.clone(),
        Arc::clone(dir.disk_fault()),
        spans,
    );
    let (planes, arrivals, ends) = Planes::start(ground, &dir, &options, runtimes, listeners).await?;
    runtimes
        .data
        .spawn(clients::serve(arrivals.clients, Arc::clone(&planes.sessions)));
    runtimes.data.spawn(nearness::keep(
        planes.opinion.clone(),
        Arc::downgrade(&planes.data),
    ));
    let sources = Arc::new(planes.sources(&options));
    let server = planes.serve_grpc(&options, &sources, arrivals.http)?;
    let pusher = planes.push(&options, &sources)?;
    let (go, departure) = oneshot::channel();
    let control = planes.control(dir, options.founding, ends);
    // Nobody waits any more when the starter has given up.
    let _ = ready.send(Ok(planes.started()));
    let leaving = tokio::spawn(planes.leaving(leave).run(go));
    let holding = tokio::spawn(planes.holding().run());
    let faults = tokio::spawn(planes.faults().keep_time());
    let outcome = control.run(departure).await;
    leaving.abort();
    holding.abort();
    faults.abort();
    end(&planes, server, pusher).await;
    // Not before: what a link holds back stays where it is, whoever leaves.
    planes.faults().end();
    if let Some(journal) = journal.as_ref().filter(|_| outcome.is_ok()) {
        journal.fact(clock.now(), &Fact::Left);
    }
    journal_file::finish(journal_writer);
    Ok(outcome?)
}

/// Takes the node's addresses, and says who it is.
async fn listen(dir: &DataDir, options: &NodeOptions) -> Result<(Introduction, Vec<TcpListener>), NodeError> {
    let mesh = bind(options.listen, "the mesh").await?;
    let grpc = bind(options.grpc, "gRPC").await?;
    let address = |l: &TcpListener, wanted: SocketAddr| l.local_addr().unwrap_or(wanted).to_string();
    let me = Introduction {
        id: dir.node_id(),
        name: options.name.clone(),
        incarnation: dir.incarnation(),
        boot: dir.boot(),
        mesh_addr: address(&mesh, options.listen),
        grpc_addr: address(&grpc, options.grpc),
        functions: options.functions.names(),
        zone: options.zone.clone(),
    };
    tracing::info!(node = %me.name, mesh = %me.mesh_addr, grpc = %me.grpc_addr, incarnation = %me.incarnation, "starts");
    Ok((me, vec![mesh, grpc]))
}

async fn bind(addr: SocketAddr, purpose: &'static str) -> Result<TcpListener, NodeError> {
    TcpListener::bind(addr).await.map_err(|source| NodeError::Bind {
        addr,
        purpose,
        source,
    })
}

async fn end(planes: &Planes, server: Server, pusher: Option<Pusher>) {
    if let Some(pusher) = &pusher {
        pusher.close();
    }
    planes.sessions.leave();
    tokio::time::sleep(FAREWELL).await;
    server.stop().await;
    if tokio::time::timeout(META_STOP, planes.meta.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("the registry's storage did not stop in time; it is recovered at the next start");
    }
    if let Some(pusher) = pusher {
        pusher.ended().await;
    }
    planes.mesh.stop();
    planes.data.stop();
}
