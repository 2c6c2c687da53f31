//! A whole cluster in one process, for tests: real logs on real disks, and a transport that can lose a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};
use squall_kernel::id::{Boot, ExchangeName, Incarnation, NodeName};
use squall_kernel::registry::{Command, Introduction, Pattern, Strategy};
use tempfile::TempDir;
use tokio::time::timeout;

use super::types::Live;
use super::wire::Request;
use super::*;

/// Generous: reached only when something is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const CLUSTER: ClusterId = ClusterId(0xc1);

#[derive(Default)]
pub(super) struct Board {
    pub(super) nodes: Mutex<BTreeMap<NodeId, Meta>>,
    pub(super) cut: Mutex<BTreeSet<NodeId>>,
    pub(super) pieces: AtomicUsize,
}

impl Board {
    pub(super) fn reach(&self, from: NodeId, to: NodeId) -> Option<Meta> {
        let cut = self.cut.lock().unwrap();
        if cut.contains(&from) || cut.contains(&to) {
            return None;
        }
        self.nodes.lock().unwrap().get(&to).cloned()
    }
}

pub(super) struct Port {
    me: NodeId,
    pub(super) board: Arc<Board>,
}

impl RaftTransport for Port {
    fn call(
        &self,
        to: NodeId,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Bytes, TransportError>> {
        async move {
            if matches!(
                wire::decode::<Request<Live>>(&request),
                Some(Request::Snapshot(_))
            ) {
                self.board.pieces.fetch_add(1, Ordering::Relaxed);
            }
            let target = self
                .board
                .reach(self.me, to)
                .ok_or(TransportError::Unreachable(to))?;
            let answer = timeout(limit, target.handle_rpc(self.me, request)).await;
            let answer = answer.map_err(|_| TransportError::Timeout(limit))?;
            self.board
                .reach(self.me, to)
                .ok_or(TransportError::Unreachable(to))?;
            Ok(answer)
        }
        .boxed()
    }
}

pub(super) struct Node {
    pub(super) home: TempDir,
    pub(super) dir: DataDir,
    pub(super) meta: Meta,
}

#[derive(Default)]
pub(super) struct Cluster {
    pub(super) board: Arc<Board>,
    pub(super) compaction: Compaction,
}

impl Cluster {
    pub(super) async fn start(&self) -> Node {
        self.start_on(tempfile::tempdir().unwrap()).await
    }

    pub(super) async fn start_on(&self, home: TempDir) -> Node {
        self.start_with(home, Profile::Lan).await
    }

    pub(super) async fn start_with(&self, home: TempDir, profile: Profile) -> Node {
        let dir = DataDir::open(home.path()).unwrap();
        let port = Arc::new(Port {
            me: dir.node_id(),
            board: Arc::clone(&self.board),
        });
        let meta = Meta::start_with(&dir, port, profile, self.compaction, None)
            .await
            .unwrap();
        self.board.nodes.lock().unwrap().insert(meta.id(), meta.clone());
        Node { home, dir, meta }
    }

    pub(super) async fn kill(&self, node: Node) -> TempDir {
        self.board.nodes.lock().unwrap().remove(&node.meta.id());
        node.meta.shutdown().await;
        node.home
    }

    /// Three voters, founded.
    pub(super) async fn three(&self) -> Vec<Node> {
        let nodes = vec![self.start().await, self.start().await, self.start().await];
        for node in &nodes {
            node.meta
                .found(CLUSTER, Profile::Lan, addresses(&nodes))
                .await
                .unwrap();
        }
        for node in &nodes {
            registry_where(node, |r| r.cluster.is_some()).await;
        }
        nodes
    }
}

pub(super) fn addresses(nodes: &[Node]) -> BTreeMap<NodeId, String> {
    nodes
        .iter()
        .map(|n| (n.meta.id(), "127.0.0.1:1".into()))
        .collect()
}

pub(super) async fn registry_where(node: &Node, holds: impl Fn(&Registry) -> bool) -> Arc<Registry> {
    let mut registry = node.meta.registry();
    let found = timeout(PATIENCE, registry.wait_for(|r| holds(r))).await;
    found
        .expect("the registry gets there")
        .expect("the node runs")
        .clone()
}

pub(super) async fn state_where(node: &Node, holds: impl Fn(&MetaState) -> bool) -> MetaState {
    let mut state = node.meta.state();
    let found = timeout(PATIENCE, state.wait_for(|s| holds(s))).await;
    found
        .expect("the state gets there")
        .expect("the node runs")
        .clone()
}

/// The one that leads with a majority behind it.
pub(super) async fn leader(nodes: &[Node]) -> usize {
    let times = Profile::Lan.times();
    let waits = nodes
        .iter()
        .map(|n| state_where(n, move |s| s.leads(&times)).boxed_local());
    select_all(waits).await.1
}

pub(super) fn declare(name: &str) -> Command {
    Command::Declare {
        name: ExchangeName::new(name).unwrap(),
        pattern: Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        function: None,
        settings: squall_kernel::registry::Settings::default(),
        failover: vec![],
        takeover: None,
    }
}

pub(super) fn has(registry: &Registry, name: &str) -> bool {
    registry.exchange(&ExchangeName::new(name).unwrap()).is_some()
}

/// As the mesh does it: to the leader, and again when it moved.
pub(super) async fn acknowledged(nodes: &[Node], command: Command) -> Committed {
    let write = async {
        loop {
            if let Ok(done) = nodes[leader(nodes).await].meta.propose(command.clone()).await {
                return done;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, write)
        .await
        .expect("a connected majority answers")
}

pub(super) fn introduction(node: &Node, name: &str) -> Command {
    Command::NodeUp(Introduction {
        id: node.meta.id(),
        name: NodeName::new(name).unwrap(),
        incarnation: Incarnation(1),
        boot: Boot(1),
        mesh_addr: "127.0.0.1:1".into(),
        grpc_addr: "127.0.0.1:2".into(),
        functions: Vec::new(),
        zone: None,
    })
}
