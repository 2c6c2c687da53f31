//! A node in this process, with embedded handlers that echo. What does not live here: asking them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use squall_client::{Answer, Delivery, Handler};
use squall_kernel::founding::Founding;
use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, Outcome, Pattern, Registry, Strategy};
use squall_node::data::DataPlane;
use squall_node::datadir::DataDir;
use squall_node::handlers::HandlerTags;
use squall_node::node::{Node, NodeOptions};
use squall_node::telemetry::{Otlp, Telemetry, logging};
use tokio::time::{interval, timeout};

use super::{EXCHANGE, HANDLERS, Traces};
use crate::bench::BenchError;
use crate::bench::role::stdin_ended;

/// What takes longer on this machine will not come about.
pub(in crate::bench) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks where nothing tells of a change.
pub(in crate::bench) const LOOK: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Name.
    pub name: NodeName,
    /// Address of the mesh.
    pub listen: std::net::SocketAddr,
    /// Address of the gRPC services.
    pub grpc: std::net::SocketAddr,
    /// Data directory.
    pub data_dir: PathBuf,
    /// Mesh addresses of the others.
    pub join: Vec<String>,
    /// Nodes in all.
    pub nodes: u32,
    /// The cluster's cookie.
    pub cookie: Vec<u8>,
    /// Whether it sends traces; a process can have one such node.
    pub traces: Option<Traces>,
}

/// A node that runs in this process, and ends with it.
pub(super) struct Host {
    node: Option<Node>,
    telemetry: Option<Telemetry>,
}

impl Host {
    pub(super) async fn start(options: HostOptions) -> Result<Self, BenchError> {
        let node = tokio::task::spawn_blocking(move || start(options));
        let (node, telemetry) = node.await.map_err(in_words)??;
        Ok(Self {
            node: Some(node),
            telemetry,
        })
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("a host has its node until it ends")
    }

    pub(super) fn plane(&self) -> &Arc<DataPlane> {
        self.node().data()
    }

    /// Address of the gRPC services.
    pub(super) fn grpc(&self) -> String {
        self.node().introduction().grpc_addr.clone()
    }

    /// Waits until the registry is as wanted.
    pub(super) async fn registry(
        &self,
        what: &str,
        wanted: impl FnMut(&Arc<Registry>) -> bool,
    ) -> Result<Arc<Registry>, BenchError> {
        let mut registry = self.node().registry();
        let found = timeout(PATIENCE, registry.wait_for(wanted)).await;
        match found {
            Ok(Ok(registry)) => Ok(Arc::clone(&registry)),
            Ok(Err(_)) => Err(BenchError::Node("the node ended".into())),
            Err(_) => Err(late(what)),
        }
    }

    /// Declares the exchange with this owner, and waits until it is it.
    pub(super) async fn declare(&self, owner: &NodeName) -> Result<(), BenchError> {
        let command = Command::Declare {
            name: name(),
            pattern: Pattern::RequestResponse,
            strategy: Strategy::RoundRobin,
            function: None,
            settings: squall_kernel::registry::Settings::default(),
            failover: vec![owner.clone()],
            takeover: None,
        };
        match self.node().proposals().propose(command).await {
            ProposeResult::Committed {
                outcome: Outcome::Done | Outcome::Unchanged,
                ..
            } => {}
            other => {
                return Err(BenchError::Unsound(format!(
                    "the exchange was not declared: {other:?}"
                )));
            }
        }
        let owned = |registry: &Arc<Registry>| {
            let exchange = registry
                .names
                .get(&name())
                .and_then(|id| registry.exchanges.get(id));
            let found = exchange.and_then(|e| e.owner).and_then(|id| registry.name_of(id));
            found == Some(owner)
        };
        self.registry("the exchange has the owner of its failover list", owned)
            .await?;
        self.exchange().await?;
        Ok(())
    }

    /// The exchange's number, when this node's data plane has it.
    pub(super) async fn exchange(&self) -> Result<ExchangeId, BenchError> {
        let known = async {
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                if let Some(id) = self.node().lookup(&name()) {
                    return id;
                }
            }
        };
        timeout(PATIENCE, known)
            .await
            .map_err(|_| late("the node knows the exchange"))
    }

    /// Attaches the handlers.
    pub(super) fn attach(&self) -> Result<(), BenchError> {
        for _ in 0..HANDLERS {
            let attached = self
                .plane()
                .handlers
                .attach_embedded(&name(), HandlerTags::default(), Echo);
            attached.map_err(|error| BenchError::Unsound(error.to_string()))?;
        }
        Ok(())
    }

    pub(super) async fn end(mut self) {
        let (node, telemetry) = (self.node.take(), self.telemetry.take());
        // A panic of the end was told of by the panic hook.
        let _told = tokio::task::spawn_blocking(move || {
            drop(node);
            telemetry.map(Telemetry::shutdown)
        })
        .await;
    }
}

/// Runs a node with the handlers of the exchange until standard input ends: the third process of the arrangement.
///
/// # Errors
/// [`BenchError`] when the node or its handlers cannot be had.
pub async fn run(options: HostOptions) -> Result<(), BenchError> {
    let serve = async {
        let host = Host::start(options).await?;
        let declared = |registry: &Arc<Registry>| registry.names.contains_key(&name());
        host.registry("the exchange is declared", declared).await?;
        host.exchange().await?;
        host.attach()?;
        host.node().ended().await.map_err(in_words)
    };
    tokio::select! {
        biased;
        () = stdin_ended() => Ok(()),
        outcome = serve => outcome,
    }
}

pub(super) fn name() -> ExchangeName {
    ExchangeName::new(EXCHANGE).expect("a word is a name")
}

pub(in crate::bench) fn late(what: &str) -> BenchError {
    BenchError::Late {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
    }
}

fn start(options: HostOptions) -> Result<(Node, Option<Telemetry>), BenchError> {
    let dir = DataDir::open(options.data_dir).map_err(in_words)?;
    let traces = options.traces.as_ref();
    let telemetry = traces
        .map(|traces| trace(traces, &options.name, &dir))
        .transpose()?;
    let founding = match options.nodes {
        1 => Founding::Bootstrap,
        nodes => Founding::Expect(nodes),
    };
    let options = NodeOptions {
        listen: options.listen,
        grpc: options.grpc,
        join: options.join,
        founding,
        spans: telemetry.as_ref().map(Telemetry::sink).unwrap_or_default(),
        ..NodeOptions::alone(options.name, options.cookie)
    };
    Ok((Node::start(dir, options).map_err(in_words)?, telemetry))
}

/// Begins to send traces as a node of its own does, and to log errors.
fn trace(traces: &Traces, name: &NodeName, dir: &DataDir) -> Result<Telemetry, BenchError> {
    let otlp = Otlp::to(&traces.endpoint, traces.share).map_err(in_words)?;
    let telemetry = Telemetry::start(&otlp, name, dir.incarnation()).map_err(in_words)?;
    let author = logging::Author::of(name, dir);
    logging::init("error", Some(&telemetry), Some(author)).map_err(in_words)?;
    Ok(telemetry)
}

fn in_words(error: impl std::fmt::Display) -> BenchError {
    BenchError::Node(error.to_string())
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}
