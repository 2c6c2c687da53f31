//! The peers a node knows: how they become known, how they are forgotten, what is shown of them. What does not live
//! here: connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use squall_kernel::handshake::{CONTROL_LANE, Facts, LANES};
use squall_kernel::id::{ClusterId, Incarnation, NodeId};
use squall_kernel::message::{PeerMessage, control};
use squall_kernel::registry::Introduction;
use squall_kernel::time::{Instant, Span};
use tokio::sync::{Mutex as Gate, watch};

use super::lane::Lane;
use super::limits::PEERS_MAX;
use super::{Drained, LinkLost, MeshEvent, SendError, Shared, dial};

/// State of the link to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// Being dialled for the first time.
    Connecting,
    /// Connected.
    Up,
    /// Not connected; the next try is waiting.
    Down,
    /// The peer, or this node, refused the other.
    Refused,
}

impl LinkState {
    pub(super) const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Connecting,
            1 => Self::Up,
            2 => Self::Down,
            _ => Self::Refused,
        }
    }
}

/// The link to a peer as it is now, over all lanes.
#[derive(Debug, Clone)]
pub struct LinkStatus {
    /// The peer.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// State of the control lane.
    pub state: LinkState,
    /// Why it is not up, in words; empty when it is.
    pub why: String,
    /// True while the peer's control lane to this node stands.
    pub incoming: bool,
    /// Bytes queued or not acknowledged.
    pub queue_bytes: u64,
    /// Frames written since the start, again ones included.
    pub frames_out: u64,
    /// Bytes written since the start.
    pub bytes_out: u64,
    /// Times the control lane was connected.
    pub connects: u64,
    /// When the peer was heard last; none before the first time.
    pub heard: Option<Instant>,
    /// The fault on bytes to the peer, in words, and what is left of it.
    pub fault: Option<(String, Span)>,
}

/// The receiving end of one lane from a peer. One connection at a time reads: the one that holds the gate.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Number of the latest connection that claims the lane; the one that reads leaves when it is not its own.
    pub(super) claim: watch::Sender<u64>,
    /// The peer's run whose frames are counted.
    pub(super) gate: Gate<Incarnation>,
    /// The last frame of that run that was taken in.
    pub(super) received: AtomicU64,
    /// Bytes that were taken in, whatever run they came from.
    pub(super) received_bytes: AtomicU64,
    pub(super) up: AtomicBool,
}

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) introduction: ArcSwap<Introduction>,
    pub(super) lanes: [Lane; LANES as usize],
    pub(super) inbound: [Inbound; LANES as usize],
    /// Microseconds, plus one; 0 before the first time.
    heard: AtomicU64,
    /// The cluster it named last.
    pub(super) cluster: ArcSwap<Option<ClusterId>>,
    /// True once the registry has named it.
    pub(super) registered: AtomicBool,
    /// True when it is to be forgotten.
    pub(super) gone: watch::Sender<bool>,
}

impl Peer {
    fn new(introduction: Introduction) -> Self {
        let number = |i: usize| u8::try_from(i).expect("few lanes");
        Self {
            introduction: ArcSwap::from_pointee(introduction),
            lanes: std::array::from_fn(|i| Lane::new(number(i))),
            inbound: std::array::from_fn(|_| Inbound {
                claim: watch::Sender::new(0),
                gate: Gate::new(Incarnation(0)),
                received: AtomicU64::new(0),
                received_bytes: AtomicU64::new(0),
                up: AtomicBool::new(false),
            }),
            heard: AtomicU64::new(0),
            cluster: ArcSwap::from_pointee(None),
            registered: AtomicBool::new(false),
            gone: watch::Sender::new(false),
        }
    }

    pub(super) fn hear(&self, now: Instant) {
        self.heard.store(now.0 + 1, Relaxed);
    }

    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard.load(Relaxed).checked_sub(1).map(Instant)
    }

    fn control(&self) -> &Lane {
        &self.lanes[usize::from(CONTROL_LANE)]
    }

    /// True while its control lane to this node stands.
    pub(super) fn is_incoming(&self) -> bool {
        self.inbound[usize::from(CONTROL_LANE)].up.load(Relaxed)
    }

    /// True while its control lane stands, in either direction.
    pub(super) fn is_live(&self) -> bool {
        self.control().shown() == LinkState::Up || self.is_incoming()
    }

    /// True while others should be told of it: it is live, or not found dead yet.
    fn is_promising(&self) -> bool {
        self.is_live() || self.control().shown() == LinkState::Connecting
    }

    fn status(&self, shared: &Shared) -> LinkStatus {
        let peer = self.introduction.load();
        let queued = self
            .lanes
            .iter()
            .map(|lane| lane.queue_bytes.load(Relaxed))
            .sum::<usize>();
        let sum = |of: fn(&Lane) -> &AtomicU64| self.lanes.iter().map(|lane| of(lane).load(Relaxed)).sum();
        LinkStatus {
            fault: shared.faults.on(&peer.name),
            node: peer.id,
            name: peer.name.to_string(),
            state: self.control().shown(),
            why: self.control().why.load().as_deref().cloned().unwrap_or_default(),
            incoming: self.is_incoming(),
            queue_bytes: queued as u64,
            frames_out: sum(|lane| &lane.frames_out),
            bytes_out: sum(|lane| &lane.bytes_out),
            connects: self.control().connects.load(Relaxed),
            heard: self.heard(),
        }
    }

    /// All connections with it, in both directions, end and greet again.
    fn greet_anew(&self) {
        self.lanes.iter().for_each(Lane::greet_anew);
        for inbound in &self.inbound {
            inbound.claim.send_modify(|n| *n += 1);
        }
    }
}

impl Shared {
    pub(super) fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        self.peers.load().get(&id).cloned()
    }

    pub(super) fn statuses(&self) -> Vec<LinkStatus> {
        self.peers.load().values().map(|peer| peer.status(self)).collect()
    }

    /// Nodes connected now.
    pub(super) fn live(&self) -> Vec<Introduction> {
        self.introductions(|peer| peer.is_live())
    }

    /// Nodes that a newcomer should dial.
    pub(super) fn promising(&self) -> Vec<Introduction> {
        self.introductions(Peer::is_promising)
    }

    fn introductions(&self, which: impl Fn(&Peer) -> bool) -> Vec<Introduction> {
        let peers = self.peers.load();
        let chosen = peers.values().filter(|peer| which(peer));
        chosen
            .map(|peer| Introduction::clone(&peer.introduction.load()))
            .collect()
    }

    pub(super) fn facts<'a>(&'a self, live: &'a [Introduction]) -> Facts<'a> {
        Facts {
            me: &self.me,
            process: self.watches.own(),
            cluster: self.cluster(),
            initialized: self.meta.get().is_some_and(|state| state.borrow().initialized),
            cookie: &self.cookie,
            live,
        }
    }

    /// Gets to know a node, or a later run of it. None when it is this node, or there are too many.
    pub(super) fn meet(self: &Arc<Self>, node: &Introduction) -> Option<Arc<Peer>> {
        if node.id == self.me.id {
            return None;
        }
        if let Some(peer) = self.peer(node.id) {
            if peer.introduction.load().incarnation < node.incarnation {
                peer.introduction.store(Arc::new(node.clone()));
            }
            return Some(peer);
        }
        let _one_at_a_time = self.change.lock().expect("no holder of the lock panics");
        let mut peers = BTreeMap::clone(&self.peers.load());
        if let Some(peer) = peers.get(&node.id) {
            return Some(Arc::clone(peer));
        }
        if peers.len() >= PEERS_MAX || *self.stop.borrow() {
            return None;
        }
        let peer = Arc::new(Peer::new(node.clone()));
        peers.insert(node.id, Arc::clone(&peer));
        self.peers.store(Arc::new(peers));
        dial::keep_linked(self, &peer);
        Some(peer)
    }

    /// The registry names these nodes: those it named before and no longer does are forgotten.
    pub(super) fn set_peers(self: &Arc<Self>, named: Vec<Introduction>) {
        let ids: BTreeSet<NodeId> = named.iter().map(|node| node.id).collect();
        for node in named {
            if let Some(peer) = self.meet(&node) {
                peer.registered.store(true, Relaxed);
            }
        }
        let peers = self.peers.load_full();
        let gone = peers
            .iter()
            .filter(|(id, peer)| peer.registered.load(Relaxed) && !ids.contains(id));
        gone.for_each(|(id, _)| self.forget(*id));
    }

    /// Ends everything with a peer; what it has not acknowledged goes back.
    pub(super) fn forget(&self, id: NodeId) {
        let peer = {
            let _one_at_a_time = self.change.lock().expect("no holder of the lock panics");
            let mut peers = BTreeMap::clone(&self.peers.load());
            let peer = peers.remove(&id);
            self.peers.store(Arc::new(peers));
            peer
        };
        self.watches.forget(id);
        if let Some(peer) = peer {
            peer.gone.send_replace(true);
            peer.greet_anew();
            peer.lanes
                .iter()
                .for_each(|lane| self.undeliverable(id, lane.number, lane.give_up()));
        }
    }

    /// This node belongs to a cluster from now on, which all peers are told.
    pub(super) fn set_cluster(&self, cluster: ClusterId) {
        if self.cluster.swap(Some(Arc::new(cluster))).as_deref() == Some(&cluster) {
            return;
        }
        for peer in self.peers.load().values() {
            self.part_from_others(peer);
            self.say_cluster(peer, cluster);
        }
    }

    /// Tells a peer whose link was greeted without a cluster. A link that is down names it when it is greeted.
    pub(super) fn say_cluster(&self, peer: &Peer, cluster: ClusterId) {
        let message = control(&PeerMessage::Belongs { cluster });
        if peer.control().send(&message) == Err(SendError::Full) {
            peer.greet_anew();
        }
    }

    /// A peer names its cluster, if it has one. Names are kept: a run never leaves its cluster.
    pub(super) async fn belongs(&self, peer: &Peer, cluster: Option<ClusterId>) {
        let Some(cluster) = cluster else { return };
        peer.cluster.store(Arc::new(Some(cluster)));
        self.part_from_others(peer);
        let node = peer.introduction.load().id;
        // Nobody listens any more when the node ends.
        let _ended = self.events.send(MeshEvent::Belongs { node, cluster }).await;
    }

    /// Who is found to belong to another cluster must greet anew, and is refused with the reason on both sides.
    fn part_from_others(&self, peer: &Peer) {
        let (theirs, ours) = (**peer.cluster.load(), self.cluster());
        if theirs.is_some() && ours.is_some() && theirs != ours {
            peer.greet_anew();
        }
    }

    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.load_full().map(|id| *id)
    }

    pub(super) fn undeliverable(&self, to: NodeId, lane: u8, lost: Drained) {
        if !(lost.written.is_empty() && lost.unwritten.is_empty()) {
            let Drained { written, unwritten } = lost;
            self.sink.undeliverable(LinkLost {
                to,
                lane,
                written,
                unwritten,
            });
        }
    }
}
