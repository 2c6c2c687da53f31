//! The data plane of a node: what requests, deliveries, replies and attachments pass through. Puts its parts together and
//! tells them of the registry.
//!
//! What does not live here: what they share (`context`), which frame is for whom (`frames`), who owns what (the control plane
//! tells), links (the mesh).

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use squall_kernel::id::{Boot, ExchangeId, ExchangeName, Incarnation, NodeId, NodeName};
use squall_kernel::registry::{Command, Registry};
use squall_kernel::time::Span;
use squall_proto::v1::Severity;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::exchanges::Exchanges;
use crate::failover::Failovers;
use crate::faults::FaultPlane;
use crate::functions;
use crate::handlers::{CountsTable, Handlers};
use crate::introspect::{EventLog, Paced};
use crate::journal::Journal;
use crate::lease::LeaseClock;
use crate::process::ProcessTable;
use crate::pubsub::PubSub;
use crate::router::Router;
use crate::talks::Talks;
use crate::telemetry::SpanSink;
use crate::wire::{PeerLink, Wire};

mod change;
mod context;
mod frames;
mod late;

pub use change::Change;
pub use context::DataContext;
use late::Late;

/// What a data plane starts from.
pub struct DataConfig {
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
    /// The node's faults.
    pub faults: Arc<FaultPlane>,
    /// Until when the node may act as owner.
    pub lease: Arc<LeaseClock>,
    /// Runtime for exchanges and handlers; never the control plane's.
    pub runtime: Handle,
    /// Records kernel inputs and effects.
    pub journal: Option<Journal>,
    /// Where spans go, and which messages are traced.
    pub spans: SpanSink,
    /// Functions by which exchanges may route.
    pub functions: functions::Registry,
    /// Where the timeline hears of handlers that panic and of lost tasks; none for nowhere.
    pub events: Option<Arc<EventLog>>,
}

/// The data plane of a node: its parts, which end when it does.
pub struct DataPlane {
    parts: Arc<Parts>,
    changing: Mutex<()>,
    tasks: Vec<JoinHandle<()>>,
}

/// The parts of a data plane. The wire has them, too, for what a node sends to itself, until the data plane ends.
pub struct Parts {
    /// What its parts share.
    pub context: Arc<DataContext>,
    /// Exchanges owned here.
    pub exchanges: Exchanges,
    /// Requests that entered the cluster here.
    pub router: Arc<Router>,
    /// Handlers attached through this node.
    pub handlers: Arc<Handlers>,
    /// Publish-subscribe exchanges.
    pub pubsub: Arc<PubSub>,
}

impl Deref for DataPlane {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DataPlane {
    /// Starts a data plane. The second value gives what owned exchanges want in the registry.
    #[must_use]
    pub fn start(config: DataConfig) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let context = Arc::new(DataContext {
            node: config.node,
            boot: config.boot,
            incarnation: config.incarnation,
            name: config.name,
            clock: config.clock,
            calendar: config
                .events
                .as_ref()
                .map(|log| log.calendar().clone())
                .unwrap_or_default(),
            faults: config.faults,
            lease: config.lease,
            runtime: config.runtime,
            processes: ProcessTable::new(config.node, config.boot),
            wire: Wire::new(config.node),
            talks: Talks::default(),
            journal: config.journal,
            failovers: Failovers::new(config.spans.clone()),
            spans: config.spans,
            functions: config.functions,
            exits: Paced::new(config.events.clone(), Severity::Notice, "exits"),
            firsts: Paced::new(config.events.clone(), Severity::Info, "first replies"),
            losses: Paced::new(config.events, Severity::Alert, "losses"),
            counts: CountsTable::default(),
            late: Late::default(),
            isolated: watch::Sender::new(false),
            round_trips: ArcSwap::default(),
            registry: ArcSwap::default(),
        });
        let (exchanges, wanted) = Exchanges::new(Arc::clone(&context));
        let router = Arc::new(Router::new(Arc::clone(&context)));
        let handlers = Arc::new(Handlers::new(Arc::clone(&context)));
        let pubsub = Arc::new(PubSub::new(Arc::clone(&context)));
        let tasks = vec![
            context.runtime.spawn(Arc::clone(&router).keep_time()),
            context.runtime.spawn(Arc::clone(&handlers).keep_attached()),
            context.runtime.spawn(Arc::clone(&handlers).keep_leading()),
            context.runtime.spawn(Arc::clone(&handlers).keep_rolling()),
            context.runtime.spawn(Arc::clone(&handlers).keep_suffering()),
            context.runtime.spawn(Arc::clone(&context).keep_late()),
        ];
        let parts = Arc::new(Parts {
            context,
            exchanges,
            router,
            handlers,
            pubsub,
        });
        parts.context.wire.set_local(Some(Arc::clone(&parts)));
        let plane = Self {
            parts,
            changing: Mutex::new(()),
            tasks,
        };
        (Arc::new(plane), wanted)
    }

    /// Sets the link to the peers.
    pub fn connect(&self, link: Arc<dyn PeerLink>) {
        self.context.wire.connect(link);
    }

    /// The number of an exchange.
    #[must_use]
    pub fn lookup(&self, name: &ExchangeName) -> Option<ExchangeId> {
        self.context.registry().names.get(name).copied()
    }

    /// Takes a newer registry into use: ends what a lost node held, tries again what waits, attaches handlers anew.
    /// An older one than that in use is ignored.
    pub fn registry_changed(&self, new: &Arc<Registry>) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.context.registry_kept();
        if new.revision < old.revision {
            return;
        }
        let change = Change::between(old, Arc::clone(new), self.context.node);
        self.handlers.losses(&change);
        self.context.registry.store(Arc::clone(new));
        self.exchanges.registry_changed(&change);
        self.handlers.registry_changed(&change);
        self.pubsub.registry_changed(&change);
        self.context.talks.registry_changed(&change);
        self.context.failovers.registry_changed(&change);
        self.router.registry_changed(&change);
    }

    /// Whether what is sent to `node` arrives: requests do not wait on a link that swallows them.
    pub fn reach(&self, node: NodeId, reachable: bool) {
        self.context.wire.reach(node, reachable);
        self.pubsub.look_around();
        if reachable {
            self.pubsub.relinked(node);
        } else {
            self.router.unreachable(node);
        }
    }

    /// Takes in how far other nodes are, for exchanges that have proxies to choose from.
    pub fn measured(&self, round_trips: BTreeMap<NodeId, Span>) {
        self.context.round_trips.store(Arc::new(round_trips));
        self.pubsub.look_around();
    }

    /// Whether this node has been without a lease for so long that its clients are better off elsewhere.
    pub fn isolated(&self, isolated: bool) {
        self.context
            .isolated
            .send_if_modified(|known| std::mem::replace(known, isolated) != isolated);
    }

    /// Follows [`DataPlane::isolated`].
    #[must_use]
    pub fn isolation(&self) -> watch::Receiver<bool> {
        self.context.isolated.subscribe()
    }

    /// Ends all tasks of the data plane. Requests still open end as interrupted.
    pub fn stop(&self) {
        self.exchanges.stop();
        self.handlers.stop();
        self.router.stop();
        self.pubsub.stop();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop();
        // The parts and their wire have each other.
        self.context.wire.set_local(None);
    }
}

#[cfg(test)]
#[path = "data_test.rs"]
mod tests;
