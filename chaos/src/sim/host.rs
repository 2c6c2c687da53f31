//! One simulated node: the kernel's machines, driven as the live shell drives them (`squall_node::control`, `exchanges`,
//! `handlers`, `router`), on the node's own clock. Inputs are calls with `now`; what comes of them is a list of outputs.
//!
//! What does not live here: decisions (the kernel), links, disks, the registry's log, and true time (`world`).

mod control;
mod exchanges;
mod handlers;
mod moving;
mod output;
mod peers;
pub(super) mod proposals;
mod pubsub;
mod requests;
mod talks;
mod tasks;
mod wire;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use squall_kernel::core::{CoreConfig, CoreEffect, CoreInput, MetaView, NodeCore};
use squall_kernel::exchange::RequestKey;
use squall_kernel::founding::Neighbour;
use squall_kernel::frame::Frame;
use squall_kernel::id::{Epoch, ExchangeId, Incarnation, MessageId, NodeId};
use squall_kernel::limits::OPEN_REQUESTS_MAX;
use squall_kernel::message::{MoveState, PeerMessage, ProposeResult};
use squall_kernel::profile::{Profile, Times};
use squall_kernel::registry::{Command, Introduction, Registry};
use squall_kernel::time::Instant;
use squall_kernel::voters::Attendance;
use squall_node::data::Change;
use squall_node::introspect::opinions::leader_rows;
use squall_proto::v1;

pub use output::{Lane, Output};

use super::log::{LogState, Ticket};
use super::plan::Work;
use super::rng::Rng;
use crate::history::What;
use exchanges::Owned;
use handlers::Handlers;
use proposals::Proposals;
use pubsub::Tables;
pub use requests::Publishing;
use requests::Requests;
use talks::Talks;
use tasks::Copies;
use workers::Workers;

/// Proposals under way at one node: many times what any workload asks for at once.
const PROPOSALS_MAX: usize = 1024;

/// What a node starts from.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Who it is.
    pub me: Introduction,
    /// Times until the registry says otherwise.
    pub profile: Profile,
    /// Nodes that found the cluster together.
    pub expects: u32,
    /// How its handlers work.
    pub work: Work,
    /// Numbers for them.
    pub rng: Rng,
    /// Numbers for workers.
    pub worker_rng: Rng,
    /// Numbers for handlers that have something to say before they answer.
    pub talk_rng: Rng,
    /// Before it leaves for good it waits until it votes no more.
    pub gives_up_vote: bool,
}

/// A node.
pub struct Host {
    config: HostConfig,
    core: NodeCore,
    registry: Arc<Registry>,
    /// Of the cluster, by now.
    times: Times,
    state: LogState,
    meta_view: MetaView,
    lease_until: Instant,
    neighbours: BTreeMap<NodeId, Neighbour>,
    /// Nodes to which a lane takes frames: connected now, or lately.
    lanes: BTreeSet<NodeId>,
    /// Nodes whose link to this one stands, and which run of theirs: only those can answer.
    linked_back: BTreeMap<NodeId, Incarnation>,
    /// Nodes that swallow what is sent to them.
    swallowing: BTreeSet<NodeId>,
    owned: BTreeMap<ExchangeId, Owned>,
    /// States of exchanges that move here, until the registry gives them to this node.
    arriving: BTreeMap<ExchangeId, (Epoch, MoveState)>,
    /// What was last sent of exchanges that move away, under the epoch it is kept for when the move is cancelled.
    departing: BTreeMap<ExchangeId, (Epoch, MoveState)>,
    copies: Copies,
    handlers: Handlers,
    workers: Workers,
    requests: Requests,
    talks: Talks,
    tables: Tables,
    proposals: Proposals,
    joining: control::Joining,
    attendance: Attendance,
    /// It leaves for good, then at the latest.
    leaves_by: Option<Instant>,
    started: Instant,
    /// What this node sends to itself.
    to_self: VecDeque<Frame>,
    out: Vec<Output>,
    effects: Vec<CoreEffect>,
}

impl Host {
    /// A node that starts at `now`.
    #[must_use]
    pub fn new(now: Instant, config: HostConfig) -> Self {
        let core = CoreConfig {
            me: config.me.clone(),
            profile: config.profile,
        };
        Self {
            core: NodeCore::new(now, &core),
            registry: Arc::default(),
            times: config.profile.times(),
            state: LogState::default(),
            meta_view: MetaView::default(),
            lease_until: Instant(0),
            neighbours: BTreeMap::new(),
            lanes: BTreeSet::new(),
            linked_back: BTreeMap::new(),
            swallowing: BTreeSet::new(),
            owned: BTreeMap::new(),
            arriving: BTreeMap::new(),
            departing: BTreeMap::new(),
            copies: Copies::default(),
            handlers: Handlers::new(config.me.id, config.me.boot),
            workers: Workers::default(),
            requests: Requests::new(config.me.boot),
            talks: Talks::default(),
            tables: Tables::default(),
            proposals: Proposals::of_run(config.me.boot),
            joining: control::Joining::default(),
            attendance: Attendance::default(),
            leaves_by: None,
            started: now,
            to_self: VecDeque::new(),
            out: Vec::new(),
            effects: Vec::new(),
            config,
        }
    }

    /// This node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.config.me.id
    }

    /// The registry as this node has it.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What a peer is shown of this node when they greet.
    #[must_use]
    pub fn shown(&self) -> Neighbour {
        Neighbour {
            name: self.config.me.name.clone(),
            cluster: self.registry.cluster,
            initialized: self.state.initialized,
        }
    }

    /// What it would do now for each exchange, in the rows that a live node tells of it.
    #[must_use]
    pub fn opinions(&self, now: Instant) -> Vec<v1::LeaderRow> {
        let holding = |id| self.owned.get(&id).map(Owned::holding);
        leader_rows(
            &self.registry,
            &self.config.me.name,
            holding,
            self.lease_until.since(now),
        )
    }

    /// How many things the node holds in places that are bounded.
    #[must_use]
    pub fn holds(&self) -> [(&'static str, usize, usize); 4] {
        [
            ("open requests", self.requests.len(), OPEN_REQUESTS_MAX),
            ("proposals", self.proposals.len(), PROPOSALS_MAX),
            ("words of workers", self.workers.len(), PROPOSALS_MAX),
            (
                "deliveries",
                self.handlers.answering() + self.talks.len(),
                self.handlers.len() * handlers::CREDIT + PROPOSALS_MAX,
            ),
        ]
    }

    /// What came of the inputs so far, in order.
    pub fn outputs(&mut self) -> std::vec::Drain<'_, Output> {
        self.out.drain(..)
    }

    /// True when nothing waits to be carried out.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.out.is_empty()
    }

    /// When the node next wants to be woken.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        [
            Some(self.core.next_timeout()),
            self.owned.values().filter_map(Owned::next_timeout).min(),
            self.handlers.next_timeout(),
            self.workers.next_timeout(),
            self.requests.next_timeout(),
            self.talks.next_timeout(),
            self.tables.next_timeout(),
            self.proposals.next_timeout(),
            self.joining.next_timeout(),
            self.leaves_by,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Instant(u64::MAX))
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Instant) {
        let due = self.core.next_timeout();
        if due <= now {
            self.step(now, &CoreInput::Tick { due });
        }
        self.tick_exchanges(now);
        self.tick_handlers(now);
        self.tick_talks(now);
        self.tick_workers(now);
        self.tick_requests(now);
        self.tick_tables(now);
        self.tick_proposals(now);
        self.settle(now);
    }

    /// The registry moved.
    pub fn registry_moved(&mut self, now: Instant, registry: &Arc<Registry>) {
        let founded = self.registry.cluster.is_none();
        if let Some(cluster) = registry.cluster.filter(|_| founded) {
            let peers: Vec<NodeId> = self.lanes.iter().copied().collect();
            for node in peers {
                self.tell(node, &PeerMessage::Belongs { cluster });
            }
        }
        let change = Change::between(Arc::clone(&self.registry), Arc::clone(registry), self.id());
        self.registry = Arc::clone(registry);
        self.times = registry.profile.times();
        self.attendance.note(now, registry);
        self.exchanges_changed(now, &change);
        self.handlers_changed(now, &change);
        self.subscriptions_changed(now, &change);
        self.talks_changed(now, &change);
        self.requests_changed(now, &change);
        self.step(now, &CoreInput::Registry(Arc::clone(registry)));
        self.settle(now);
    }

    /// The node's part in the log is another one.
    pub fn log_moved(&mut self, now: Instant, state: LogState) {
        let view = MetaView {
            term: state.term,
            voters: state.voters.clone(),
            leads: state.leads,
            quorum: state.quorum,
        };
        self.state = state;
        if view != self.meta_view {
            self.meta_view = view.clone();
            self.step(now, &CoreInput::Meta(view));
        }
        self.look_for_leader_again(now);
        self.settle(now);
    }

    /// The log answered a question.
    pub fn log_answered(&mut self, now: Instant, ticket: Ticket, result: ProposeResult) {
        self.proposal_answered(now, ticket, result);
        self.settle(now);
    }

    /// A client proposes a command through this node.
    pub fn command(&mut self, now: Instant, command: Command) {
        self.propose(now, command, true);
        self.settle(now);
    }

    /// Stops acting first, then says so: a goodbye is a proof of death.
    pub fn leave(&mut self, now: Instant) {
        self.lease_until = Instant(0);
        self.out.push(Output::Lease { until: Instant(0) });
        let mine: Vec<ExchangeId> = self.owned.keys().copied().collect();
        for exchange in mine {
            self.disown(now, exchange);
        }
        self.stop_requests(now);
        if let Some(me) = self.registry.nodes.get(&self.id()) {
            let message = PeerMessage::Goodbye { tenure: me.tenure };
            let peers: Vec<NodeId> = self.neighbours.keys().copied().collect();
            for node in peers {
                self.tell(node, &message);
            }
        }
    }

    /// Delivers what this node sent to itself, then looks after its membership: what a live node does after each input.
    fn settle(&mut self, now: Instant) {
        let me = self.id();
        loop {
            while let Some(frame) = self.to_self.pop_front() {
                self.take_in(now, me, &frame);
            }
            if !self.finish_table(now) {
                break;
            }
        }
        self.work_on_membership(now);
        self.leave_without_vote(now);
    }

    fn event(&mut self, what: What) {
        self.out.push(Output::Event(what));
    }

    fn count(&mut self, what: &'static str) {
        self.out.push(Output::Count(what));
    }

    /// By which the history knows a request.
    fn request_key_of(frame: &Frame) -> RequestKey {
        RequestKey {
            origin: frame.origin,
            message: Self::request_of(frame),
        }
    }

    /// The number by which the history knows a request: that of its first try, carried in the payload.
    fn request_of(frame: &Frame) -> MessageId {
        let bytes = frame.payload.first_chunk::<8>().copied().unwrap_or_default();
        MessageId(u64::from_le_bytes(bytes))
    }
}
