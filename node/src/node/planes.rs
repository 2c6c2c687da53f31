//! A node's parts, put together: the ground they all stand on, the planes, and what each service is given of them.
//!
//! What does not live here: when they start and end (`life`), and what they do (each part's own module).

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_kernel::founding::Founding;
use squall_kernel::registry::{Command, Introduction};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::holding::Holding;
use super::leaving::{Leave, Leaving};
use super::{NodeError, NodeOptions, Started};
use crate::breaches::Breaches;
use crate::clock::Clock;
use crate::control::{Carrier, Control, ControlParts, Opinion, Proposals};
use crate::data::{DataConfig, DataPlane};
use crate::datadir::{DataDir, DiskFault};
use crate::death;
use crate::faults::{Acts, FaultSpans};
use crate::grpc::{Parts, Server};
use crate::introspect::{EventLog, Sources as _, Wake};
use crate::journal::{Journal, Recorder};
use crate::lease::LeaseClock;
use crate::mesh::{ClientConn, FaultPlane, Mesh, MeshConfig, MeshEvent, MeshOut, MeshTimes};
use crate::meta::{Compaction, Meta};
use crate::metrics::Pusher;
use crate::metrics::push::Origin;
use crate::session::{GrpcSessions, NativeSessions};
use crate::sources::NodeSources;
use crate::system::SystemFigures;
use crate::telemetry::{self, SpanSink};

/// Mesh events that may wait: more than a handshake with every peer at once.
const MESH_EVENTS_MAX: usize = 4096;
/// Connections that may wait for the gRPC server, or for a session.
const CONNECTION_BACKLOG: usize = 128;

/// Where a node's tasks run.
pub(super) struct Runtimes {
    /// Heartbeats, promises, Raft, the control links.
    pub(super) control: Handle,
    /// Data links, exchanges, handlers, sessions.
    pub(super) data: Handle,
}

/// What every part of a node stands on.
pub(super) struct Ground {
    me: Introduction,
    clock: Clock,
    journal: Option<Journal>,
    recorder: Recorder,
    faults: Arc<FaultPlane>,
    lease: Arc<LeaseClock>,
    wake: Wake,
    events: Arc<EventLog>,
    breaches: Arc<Breaches>,
    spans: SpanSink,
}

impl Ground {
    pub(super) fn new(
        me: Introduction,
        clock: Clock,
        journal: Option<Journal>,
        disk: Arc<DiskFault>,
        spans: SpanSink,
    ) -> Self {
        let wake = Wake::default();
        let events = Arc::new(EventLog::new(me.incarnation, wake.clone()));
        let recorder = Recorder::new(journal.clone(), clock.clone());
        let faults = FaultSpans::of(me.name.clone(), spans.clone());
        let acts = Acts::on(clock.clone()).and(events.calendar().clone(), disk);
        Self {
            faults: Arc::new(FaultPlane::recorded(acts, recorder.clone()).traced(faults)),
            spans,
            lease: Arc::default(),
            me,
            clock,
            journal,
            recorder,
            wake,
            events,
            breaches: Arc::default(),
        }
    }

    fn data_config(&self, options: &NodeOptions, runtimes: &Runtimes) -> DataConfig {
        DataConfig {
            events: Some(Arc::clone(&self.events)),
            node: self.me.id,
            boot: self.me.boot,
            incarnation: self.me.incarnation,
            name: self.me.name.clone(),
            clock: self.clock.clone(),
            faults: Arc::clone(&self.faults),
            lease: Arc::clone(&self.lease),
            runtime: runtimes.data.clone(),
            journal: self.journal.clone(),
            functions: options.functions.clone(),
            spans: self.spans.clone(),
        }
    }

    fn mesh_config(&self, dir: &DataDir, options: &NodeOptions, runtimes: &Runtimes) -> MeshConfig {
        MeshConfig {
            me: self.me.clone(),
            cookie: options.cookie.clone(),
            cluster: dir.cluster(),
            seeds: options.join.clone(),
            control: runtimes.control.clone(),
            data: runtimes.data.clone(),
            faults: Arc::clone(&self.faults),
            times: MeshTimes::default(),
            process: options.proofs.process.then(death::own).flatten(),
            trust_refused: options.proofs.refused,
        }
    }
}

/// Connections that the mesh hands on, whichever port they came to.
pub(super) struct Arrivals {
    /// For the gRPC server.
    pub(super) http: mpsc::Receiver<TcpStream>,
    /// For sessions.
    pub(super) clients: mpsc::Receiver<ClientConn>,
}

/// What the control side alone takes from the other parts and tells them.
pub(super) struct ControlEnds {
    mesh_events: mpsc::Receiver<MeshEvent>,
    wanted: mpsc::Receiver<Command>,
    opinion: watch::Sender<Arc<Opinion>>,
    drained: watch::Sender<Option<bool>>,
}

/// The planes of a node, connected to each other.
pub(super) struct Planes {
    pub(super) data: Arc<DataPlane>,
    pub(super) mesh: Arc<Mesh>,
    pub(super) meta: Meta,
    pub(super) sessions: Arc<NativeSessions<Proposals>>,
    pub(super) opinion: watch::Receiver<Arc<Opinion>>,
    ground: Ground,
    carrier: Carrier,
    proposals: Proposals,
    drained: watch::Receiver<Option<bool>>,
}

impl Planes {
    /// Starts the data plane, the mesh on these listeners, and the meta plane.
    pub(super) async fn start(
        ground: Ground,
        dir: &DataDir,
        options: &NodeOptions,
        runtimes: &Runtimes,
        listeners: Vec<TcpListener>,
    ) -> Result<(Self, Arrivals, ControlEnds), NodeError> {
        let (data, wanted) = DataPlane::start(ground.data_config(options, runtimes));
        let (events, mesh_events) = mpsc::channel(MESH_EVENTS_MAX);
        let (http_in, http) = mpsc::channel(CONNECTION_BACKLOG);
        let (clients_in, clients) = mpsc::channel(CONNECTION_BACKLOG);
        let out = MeshOut {
            sink: data.clone(),
            events,
            http: http_in,
            clients: clients_in,
        };
        let mesh = Mesh::start(ground.mesh_config(dir, options, runtimes), listeners, out)?;
        data.connect(mesh.clone());
        let carrier = Carrier::new(ground.me.boot, Arc::clone(&mesh));
        let transport = Arc::new(carrier.clone());
        let witness = ground.recorder.witness();
        let meta = Meta::start_with(dir, transport, options.profile, Compaction::default(), witness).await?;
        mesh.set_initialized(meta.state());
        let (opinion_in, opinion) = watch::channel(Arc::default());
        let (drained_in, drained) = watch::channel(None);
        let proposals = Proposals::new(
            ground.me.boot,
            Arc::clone(&mesh),
            meta.clone(),
            opinion.clone(),
            ground.recorder.clone(),
        );
        let planes = Self {
            sessions: Arc::new(NativeSessions::new(
                Arc::clone(&data),
                Arc::new(proposals.clone()),
            )),
            data,
            mesh,
            meta,
            opinion,
            ground,
            carrier,
            proposals,
            drained,
        };
        let ends = ControlEnds {
            mesh_events,
            wanted,
            opinion: opinion_in,
            drained: drained_in,
        };
        Ok((planes, Arrivals { http, clients }, ends))
    }

    /// Starts the gRPC services.
    pub(super) fn serve_grpc(
        &self,
        options: &NodeOptions,
        sources: &Arc<NodeSources>,
        incoming: mpsc::Receiver<TcpStream>,
    ) -> Result<Server, NodeError> {
        let faults = || Arc::clone(&self.ground.faults) as Arc<dyn crate::grpc::FaultPlane>;
        let parts = Parts {
            sources: Arc::clone(sources),
            events: Arc::clone(&self.ground.events),
            wake: self.ground.wake.clone(),
            proposer: Arc::new(self.proposals.clone()),
            registry: self.meta.registry(),
            faults: options.chaos.then(faults),
            chaos_key: options.chaos_key.clone(),
            breaches: Arc::clone(&self.ground.breaches),
        };
        let session = GrpcSessions::new(Arc::clone(&self.data), self.sessions.departure());
        let server = Server::start(incoming, |services, closing| {
            services.add_control(parts, closing.clone());
            services.add(session.into_server());
        })
        .map_err(NodeError::Thread)?;
        // It is set here and nowhere else.
        let _once = sources.grpc.set(server.runtime().clone());
        Ok(server)
    }

    /// Starts to push metrics, where they are wanted.
    pub(super) fn push(
        &self,
        options: &NodeOptions,
        sources: &Arc<NodeSources>,
    ) -> Result<Option<Pusher>, NodeError> {
        let Some(push) = &options.push else {
            return Ok(None);
        };
        let me = &self.ground.me;
        let up = Duration::from_micros(self.ground.clock.now().0);
        let origin = Origin {
            resource: telemetry::of_node(&push.service_name, &me.name, me.incarnation),
            since: SystemTime::now().checked_sub(up).unwrap_or(UNIX_EPOCH),
        };
        let (sources, exports) = (Arc::clone(sources), Arc::clone(&sources.exports));
        let pusher = Pusher::start(push, &origin, move |to| sources.measure(to), exports);
        pusher.map(Some).map_err(NodeError::Thread)
    }

    /// What observers and metrics read.
    pub(super) fn sources(&self, options: &NodeOptions) -> NodeSources {
        NodeSources {
            heartbeat: options.profile.times().heartbeat,
            me: self.ground.me.clone(),
            chaos: options.chaos,
            insecure: options.insecure,
            supervisor: options.supervisor.clone(),
            data: Arc::clone(&self.data),
            mesh: Arc::clone(&self.mesh),
            faults: Arc::clone(&self.ground.faults),
            opinion: self.opinion.clone(),
            meta: self.meta.state(),
            system: Mutex::new(SystemFigures::new()),
            events: Arc::clone(&self.ground.events),
            breaches: Arc::clone(&self.ground.breaches),
            spans: self.ground.spans.clone(),
            // It is put together there.
            control: Handle::current(),
            grpc: OnceLock::new(),
            exports: Arc::default(),
        }
    }

    /// The control side, not running yet.
    pub(super) fn control(&self, dir: DataDir, founding: Founding, ends: ControlEnds) -> Control {
        Control::new(ControlParts {
            me: self.ground.me.clone(),
            profile: self.meta.profile(),
            founding,
            clock: self.ground.clock.clone(),
            dir: Arc::new(dir),
            mesh: Arc::clone(&self.mesh),
            mesh_events: ends.mesh_events,
            meta: self.meta.clone(),
            carrier: self.carrier.clone(),
            proposals: self.proposals.clone(),
            data: Arc::clone(&self.data),
            wanted: ends.wanted,
            lease: Arc::clone(&self.ground.lease),
            events: Arc::clone(&self.ground.events),
            opinion: ends.opinion,
            drained: ends.drained,
            journal: self.ground.journal.clone(),
            spans: self.ground.spans.clone(),
        })
    }

    /// Ends faults when their time is over.
    pub(super) fn faults(&self) -> Arc<FaultPlane> {
        Arc::clone(&self.ground.faults)
    }

    /// What tells how much is held.
    pub(super) fn holding(&self) -> Holding {
        Holding {
            data: Arc::clone(&self.data),
            mesh: Arc::clone(&self.mesh),
            faults: Arc::clone(&self.ground.faults),
            recorder: self.ground.recorder.clone(),
        }
    }

    /// What brings the node to its end once it is asked to.
    pub(super) fn leaving(&self, asked: watch::Receiver<Leave>) -> Leaving {
        Leaving {
            me: self.ground.me.clone(),
            asked,
            drained: self.drained.clone(),
            registry: self.meta.registry(),
            proposals: self.proposals.clone(),
            meta: self.meta.clone(),
            mesh: Arc::clone(&self.mesh),
            data: Arc::clone(&self.data),
            sessions: Arc::clone(&self.sessions),
            events: Arc::clone(&self.ground.events),
        }
    }

    /// What whoever started the node gets of it.
    pub(super) fn started(&self) -> Started {
        Started {
            introduction: self.ground.me.clone(),
            data: Arc::clone(&self.data),
            proposals: self.proposals.clone(),
            registry: self.meta.registry(),
            opinion: self.opinion.clone(),
            drained: self.drained.clone(),
            events: Arc::clone(&self.ground.events),
        }
    }
}
