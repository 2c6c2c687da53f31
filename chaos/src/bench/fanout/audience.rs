//! The nodes with all subscribers, each a process with a mailbox that is read by a task of its own on its node's runtime. What
//! does not live here: publishing.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::registry::Pattern;
use squall_node::data::DataPlane;
use squall_node::pubsub::Subscription;
use tokio::task::JoinSet;

use super::ledger::{Ledger, Seen};
use super::plan::Plan;
use crate::bench::BenchError;
use crate::bench::cluster::{Cluster, Wanted};
use crate::bench::usage::resident_bytes;

/// Subscribers that wait for the word of the exchange's owner at a time.
const SUBSCRIBED_AT_ONCE: usize = 512;

/// Everybody who gets publishes. What runs ends when it is dropped.
pub(super) struct Audience {
    pub(super) plan: Plan,
    pub(super) ledger: Arc<Ledger>,
    pub(super) exchange: ExchangeId,
    /// Resident memory that came with a subscriber, in bytes.
    pub(super) bytes_each: u64,
    readers: JoinSet<()>,
    cluster: Cluster,
}

/// What the nodes have counted, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Events from node to node.
    pub(super) events: u64,
    /// Frames from node to node, and one for the end of each publish at its publisher's node.
    pub(super) out: u64,
    /// Copies that a full mailbox turned away, events that were lost or came twice.
    pub(super) astray: u64,
}

impl Audience {
    /// Starts the nodes, lets all subscribe, and waits until every publish would come.
    pub(super) async fn gather(plan: Plan, nodes: usize, publishers: usize) -> Result<Self, BenchError> {
        let cluster = Cluster::start(nodes).await?;
        let wanted = Wanted::new("fanout", Pattern::PublishSubscribe, 0);
        let exchange = cluster.declare(std::slice::from_ref(&wanted)).await?[0];
        let ledger = Arc::new(Ledger::new(publishers));
        let before = resident_bytes();
        let readers = subscribe(&cluster, &plan, &wanted.name, &ledger).await?;
        let came = resident_bytes().saturating_sub(before);
        let each = came / plan.subscribers().max(1) as u64;
        Ok(Self {
            bytes_each: each.saturating_sub(Seen::notes_bytes(&ledger)),
            plan,
            ledger,
            exchange,
            readers,
            cluster,
        })
    }

    /// Where publishes are made: the node that owns the exchange.
    pub(super) fn owner(&self) -> &Arc<DataPlane> {
        self.cluster.plane(0)
    }

    pub(super) fn sent(&self) -> Sent {
        let mut sent = Sent {
            events: 0,
            out: 0,
            astray: 0,
        };
        for node in self.cluster.nodes() {
            let (figures, tally) = (
                node.data().pubsub.figures(self.exchange),
                &node.data().context.wire.tally,
            );
            let figures = figures.unwrap_or_default();
            sent.events += figures.sent;
            sent.out += tally.sent_out.read();
            sent.astray += figures.rejected + figures.strange + tally.dropped();
        }
        sent
    }

    pub(super) async fn end(mut self) {
        self.readers.shutdown().await;
        self.cluster.end().await;
    }
}

async fn subscribe(
    cluster: &Cluster,
    plan: &Plan,
    name: &ExchangeName,
    ledger: &Arc<Ledger>,
) -> Result<JoinSet<()>, BenchError> {
    let one = |subscriber: usize| {
        let node = plan.node_of(subscriber);
        let pubsub = Arc::clone(&cluster.plane(node).pubsub);
        async move {
            let pattern = plan.pattern_of(subscriber);
            let subscription = pubsub.subscribe_embedded(name, "", &[pattern]).await;
            let subscription = subscription.map_err(|error| BenchError::Unsound(error.to_string()))?;
            Ok::<_, BenchError>((subscriber, subscription))
        }
    };
    let mut readers = JoinSet::new();
    let mut subscribed = stream::iter(0..plan.subscribers())
        .map(one)
        .buffer_unordered(SUBSCRIBED_AT_ONCE);
    while let Some((subscriber, subscription)) = subscribed.try_next().await? {
        let seen = Seen::new(plan.topic_of(subscriber), ledger.publishers());
        let runtime = &cluster.plane(plan.node_of(subscriber)).context.runtime;
        readers.spawn_on(read(subscription, seen, Arc::clone(ledger)), runtime);
    }
    drop(subscribed);
    Ok(readers)
}

async fn read(mut subscription: Subscription, mut seen: Seen, ledger: Arc<Ledger>) {
    while let Some(event) = subscription.next().await {
        seen.take(&event.published.payload, &ledger);
    }
}
