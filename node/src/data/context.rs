//! What all parts of a data plane share: who the node is, its clock and lease, the way to others, the registry as it has it.
//!
//! What does not live here: the parts (`data`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Boot, ExchangeId, Incarnation, NodeId, NodeName, Pid};
use squall_kernel::registry::Registry;
use squall_kernel::time::Span;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::late::Late;
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::failover::Failovers;
use crate::faults::FaultPlane;
use crate::functions;
use crate::handlers::CountsTable;
use crate::introspect::Paced;
use crate::journal::{Fact, Journal, PublishEvent};
use crate::lease::LeaseClock;
use crate::process::ProcessTable;
use crate::talks::Talks;
use crate::telemetry::SpanSink;
use crate::wire::{ReturnPath, Wire};

/// What all parts of the data plane share.
pub struct DataContext {
    /// Id of this node.
    pub node: NodeId,
    /// Which run of its data directory this is.
    pub boot: Boot,
    /// The same run as the cluster orders it.
    pub incarnation: Incarnation,
    /// Name of this node.
    pub name: NodeName,
    /// The node's clock.
    pub clock: Clock,
    /// What dates what people read.
    pub calendar: Calendar,
    /// The node's faults.
    pub faults: Arc<FaultPlane>,
    /// Until when the node may act as owner.
    pub lease: Arc<LeaseClock>,
    /// Runtime for exchanges and handlers.
    pub runtime: Handle,
    /// Processes.
    pub processes: ProcessTable,
    /// The way to any node.
    pub wire: Wire,
    pub(crate) talks: Talks,
    pub(crate) journal: Option<Journal>,
    /// Where spans go, and which messages are traced.
    pub(crate) spans: SpanSink,
    /// Failovers that requesters here wait for.
    pub(crate) failovers: Failovers,
    pub(crate) functions: functions::Registry,
    pub(crate) exits: Paced,
    /// First replies under a new owner.
    pub(crate) firsts: Paced,
    pub(crate) losses: Paced,
    pub(crate) counts: CountsTable,
    /// Messages that faults hold back.
    pub(crate) late: Late,
    /// Whether this node has been without a lease for long: see [`DataPlane::isolated`].
    pub(crate) isolated: watch::Sender<bool>,
    /// Round trips to other nodes, where they were measured.
    pub(super) round_trips: ArcSwap<BTreeMap<NodeId, Span>>,
    pub(super) registry: ArcSwap<Registry>,
}

impl DataContext {
    /// The registry as this node has it. Short-lived: not to be held across an await.
    #[must_use]
    pub fn registry(&self) -> Guard<Arc<Registry>> {
        self.registry.load()
    }

    /// The registry, to keep.
    #[must_use]
    pub fn registry_kept(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// The usual round trip to a node, where it was measured.
    pub(crate) fn round_trip(&self, node: NodeId) -> Option<Span> {
        self.round_trips.load().get(&node).copied()
    }

    /// Records something that happened here, where a journal is kept.
    pub(crate) fn tell(&self, fact: impl FnOnce() -> Fact) {
        if let Some(journal) = &self.journal {
            journal.fact(self.clock.now(), &fact());
        }
    }

    /// Records something that happened to a publish, or to a subscriber.
    pub(crate) fn tell_publish(&self, exchange: ExchangeId, what: impl FnOnce() -> PublishEvent) {
        self.tell(|| Fact::Publish {
            exchange,
            what: what(),
        });
    }

    /// Records that a delivery which passed the fence of `handler` took no effect after all; before anybody else can get it.
    pub(crate) fn given_back(&self, handler: Pid, back: &ReturnPath) {
        self.tell(|| Fact::GivenBack {
            request: RequestKey {
                origin: back.origin,
                message: back.message,
            },
            handler,
        });
    }

    /// A pid as people read it.
    #[must_use]
    pub fn pid_text(&self, pid: Pid) -> String {
        if pid.node == self.node {
            return pid.text(self.name.as_str());
        }
        self.registry()
            .name_of(pid.node)
            .map_or_else(|| pid.to_string(), |name| pid.text(name.as_str()))
    }

    /// The name of a node, or its id when the registry does not know it.
    #[must_use]
    pub fn node_text(&self, node: NodeId) -> String {
        self.registry()
            .name_of(node)
            .map_or_else(|| format!("{:x}", node.0), |name| name.as_str().to_owned())
    }
}
