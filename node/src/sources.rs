//! The node's rows for introspection, read from what its parts publish: atomics and snapshots, never a question to a
//! process.
//!
//! Here: links, faults and processes; each of the other kinds has a file of its own.
//!
//! What does not live here: which rows a watcher wants and what changed (`introspect`).

mod bindings;
pub(crate) mod detail;
mod exchanges;
mod figures;
mod measures;
mod nodes;
mod runtimes;
mod tasks;

use std::sync::{Arc, Mutex, OnceLock};

use futures::future::BoxFuture;
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::registry::Introduction;
use squall_kernel::time::Instant;
use squall_kernel::time::Span;
use squall_proto::v1;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::breaches::Breaches;
use crate::calendar::Calendar;
use crate::control::{Opinion, PeerOpinion};
use crate::data::DataPlane;
use crate::exchanges::{BindingQuestion, BindingReply};
use crate::introspect::{
    Detail, Entity, EventLog, KindSet, NoBindings, NoDetail, NoTasks, ProcessView, Sources, TaskPage,
};
use crate::mesh::{FaultPlane, LinkState, LinkStatus, Mesh};
use crate::meta::MetaState;
use crate::metrics::{Exports, Scrape};
use crate::process::ProcessFigures;
use crate::system::SystemFigures;
use crate::telemetry::SpanSink;

/// Everything introspection reads.
pub(crate) struct NodeSources {
    pub(crate) me: Introduction,
    pub(crate) chaos: bool,
    pub(crate) insecure: bool,
    /// Between two heartbeats to a peer.
    pub(crate) heartbeat: Span,
    pub(crate) supervisor: String,
    pub(crate) data: Arc<DataPlane>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) faults: Arc<FaultPlane>,
    pub(crate) opinion: watch::Receiver<Arc<Opinion>>,
    pub(crate) meta: watch::Receiver<MetaState>,
    pub(crate) system: Mutex<SystemFigures>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) breaches: Arc<Breaches>,
    pub(crate) spans: SpanSink,
    /// The runtime of the control side.
    pub(crate) control: Handle,
    /// That of the gRPC services, once they run.
    pub(crate) grpc: OnceLock<Handle>,
    /// What became of exports of metrics.
    pub(crate) exports: Arc<Exports>,
}

impl Sources for NodeSources {
    fn node(&self) -> &NodeName {
        &self.me.name
    }

    fn calendar(&self) -> &Calendar {
        &self.data.context.calendar
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

    fn measure(&self, to: &mut Scrape) {
        self.measured(to);
    }

    fn spans(&self) -> &SpanSink {
        &self.spans
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

    fn bindings(
        &self,
        exchange: &ExchangeName,
        question: BindingQuestion,
    ) -> BoxFuture<'static, Result<BindingReply, NoBindings>> {
        bindings::ask(&self.data, exchange, question)
    }

    fn detail(&self, entity: &Entity) -> Result<Box<dyn Detail>, NoDetail> {
        detail::of(&self.data, entity)
    }

    fn processes(&self, visit: &mut dyn FnMut(&ProcessView<'_>)) {
        let now = self.data.context.clock.now();
        self.data.context.processes.each(|process| {
            visit(&view(&process.figures(now)));
        });
    }
}

fn view(figures: &ProcessFigures) -> ProcessView<'_> {
    ProcessView {
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
    }
}

impl NodeSources {
    fn now(&self) -> Instant {
        self.data.context.clock.now()
    }

    fn link_rows(&self) -> Vec<v1::LinkRow> {
        let opinion = Arc::clone(&self.opinion.borrow());
        let rows = self.link_rows_with_peers(&opinion).into_iter();
        rows.map(|(row, _)| row).collect()
    }

    /// With what is thought of each peer, where anything is.
    fn link_rows_with_peers(&self, opinion: &Opinion) -> Vec<(v1::LinkRow, Option<PeerOpinion>)> {
        let registry = self.data.context.registry_kept();
        let is_lost = |id| registry.nodes.get(&id).is_some_and(|node| !node.is_up());
        let now = self.now();
        let links = self.mesh.links().into_iter();
        links
            .map(|link| {
                let peer = opinion.peers.get(&link.node).copied();
                (link_row(now, is_lost(link.node), link, peer), peer)
            })
            .collect()
    }

    fn fault_rows(&self) -> Vec<v1::FaultRow> {
        let now = self.faults.now();
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

/// The connection to a node that stands still stands, too: whether it is suspect says who hears it, and once it is lost, the
/// registry.
fn link_row(now: Instant, is_lost: bool, link: LinkStatus, peer: Option<PeerOpinion>) -> v1::LinkRow {
    let state = match link.state {
        LinkState::Up if is_lost || peer.is_some_and(|p| p.suspect) => v1::LinkState::Suspect,
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
