//! Whole clusters in one process: real logs on real disks, and a transport that can lose a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all, select_all};
use squall_kernel::id::{Boot, ExchangeName, Incarnation, NodeName};
use squall_kernel::registry::{Command, Introduction, Outcome, Pattern, Strategy};
use tempfile::TempDir;
use tokio::time::timeout;

use super::wire::{Reply, Request};
use super::*;

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const CLUSTER: ClusterId = ClusterId(0xc1);

#[derive(Default)]
struct Board {
    nodes: Mutex<BTreeMap<NodeId, Meta>>,
    cut: Mutex<BTreeSet<NodeId>>,
    pieces: AtomicUsize,
}

impl Board {
    fn reach(&self, from: NodeId, to: NodeId) -> Option<Meta> {
        let cut = self.cut.lock().unwrap();
        if cut.contains(&from) || cut.contains(&to) {
            return None;
        }
        self.nodes.lock().unwrap().get(&to).cloned()
    }
}

struct Port {
    me: NodeId,
    board: Arc<Board>,
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

struct Node {
    home: TempDir,
    dir: DataDir,
    meta: Meta,
}

#[derive(Default)]
struct Cluster {
    board: Arc<Board>,
    compaction: Compaction,
}

impl Cluster {
    async fn start(&self) -> Node {
        self.start_on(tempfile::tempdir().unwrap()).await
    }

    async fn start_on(&self, home: TempDir) -> Node {
        let dir = DataDir::open(home.path()).unwrap();
        let port = Arc::new(Port {
            me: dir.node_id(),
            board: Arc::clone(&self.board),
        });
        let meta = Meta::start_with(&dir, port, Profile::Lan, self.compaction)
            .await
            .unwrap();
        self.board.nodes.lock().unwrap().insert(meta.id(), meta.clone());
        Node { home, dir, meta }
    }

    async fn kill(&self, node: Node) -> TempDir {
        self.board.nodes.lock().unwrap().remove(&node.meta.id());
        node.meta.shutdown().await;
        node.home
    }

    /// Three voters, founded.
    async fn three(&self) -> Vec<Node> {
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

fn addresses(nodes: &[Node]) -> BTreeMap<NodeId, String> {
    nodes
        .iter()
        .map(|n| (n.meta.id(), "127.0.0.1:1".into()))
        .collect()
}

async fn registry_where(node: &Node, holds: impl Fn(&Registry) -> bool) -> Arc<Registry> {
    let mut registry = node.meta.registry();
    let found = timeout(PATIENCE, registry.wait_for(|r| holds(r))).await;
    found
        .expect("the registry gets there")
        .expect("the node runs")
        .clone()
}

async fn state_where(node: &Node, holds: impl Fn(&MetaState) -> bool) -> MetaState {
    let mut state = node.meta.state();
    let found = timeout(PATIENCE, state.wait_for(|s| holds(s))).await;
    found
        .expect("the state gets there")
        .expect("the node runs")
        .clone()
}

/// The one that leads with a majority behind it.
async fn leader(nodes: &[Node]) -> usize {
    let times = Profile::Lan.times();
    let waits = nodes
        .iter()
        .map(|n| state_where(n, move |s| s.leads(&times)).boxed_local());
    select_all(waits).await.1
}

fn declare(name: &str) -> Command {
    Command::Declare {
        name: ExchangeName::new(name).unwrap(),
        pattern: Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        failover: vec![],
    }
}

fn has(registry: &Registry, name: &str) -> bool {
    registry.exchange(&ExchangeName::new(name).unwrap()).is_some()
}

/// As the mesh does it: to the leader, and again when it moved.
async fn acknowledged(nodes: &[Node], command: Command) -> Committed {
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

fn introduction(node: &Node, name: &str) -> Command {
    Command::NodeUp(Introduction {
        id: node.meta.id(),
        name: NodeName::new(name).unwrap(),
        incarnation: Incarnation(1),
        boot: Boot(1),
        mesh_addr: "127.0.0.1:1".into(),
        grpc_addr: "127.0.0.1:2".into(),
    })
}

#[tokio::test]
async fn learners_join_a_founder_and_are_promoted_in_one_change() {
    let cluster = Cluster::default();
    let nodes = vec![cluster.start().await];
    assert_eq!(state_where(&nodes[0], |_| true).await.role, Role::Uninitialized);
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .unwrap();
    registry_where(&nodes[0], |r| r.cluster == Some(CLUSTER)).await;
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .expect("again is no error");

    let [b, c] = [cluster.start().await, cluster.start().await];
    let a = &nodes[0];
    let live = BTreeSet::from([a.meta.id(), b.meta.id(), c.meta.id()]);
    for node in [&b, &c] {
        let added = a.meta.add_learner(node.meta.id(), "127.0.0.1:1").await.unwrap();
        assert_eq!(added, Some(Change::Learner(node.meta.id())));
        assert_eq!(
            a.meta.add_learner(node.meta.id(), "127.0.0.1:1").await.unwrap(),
            None
        );
        registry_where(node, |r| r.cluster == Some(CLUSTER)).await;
        assert_eq!(state_where(node, |s| s.initialized).await.role, Role::Learner);
    }
    let only_b = BTreeSet::from([a.meta.id(), b.meta.id()]);
    assert_eq!(
        a.meta.adjust_voters(&only_b).await.unwrap(),
        None,
        "two would be no better than one"
    );

    let mut state = a.meta.state();
    let change = loop {
        if let Some(change) = a.meta.adjust_voters(&live).await.unwrap() {
            break change;
        }
        timeout(PATIENCE, state.changed()).await.unwrap().unwrap();
    };
    assert_eq!(
        change,
        Change::Promoted(BTreeSet::from([b.meta.id(), c.meta.id()]))
    );
    for node in [a, &b, &c] {
        let state = state_where(node, |s| s.voters.len() == 3).await;
        assert_eq!(
            (state.learners, state.voters),
            (vec![], live.iter().copied().collect())
        );
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_the_leader_and_its_return() {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    let before = acknowledged(&nodes, declare("before")).await;
    assert_eq!(before.outcome, Outcome::Done);
    let dead = nodes.remove(leader(&nodes).await);
    let (dead_id, dead_term) = (dead.meta.id(), state_where(&dead, |_| true).await.term);
    let home = cluster.kill(dead).await;

    let after = acknowledged(&nodes, declare("after")).await;
    assert!(after.revision > before.revision);
    for node in &nodes {
        registry_where(node, |r| has(r, "before") && has(r, "after")).await;
        assert!(
            state_where(node, |s| s.leader.is_some_and(|l| l != dead_id))
                .await
                .term
                > dead_term
        );
    }
    nodes.push(cluster.start_on(home).await);
    assert_eq!(nodes[2].meta.id(), dead_id);
    assert!(
        has(&nodes[2].meta.registry().borrow(), "before"),
        "recovered from its own disk"
    );
    registry_where(&nodes[2], |r| has(r, "after")).await;
}

#[tokio::test]
async fn a_whole_cluster_restarts_from_its_disks() {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    let written = acknowledged(&nodes, declare("orders")).await;
    let mut homes = Vec::new();
    while let Some(node) = nodes.pop() {
        homes.push(cluster.kill(node).await);
    }
    for home in homes {
        nodes.push(cluster.start_on(home).await);
    }
    let again = acknowledged(&nodes, declare("orders")).await;
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert!(again.revision > written.revision);
}

#[tokio::test]
async fn a_follower_names_the_leader() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let leads = leader(&nodes).await;
    let id = nodes[leads].meta.id();
    let follower = &nodes[(leads + 1) % 3];
    state_where(follower, |s| s.leader == Some(id)).await;
    let refused = follower.meta.propose(declare("users")).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(id) }));
}

#[tokio::test]
async fn a_founding_cut_in_two_by_a_crash_is_completed() {
    let cluster = Cluster::default();
    let mut nodes = vec![
        cluster.start().await,
        cluster.start().await,
        cluster.start().await,
    ];
    let voters = addresses(&nodes);
    // Alone it notes the voters but can elect nobody, so nothing is committed.
    for node in &nodes {
        cluster.board.cut.lock().unwrap().insert(node.meta.id());
        node.meta
            .found(CLUSTER, Profile::Lan, voters.clone())
            .await
            .unwrap();
        assert_eq!(node.meta.registry().borrow().cluster, None);
        node.dir.bind_cluster(CLUSTER).unwrap();
    }
    let mut homes = Vec::new();
    while let Some(node) = nodes.pop() {
        homes.push(cluster.kill(node).await);
    }
    cluster.board.cut.lock().unwrap().clear();
    for home in homes {
        nodes.push(cluster.start_on(home).await);
    }
    for node in &nodes {
        registry_where(node, |r| r.cluster == Some(CLUSTER)).await;
    }
}

#[tokio::test]
async fn founders_must_be_one_three_or_five_and_count_this_node() {
    let cluster = Cluster::default();
    let nodes = vec![cluster.start().await, cluster.start().await];
    let two = nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await;
    assert!(matches!(two, Err(FoundError::VoterCount(2))));
    let other = nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes[1..]))
        .await;
    assert!(matches!(other, Err(FoundError::NotAVoter)));
    assert!(!nodes[0].meta.state().borrow().initialized);
}

#[tokio::test]
async fn a_new_learner_gets_a_snapshot_in_pieces() {
    let compaction = Compaction {
        entries_per_snapshot: 100,
        entries_kept: 10,
    };
    let cluster = Cluster {
        compaction,
        ..Cluster::default()
    };
    let mut nodes = vec![cluster.start().await];
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .unwrap();
    registry_where(&nodes[0], |r| r.cluster.is_some()).await;
    let a = &nodes[0].meta;
    join_all((0..500).map(|n| async move {
        let name = format!("{n}-{}", "x".repeat(240));
        assert_eq!(a.propose(declare(&name)).await.unwrap().outcome, Outcome::Done);
    }))
    .await;

    let learner = cluster.start().await;
    let id = learner.meta.id();
    a.add_learner(id, "127.0.0.1:1").await.unwrap();
    let wanted = Arc::clone(&a.registry().borrow());
    let got = registry_where(&learner, |r| r.revision >= wanted.revision).await;
    assert_eq!(got.exchanges, wanted.exchanges);
    assert!(
        cluster.board.pieces.load(Ordering::Relaxed) > 2,
        "it came in pieces"
    );

    let home = cluster.kill(learner).await;
    nodes.push(cluster.start_on(home).await);
    assert_eq!(
        nodes[1].meta.registry().borrow().exchanges.len(),
        500,
        "the snapshot is on its disk"
    );
}

#[tokio::test]
async fn a_leader_without_a_majority_says_so_and_acknowledges_nothing() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let old = leader(&nodes).await;
    let times = Profile::Lan.times();
    cluster.board.cut.lock().unwrap().insert(nodes[old].meta.id());
    state_where(&nodes[old], |s| !s.leads(&times)).await;
    let refused = nodes[old].meta.propose(declare("lost")).await.unwrap_err();
    assert!(!matches!(refused, ProposeError::Stopped(_)), "{refused}");

    let others: Vec<&Node> = nodes
        .iter()
        .filter(|n| n.meta.id() != nodes[old].meta.id())
        .collect();
    let elected = select_all(
        others
            .iter()
            .map(|n| state_where(n, |s| s.leads(&times)).boxed_local()),
    )
    .await
    .1;
    let kept = others[elected].meta.propose(declare("kept")).await.unwrap();
    cluster.board.cut.lock().unwrap().clear();
    registry_where(&nodes[old], |r| r.revision >= kept.revision && has(r, "kept")).await;
    acknowledged(&nodes, declare("healed")).await;
    for node in &nodes {
        registry_where(node, |r| has(r, "healed")).await;
    }
}

#[tokio::test]
async fn a_node_whose_elections_are_suspended_leaves_them_to_others() {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    let dead = nodes.remove(leader(&nodes).await);
    nodes[0].meta.set_elections(false);
    cluster.kill(dead).await;
    assert_eq!(leader(&nodes).await, 1);
    nodes[0].meta.set_elections(true);
}

#[tokio::test]
async fn leadership_can_be_handed_over() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let from = leader(&nodes).await;
    let to = &nodes[(from + 1) % 3];
    acknowledged(&nodes, introduction(to, "b")).await;
    registry_where(to, |r| r.node_named("b").is_some()).await;
    nodes[from].meta.transfer_leader(to.meta.id()).await.unwrap();
    let times = Profile::Lan.times();
    state_where(to, |s| s.leads(&times)).await;
}

#[tokio::test]
async fn bytes_that_are_no_request_are_answered_counted_and_survived() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let from = nodes[1].meta.id();
    for garbage in [
        b"".as_slice(),
        b"\xff",
        b"\x00\x01\x02",
        &[0xff; 4096],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let answer = nodes[0]
            .meta
            .handle_rpc(from, Bytes::copy_from_slice(garbage))
            .await;
        let reply = wire::decode::<Reply<Live>>(&answer).unwrap();
        assert!(
            matches!(reply, Reply::Refused(Refusal::Undecodable)),
            "{garbage:?}: {reply:?}"
        );
    }
    assert_eq!(nodes[0].meta.undecodable_requests(), 5);
    acknowledged(&nodes, declare("alive")).await;
    registry_where(&nodes[0], |r| has(r, "alive")).await;
}

#[tokio::test]
async fn a_stopped_node_answers_that_it_stopped() {
    let cluster = Cluster::default();
    let node = cluster.start().await;
    let meta = node.meta.clone();
    cluster.kill(node).await;
    assert!(matches!(
        meta.propose(declare("late")).await,
        Err(ProposeError::Stopped(_))
    ));
}
