//! The node's rows for introspection, read from what its parts publish: atomics and snapshots, never a question to a
//! process.
//!
//! What does not live here: which rows a watcher wants and what changed (`introspect`).

mod figures;
mod tasks;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use squall_kernel::id::{ExchangeName, NodeId, NodeName};
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Duty, ExchangeRecord, NodeLife, NodeRecord, Registry};
use squall_kernel::time::{Instant, Span};
use squall_proto::v1;
use tokio::sync::watch;

use crate::client_faults::ClientFaults;
use crate::control::{Opinion, PeerOpinion};
use crate::data::DataPlane;
use crate::exchanges::OwnedExchange;
use crate::introspect::{KindSet, NoTasks, ProcessView, Sources, TaskPage};
use crate::mesh::{FaultPlane, LinkState, LinkStatus, Mesh};
use crate::meta::{MetaState, Role};
use crate::router::ExchangeStats;
use crate::system::SystemFigures;

/// Everything introspection reads.
pub(crate) struct NodeSources {
    pub(crate) me: squall_kernel::registry::Introduction,
    pub(crate) chaos: bool,
    pub(crate) insecure: bool,
    pub(crate) supervisor: String,
    pub(crate) data: Arc<DataPlane>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) faults: Arc<FaultPlane>,
    pub(crate) opinion: watch::Receiver<Arc<Opinion>>,
    pub(crate) meta: watch::Receiver<MetaState>,
    pub(crate) system: Mutex<SystemFigures>,
}

impl Sources for NodeSources {
    fn node(&self) -> &NodeName {
        &self.me.name
    }

    fn hello(&self) -> v1::HelloResponse {
        let registry = self.data.context.registry_kept();
        let capabilities = if self.chaos {
            vec!["chaos".to_owned()]
        } else {
            Vec::new()
        };
        v1::HelloResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            node: self.me.name.as_str().into(),
            incarnation: self.me.incarnation.0,
            cluster: registry.cluster.map(|c| c.to_string()).unwrap_or_default(),
            capabilities,
            chaos: self.chaos,
            supervisor: self.supervisor.clone(),
            members: self.members(&registry),
            insecure: self.insecure,
        }
    }

    fn rows(&self, kinds: KindSet, out: &mut Vec<v1::Row>) {
        let registry = self.data.context.registry_kept();
        let mut push = |row| out.push(v1::Row { row: Some(row) });
        if kinds.contains(v1::RowKind::Node) {
            push(v1::row::Row::Node(self.node_row(&registry)));
        }
        if kinds.contains(v1::RowKind::Link) {
            self.link_rows()
                .into_iter()
                .map(v1::row::Row::Link)
                .for_each(&mut push);
        }
        if kinds.contains(v1::RowKind::Exchange) {
            self.exchange_rows(&registry)
                .into_iter()
                .map(v1::row::Row::Exchange)
                .for_each(&mut push);
        }
        if kinds.contains(v1::RowKind::Leader) {
            self.leader_rows(&registry)
                .into_iter()
                .map(v1::row::Row::Leader)
                .for_each(&mut push);
        }
        if kinds.contains(v1::RowKind::Fault) {
            self.fault_rows()
                .into_iter()
                .map(v1::row::Row::Fault)
                .for_each(&mut push);
        }
    }

    fn quorum(&self) -> bool {
        self.opinion.borrow().quorum
    }

    fn figures(&self, exchange: &ExchangeName) -> Option<v1::ExchangeFiguresResponse> {
        figures::of(&self.me, &self.data, exchange)
    }

    fn tasks(&self, exchange: &ExchangeName, page: TaskPage) -> Result<v1::ListTasksResponse, NoTasks> {
        tasks::of(&self.data, exchange, page)
    }

    fn processes(&self, visit: &mut dyn FnMut(&ProcessView<'_>)) {
        let now = self.data.context.clock.now();
        self.data.context.processes.each(|process| {
            let figures = process.figures(now);
            visit(&ProcessView {
                pid: figures.pid,
                name: &figures.name,
                kind: figures.kind.as_str(),
                enqueued: figures.enqueued,
                dequeued: figures.dequeued,
                bound: u64::from(figures.bound),
                oldest_us: figures.oldest.0,
                busy_us: figures.busy.0,
                sent: figures.sent,
                restarts: figures.restarts,
                age_ms: figures.age.as_ms(),
                dropped: figures.dropped,
            });
        });
    }
}

impl NodeSources {
    fn now(&self) -> Instant {
        self.data.context.clock.now()
    }

    fn members(&self, registry: &Registry) -> Vec<v1::Member> {
        let opinion = Arc::clone(&self.opinion.borrow());
        registry
            .nodes
            .values()
            .map(|node| self.member(registry, node, &opinion))
            .collect()
    }

    fn member(&self, registry: &Registry, node: &NodeRecord, opinion: &Opinion) -> v1::Member {
        let suspect = node.id != self.me.id && opinion.peers.get(&node.id).is_none_or(|p| p.suspect);
        let state = match (node.is_up(), suspect) {
            (false, _) => v1::NodeState::Down,
            (true, true) => v1::NodeState::Suspect,
            (true, false) => v1::NodeState::Up,
        };
        v1::Member {
            name: node.name.as_str().into(),
            raft_id: node.id.0,
            incarnation: node.incarnation.0,
            mesh_addr: node.mesh_addr.clone(),
            grpc_addr: node.grpc_addr.clone(),
            role: role_of(node.id, opinion) as i32,
            state: state as i32,
            duty: duty_of(node) as i32,
            why: why_down(node),
            exchanges: registry.owned_by(node.id).count() as u64,
            quorum_critical: opinion.quorum_critical.contains(&node.id),
        }
    }

    fn node_row(&self, registry: &Registry) -> v1::NodeRow {
        let opinion = Arc::clone(&self.opinion.borrow());
        let meta = self.meta.borrow().clone();
        let now = self.now();
        let system = self
            .system
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(now);
        let tally = &self.data.context.wire.tally;
        let leader = opinion.meta_leader.and_then(|id| registry.name_of(id));
        v1::NodeRow {
            name: self.me.name.as_str().into(),
            incarnation: self.me.incarnation.0,
            role: own_role(&meta, &opinion) as i32,
            raft_id: self.me.id.0,
            term: opinion.term.0,
            meta_leader: leader.map(|n| n.as_str().to_owned()).unwrap_or_default(),
            quorum: opinion.quorum,
            revision: registry.revision.0,
            cpu_percent: system.cpu_percent,
            rss_bytes: system.rss_bytes,
            fds: system.fds,
            processes: self.data.context.processes.len() as u64,
            messages_in: tally.taken_in.load(Relaxed),
            messages_out: tally.sent_out.load(Relaxed),
            uptime_ms: now.0 / 1000,
            version: env!("CARGO_PKG_VERSION").into(),
            insecure: self.insecure,
            members: self.members(registry),
            lease_left_ms: self.data.context.lease.left(now).as_ms(),
            waiting_for: opinion.waiting_for.clone(),
            timer_late_ms: opinion.timer_late_ms,
            dropped: tally.dropped(),
            os_pid: u64::from(std::process::id()),
            refusals: refusals(&tally.client_faults),
        }
    }

    fn link_rows(&self) -> Vec<v1::LinkRow> {
        let opinion = Arc::clone(&self.opinion.borrow());
        let now = self.now();
        self.mesh
            .links()
            .into_iter()
            .map(|link| link_row(now, link, &opinion))
            .collect()
    }

    fn exchange_rows(&self, registry: &Registry) -> Vec<v1::ExchangeRow> {
        let stats: HashMap<_, _> = self
            .data
            .router
            .stats()
            .into_iter()
            .map(|s| (s.exchange, s))
            .collect();
        let owned: HashMap<_, _> = self
            .data
            .exchanges
            .owned()
            .into_iter()
            .map(|o| (o.exchange, o))
            .collect();
        let row = |record: &ExchangeRecord| {
            self.exchange_row(registry, record, stats.get(&record.id), owned.get(&record.id))
        };
        registry.exchanges.values().map(row).collect()
    }

    fn exchange_row(
        &self,
        registry: &Registry,
        record: &ExchangeRecord,
        stats: Option<&ExchangeStats>,
        owned: Option<&OwnedExchange>,
    ) -> v1::ExchangeRow {
        let acts = owned.is_some_and(|o| o.acting) && self.data.context.lease.holds(self.now());
        let mut row = v1::ExchangeRow {
            name: record.name.as_str().into(),
            pattern: record.pattern.as_str().into(),
            strategy: record.strategy.as_str().into(),
            owner: name_or_empty(registry, record.owner),
            epoch: record.epoch.0,
            failover: record.failover.iter().map(|n| n.as_str().to_owned()).collect(),
            handlers: owned.map_or(0, |o| o.handlers),
            owned_here: acts,
            moving_to: name_or_empty(registry, record.moving.map(|m| m.to)),
            takeover: record.takeover.as_str().into(),
            prefers: name_or_empty(
                registry,
                registry.preferred(record).filter(|id| record.owner != Some(*id)),
            ),
            ..v1::ExchangeRow::default()
        };
        if let Some(stats) = stats {
            row.requests = stats.requests;
            row.replies = stats.replies;
            row.declined = stats.declined;
            row.refused = stats.refused + stats.timeouts + stats.interrupted;
            row.in_flight = stats.in_flight;
            row.p50_us = stats.p50.0;
            row.p99_us = stats.p99.0;
        }
        row
    }

    /// What this node would do now: as owner by its own process and lease, as router by where it would send a request.
    fn leader_rows(&self, registry: &Registry) -> Vec<v1::LeaderRow> {
        let now = self.now();
        let left = self.data.context.lease.left(now);
        let owned: HashMap<_, _> = self
            .data
            .exchanges
            .owned()
            .into_iter()
            .map(|o| (o.exchange, o))
            .collect();
        registry
            .exchanges
            .values()
            .map(|record| leader_row(registry, record, &self.me, owned.get(&record.id), left))
            .collect()
    }

    fn fault_rows(&self) -> Vec<v1::FaultRow> {
        let now = self.now();
        let faults = self.faults.list().into_iter();
        faults
            .map(|fault| v1::FaultRow {
                what: crate::grpc::chaos::what(&self.me.name, &fault.kind),
                left_ms: fault.ends.since(now).as_ms(),
                id: fault.id,
                by: fault.by,
                touched: fault.touched,
            })
            .collect()
    }
}

fn refusals(faults: &ClientFaults) -> Vec<v1::Refusals> {
    let told = |(fault, count): (ClientFault, u64)| v1::Refusals {
        reason: fault.as_str().to_owned(),
        count,
    };
    faults.counted().map(told).collect()
}

fn leader_row(
    registry: &Registry,
    record: &ExchangeRecord,
    me: &squall_kernel::registry::Introduction,
    owned: Option<&OwnedExchange>,
    lease_left: Span,
) -> v1::LeaderRow {
    let acting = owned.is_some_and(|o| o.acting) && lease_left > Span::ZERO;
    let role = match (owned, acting) {
        (Some(_), true) => v1::LeaderRole::Owner,
        (Some(_), false) => v1::LeaderRole::OwnerNoLease,
        (None, _) => v1::LeaderRole::Router,
    };
    let believed_owner = match role {
        v1::LeaderRole::Owner => me.name.as_str().to_owned(),
        v1::LeaderRole::OwnerNoLease => String::new(),
        _ => name_or_empty(registry, record.owner),
    };
    let leader = record.leader;
    v1::LeaderRow {
        exchange: record.name.as_str().into(),
        role: role as i32,
        epoch: owned.map_or(record.epoch.0, |o| o.epoch.0),
        leader: leader
            .map(|l| l.pid.text(&name_or_empty(registry, Some(l.pid.node))))
            .unwrap_or_default(),
        leader_epoch: leader.map_or(0, |l| l.epoch.0),
        believed_owner,
        lease_left_ms: if acting { lease_left.as_ms() } else { 0 },
        moving_to: name_or_empty(registry, record.moving.map(|m| m.to)),
    }
}

fn link_row(now: Instant, link: LinkStatus, opinion: &Opinion) -> v1::LinkRow {
    let peer = opinion.peers.get(&link.node).copied();
    let state = match link.state {
        LinkState::Up if peer.is_some_and(|p| p.suspect) => v1::LinkState::Suspect,
        LinkState::Up => v1::LinkState::Up,
        LinkState::Connecting => v1::LinkState::Connecting,
        LinkState::Down => v1::LinkState::Down,
        LinkState::Refused => v1::LinkState::Refused,
    };
    let PeerOpinion {
        phi_milli,
        round_trip,
        ..
    } = peer.unwrap_or_default();
    let (fault, fault_left) = link.fault.unwrap_or_default();
    v1::LinkRow {
        peer: link.name,
        state: state as i32,
        rtt_p50_us: round_trip.map_or(0, |r| r.p50.0),
        rtt_p99_us: round_trip.map_or(0, |r| r.p99.0),
        // Whole thousandths: a finer figure would change with every look.
        phi: u32::try_from(phi_milli / 100).map_or(f64::from(u32::MAX), f64::from) / 10.0,
        queue_bytes: link.queue_bytes,
        last_heard_ms: peer.map_or(0, |p| now.since(p.heard).as_ms()),
        fault,
        fault_left_ms: fault_left.as_ms(),
        frames_out: link.frames_out,
        bytes_out: link.bytes_out,
        connects: link.connects,
        why: link.why,
    }
}

fn duty_of(node: &NodeRecord) -> v1::NodeDuty {
    match node.duty {
        Duty::Full => v1::NodeDuty::Full,
        Duty::Weak => v1::NodeDuty::Weak,
        Duty::Draining { leave: false } => v1::NodeDuty::Draining,
        Duty::Draining { leave: true } => v1::NodeDuty::Leaving,
    }
}

fn why_down(node: &NodeRecord) -> String {
    match node.life {
        NodeLife::Up => String::new(),
        NodeLife::Down(reason) => reason.as_str().to_owned(),
    }
}

fn role_of(node: NodeId, opinion: &Opinion) -> v1::MetaRole {
    if opinion.meta_leader == Some(node) {
        v1::MetaRole::Leader
    } else if opinion.voters.contains(&node) {
        v1::MetaRole::Voter
    } else {
        v1::MetaRole::Learner
    }
}

/// A leader that lost its quorum still says that it leads: it counts as a voter here.
fn own_role(meta: &MetaState, opinion: &Opinion) -> v1::MetaRole {
    match meta.role {
        Role::Leader if opinion.leads => v1::MetaRole::Leader,
        Role::Leader | Role::Voter | Role::Candidate => v1::MetaRole::Voter,
        Role::Learner => v1::MetaRole::Learner,
        Role::Uninitialized | Role::Stopped => v1::MetaRole::Unspecified,
    }
}

fn name_or_empty(registry: &Registry, node: Option<NodeId>) -> String {
    node.and_then(|id| registry.name_of(id))
        .map(|n| n.as_str().to_owned())
        .unwrap_or_default()
}
