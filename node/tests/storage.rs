//! Whole nodes whose disks fail, and clusters that lost their quorum.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::founding::Founding;
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::reason::Lost;
use squall_kernel::registry::{Command, NodeLife, Outcome, Pattern, Registry, Strategy};
use squall_node::control::Opinion;
use squall_node::datadir::DataDir;
use squall_node::handlers::HandlerTags;
use squall_node::meta::recover::Survivor;
use squall_node::node::{Node, NodeOptions};
use squall_node::router::Request;
use tempfile::TempDir;
use tokio::time::timeout;

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(dir: DataDir, name: &str, join: &[&Node]) -> Node {
    let founding = if name == "a" && join.is_empty() {
        Founding::Bootstrap
    } else {
        Founding::Wait
    };
    let options = NodeOptions {
        founding,
        join: join.iter().map(|n| n.introduction().mesh_addr.clone()).collect(),
        data_workers: 2,
        ..NodeOptions::alone(NodeName::new(name).expect("a good name"), b"secret")
    };
    Node::start(dir, options).expect("the node starts")
}

async fn opinion_where(node: &Node, holds: impl FnMut(&Arc<Opinion>) -> bool) {
    let mut opinion = node.opinion();
    let found = timeout(PATIENCE, opinion.wait_for(holds)).await;
    drop(found.expect("it comes to believe that").expect("the node runs"));
}

async fn registry_where(node: &Node, holds: impl FnMut(&Arc<Registry>) -> bool) -> Arc<Registry> {
    let mut registry = node.registry();
    let found = timeout(PATIENCE, registry.wait_for(holds)).await;
    Arc::clone(&found.expect("the registry gets there").expect("the node runs"))
}

fn home() -> (TempDir, DataDir) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let dir = DataDir::open(home.path()).expect("a fresh directory");
    (home, dir)
}

fn up(registry: &Registry, name: &str) -> bool {
    registry.node_named(name).is_some_and(|n| n.is_up())
}

fn owner<'a>(registry: &'a Registry, exchange: &ExchangeName) -> Option<&'a str> {
    let owner = registry.exchange(exchange)?.owner?;
    registry.name_of(owner).map(NodeName::as_str)
}

async fn declare(node: &Node, name: &str, owner: &str) -> ExchangeName {
    let name = ExchangeName::new(name).expect("a good name");
    let command = Command::Declare {
        name: name.clone(),
        pattern: Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        function: None,
        settings: squall_kernel::registry::Settings::default(),
        failover: vec![NodeName::new(owner).expect("a good name")],
        takeover: None,
    };
    let result = node.proposals().propose(command).await;
    assert!(
        matches!(
            result,
            ProposeResult::Committed {
                outcome: Outcome::Done,
                ..
            }
        ),
        "{result:?}"
    );
    name
}

async fn stop(node: Node) -> Result<(), String> {
    let stopped = tokio::task::spawn_blocking(move || node.stop()).await;
    stopped.expect("no panic").map_err(|error| error.to_string())
}

/// Three voters; `a` founded the cluster and leads it.
async fn three(homes: [DataDir; 3]) -> [Node; 3] {
    let [a, b, c] = homes;
    let a = start(a, "a", &[]);
    opinion_where(&a, |o| o.leads && o.waiting_for.is_empty()).await;
    let (b, c) = (start(b, "b", &[&a]), start(c, "c", &[&a]));
    for node in [&a, &b, &c] {
        opinion_where(node, |o| o.voters.len() == 3 && o.quorum).await;
        registry_where(node, |r| up(r, "b") && up(r, "c")).await;
    }
    [a, b, c]
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_a_node_in_order_and_its_exchanges_go_on_elsewhere() {
    let [(_ha, a), (hb, b), (_hc, c)] = [home(), home(), home()];
    let fault = Arc::clone(b.disk_fault());
    let [a, b, c] = three([a, b, c]).await;
    let orders = declare(&a, "orders", "b").await;
    registry_where(&b, |r| owner(r, &orders) == Some("b")).await;
    fault.set_full_above(Some(0));
    declare(&a, "more", "a").await;
    let ended = timeout(PATIENCE, b.ended()).await.expect("it ends by itself");
    let text = ended.expect_err("with an error").to_string();
    let file = hb.path().join("registry.redb").display().to_string();
    for part in [&file, "no storage space", "make room"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(stop(b).await, Err(text));
    let registry = registry_where(&a, |r| !up(r, "b") && owner(r, &orders).is_some()).await;
    let b_now = registry.node_named("b").expect("it stays a member");
    assert_eq!(b_now.life, NodeLife::Down(Lost::Goodbye));

    // With room again it starts with what it had, and catches up.
    let b = start(DataDir::open(hb.path()).expect("unlocked"), "b", &[&a]);
    registry_where(&b, |r| up(r, "b") && r.names.len() == 2).await;
    for node in [a, b, c] {
        stop(node).await.expect("in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_survivor_leads_and_serves_and_the_lost_cluster_is_refused() {
    let [(ha, a), (hb, b), (hc, c)] = [home(), home(), home()];
    let [a, b, c] = three([a, b, c]).await;
    let orders = declare(&a, "orders", "b").await;
    for node in [c, b, a] {
        // One after the other: the last ones have no quorum, which is no error.
        stop(node).await.expect("in order");
    }
    recover(ha.path());
    let a = start(DataDir::open(ha.path()).expect("unlocked"), "a", &[]);
    opinion_where(&a, |o| o.leads && o.waiting_for.is_empty()).await;
    let me = a.introduction().id;
    let registry = registry_where(&a, |r| {
        let it = r.node_named("a");
        owner(r, &orders) == Some("a") && it.is_some_and(|n| n.incarnation == a.introduction().incarnation)
    })
    .await;
    assert!(registry.nodes.values().all(|n| n.id == me || !n.is_up()));
    a.data()
        .handlers
        .attach_embedded(&orders, HandlerTags::default(), Echo)
        .expect("attached");
    assert_eq!(served(&a, &orders).await, Status::Reply);

    // The old directory is refused, an empty one under the same name is let in.
    let old = start(DataDir::open(hb.path()).expect("unlocked"), "b", &[&a]);
    refused(&a, "other cluster").await;
    assert!(!up(&a.registry().borrow(), "b"));
    stop(old).await.expect("in order");
    drop((hb, hc));
    let (_fresh, empty) = home();
    let fresh = start(empty, "b", &[&a]);
    registry_where(&a, |r| up(r, "b")).await;
    registry_where(&fresh, |r| r.cluster == registry.cluster && up(r, "b")).await;
    for node in [fresh, a] {
        stop(node).await.expect("in order");
    }
}

fn recover(home: &Path) {
    let survivor = Survivor::open(home).expect("it was a voter");
    let given_up = survivor.prospect().given_up;
    let names: Vec<&str> = given_up.iter().map(NodeName::as_str).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    survivor.recover("a").expect("recovered");
}

/// The owner needs a moment to hear of its handler; a request is answered or says why not.
async fn served(node: &Node, exchange: &ExchangeName) -> Status {
    let attempts = async {
        loop {
            let exchange = node.lookup(exchange).expect("declared");
            let request = Request::new(exchange, Bytes::from_static(b"x"));
            let status = node.data().router.request(request).await.status;
            if status == Status::Reply {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, attempts).await.expect("it serves")
}

async fn refused(node: &Node, why: &str) {
    let events = node.events();
    let mut last = events.watch();
    let seen = async {
        while !events
            .read(0)
            .events
            .iter()
            .any(|e| e.kind == "refused" && e.text.contains(why))
        {
            last.changed().await.expect("the node runs");
        }
    };
    timeout(PATIENCE, seen).await.expect("it is refused");
}
