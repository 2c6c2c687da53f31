//! The arrangements: starts what each needs, checks that everything is where it should be, ends it. What does not live here:
//! command lines (`ground`) and the measured loops (`closed`, `open`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_client::{Client, RequestOptions};
use squall_kernel::id::{ExchangeId, NodeId};
use squall_kernel::registry::Registry;
use squall_node::router::Request;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::time::{interval, timeout};

use super::asker::{Asker, Requester as Embedded};
use super::ground::Ground;
use super::host::{Host, LOOK, PATIENCE, late};
use super::session::Session;
use super::shown::Shown;
use super::tally::{Tally, Times};
use super::{EXCHANGE, HANDLERS, ReqRespOptions, Where, closed, open};
use crate::bench::role::{self, Role};
use crate::bench::{BenchError, Load, processor};

/// An arrangement that runs. What it started ends when it is dropped.
pub(in crate::bench) struct Place {
    at: Where,
    requester: Requester,
    children: Vec<Child>,
    grpc: Vec<SocketAddr>,
    _dir: TempDir,
}

enum Requester {
    Embedded(Box<Host>, ExchangeId),
    Client(Client),
    Grpc(Session),
}

/// Who answered.
struct Answered {
    handler: String,
    /// Its node, where the requester is told.
    node: Option<NodeId>,
}

impl Place {
    pub(in crate::bench) async fn begin(at: Where, options: &ReqRespOptions) -> Result<Self, BenchError> {
        let nodes = match at {
            Where::Local | Where::Clients | Where::Grpc => 1,
            Where::Remote => 2,
            Where::ThreeNodes => 3,
        };
        let ground = Ground::new(options, nodes)?;
        let (requester, children) = match at {
            Where::Local => local(&ground).await?,
            Where::Remote => remote(&ground).await?,
            Where::ThreeNodes => three_nodes(&ground).await?,
            Where::Clients => clients(&ground).await?,
            Where::Grpc => grpc(&ground).await?,
        };
        let place = Self {
            at,
            requester,
            children,
            grpc: ground.grpc(),
            _dir: ground.dir,
        };
        place.settled().await?;
        Ok(place)
    }

    /// Which arrangement it is.
    pub(in crate::bench) fn at(&self) -> Where {
        self.at
    }

    pub(in crate::bench) async fn ask(&self, load: Load, times: Times) -> Result<Tally, BenchError> {
        let here = Handle::current();
        match &self.requester {
            Requester::Embedded(host, exchange) => {
                let (plane, exchange) = (Arc::clone(host.plane()), *exchange);
                let runtime = plane.context.runtime.clone();
                let make = {
                    let plane = Arc::clone(&plane);
                    move || Embedded::new(Arc::clone(&plane), exchange)
                };
                let before = Shown::of(&plane, &BTreeSet::new());
                let (mut tally, askers) = asked(&runtime, make, load, times).await?;
                match plane.router.open() {
                    0 => {}
                    open => tally.fail(format!("{open} requests are still open")),
                }
                // While those that asked are there still.
                let wrong = Shown::of(&plane, &askers.iter().map(Embedded::pid).collect()).wrong(
                    before,
                    askers.len(),
                    tally.asked,
                    self.at == Where::Local,
                );
                if let Some(wrong) = wrong {
                    tally.fail(wrong);
                }
                Ok(tally)
            }
            Requester::Client(client) => {
                let client = client.clone();
                Ok(asked(&here, move || client.clone(), load, times).await?.0)
            }
            Requester::Grpc(session) => {
                let session = session.clone();
                Ok(asked(&here, move || session.clone(), load, times).await?.0)
            }
        }
    }

    /// Address of the gRPC services of the node in this process, where one is.
    pub(in crate::bench) fn grpc(&self) -> Option<String> {
        match &self.requester {
            Requester::Embedded(host, _) => Some(host.grpc()),
            Requester::Client(_) | Requester::Grpc(_) => None,
        }
    }

    /// Addresses of the gRPC services of all nodes.
    pub(super) fn watchable(&self) -> &[SocketAddr] {
        &self.grpc
    }

    /// Processor time that all its processes have used, this one included; none where the system does not tell.
    pub(in crate::bench) fn processor(&self) -> Option<Duration> {
        processor::with(&role::ids(&self.children))
    }

    pub(in crate::bench) async fn end(mut self) {
        match self.requester {
            Requester::Embedded(host, _) => host.end().await,
            Requester::Client(client) => client.close().await,
            Requester::Grpc(session) => drop(session),
        }
        role::end(&mut self.children).await;
    }

    /// Waits until every handler has answered a request.
    async fn settled(&self) -> Result<(), BenchError> {
        let all = async {
            let (mut seen, mut nodes) = (BTreeSet::new(), BTreeSet::new());
            let mut look = interval(LOOK);
            while seen.len() < HANDLERS {
                look.tick().await;
                for _ in 0..HANDLERS {
                    if let Some(answered) = self.probe().await {
                        seen.insert(answered.handler);
                        nodes.extend(answered.node);
                    }
                }
            }
            nodes
        };
        let nodes = timeout(PATIENCE, all)
            .await
            .map_err(|_| late("all handlers answer"))?;
        self.apart(&nodes)
    }

    /// Who answers a request, if anybody does yet.
    async fn probe(&self) -> Option<Answered> {
        let ping = Bytes::from_static(b"ping");
        match &self.requester {
            Requester::Embedded(host, exchange) => {
                let request = Request::new(*exchange, ping);
                let handler = host.plane().router.request(request).await.handler?;
                Some(Answered {
                    handler: handler.to_string(),
                    node: Some(handler.node),
                })
            }
            Requester::Client(client) => {
                let reply = client.request(EXCHANGE, ping, RequestOptions::default()).await;
                Some(Answered {
                    handler: reply.ok()?.from.to_string(),
                    node: None,
                })
            }
            Requester::Grpc(session) => {
                let handler = session.request(ping).await.ok()?.handler;
                (!handler.is_empty()).then_some(Answered { handler, node: None })
            }
        }
    }

    /// The handlers are where the arrangement says.
    fn apart(&self, nodes: &BTreeSet<NodeId>) -> Result<(), BenchError> {
        let Requester::Embedded(host, exchange) = &self.requester else {
            return Ok(());
        };
        let context = &host.plane().context;
        let owner = context.registry().exchanges.get(exchange).and_then(|e| e.owner);
        let places = BTreeSet::from_iter(nodes.iter().copied().chain(owner).chain([context.node]));
        let wanted = self.grpc.len();
        if nodes.len() == 1 && places.len() == wanted {
            Ok(())
        } else {
            let what = format!(
                "requester, exchange and handlers are on {} nodes, not {wanted}",
                places.len()
            );
            Err(BenchError::Unsound(what))
        }
    }
}

/// Lets requesters that `make` makes ask on that runtime, and gives them back.
pub(in crate::bench) async fn asked<A: Asker>(
    runtime: &Handle,
    make: impl Fn() -> A + Send + Sync + 'static,
    load: Load,
    times: Times,
) -> Result<(Tally, Vec<A>), BenchError> {
    match load {
        Load::Closed(in_flight) => closed::run(runtime, (0..in_flight).map(|_| make()), times).await,
        Load::Open(rate) => open::run(runtime, make, rate, times).await,
    }
}

/// What asks, and the processes beside this one.
type Parts = (Requester, Vec<Child>);

async fn local(ground: &Ground) -> Result<Parts, BenchError> {
    let host = Host::start(ground.host(0)).await?;
    host.registry("the node has founded its cluster", members(1))
        .await?;
    host.declare(&ground.places[0].name).await?;
    host.attach()?;
    embedded(host, Vec::new()).await
}

async fn remote(ground: &Ground) -> Result<Parts, BenchError> {
    let other = ground.spawn(ground.node_arguments("bench-node", 1, false))?;
    let host = Host::start(ground.host(0)).await?;
    host.registry("two nodes are a cluster", members(2)).await?;
    host.declare(&ground.places[1].name).await?;
    embedded(host, vec![other]).await
}

async fn three_nodes(ground: &Ground) -> Result<Parts, BenchError> {
    let owner = ground.spawn(ground.node_arguments("node", 1, true))?;
    let handlers = ground.spawn(ground.node_arguments("bench-node", 2, false))?;
    let host = Host::start(ground.host(0)).await?;
    host.registry("three nodes are a cluster", members(3)).await?;
    host.declare(&ground.places[1].name).await?;
    embedded(host, vec![owner, handlers]).await
}

async fn embedded(host: Host, children: Vec<Child>) -> Result<Parts, BenchError> {
    let exchange = host.exchange().await?;
    Ok((Requester::Embedded(Box::new(host), exchange), children))
}

async fn clients(ground: &Ground) -> Result<Parts, BenchError> {
    let node = ground.spawn(ground.node_arguments("node", 0, true))?;
    let client = ground.client().await?;
    let handlers = ground.spawn(ground.handler_arguments())?;
    Ok((Requester::Client(client), vec![node, handlers]))
}

async fn grpc(ground: &Ground) -> Result<Parts, BenchError> {
    let node = ground.spawn(ground.node_arguments("node", 0, true))?;
    ground.client().await?.close().await;
    let grpc = ground.places[0].grpc;
    let handlers = role::start(&ground.program, &Role::GrpcHandlers { grpc })?;
    let session = Session::open(&grpc.to_string()).await?;
    Ok((Requester::Grpc(session), vec![node, handlers]))
}

fn members(wanted: usize) -> impl FnMut(&Arc<Registry>) -> bool {
    move |registry| registry.nodes.values().filter(|node| node.is_up()).count() == wanted
}
