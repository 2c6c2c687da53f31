//! The control side of a node: one task that feeds the kernel's `NodeCore`, carries out its effects, and brings the node
//! into a cluster. It runs on the control thread and never waits for anything but its inputs.
//!
//! What does not live here: the decisions (`squall_kernel::core` and `founding`), what each input is to it (`inputs`) and each
//! effect (`effects`), Raft (`meta`), links (`mesh`).

mod calls;
mod carrier;
mod effects;
mod inputs;
mod joining;
mod lapses;
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
use squall_kernel::reason::StepDown;
use squall_kernel::registry::{Command, Introduction, Registry};
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
use crate::journal::{Fact, Journal, MachineKind};
use crate::lease::LeaseClock;
use crate::mesh::{Mesh, MeshEvent};
use crate::meta::{Meta, MetaState};
use crate::telemetry::SpanSink;
use lapses::Lapses;
use tell::Teller;

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
    /// Where spans of losses and failovers go.
    pub spans: SpanSink,
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
    lapses: Lapses,
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
            lapses: Lapses::new(parts.spans.clone(), parts.me.clone()),
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

    /// Stops acting first, then says so: a goodbye is a proof of death.
    fn say_goodbye(&mut self) {
        self.parts.lease.set(Instant(0));
        let mine: Vec<_> = self.registry.owned_by(self.parts.me.id).map(|e| e.id).collect();
        for exchange in mine {
            self.parts.data.exchanges.disown(exchange, StepDown::Leaving);
        }
        if let Some(journal) = &self.parts.journal {
            journal.fact(self.parts.clock.now(), &Fact::Goodbye);
        }
        if let Some(me) = self.registry.nodes.get(&self.parts.me.id) {
            let message = PeerMessage::Goodbye { tenure: me.tenure };
            for node in self.neighbours.keys() {
                let _ = self.parts.mesh.send_control(*node, &message);
            }
        }
    }
}
