//! A whole node in this process: what only the assembly can get wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, Outcome, Pattern, Strategy};
use squall_kernel::time::Span;
use squall_node::datadir::DataDir;
use squall_node::handlers::HandlerTags;
use squall_node::node::{Node, NodeError, NodeOptions};
use squall_node::router::Request;

/// Longer than any lease, election or beat of the profile.
const BLOCKED: Duration = Duration::from_secs(10);

fn options(name: &str) -> NodeOptions {
    NodeOptions {
        data_workers: 2,
        ..NodeOptions::alone(NodeName::new(name).expect("a good name"), b"secret")
    }
}

struct Rig {
    node: Node,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// A node alone that leads a cluster of one.
    async fn alone() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::open(dir.path()).expect("a fresh directory");
        let node = Node::start(data, options("a")).expect("the node starts");
        let mut opinion = node.opinion();
        opinion
            .wait_for(|o| o.leads && o.waiting_for.is_empty())
            .await
            .expect("the node runs");
        Self { node, _dir: dir }
    }

    async fn declare(&self, name: &str) -> ExchangeName {
        let name = ExchangeName::new(name).expect("a good name");
        let command = Command::Declare {
            name: name.clone(),
            pattern: Pattern::RequestResponse,
            strategy: Strategy::RoundRobin,
            function: None,
            settings: squall_kernel::registry::Settings::default(),
            failover: Vec::new(),
            takeover: None,
        };
        let result = self.node.proposals().propose(command).await;
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
        // The data plane hears of it a moment later; the control side publishes its opinion after that.
        let mut opinion = self.node.opinion();
        opinion
            .wait_for(|_| self.node.lookup(&name).is_some())
            .await
            .expect("the node runs");
        name
    }

    async fn request(&self, name: &ExchangeName, timeout: Duration) -> Status {
        let exchange = self.node.lookup(name).expect("declared");
        let timeout = Span::from_ms(u64::try_from(timeout.as_millis()).expect("short"));
        let request = Request {
            timeout,
            ..Request::new(exchange, Bytes::from_static(b"x"))
        };
        self.node.data().router.request(request).await.status
    }
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

/// Blocks its thread until it is let go.
struct Blocker(Arc<std::sync::Mutex<Receiver<()>>>);

impl Handler for Blocker {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let gate = self.0.lock().expect("one handler");
        gate.recv().expect("the test lets go");
        Answer::Reply(delivery.payload)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_for_ten_seconds_costs_no_lease_no_election_and_no_gap() {
    let rig = Rig::alone().await;
    let blocked = rig.declare("blocked").await;
    let free = rig.declare("free").await;
    let (go_on, gate) = sync_channel(1);
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let handlers = &rig.node.data().handlers;
    handlers
        .attach_embedded(&blocked, HandlerTags::default(), Blocker(gate))
        .expect("attached");
    handlers
        .attach_embedded(&free, HandlerTags::default(), Echo)
        .expect("attached");
    let term = rig.node.opinion().borrow().term;
    let node = &rig.node;
    let waiting = rig.request(&blocked, 3 * BLOCKED);
    let watching = async {
        // The beats of the control side are the clock of this test.
        let (mut opinion, start) = (node.opinion(), Instant::now());
        let (mut last, mut gap) = (Instant::now(), Duration::ZERO);
        while start.elapsed() < BLOCKED {
            opinion.changed().await.expect("the node runs");
            gap = gap.max(last.elapsed());
            last = Instant::now();
            let now = opinion.borrow_and_update().clone();
            assert_eq!(now.term, term, "no election");
            assert!(now.leads && now.quorum, "no gap in leading");
            let data = node.data();
            assert!(
                data.context.lease.holds(data.context.clock.now()),
                "the lease holds"
            );
        }
        assert!(gap < BLOCKED / 4, "the opinion stood still for {gap:?}");
        assert_eq!(
            rig.request(&free, BLOCKED).await,
            Status::Reply,
            "other handlers answer meanwhile"
        );
        go_on.send(()).expect("the handler waits");
    };
    let (status, ()) = tokio::join!(waiting, watching);
    assert_eq!(status, Status::Reply, "it answers when it is let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_in_order_and_starts_again_with_its_registry() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = Node::start(DataDir::open(dir.path()).expect("fresh"), options("a")).expect("starts");
    first
        .opinion()
        .wait_for(|o| o.leads && o.waiting_for.is_empty())
        .await
        .expect("runs");
    let rig = Rig {
        node: first,
        _dir: tempfile::tempdir().expect("unused"),
    };
    let name = rig.declare("kept").await;
    let Rig { node, .. } = rig;
    tokio::task::spawn_blocking(move || node.stop())
        .await
        .expect("no panic")
        .expect("it ran to its end");
    let second =
        Node::start(DataDir::open(dir.path()).expect("unlocked"), options("a")).expect("starts again");
    let mut registry = second.registry();
    let owned = |r: &Arc<squall_kernel::registry::Registry>| r.exchange(&name).is_some_and(|e| e.epoch.0 > 1);
    registry
        .wait_for(owned)
        .await
        .expect("the new run owns it under a new epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dials_into_another_cluster_says_so_once_and_what_to_do() {
    let (here, elsewhere) = (Rig::alone().await, Rig::alone().await);
    let Rig { node, _dir: dir } = elsewhere;
    tokio::task::spawn_blocking(move || node.stop())
        .await
        .expect("no panic")
        .expect("it ran to its end");
    let lost = NodeOptions {
        join: vec![here.node.introduction().mesh_addr.clone()],
        ..options("b")
    };
    let lost = Node::start(DataDir::open(dir.path()).expect("unlocked"), lost).expect("starts");
    let (events, mut latest) = (lost.events(), lost.events().watch());
    let refused = loop {
        let refused: Vec<_> = events
            .read(0)
            .events
            .into_iter()
            .filter(|e| e.kind == "refused")
            .collect();
        if !refused.is_empty() {
            break refused;
        }
        latest.changed().await.expect("the node runs");
    };
    let [event] = &refused[..] else {
        panic!("told once: {refused:?}")
    };
    assert_eq!(event.severity(), squall_proto::v1::Severity::Alert);
    for words in [
        "of another cluster",
        "belongs to cluster",
        "--join",
        "docs/recovery.md",
    ] {
        assert!(event.text.contains(words), "{}", event.text);
    }
}

#[test]
fn what_cannot_be_had_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("bound");
    let start = |options| {
        Node::start(DataDir::open(dir.path()).expect("free again"), options)
            .err()
            .expect("refused")
    };
    let error = start(NodeOptions {
        listen,
        ..options("a")
    });
    assert!(
        matches!(error, NodeError::Bind { addr, .. } if addr == listen),
        "{error}"
    );
    let wide: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let error = start(NodeOptions {
        listen: wide,
        ..options("a")
    });
    assert!(error.to_string().contains("--insecure"), "{error}");
    let error = start(NodeOptions {
        join: vec!["nowhere".into()],
        ..options("a")
    });
    assert!(error.to_string().contains("nowhere"), "{error}");
}
