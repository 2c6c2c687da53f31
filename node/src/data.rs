//! The data plane of a node: what requests, deliveries, replies and attachments pass through. Puts its parts together
//! and hands each arriving frame to one of them.
//!
//! What does not live here: who owns what (the control plane tells), links (the mesh).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{Boot, ExchangeId, ExchangeName, Incarnation, NodeId, NodeName, Pid};
use squall_kernel::message::{self, PeerMessage};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, Pattern, Registry};
use squall_kernel::time::Span;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::exchanges::Exchanges;
use crate::functions;
use crate::handlers::{CountsTable, Exits, Handlers};
use crate::introspect::EventLog;
use crate::journal::{Fact, Journal};
use crate::lease::LeaseClock;
use crate::process::ProcessTable;
use crate::pubsub::PubSub;
use crate::router::Router;
use crate::spans::Sampler;
use crate::talks::{self, Talks};
use crate::wire::{PeerLink, ReturnPath, Wire, count};

mod change;

pub use change::Change;

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
    /// Until when the node may act as owner.
    pub lease: Arc<LeaseClock>,
    /// Runtime for exchanges and handlers; never the control plane's.
    pub runtime: Handle,
    /// Records kernel inputs and effects.
    pub journal: Option<Journal>,
    /// Which requests start a trace.
    pub sampler: Sampler,
    /// Functions by which exchanges may route.
    pub functions: functions::Registry,
    /// Where the timeline hears of handlers that panic; none for nowhere.
    pub events: Option<Arc<EventLog>>,
}

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
    pub(crate) sampler: Sampler,
    pub(crate) functions: functions::Registry,
    pub(crate) exits: Exits,
    pub(crate) counts: CountsTable,
    /// Whether this node has been without a lease for long: see [`DataPlane::isolated`].
    pub(crate) isolated: watch::Sender<bool>,
    /// Round trips to other nodes, where they were measured.
    round_trips: ArcSwap<BTreeMap<NodeId, Span>>,
    registry: ArcSwap<Registry>,
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

/// The data plane of a node.
pub struct DataPlane {
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
    changing: Mutex<()>,
    tasks: Vec<JoinHandle<()>>,
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
            lease: config.lease,
            runtime: config.runtime,
            processes: ProcessTable::new(config.node, config.boot),
            wire: Wire::new(config.node),
            talks: Talks::default(),
            journal: config.journal,
            sampler: config.sampler,
            functions: config.functions,
            exits: Exits::new(config.events),
            counts: CountsTable::default(),
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
        ];
        let plane = Arc::new(Self {
            context,
            exchanges,
            router,
            handlers,
            pubsub,
            changing: Mutex::new(()),
            tasks,
        });
        plane.context.wire.attach_local(Arc::downgrade(&plane));
        (plane, wanted)
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
        self.context.registry.store(Arc::clone(new));
        let change = Change::between(old, Arc::clone(new), self.context.node);
        self.exchanges.registry_changed(&change);
        self.handlers.registry_changed(&change);
        self.pubsub.registry_changed(&change);
        self.context.talks.registry_changed(&change);
        self.router.registry_changed(&change);
    }

    /// Takes a frame from a data lane.
    pub fn frame(&self, from: NodeId, frame: Frame) {
        count(&self.context.wire.tally.taken_in);
        self.take_in(from, frame);
    }

    pub(crate) fn take_in(&self, from: NodeId, frame: Frame) {
        match frame.kind {
            Kind::Request => self.exchanges.request(frame),
            Kind::Submit => self.exchanges.submit(frame),
            Kind::Task => self.handlers.task(from, frame),
            // To a worker it is the owner's answer.
            Kind::Settle if frame.to != 0 => self.handlers.settled(frame),
            Kind::Settle => self.exchanges.settle(frame),
            Kind::Deliver => self.handlers.deliver(from, frame),
            Kind::Reply => self.router.reply(frame),
            Kind::Chunk | Kind::Ask if frame.status == Status::Reply => self.router.talked(from, &frame),
            Kind::Chunk | Kind::Ask | Kind::Credit | Kind::Tell => self.handlers.talk(frame),
            Kind::Control => match message::parse(&frame.payload) {
                Ok(message) => self.message(from, message),
                Err(error) => {
                    count(&self.context.wire.tally.garbled);
                    tracing::warn!(from = %from, %error, "control frame dropped");
                }
            },
            Kind::Publish => self.publish(frame),
            Kind::Event => self.pubsub.event(from, frame),
            Kind::Ack => count(&self.context.wire.tally.garbled),
        }
    }

    /// The owner of a publish-subscribe exchange passes a publish on to subscribers, any other to one handler (A109).
    fn publish(&self, frame: Frame) {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&frame.exchange);
        if record.is_some_and(|record| record.pattern == Pattern::PublishSubscribe) {
            self.pubsub.publish(frame);
        } else {
            self.exchanges.request(frame);
        }
    }

    pub(crate) fn message(&self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Attach(attach) => self.exchanges.attach(from, attach),
            PeerMessage::Detach {
                exchange,
                handler,
                reason,
            } => self.exchanges.detach(exchange, handler, reason),
            PeerMessage::AttachRefused {
                exchange,
                handler,
                seen,
            } => {
                self.handlers.attach_refused(exchange, handler, seen);
            }
            PeerMessage::System { to, message } => self.handlers.system(from, to, &message),
            PeerMessage::Roll { exchanges } => self.exchanges.roll(from, exchanges),
            PeerMessage::RollRefused { exchanges } => self.handlers.roll_again(&exchanges),
            PeerMessage::Unbound {
                exchange,
                epoch,
                handler,
                signatures,
            } => self.handlers.unbound(exchange, epoch, handler, &signatures),
            PeerMessage::Systems { messages } => {
                for (to, message) in messages {
                    self.handlers.system(from, to, &message);
                }
            }
            PeerMessage::MoveState {
                exchange,
                epoch,
                state,
            } => self.exchanges.move_in(exchange, epoch, state),
            part @ PeerMessage::MovePart { .. } => self.exchanges.move_part(part),
            PeerMessage::TaskBatch { exchange, batch } => self.exchanges.task_batch(from, exchange, &batch),
            PeerMessage::TaskAnswer { exchange, answer } => {
                self.exchanges.task_answer(from, exchange, answer);
            }
            PeerMessage::LeaderLeaseAsk {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
            } => self
                .exchanges
                .lease_ask(exchange, epoch, handler, leader_epoch, asked_at),
            PeerMessage::LeaderLease {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
                remaining,
            } => {
                self.handlers
                    .leased(exchange, epoch, handler, leader_epoch, asked_at, remaining);
            }
            PeerMessage::Subscriptions { exchange, what } => self.pubsub.news(from, exchange, what),
            _ => count(&self.context.wire.tally.garbled),
        }
    }

    /// Takes back frames to `to` that certainly did not arrive: their requests are tried again.
    pub fn undeliverable(&self, to: NodeId, frames: Vec<Frame>) {
        for frame in frames {
            match frame.kind {
                Kind::Request | Kind::Publish | Kind::Submit => self.router.undeliverable(frame.message),
                Kind::Task => self.exchanges.not_given_out(to, &frame),
                _ => self.take_back(to, frame, NoReply::Unreachable),
            }
        }
    }

    /// Takes back frames to `to` that may or may not have arrived: their requests end as interrupted.
    pub fn fate_unknown(&self, to: NodeId, frames: Vec<Frame>) {
        for frame in frames {
            match frame.kind {
                Kind::Request | Kind::Publish | Kind::Submit => self.router.interrupt(frame.message),
                _ => self.take_back(to, frame, NoReply::Interrupted),
            }
        }
    }

    /// A frame that is no request came back: a delivery's requester is told `why`.
    fn take_back(&self, to: NodeId, frame: Frame, why: NoReply) {
        match frame.kind {
            Kind::Deliver => self
                .context
                .wire
                .reply(ReturnPath::of(&frame).none(frame.from, why)),
            // The requester's node takes a reply once, however often it comes.
            Kind::Reply => self.context.wire.reply(frame),
            Kind::Control => self.control_undeliverable(to, &frame),
            Kind::Event => self.pubsub.not_delivered(&frame, why),
            Kind::Chunk | Kind::Ask => talks::broken_off(&self.context, &frame),
            Kind::Credit | Kind::Tell => self.router.untold(&frame),
            Kind::Request
            | Kind::Ack
            | Kind::Publish
            | Kind::Submit
            // Its lease ends by its time, and a worker says again what nobody answers.
            | Kind::Settle
            | Kind::Task => {}
        }
    }

    /// Attachments are sent again by their own timer, a roll is called again; a view that misses a system message is repaired by the owner.
    fn control_undeliverable(&self, to: NodeId, frame: &Frame) {
        let exchange = match message::parse(&frame.payload) {
            Ok(PeerMessage::System { message, .. }) => Some(message.exchange),
            Ok(PeerMessage::Roll { exchanges }) => {
                self.handlers.roll_again(&exchanges);
                None
            }
            Ok(PeerMessage::Subscriptions { exchange, .. }) => {
                self.pubsub.missed(exchange, to);
                None
            }
            Ok(PeerMessage::Systems { messages }) => messages.first().map(|(_, message)| message.exchange),
            _ => None,
        };
        if let Some(exchange) = exchange {
            self.exchanges.tell_again(exchange, to);
        }
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
    }
}

#[cfg(test)]
#[path = "data_test.rs"]
mod tests;
