//! The control side of a node: one task that feeds the kernel's `NodeCore`, carries out its effects, and brings the node
//! into a cluster. It runs on the control thread and never waits for anything but its inputs.
//!
//! What does not live here: the decisions (`squall_kernel::core` and `founding`), Raft (`meta`), links (`mesh`).

mod calls;
mod carrier;
mod joining;
mod membership;
mod opinion;
mod proposals;
mod quorum;
mod rpc;
mod tell;

use std::collections::BTreeMap;
use std::sync::Arc;

use squall_kernel::core::{CoreConfig, CoreEffect, CoreInput, MetaView, NodeCore};
use squall_kernel::detector::RoundTrips;
use squall_kernel::founding::{Founding, Neighbour};
use squall_kernel::id::NodeId;
use squall_kernel::message::PeerMessage;
use squall_kernel::profile::Profile;
use squall_kernel::reason::{Refusal, StepDown};
use squall_kernel::registry::{Command, Introduction, NodeRecord, Registry};
use squall_kernel::time::Instant;
use squall_kernel::voters::Attendance;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use carrier::Carrier;
pub use opinion::{Opinion, PeerOpinion};
pub use proposals::Proposals;

use crate::clock::Clock;
use crate::data::DataPlane;
use crate::datadir::DataDir;
use crate::introspect::EventLog;
use crate::journal::{Journal, MachineKind};
use crate::lease::LeaseClock;
use crate::mesh::{Mesh, MeshEvent};
use crate::meta::{Meta, MetaState, Role};
use tell::Teller;

/// The lane of heartbeats, promises and Raft.
const CONTROL_LANE: u8 = 0;

/// The core's id in the journal: there is one in a node.
const CORE_ID: &str = "core";

/// What the control side works with.
pub(crate) struct ControlParts {
    pub me: Introduction,
    pub profile: Profile,
    pub founding: Founding,
    pub clock: Clock,
    pub dir: Arc<DataDir>,
    pub mesh: Arc<Mesh>,
    pub mesh_events: mpsc::Receiver<MeshEvent>,
    pub meta: Meta,
    pub carrier: Carrier,
    pub proposals: Proposals,
    pub data: Arc<DataPlane>,
    pub wanted: mpsc::Receiver<Command>,
    pub lease: Arc<LeaseClock>,
    pub events: Arc<EventLog>,
    pub opinion: watch::Sender<Arc<Opinion>>,
    /// Set once the node has handed over everything it owned: true when it leaves for good.
    pub drained: watch::Sender<Option<bool>>,
    pub journal: Option<Journal>,
}

/// Why the control side ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The data directory belongs to another cluster, or cannot be written.
    #[error(transparent)]
    DataDir(#[from] crate::datadir::DataDirError),
    /// The registry's file cannot be written.
    #[error(transparent)]
    Disk(#[from] crate::meta::WriteFailure),
    /// The meta plane failed otherwise.
    #[error("the meta plane failed: {0}")]
    Meta(String),
}

/// The control side.
pub(crate) struct Control {
    parts: ControlParts,
    core: NodeCore,
    registry_in: watch::Receiver<Arc<Registry>>,
    meta_in: watch::Receiver<MetaState>,
    registry: Arc<Registry>,
    meta_view: MetaView,
    neighbours: BTreeMap<NodeId, Neighbour>,
    /// Mesh addresses of all that ever were neighbours; bounded by the mesh's own bound on peers.
    addresses: BTreeMap<NodeId, String>,
    round_trips: BTreeMap<NodeId, RoundTrips>,
    effects: Vec<CoreEffect>,
    teller: Teller,
    joining: joining::Joining,
    attendance: Attendance,
    waiting_for: String,
    /// Why a node that was dialled is none of this cluster; none once any other was reached.
    stranger: Option<String>,
    late_ms: opinion::Lateness,
}

impl Control {
    pub(crate) fn new(parts: ControlParts) -> Self {
        let config = CoreConfig {
            me: parts.me.clone(),
            profile: parts.profile,
        };
        let now = parts.clock.now();
        if let Some(journal) = &parts.journal {
            journal.start(MachineKind::Core, CORE_ID, now, &config);
        }
        let teller = Teller::new(Arc::clone(&parts.events), &parts.me);
        Self {
            core: NodeCore::new(now, &config),
            registry_in: parts.meta.registry(),
            meta_in: parts.meta.state(),
            registry: Arc::default(),
            meta_view: MetaView::default(),
            neighbours: BTreeMap::new(),
            addresses: BTreeMap::new(),
            round_trips: BTreeMap::new(),
            effects: Vec::new(),
            teller,
            joining: joining::Joining::default(),
            attendance: Attendance::default(),
            waiting_for: "the start".into(),
            stranger: None,
            late_ms: opinion::Lateness::default(),
            parts,
        }
    }

    /// Runs until `leave` is asked for, or the node cannot go on; either way it stops acting and says so, that others
    /// need not wait for its promises to run out.
    pub(crate) async fn run(mut self, leave: oneshot::Receiver<()>) -> Result<(), ControlError> {
        let ended = self.serve(leave).await;
        self.say_goodbye();
        ended
    }

    async fn serve(&mut self, mut leave: oneshot::Receiver<()>) -> Result<(), ControlError> {
        self.registry_in.mark_changed();
        self.meta_in.mark_changed();
        loop {
            let due = self.core.next_timeout();
            tokio::select! {
                biased;
                _ = &mut leave => return Ok(()),
                event = self.parts.mesh_events.recv() => match event {
                    Some(event) => self.mesh_event(event),
                    None => return Ok(()),
                },
                Ok(()) = self.registry_in.changed() => self.registry_changed()?,
                Ok(()) = self.meta_in.changed() => self.meta_changed()?,
                Some(wanted) = self.parts.wanted.recv() => self.propose(wanted),
                () = tokio::time::sleep_until(self.parts.clock.at(due)) => self.tick(due),
            }
            self.work_on_membership();
        }
    }

    fn step(&mut self, input: &CoreInput) {
        let now = self.parts.clock.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.core.step(now, input, &mut effects);
        if let Some(journal) = &self.parts.journal {
            journal.step(MachineKind::Core, CORE_ID, now, input, &effects);
        }
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn tick(&mut self, due: Instant) {
        let now = self.parts.clock.now();
        self.late_ms.note(now, now.since(due));
        self.step(&CoreInput::Tick { due });
        self.publish_opinion();
    }

    fn mesh_event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Connected {
                node,
                lane,
                cluster,
                initialized,
            } => {
                // It may have named one since: what comes later is told as an event of its own.
                let cluster = self.parts.mesh.cluster_of(node.id).or(cluster);
                let neighbour = Neighbour {
                    name: node.name.clone(),
                    cluster,
                    initialized: initialized || cluster.is_some(),
                };
                self.neighbours.insert(node.id, neighbour);
                self.stranger = None;
                self.addresses.insert(node.id, node.mesh_addr.clone());
                if lane == CONTROL_LANE {
                    self.teller.link(&self.registry, &node, true, "");
                    self.step(&CoreInput::Connected { node: node.id });
                    let (meta, id) = (self.parts.meta.clone(), node.id);
                    tokio::spawn(async move { meta.peer_is_back(id).await });
                }
            }
            MeshEvent::Broken { node, lane, why } => {
                if lane == CONTROL_LANE {
                    self.neighbours.remove(&node.id);
                    self.round_trips.remove(&node.id);
                    self.teller.link(&self.registry, &node, false, &why);
                    self.step(&CoreInput::Broken { node: node.id });
                    self.publish_opinion();
                }
            }
            MeshEvent::Refused {
                who,
                refusal,
                detail,
                dialled,
            } => {
                self.teller.refused(&who, refusal, &detail, dialled);
                if dialled && refusal == Refusal::Cluster {
                    self.stranger = Some(tell::other_cluster(&who, &detail));
                }
            }
            MeshEvent::Control { from, message, .. } => self.message(from, message),
            MeshEvent::Belongs { node, cluster } => {
                if let Some(neighbour) = self.neighbours.get_mut(&node) {
                    (neighbour.cluster, neighbour.initialized) = (Some(cluster), true);
                }
            }
            MeshEvent::Died { node, incarnation } => {
                self.teller.died(&self.registry, node);
                self.step(&CoreInput::Died { node, incarnation });
                self.publish_opinion();
            }
        }
    }

    fn message(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Raft { .. }
            | PeerMessage::RaftAnswer { .. }
            | PeerMessage::Propose { .. }
            | PeerMessage::Join { .. }
            | PeerMessage::Proposed { .. }
            | PeerMessage::Members { .. }
            | PeerMessage::MembersChanged { .. } => self.rpc(from, message),
            PeerMessage::Heartbeat { .. }
            | PeerMessage::HeartbeatAck { .. }
            | PeerMessage::GatherAsk { .. }
            | PeerMessage::GatherAnswer { .. }
            | PeerMessage::Obituary { .. }
            | PeerMessage::Goodbye { .. } => {
                // A promise must not come from a voter that has told the leader of later voters already.
                if self.parts.meta.voters_at() != self.meta_view.voters.at {
                    self.take_meta(&self.parts.meta.state_now());
                }
                if let PeerMessage::HeartbeatAck { sent_at, .. } = &message {
                    let now = self.parts.clock.now();
                    self.round_trips
                        .entry(from)
                        .or_default()
                        .add(now, now.since(*sent_at));
                }
                self.step(&CoreInput::Message { from, message });
            }
            // The data plane's own messages travel on data lanes.
            other => tracing::debug!(%from, ?other, "message on the wrong lane"),
        }
    }

    fn registry_changed(&mut self) -> Result<(), ControlError> {
        let registry = Arc::clone(&self.registry_in.borrow_and_update());
        if let Some(cluster) = registry.cluster {
            self.parts.dir.bind_cluster(cluster)?;
            self.parts.mesh.set_cluster(cluster);
        }
        let others = registry.nodes.values().filter(|n| n.id != self.parts.me.id);
        self.parts
            .mesh
            .set_peers(others.map(NodeRecord::introduction).collect());
        self.teller.registry(&self.registry, &registry);
        self.attendance.note(self.parts.clock.now(), &registry);
        self.registry = Arc::clone(&registry);
        self.parts.data.registry_changed(&registry);
        self.step(&CoreInput::Registry(registry));
        self.publish_opinion();
        Ok(())
    }

    fn meta_changed(&mut self) -> Result<(), ControlError> {
        let state = self.meta_in.borrow_and_update().clone();
        if let Some(failure) = &state.failure {
            let failed = || ControlError::Meta(failure.clone());
            return Err(self
                .parts
                .meta
                .write_failure()
                .map_or_else(failed, ControlError::Disk));
        }
        self.take_meta(&state);
        Ok(())
    }

    fn take_meta(&mut self, state: &MetaState) {
        let acts = state.leads(&self.registry.profile.times());
        let view = MetaView {
            term: state.term,
            voters: state.electorate.clone(),
            leads: state.role == Role::Leader,
            quorum: acts,
        };
        self.teller.meta(state, acts);
        if view != self.meta_view {
            self.meta_view = view.clone();
            self.step(&CoreInput::Meta(view));
            self.publish_opinion();
        }
    }

    /// What owned exchanges want in the registry. Lost proposals are made again by them while they wait.
    fn propose(&self, wanted: Command) {
        let proposals = self.parts.proposals.clone();
        tokio::spawn(async move { proposals.propose(wanted).await });
    }

    fn carry_out(&mut self, effect: CoreEffect) {
        match effect {
            CoreEffect::Send { to, message } => {
                // A peer that cannot be reached is noticed by its silence.
                let _ = self.parts.mesh.send_control(to, &message);
            }
            CoreEffect::Propose(command) => {
                self.teller.proposes(&self.registry, &command);
                let proposals = self.parts.proposals.clone();
                let voters = self.meta_view.voters.at;
                tokio::spawn(async move { proposals.verdict(command, voters).await });
            }
            CoreEffect::Lease { until } => self.parts.lease.set(until),
            CoreEffect::LeaseLost => self.teller.lease_lost(self.core_owns()),
            CoreEffect::Own { exchange, epoch } => {
                if let Some(record) = self.registry.exchanges.get(&exchange) {
                    self.parts
                        .data
                        .exchanges
                        .own(record, self.registry.profile.times().promise);
                    self.teller.own(record, epoch);
                }
            }
            CoreEffect::Disown { exchange, reason } => {
                self.parts.data.exchanges.disown(exchange, reason);
                self.teller.disown(&self.registry, exchange, reason);
            }
            CoreEffect::Suspect { node, suspect } => self.teller.suspect(&self.registry, node, suspect),
            CoreEffect::Rejoin => self.joining.introduce_again(),
            CoreEffect::Elections { allowed } => {
                self.parts.meta.set_elections(allowed);
                self.teller.elections(allowed);
            }
            CoreEffect::HandOver { to } => {
                self.teller.hands_over(&self.registry, to);
                let meta = self.parts.meta.clone();
                // Whether it took over, Raft's own state tells; the core asks again if it did not.
                tokio::spawn(async move { meta.transfer_leader(to).await });
            }
            CoreEffect::HandOff { exchange, to, epoch } => {
                self.parts.data.exchanges.hand_off(exchange, to, epoch);
                self.teller.hands_off(&self.registry, exchange, to);
            }
            CoreEffect::Reach { node, reachable } => {
                self.parts.data.reach(node, reachable);
                self.teller.reach(&self.registry, node, reachable);
            }
            CoreEffect::Isolated { isolated } => {
                self.parts.data.isolated(isolated);
                self.teller.isolated(isolated);
            }
            CoreEffect::Drained { leave } => {
                self.teller.drained(leave);
                self.parts.drained.send_replace(Some(leave));
            }
        }
    }

    fn core_owns(&self) -> usize {
        self.registry.owned_by(self.parts.me.id).count()
    }

    /// Stops acting first, then says so: a goodbye is a proof of death.
    fn say_goodbye(&mut self) {
        self.parts.lease.set(Instant(0));
        let mine: Vec<_> = self.registry.owned_by(self.parts.me.id).map(|e| e.id).collect();
        for exchange in mine {
            self.parts.data.exchanges.disown(exchange, StepDown::Leaving);
        }
        if let Some(me) = self.registry.nodes.get(&self.parts.me.id) {
            let message = PeerMessage::Goodbye { tenure: me.tenure };
            for node in self.neighbours.keys() {
                let _ = self.parts.mesh.send_control(*node, &message);
            }
        }
    }
}
