//! The mesh: directed links between nodes. Every node dials every peer it knows, on one control lane and two data
//! lanes, each a TCP connection of its own; frames flow from the dialler to the listener, acknowledgements back. A
//! lane outlives its connection: after a break it resumes behind the last frame that arrived.
//!
//! What does not live here: what messages mean, when a peer is suspect, who is a member.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::handshake::{CONTROL_LANE, DATA_LANES, ProcessIdentity};
use squall_kernel::id::{ClusterId, Incarnation, NodeId};
use squall_kernel::message::{PeerMessage, control};
use squall_kernel::reason::Refusal;
use squall_kernel::registry::Introduction;
use squall_kernel::spread::mix;
use squall_kernel::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::meta::MetaState;
use crate::wire::{LinkError, PeerLink};

mod dial;
mod event;
mod greet;
mod inbound;
mod lane;
mod limits;
mod listen;
mod outbox;
mod peers;
mod seed;
mod spoil;
mod stream;
mod traced;
mod watches;
mod writer;

pub use crate::faults::FaultPlane;
pub use event::{LinkLost, MeshEvent};
pub use lane::SendError;
pub(crate) use limits::LINGERING_MAX;
pub use limits::{LINK_BYTES_MAX, MeshTimes};
pub use listen::ClientConn;
use listen::Doors;
use outbox::Drained;
use peers::Peer;
pub use peers::{LinkState, LinkStatus};
pub use seed::SeedStatus;
pub use stream::{FrameReader, FrameWriter, ReadError};
use watches::Watches;

/// What a mesh needs.
pub struct MeshConfig {
    /// This node.
    pub me: Introduction,
    /// The secret.
    pub cookie: Vec<u8>,
    /// Addresses to dial until they answer.
    pub seeds: Vec<String>,
    /// The cluster, where it is known already.
    pub cluster: Option<ClusterId>,
    /// Runtime of control lanes, handshakes and listeners.
    pub control: Handle,
    /// Runtime of data lanes and clients.
    pub data: Handle,
    /// The node's faults.
    pub faults: Arc<FaultPlane>,
    /// Times.
    pub times: MeshTimes,
    /// The process this node is, for peers that are to see its end as it is to see theirs; none for neither.
    pub process: Option<ProcessIdentity>,
    /// A connection refused at the own address of a peer that was linked proves its end.
    pub trust_refused: bool,
}

/// Where a mesh hands things on. Full means wait for control messages, and close for connections.
pub struct MeshOut {
    /// Data frames.
    pub sink: Arc<dyn FrameSink>,
    /// Control messages and changes of links.
    pub events: mpsc::Sender<MeshEvent>,
    /// HTTP/2 connections, whichever port they came to; for whoever serves gRPC, who bounds them.
    pub http: mpsc::Sender<TcpStream>,
    /// Native clients that have proved themselves.
    pub clients: mpsc::Sender<ClientConn>,
}

/// Why a mesh does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeshError {
    /// A seed is no address.
    #[error("'{0}' is not an address: it takes a host, a colon and a port")]
    Seed(String),
}

/// Takes data frames; called from the tasks that read lanes, so it must be quick.
pub trait FrameSink: Send + Sync {
    /// A frame from a peer, in the order of its lane.
    fn frame(&self, from: NodeId, frame: Frame);
    /// Frames that were queued and will not arrive.
    fn undeliverable(&self, lost: LinkLost);
}

/// What all tasks of a mesh share.
struct Shared {
    me: Introduction,
    cookie: Vec<u8>,
    control: Handle,
    data: Handle,
    faults: Arc<FaultPlane>,
    times: MeshTimes,
    events: mpsc::Sender<MeshEvent>,
    sink: Arc<dyn FrameSink>,
    cluster: ArcSwapOption<ClusterId>,
    /// Tells whether the Raft log is empty; not there before the meta plane is.
    meta: OnceLock<watch::Receiver<MetaState>>,
    /// Read without a lock; changed as a whole, under `change`.
    peers: ArcSwap<BTreeMap<NodeId, Arc<Peer>>>,
    change: Mutex<()>,
    seeds: Vec<seed::Seed>,
    connections: Arc<Semaphore>,
    turned_away: listen::TurnedAway,
    watches: Arc<Watches>,
    trust_refused: bool,
    stop: watch::Sender<bool>,
}

/// A fault that is set acts at once, also on connections to which nothing is written.
async fn wake_writers(shared: Arc<Shared>) {
    let (mut changes, mut stop) = (shared.faults.changes(), shared.stop.subscribe());
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            // The sender lives as long as the faults.
            _ = changes.changed() => {}
        }
        for lane in shared.peers.load().values().flat_map(|peer| &peer.lanes) {
            lane.wake.notify_one();
        }
    }
}

/// A node's links; [`Mesh::stop`] ends them.
pub struct Mesh {
    shared: Arc<Shared>,
}

impl Mesh {
    /// Starts to dial the seeds and to take in connections on `listeners`: on each of them nodes, native clients, and
    /// what speaks HTTP/2.
    ///
    /// # Errors
    /// [`MeshError`]; nothing runs then.
    pub fn start(
        config: MeshConfig,
        listeners: Vec<TcpListener>,
        out: MeshOut,
    ) -> Result<Arc<Self>, MeshError> {
        if let Some(bad) = config.seeds.iter().find(|seed| !seed::is_address(seed)) {
            return Err(MeshError::Seed(bad.clone()));
        }
        let doors = Doors {
            http: out.http,
            clients: out.clients,
        };
        let (stop, stopped) = watch::channel(false);
        let watches = Watches::new(
            config.process,
            config.control.clone(),
            out.events.clone(),
            stopped,
        );
        let shared = Arc::new(Shared {
            me: config.me,
            cookie: config.cookie,
            control: config.control,
            data: config.data,
            faults: config.faults,
            times: config.times,
            events: out.events,
            sink: out.sink,
            cluster: ArcSwapOption::from_pointee(config.cluster),
            meta: OnceLock::new(),
            peers: ArcSwap::default(),
            change: Mutex::new(()),
            seeds: config.seeds.into_iter().map(seed::Seed::new).collect(),
            connections: Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)),
            turned_away: listen::TurnedAway::default(),
            watches,
            trust_refused: config.trust_refused,
            stop,
        });
        for listener in listeners {
            shared
                .control
                .spawn(listen::accept(Arc::clone(&shared), listener, doors.clone()));
        }
        shared.control.spawn(wake_writers(Arc::clone(&shared)));
        seed::ask_all(&shared);
        Ok(Arc::new(Self { shared }))
    }

    /// Queues a control message; never waits.
    ///
    /// # Errors
    /// [`SendError`]; nothing of it was sent.
    pub fn send_control(&self, to: NodeId, message: &PeerMessage) -> Result<(), SendError> {
        self.lane(to, CONTROL_LANE, &control(message))
    }

    /// Queues a data frame; never waits. Frames with the same key keep their order.
    ///
    /// # Errors
    /// [`SendError`]; nothing of it was sent.
    pub fn send(&self, to: NodeId, key: u64, frame: &Frame) -> Result<(), SendError> {
        self.lane(to, data_lane(key), frame)
    }

    fn keep_where_faults_act(&self, to: NodeId, frame: &mut Frame) {
        if let Some(peer) = self.shared.peers.load().get(&to) {
            let name = &peer.introduction.load().name;
            self.shared.faults.keep_on_link(name, frame);
        }
    }

    fn is_lane_up(&self, to: NodeId, key: u64) -> bool {
        let peers = self.shared.peers.load();
        peers
            .get(&to)
            .is_some_and(|peer| peer.lanes[usize::from(data_lane(key))].shown() == LinkState::Up)
    }

    fn lane(&self, to: NodeId, lane: u8, frame: &Frame) -> Result<(), SendError> {
        let peers = self.shared.peers.load();
        let peer = peers.get(&to).ok_or(SendError::Unknown(to))?;
        peer.lanes[usize::from(lane)].send(frame)
    }

    /// The registry's nodes, this one included or not: new ones are dialled, those that it named before and no longer
    /// names are forgotten.
    pub fn set_peers(&self, nodes: Vec<Introduction>) {
        self.shared.set_peers(nodes);
    }

    /// This node belongs to that cluster from now on, and tells its peers so. Those that named another one greet anew,
    /// and are refused.
    pub fn set_cluster(&self, cluster: ClusterId) {
        self.shared.set_cluster(cluster);
    }

    /// Whether the node's Raft log is empty is told by that; before it is given the log counts as empty.
    pub fn set_initialized(&self, state: watch::Receiver<MetaState>) {
        assert!(self.shared.meta.set(state).is_ok(), "the meta plane starts once");
    }

    /// True while this node's control lane to a peer stands.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        let up = |peer: Arc<Peer>| peer.lanes[usize::from(CONTROL_LANE)].shown() == LinkState::Up;
        self.shared.peer(node).is_some_and(up)
    }

    /// True while the control lane of a peer to this node stands: it can answer.
    #[must_use]
    pub fn is_linked_back(&self, node: NodeId) -> bool {
        self.shared.peer(node).is_some_and(|peer| peer.is_incoming())
    }

    /// All links. Takes no lock that a sender or a writer waits for.
    #[must_use]
    pub fn links(&self) -> Vec<LinkStatus> {
        self.shared.statuses()
    }

    /// The seeds and what became of them.
    #[must_use]
    pub fn seeds(&self) -> Vec<SeedStatus> {
        self.shared.seeds.iter().map(seed::Seed::status).collect()
    }

    /// When a peer was heard last, by any frame; none before the first time.
    #[must_use]
    pub fn heard(&self, node: NodeId) -> Option<Instant> {
        self.shared.peer(node).and_then(|peer| peer.heard())
    }

    /// The cluster that a peer named last; none before it named one.
    #[must_use]
    pub fn cluster_of(&self, node: NodeId) -> Option<ClusterId> {
        self.shared.peer(node).and_then(|peer| **peer.cluster.load())
    }

    /// The run of a peer that this node's control lane reached last.
    #[must_use]
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.shared
            .peer(node)
            .and_then(|peer| peer.lanes[usize::from(CONTROL_LANE)].peer())
    }

    /// Connections turned away so far, by reason.
    #[must_use]
    pub fn turned_away(&self) -> Vec<(Refusal, u64)> {
        self.shared.turned_away.counts()
    }

    /// Ends all connections, listeners and tasks.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }
}

/// The data lane of a key.
fn data_lane(key: u64) -> u8 {
    CONTROL_LANE + 1 + u8::try_from(mix(key) % u64::from(DATA_LANES)).expect("few lanes")
}

impl Shared {
    /// Tells the control plane of a refusal, unless it has its hands full.
    fn refused(&self, refusal: Refusal, detail: &str, who: String, dialled: bool) {
        // The log has it; an event beside the bound is worth no waiting.
        let _full = self.events.try_send(MeshEvent::Refused {
            who,
            refusal,
            detail: detail.to_owned(),
            dialled,
        });
    }

    /// Seed of the random parts of delays and backoffs: the same run, the same delays.
    const fn seed(&self) -> u64 {
        mix(self.me.id.0 ^ self.me.incarnation.0)
    }
}

/// Data lanes as the data plane uses them.
impl PeerLink for Mesh {
    fn send(&self, to: NodeId, key: u64, mut frame: Frame) -> Result<(), LinkError> {
        // A request that waits for a broken lane would share its fate; its requester's node can do better: nothing was
        // sent, so it tries again, with the next owner if there is one by then.
        if frame.kind == Kind::Request && !self.is_lane_up(to, key) {
            return Err(LinkError::Down);
        }
        if !self.shared.faults.idle() {
            self.keep_where_faults_act(to, &mut frame);
        }
        Self::send(self, to, key, &frame).map_err(|error| match error {
            SendError::Unknown(_) | SendError::Down => LinkError::Down,
            SendError::Full | SendError::TooLarge { .. } => LinkError::Full,
        })
    }
}

#[cfg(test)]
mod fixture;

#[cfg(test)]
#[path = "mesh/mesh_test.rs"]
mod tests;

#[cfg(test)]
#[path = "mesh/refusal_test.rs"]
mod refusal_tests;

#[cfg(test)]
#[path = "mesh/faults_test.rs"]
mod faults_tests;
