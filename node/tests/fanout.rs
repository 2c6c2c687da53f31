//! A34: fifty thousand subscribers on five whole nodes with real links between them, and how many frames one publish costs.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Command, Outcome, Pattern, Settings, Strategy};
use squall_kernel::time::Span;
use squall_node::datadir::DataDir;
use squall_node::node::{Node, NodeOptions};
use squall_node::pubsub::Subscription;
use squall_node::router::{Publish, Request};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const SUBSCRIBERS_EACH: usize = 10_000;

fn options(name: &str, join: Vec<String>) -> NodeOptions {
    NodeOptions {
        profile: Profile::Slow,
        data_workers: 2,
        ..NodeOptions::alone(NodeName::new(name).expect("a good name"), b"secret").joining(join)
    }
}

struct Rig {
    nodes: Vec<Node>,
    _dirs: Vec<tempfile::TempDir>,
}

impl Rig {
    async fn start() -> Self {
        let (mut nodes, mut dirs): (Vec<Node>, Vec<_>) = (Vec::new(), Vec::new());
        for name in NAMES {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let data = DataDir::open(dir.path()).expect("a fresh directory");
            let join = nodes.first().map(|a| a.introduction().mesh_addr.clone());
            let node = Node::start(data, options(name, join.into_iter().collect())).expect("the node starts");
            nodes.push(node);
            dirs.push(dir);
        }
        let rig = Self { nodes, _dirs: dirs };
        for node in &rig.nodes {
            let mut registry = node.registry();
            let all_up = registry.wait_for(|r| r.nodes.values().filter(|n| n.is_up()).count() == NAMES.len());
            all_up.await.expect("the node runs");
        }
        rig
    }

    async fn declare(&self, name: &ExchangeName) -> ExchangeId {
        let command = Command::Declare {
            name: name.clone(),
            pattern: Pattern::PublishSubscribe,
            strategy: Strategy::Default,
            function: None,
            settings: Settings::default(),
            failover: vec![NodeName::new("a").expect("a good name")],
            takeover: None,
        };
        let result = self.nodes[0].proposals().propose(command).await;
        let done = matches!(
            result,
            ProposeResult::Committed {
                outcome: Outcome::Done,
                ..
            }
        );
        assert!(done, "{result:?}");
        for node in &self.nodes {
            // The data plane hears of it a moment later; the control side publishes its opinion after that.
            let mut opinion = node.opinion();
            let known = opinion.wait_for(|_| node.lookup(name).is_some()).await;
            known.expect("the node runs");
        }
        self.nodes[0].lookup(name).expect("declared")
    }

    fn frames(&self, exchange: ExchangeId) -> Frames {
        let figures = self
            .nodes
            .iter()
            .filter_map(|n| n.data().pubsub.figures(exchange));
        figures.fold(Frames::default(), |all, f| Frames {
            brought: all.brought + f.brought,
            sent: all.sent + f.sent,
            arrived: all.arrived + f.arrived,
        })
    }
}

/// Frames between nodes, as each node counts its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Frames {
    /// Publishes that came to the owner.
    brought: u64,
    /// Events, as those counted them that sent them.
    sent: u64,
    /// Events, as those counted them that they came to.
    arrived: u64,
}

/// How many nodes said that they have it in the mailbox of each subscriber.
async fn publish(node: &Node, exchange: ExchangeId) -> u32 {
    let head = Publish {
        confirm: Confirm::Received,
        ..Publish::default()
    };
    let (key, payload) = (Bytes::from_static(b"weather.north"), Bytes::from_static(b"rain"));
    let request = Request {
        timeout: Span::from_ms(30_000),
        ..Request::publish(exchange, key, payload, head)
    };
    let mut outcomes = node.data().router.request_all(request);
    let mut nodes = 0;
    while let Some(outcome) = outcomes.recv().await {
        assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
        nodes += u32::from(outcome.count > 0);
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a34_one_publish_to_fifty_thousand_subscribers_on_five_nodes_is_five_frames() {
    let rig = Rig::start().await;
    let name = ExchangeName::new("news").expect("a good name");
    let exchange = rig.declare(&name).await;
    let mut subscribers: Vec<Subscription> = Vec::with_capacity(NAMES.len() * SUBSCRIBERS_EACH);
    for node in &rig.nodes {
        let pubsub = Arc::clone(&node.data().pubsub);
        for _ in 0..SUBSCRIBERS_EACH {
            let one = pubsub.subscribe_embedded(&name, "", &["weather.*"]).await;
            subscribers.push(one.expect("subscribed"));
        }
    }
    let before = rig.frames(exchange);
    assert_eq!(
        publish(&rig.nodes[2], exchange).await,
        5,
        "every subscriber's node"
    );
    let after = rig.frames(exchange);
    println!(
        "A34: {} subscribers on {} nodes, one publish: {} frame to the owner, {} from it to nodes",
        subscribers.len(),
        rig.nodes.len(),
        after.brought,
        after.sent
    );
    let five = Frames {
        brought: 1,
        sent: 4,
        arrived: 4,
    };
    assert_eq!((before, after), (Frames::default(), five));
    for subscriber in &mut subscribers {
        let first = subscriber.try_next().map(|event| event.published.payload.clone());
        assert_eq!(
            (first, subscriber.try_next()),
            (Some(Bytes::from_static(b"rain")), None)
        );
    }
}
