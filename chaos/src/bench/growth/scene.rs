//! What one cell is measured in: nodes, exchanges with handlers that echo, and idle processes. What does not live here: the
//! requests (`asking`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use squall_client::{Answer, Delivery, Handler};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::registry::Pattern;
use squall_node::data::DataPlane;
use squall_node::handlers::HandlerTags;
use squall_node::pubsub::Subscription;
use squall_node::router::Request;
use tokio::time::{interval, timeout};

use super::Dimension;
use crate::bench::BenchError;
use crate::bench::cluster::{Cluster, PATIENCE, Wanted, late};

/// What is asked or subscribed at a time while a scene is set up.
const AT_ONCE: usize = 256;
/// Time between two looks at who answers.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// Handlers of an exchange, unless they are what grows.
const HANDLERS: usize = 5;
/// Bytes of a request, unless they are what grows.
const PAYLOAD: usize = 4;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) exchanges: usize,
    /// Of each exchange.
    pub(super) handlers: usize,
    pub(super) payload: usize,
    /// Subscribers of an exchange to which nobody publishes.
    pub(super) idle: usize,
}

impl Shape {
    pub(super) fn of(dimension: Dimension, at: u64) -> Self {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let usual = Self {
            nodes: 1,
            exchanges: 1,
            handlers: HANDLERS,
            payload: PAYLOAD,
            idle: 0,
        };
        match dimension {
            Dimension::Nodes => Self { nodes: at, ..usual },
            Dimension::Exchanges => Self {
                exchanges: at,
                handlers: 1,
                ..usual
            },
            Dimension::Processes => Self { idle: at, ..usual },
            // Within one node payloads are passed on, not copied.
            Dimension::Payload => Self {
                payload: at,
                nodes: 3,
                ..usual
            },
            Dimension::Handlers => Self {
                handlers: at,
                ..usual
            },
            // What grows is made while it is measured.
            Dimension::Declaring => Self {
                exchanges: 0,
                ..usual
            },
            Dimension::Attaching => Self { handlers: 0, ..usual },
        }
    }
}

/// What a cell is measured in; it ends when it is dropped.
pub(super) struct Scene {
    pub(super) exchanges: Arc<[ExchangeId]>,
    _idle: Vec<Subscription>,
    cluster: Cluster,
}

impl Scene {
    /// Requesters are on the first node, all exchanges are owned by the second and all handlers on the third, where there are
    /// so many.
    pub(super) async fn begin(shape: Shape) -> Result<Self, BenchError> {
        let cluster = Cluster::start(shape.nodes).await?;
        let (owner, home) = (1.min(shape.nodes - 1), 2.min(shape.nodes - 1));
        let wanted = wanted(shape.exchanges, owner);
        let exchanges = cluster.declare(&wanted).await?;
        for one in &wanted {
            for _ in 0..shape.handlers {
                let handlers = &cluster.plane(home).handlers;
                let attached = handlers.attach_embedded(&one.name, HandlerTags::default(), Echo);
                attached.map_err(|error| BenchError::Unsound(error.to_string()))?;
            }
        }
        let scene = Self {
            exchanges: exchanges.into(),
            _idle: idle(&cluster, shape.idle).await?,
            cluster,
        };
        scene.answers(shape.handlers).await?;
        Ok(scene)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Waits until every handler has answered, and so has taken in what it was told before.
    pub(super) async fn answers(&self, handlers: usize) -> Result<(), BenchError> {
        let settled = timeout(PATIENCE, self.settled(handlers)).await;
        settled.map_err(|_| late("all handlers answer"))
    }

    /// The node with the requesters.
    pub(super) fn plane(&self) -> &Arc<DataPlane> {
        self.cluster.plane(0)
    }

    async fn settled(&self, handlers: usize) {
        let wanted = handlers * self.exchanges.len();
        let mut seen: BTreeSet<Pid> = BTreeSet::new();
        let mut look = interval(LOOK);
        while seen.len() < wanted {
            look.tick().await;
            let ask = |exchange: ExchangeId| {
                let request = Request::new(exchange, Bytes::from_static(b"ping"));
                async move { self.plane().router.request(request).await.handler }
            };
            let all = self
                .exchanges
                .iter()
                .flat_map(|exchange| std::iter::repeat_n(*exchange, handlers));
            let answers: Vec<_> = stream::iter(all)
                .map(ask)
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            seen.extend(answers.into_iter().flatten());
        }
    }

    pub(super) async fn end(self) {
        let Self { _idle, cluster, .. } = self;
        drop(_idle);
        cluster.end().await;
    }
}

/// So many exchanges with requests, all owned by one node.
pub(super) fn wanted(exchanges: usize, owner: usize) -> Vec<Wanted> {
    let named = |n: usize| Wanted::new(&format!("bench-{n}"), Pattern::RequestResponse, owner);
    (0..exchanges).map(named).collect()
}

/// Processes with mailboxes that nothing is put into.
async fn idle(cluster: &Cluster, count: usize) -> Result<Vec<Subscription>, BenchError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let wanted = Wanted::new("idle", Pattern::PublishSubscribe, 0);
    cluster.declare(std::slice::from_ref(&wanted)).await?;
    let pubsub = &cluster.plane(0).pubsub;
    let subscribe = |_| pubsub.subscribe_embedded(&wanted.name, "", &["nothing"]);
    let idle = stream::iter(0..count).map(subscribe).buffer_unordered(AT_ONCE);
    idle.map_err(|error| BenchError::Unsound(error.to_string()))
        .try_collect()
        .await
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_is_other_than_usual() {
        let nodes = Shape::of(Dimension::Nodes, 9);
        let handlers = Shape::of(Dimension::Handlers, 1000);
        let idle = Shape::of(Dimension::Processes, 100_000);
        assert_eq!((nodes.nodes, nodes.handlers, nodes.exchanges), (9, HANDLERS, 1));
        assert_eq!(
            handlers,
            Shape {
                nodes: 1,
                handlers: 1000,
                ..nodes
            }
        );
        assert_eq!(
            idle,
            Shape {
                nodes: 1,
                idle: 100_000,
                ..nodes
            }
        );
        let payload = Shape::of(Dimension::Payload, 0);
        assert_eq!((payload.payload, payload.nodes), (0, 3));
        assert_eq!(Shape::of(Dimension::Exchanges, 10_000).exchanges, 10_000);
    }
}
