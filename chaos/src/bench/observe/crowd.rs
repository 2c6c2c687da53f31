//! Nodes in this process, with very many subscribers: each is a process with a mailbox. What does not live here: looking at
//! them.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Command, Outcome, Pattern, Registry, Settings, Strategy};
use squall_kernel::time::Span;
use squall_node::data::DataPlane;
use squall_node::datadir::DataDir;
use squall_node::node::{Node, NodeOptions};
use squall_node::pubsub::Subscription;
use squall_node::router::{Publish, Request};
use tempfile::TempDir;
use tokio::time::{Duration, interval, timeout};

use crate::bench::{BenchError, temporary};

/// What takes longer on this machine will not come about.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);
const KEY: &str = "news.one";

/// The nodes; they end with it.
pub(super) struct Crowd {
    nodes: Vec<Node>,
    subscribers: Vec<Subscription>,
    exchange: ExchangeId,
    // After the nodes: these are their directories.
    _dirs: Vec<TempDir>,
}

impl Crowd {
    pub(super) async fn gather(nodes: usize, each: usize) -> Result<Self, BenchError> {
        let mut started: (Vec<Node>, Vec<TempDir>) = Default::default();
        for n in 0..nodes {
            let join = started
                .0
                .first()
                .map(|first| first.introduction().mesh_addr.clone());
            let dir = temporary()?;
            let path = dir.path().to_owned();
            let node = tokio::task::spawn_blocking(move || start(n, path, join)).await;
            started
                .0
                .push(node.map_err(|error| BenchError::Node(error.to_string()))??);
            started.1.push(dir);
        }
        let (nodes, dirs) = started;
        for node in &nodes {
            let mut registry = node.registry();
            let all = nodes.len();
            let whole = |r: &Arc<Registry>| r.nodes.values().filter(|n| n.is_up()).count() == all;
            let came = timeout(PATIENCE, registry.wait_for(whole)).await;
            came.map_err(|_| late("all nodes are up"))?
                .map_err(|_| BenchError::Node("a node ended".into()))?;
        }
        let name = ExchangeName::new("crowd").expect("a word is a name");
        let exchange = declare(&nodes, &name).await?;
        let mut subscribers = Vec::with_capacity(nodes.len() * each);
        for node in &nodes {
            let pubsub = Arc::clone(&node.data().pubsub);
            for _ in 0..each {
                let one = pubsub.subscribe_embedded(&name, "", &[KEY]).await;
                subscribers.push(one.map_err(|error| BenchError::Unsound(error.to_string()))?);
            }
        }
        Ok(Self {
            nodes,
            subscribers,
            exchange,
            _dirs: dirs,
        })
    }

    /// Addresses of the gRPC services.
    pub(super) fn addresses(&self) -> Vec<String> {
        let addr = |node: &Node| node.introduction().grpc_addr.clone();
        self.nodes.iter().map(addr).collect()
    }

    pub(super) fn plane(&self) -> &Arc<DataPlane> {
        self.nodes[0].data()
    }

    /// One publish to everybody; each takes it out of its mailbox.
    pub(super) async fn stir(&mut self) -> Result<(), BenchError> {
        let head = Publish {
            confirm: Confirm::Received,
            ..Publish::default()
        };
        let (key, payload) = (Bytes::from_static(KEY.as_bytes()), Bytes::from_static(b"news"));
        let request = Request {
            timeout: Span::from_ms(30_000),
            ..Request::publish(self.exchange, key, payload, head)
        };
        let mut outcomes = self.plane().router.request_all(request);
        while outcomes.recv().await.is_some() {}
        let mut got = 0;
        for subscriber in &mut self.subscribers {
            got += usize::from(subscriber.try_next().is_some());
            while subscriber.try_next().is_some() {}
        }
        if got == 0 {
            return Err(BenchError::Unsound("no subscriber got a publish".into()));
        }
        Ok(())
    }

    pub(super) async fn end(self) {
        // A panic of the end was told of by the panic hook.
        let _told = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

fn start(n: usize, dir: std::path::PathBuf, join: Option<String>) -> Result<Node, BenchError> {
    let failed = |error: String| BenchError::Node(error);
    let dir = DataDir::open(dir).map_err(|error| failed(error.to_string()))?;
    let name = NodeName::new(&format!("n{n}")).expect("a letter and a number are a name");
    let options = NodeOptions {
        // All nodes share this process and what it may use.
        profile: Profile::Slow,
        data_workers: 1,
        ..NodeOptions::alone(name, b"bench").joining(join)
    };
    Node::start(dir, options).map_err(|error| failed(error.to_string()))
}

async fn declare(nodes: &[Node], name: &ExchangeName) -> Result<ExchangeId, BenchError> {
    let command = Command::Declare {
        name: name.clone(),
        pattern: Pattern::PublishSubscribe,
        strategy: Strategy::Default,
        function: None,
        settings: Settings::default(),
        failover: vec![NodeName::new("n0").expect("a good name")],
        takeover: None,
    };
    match nodes[0].proposals().propose(command).await {
        ProposeResult::Committed {
            outcome: Outcome::Done,
            ..
        } => {}
        other => {
            return Err(BenchError::Unsound(format!(
                "the exchange was not declared: {other:?}"
            )));
        }
    }
    let known = async {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let ids: Vec<_> = nodes.iter().filter_map(|node| node.lookup(name)).collect();
            if ids.len() == nodes.len() {
                return ids[0];
            }
        }
    };
    timeout(PATIENCE, known)
        .await
        .map_err(|_| late("every node knows the exchange"))
}

fn late(what: &str) -> BenchError {
    BenchError::Late {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
    }
}
