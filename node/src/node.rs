//! A broker node, put together: threads, listeners, planes and services, and their orderly end.
//!
//! Three runtimes: `control` (heartbeats, promises, Raft, the control links) on one thread, `grpc` on another, `data`
//! (data links, exchanges, handlers, sessions) on its own workers; storage has a thread of its own. So a handler that
//! blocks costs no lease, no election and no gap in the observer.

mod holding;
mod leaving;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::TrySendError;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use squall_kernel::founding::Founding;
use squall_kernel::id::{ExchangeId, NodeName, ZoneName};
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Introduction, Registry};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clients;
use crate::clock::Clock;
use crate::control::{Carrier, Control, ControlError, ControlParts, Opinion, Proposals};
use crate::data::{DataConfig, DataPlane};
use crate::datadir::DataDir;
use crate::death::{self, Proofs};
use crate::functions;
use crate::grpc::{Parts, Server};
use crate::introspect::{EventLog, Wake};
use crate::journal::{FORMAT, Fact, Header, Journal, JournalWriter, Recorder};
use crate::lease::LeaseClock;
use crate::mesh::{FaultPlane, Mesh, MeshConfig, MeshError, MeshOut, MeshTimes};
use crate::meta::{Compaction, Meta, MetaError};
use crate::session::{GrpcSessions, NativeSessions};
use crate::sources::NodeSources;
use crate::spans::Sampler;
use crate::system::SystemFigures;
use holding::Holding;
use leaving::{Leave, Leaving};

/// Mesh events that may wait: more than a handshake with every peer at once.
const MESH_EVENTS_MAX: usize = 4096;
/// Connections that may wait for the gRPC server.
const GRPC_BACKLOG: usize = 128;
/// How often proxies are chosen by how far they are: round trips are medians of seconds.
const MEASURED_EVERY: Duration = Duration::from_secs(2);
/// How long the goodbye may take to leave.
const FAREWELL: Duration = Duration::from_millis(100);
/// How long Raft may take to stop and to close its file.
const META_STOP: Duration = Duration::from_secs(3);

/// What a node starts from.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Name.
    pub name: NodeName,
    /// Address of the mesh; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Address of the gRPC services; port 0 lets the system choose.
    pub grpc: SocketAddr,
    /// Addresses of other nodes, host:port.
    pub join: Vec<String>,
    /// Secret of the cluster.
    pub cookie: Vec<u8>,
    /// What to do with an empty data directory.
    pub founding: Founding,
    /// Times for a cluster founded by this node.
    pub profile: Profile,
    /// Take faults.
    pub chaos: bool,
    /// Unix socket of the supervisor; empty without one.
    pub supervisor: String,
    /// Listen beyond loopback without encryption.
    pub insecure: bool,
    /// File for the inputs and effects of the kernel; `%n` in its name stands for the node's name, `%i` for the
    /// incarnation.
    pub journal: Option<PathBuf>,
    /// One in so many requests starts a trace; 0 for none.
    pub trace_one_in: u32,
    /// Workers of the data runtime; 0 lets the node choose.
    pub data_workers: usize,
    /// What proves that another node has ended.
    pub proofs: Proofs,
    /// Functions by which exchanges may route: those that need one live only on nodes that have it.
    pub functions: functions::Registry,
    /// Zone of the node.
    pub zone: Option<ZoneName>,
}

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An address beyond loopback without leave to be insecure.
    #[error("{addr} is not a loopback address: there is no encryption yet, so a wider bind needs --insecure")]
    Exposed {
        /// Address asked for.
        addr: SocketAddr,
    },
    /// An address cannot be had.
    #[error("cannot listen on {addr} for {purpose}: {source}{}", hint(source))]
    Bind {
        /// Address asked for.
        addr: SocketAddr,
        /// What it is for.
        purpose: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or runtime cannot be had.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The journal's file cannot be written.
    #[error("cannot write the journal {path}: {source}")]
    Journal {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The registry's file cannot be used.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The mesh cannot start.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The node cannot go on.
    #[error(transparent)]
    Control(#[from] ControlError),
}

fn hint(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        "; another program uses the port: choose another one, or end that program"
    } else {
        ""
    }
}

/// A running node.
pub struct Node {
    introduction: Introduction,
    data: Arc<DataPlane>,
    proposals: Proposals,
    registry: watch::Receiver<Arc<Registry>>,
    opinion: watch::Receiver<Arc<Opinion>>,
    drained: watch::Receiver<Option<bool>>,
    events: Arc<EventLog>,
    leave: watch::Sender<Leave>,
    ended: watch::Receiver<Option<Result<(), Arc<NodeError>>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    /// Starts a node in the data directory. Returns when it listens; joining a cluster goes on by itself.
    ///
    /// # Errors
    /// [`NodeError`] names what cannot be had; nothing is left running then.
    pub fn start(dir: DataDir, options: NodeOptions) -> Result<Self, NodeError> {
        for addr in [options.listen, options.grpc] {
            if !addr.ip().is_loopback() && !options.insecure {
                return Err(NodeError::Exposed { addr });
            }
        }
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (leave, left) = watch::channel(Leave::Not);
        let (ended_in, ended) = watch::channel(None);
        let thread = std::thread::Builder::new().name("control".into());
        let thread = thread.spawn(move || {
            let outcome = run(dir, options, &ready, left);
            let outcome = match outcome {
                // Whoever waits for the start hears of it; after the start nobody waits there any more.
                Err(error) => match ready.try_send(Err(error)) {
                    Ok(()) => return,
                    Err(TrySendError::Full(kept) | TrySendError::Disconnected(kept)) => kept.map(drop),
                },
                Ok(()) => Ok(()),
            };
            ended_in.send_replace(Some(outcome.map_err(Arc::new)));
        });
        let thread = thread.map_err(NodeError::Thread)?;
        match started.recv() {
            Ok(Ok(Started {
                introduction,
                data,
                proposals,
                registry,
                opinion,
                drained,
                events,
            })) => Ok(Self {
                introduction,
                data,
                proposals,
                registry,
                opinion,
                drained,
                events,
                leave,
                ended,
                thread: Some(thread),
            }),
            Ok(Err(error)) => {
                // The thread has told all it had to tell.
                let _ended = thread.join();
                Err(error)
            }
            Err(_) => Err(NodeError::Thread(std::io::Error::other(
                "the control thread panicked",
            ))),
        }
    }

    /// Who this node is, with the addresses it listens on.
    #[must_use]
    pub fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// Its data plane: for handlers and requests in this process.
    #[must_use]
    pub fn data(&self) -> &Arc<DataPlane> {
        &self.data
    }

    /// Proposes commands to the registry.
    #[must_use]
    pub fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    /// The registry, after every change.
    #[must_use]
    pub fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.registry.clone()
    }

    /// Set once the node has handed over everything it owned, as it was told to: true when it is to leave for good.
    #[must_use]
    pub fn drained(&self) -> watch::Receiver<Option<bool>> {
        self.drained.clone()
    }

    /// What the node believes, at every heartbeat.
    #[must_use]
    pub fn opinion(&self) -> watch::Receiver<Arc<Opinion>> {
        self.opinion.clone()
    }

    /// What happened here lately.
    #[must_use]
    pub fn events(&self) -> Arc<EventLog> {
        Arc::clone(&self.events)
    }

    /// The number of an exchange, if there is one of that name.
    #[must_use]
    pub fn lookup(&self, name: &squall_kernel::id::ExchangeName) -> Option<ExchangeId> {
        self.data.lookup(name)
    }

    /// Returns when the node has ended by itself.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn ended(&self) -> Result<(), Arc<NodeError>> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            // The thread is gone without a word: it panicked, which the crash report tells.
            Err(_) => Ok(()),
        }
    }

    /// Begins to leave the cluster in order: hands over what it owns, sends its clients elsewhere, says goodbye, closes its
    /// files. Returns at once; [`Node::ended`] tells of the end.
    pub fn leave(&self) {
        self.raise(Leave::InOrder);
    }

    /// Begins to leave at once: says goodbye and closes its files. What it owns fails over.
    pub fn leave_at_once(&self) {
        self.raise(Leave::AtOnce);
    }

    fn raise(&self, wanted: Leave) {
        self.leave.send_if_modified(|leave| {
            let more = wanted > *leave;
            *leave = wanted.max(*leave);
            more
        });
    }

    /// As [`Node::leave`], and blocks until the end, for at most some seconds.
    ///
    /// # Errors
    /// Why it had ended before.
    pub fn stop(mut self) -> Result<(), Arc<NodeError>> {
        self.leave();
        self.join();
        self.ended.borrow().clone().unwrap_or(Ok(()))
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.leave_at_once();
        self.join();
    }
}

struct Started {
    introduction: Introduction,
    data: Arc<DataPlane>,
    proposals: Proposals,
    registry: watch::Receiver<Arc<Registry>>,
    opinion: watch::Receiver<Arc<Opinion>>,
    drained: watch::Receiver<Option<bool>>,
    events: Arc<EventLog>,
}

/// The life of a node, on the control thread.
fn run(
    dir: DataDir,
    options: NodeOptions,
    ready: &std::sync::mpsc::SyncSender<Result<Started, NodeError>>,
    leave: watch::Receiver<Leave>,
) -> Result<(), NodeError> {
    let control = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Thread)?;
    let data = data_runtime(options.data_workers).map_err(NodeError::Thread)?;
    let outcome = control.block_on(live(dir, options, &control, &data, ready, leave));
    data.shutdown_background();
    control.shutdown_background();
    outcome
}

/// Tells the data plane now and then how far the other nodes are, until the node ends.
async fn keep_near(mut opinion: watch::Receiver<Arc<Opinion>>, plane: Weak<DataPlane>) {
    while opinion.changed().await.is_ok() {
        let measured = {
            let opinion = opinion.borrow_and_update();
            let peers = opinion.peers.iter();
            peers
                .filter_map(|(id, peer)| Some((*id, peer.round_trip?.p50)))
                .collect()
        };
        let Some(plane) = plane.upgrade() else { return };
        plane.measured(measured);
        drop(plane);
        tokio::time::sleep(MEASURED_EVERY).await;
    }
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

async fn bind(addr: SocketAddr, purpose: &'static str) -> Result<TcpListener, NodeError> {
    TcpListener::bind(addr).await.map_err(|source| NodeError::Bind {
        addr,
        purpose,
        source,
    })
}

async fn live(
    dir: DataDir,
    options: NodeOptions,
    control: &Runtime,
    data: &Runtime,
    ready: &std::sync::mpsc::SyncSender<Result<Started, NodeError>>,
    leave: watch::Receiver<Leave>,
) -> Result<(), NodeError> {
    let clock = Clock::start();
    let mesh_listener = bind(options.listen, "the mesh").await?;
    let grpc_listener = bind(options.grpc, "gRPC").await?;
    let address = |l: &TcpListener, wanted: SocketAddr| l.local_addr().unwrap_or(wanted).to_string();
    let me = Introduction {
        id: dir.node_id(),
        name: options.name.clone(),
        incarnation: dir.incarnation(),
        boot: dir.boot(),
        mesh_addr: address(&mesh_listener, options.listen),
        grpc_addr: address(&grpc_listener, options.grpc),
        functions: options.functions.names(),
        zone: options.zone.clone(),
    };
    tracing::info!(node = %me.name, mesh = %me.mesh_addr, grpc = %me.grpc_addr, incarnation = %me.incarnation, "starts");
    let (journal, journal_writer) = start_journal(options.journal.as_deref(), &me)?.unzip();
    if let Some(journal) = &journal {
        journal.header(&header(&me, clock));
    }
    let wake = Wake::default();
    let events = Arc::new(EventLog::new(me.incarnation, wake.clone()));
    let lease = Arc::new(LeaseClock::default());
    let recorder = Recorder::new(journal.clone(), clock);
    let faults = Arc::new(FaultPlane::recorded(clock, recorder.clone()));
    let (plane, wanted) = DataPlane::start(DataConfig {
        events: Some(Arc::clone(&events)),
        node: me.id,
        boot: me.boot,
        incarnation: me.incarnation,
        name: me.name.clone(),
        clock,
        lease: Arc::clone(&lease),
        runtime: data.handle().clone(),
        journal: journal.clone(),
        sampler: Sampler::one_in(options.trace_one_in),
        functions: options.functions.clone(),
    });
    let (mesh_events, mesh_inbox) = mpsc::channel(MESH_EVENTS_MAX);
    let (grpc_streams, grpc_inbox) = mpsc::channel(GRPC_BACKLOG);
    let (clients, client_inbox) = mpsc::channel(GRPC_BACKLOG);
    let mesh = Mesh::start(
        MeshConfig {
            me: me.clone(),
            cookie: options.cookie.clone(),
            cluster: dir.cluster(),
            seeds: options.join.clone(),
            control: control.handle().clone(),
            data: data.handle().clone(),
            faults: Arc::clone(&faults),
            times: MeshTimes::default(),
            process: options.proofs.process.then(death::own).flatten(),
            trust_refused: options.proofs.refused,
        },
        vec![mesh_listener, grpc_listener],
        MeshOut {
            sink: plane.clone(),
            events: mesh_events,
            http: grpc_streams,
            clients,
        },
    )?;
    plane.connect(mesh.clone());
    let carrier = Carrier::new(me.boot, Arc::clone(&mesh));
    let meta = Meta::start_with(
        &dir,
        Arc::new(carrier.clone()),
        options.profile,
        Compaction::default(),
        recorder.witness(),
    )
    .await?;
    mesh.set_initialized(meta.state());
    let (opinion_in, opinion) = watch::channel(Arc::default());
    let proposals = Proposals::new(
        me.boot,
        Arc::clone(&mesh),
        meta.clone(),
        opinion.clone(),
        recorder.clone(),
    );
    let sessions = Arc::new(NativeSessions::new(
        Arc::clone(&plane),
        Arc::new(proposals.clone()),
    ));
    data.spawn(clients::serve(client_inbox, Arc::clone(&sessions)));
    data.spawn(keep_near(opinion.clone(), Arc::downgrade(&plane)));
    let (drained_in, drained) = watch::channel(None);
    let sources = Arc::new(NodeSources {
        me: me.clone(),
        chaos: options.chaos,
        insecure: options.insecure,
        supervisor: options.supervisor.clone(),
        data: Arc::clone(&plane),
        mesh: Arc::clone(&mesh),
        faults: Arc::clone(&faults),
        opinion: opinion.clone(),
        meta: meta.state(),
        system: Mutex::new(SystemFigures::new()),
    });
    let parts = Parts {
        sources,
        events: Arc::clone(&events),
        wake,
        proposer: Arc::new(proposals.clone()),
        registry: meta.registry(),
        faults: options
            .chaos
            .then(|| faults.clone() as Arc<dyn crate::grpc::FaultPlane>),
    };
    let session = GrpcSessions::new(Arc::clone(&plane), sessions.departure());
    let server = Server::start(grpc_inbox, |services, closing| {
        services.add_control(parts, closing.clone());
        services.add(session.into_server());
    })
    .map_err(NodeError::Thread)?;
    let holding = Holding {
        data: Arc::clone(&plane),
        mesh: Arc::clone(&mesh),
        faults,
        recorder,
    };
    let (go, departure) = oneshot::channel();
    let leaving = Leaving {
        me: me.clone(),
        asked: leave,
        drained: drained.clone(),
        registry: meta.registry(),
        proposals: proposals.clone(),
        meta: meta.clone(),
        mesh: Arc::clone(&mesh),
        data: Arc::clone(&plane),
        sessions: Arc::clone(&sessions),
        events: Arc::clone(&events),
    };
    let running = Control::new(ControlParts {
        me: me.clone(),
        profile: meta.profile(),
        founding: options.founding,
        clock,
        dir: Arc::new(dir),
        mesh: Arc::clone(&mesh),
        mesh_events: mesh_inbox,
        meta: meta.clone(),
        carrier,
        proposals: proposals.clone(),
        data: Arc::clone(&plane),
        wanted,
        lease,
        events: Arc::clone(&events),
        opinion: opinion_in,
        drained: drained_in,
        journal: journal.clone(),
    });
    let started = Started {
        introduction: me,
        data: Arc::clone(&plane),
        proposals,
        registry: meta.registry(),
        opinion,
        drained,
        events,
    };
    // Nobody waits any more when the starter has given up.
    let _ = ready.send(Ok(started));
    let leaving = tokio::spawn(leaving.run(go));
    let holding = tokio::spawn(holding.run());
    let outcome = running.run(departure).await;
    leaving.abort();
    holding.abort();
    sessions.leave();
    end(&meta, &mesh, server).await;
    plane.stop();
    if let Some(journal) = journal.as_ref().filter(|_| outcome.is_ok()) {
        journal.fact(clock.now(), &Fact::Left);
    }
    drop((plane, journal));
    finish_journal(journal_writer);
    Ok(outcome?)
}

fn header(me: &Introduction, clock: Clock) -> Header {
    Header {
        format: FORMAT,
        node: me.id,
        incarnation: me.incarnation,
        boot: me.boot,
        started: clock.started(),
    }
}

fn start_journal(
    path: Option<&Path>,
    me: &Introduction,
) -> Result<Option<(Journal, JournalWriter)>, NodeError> {
    let Some(path) = path.map(|path| journal_path(path, me)) else {
        return Ok(None);
    };
    let failed = |source| NodeError::Journal {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::create(&path).map_err(failed)?;
    Journal::start_writer(file).map(Some).map_err(failed)
}

/// A name with `%n` and `%i` in it gives each run of each node a file of its own.
fn journal_path(path: &Path, me: &Introduction) -> PathBuf {
    match path.to_str() {
        Some(text) => {
            let text = text.replace("%n", me.name.as_str());
            text.replace("%i", &me.incarnation.to_string()).into()
        }
        None => path.to_owned(),
    }
}

fn finish_journal(writer: Option<JournalWriter>) {
    if let Some(writer) = writer
        && let Err(error) = writer.finish()
    {
        tracing::error!(%error, "the journal is not complete");
    }
}

async fn end(meta: &Meta, mesh: &Mesh, server: Server) {
    tokio::time::sleep(FAREWELL).await;
    server.stop().await;
    if tokio::time::timeout(META_STOP, meta.shutdown()).await.is_err() {
        tracing::warn!("the registry's storage did not stop in time; it is recovered at the next start");
    }
    mesh.stop();
}
