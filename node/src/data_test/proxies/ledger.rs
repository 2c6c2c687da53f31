//! What was published, what was confirmed, and who has it.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::id::ExchangeId;
use tokio::sync::mpsc;

use super::super::cluster::Cluster;
use super::{payloads, received, subscribe, told, wanted};
use crate::pubsub::Subscription;
use crate::router::Outcome;

/// Publishes one after the other, and what became of them.
pub(super) struct Ledger {
    pub(super) subscribers: Vec<Subscription>,
    pub(super) confirmed: BTreeSet<String>,
    published: u32,
    under_way: Vec<(String, mpsc::Receiver<Outcome>)>,
}

impl Ledger {
    pub(super) async fn of(cluster: &Cluster, at: &[usize]) -> Self {
        let mut subscribers = Vec::new();
        for n in at {
            subscribers.push(subscribe(cluster, *n, &["k"]).await);
        }
        Self {
            subscribers,
            confirmed: BTreeSet::new(),
            published: 0,
            under_way: Vec::new(),
        }
    }

    /// Publishes and does not wait.
    pub(super) fn begin(&mut self, cluster: &Cluster, n: usize, news: ExchangeId) {
        self.published += 1;
        let payload = self.published.to_string();
        let outcomes = cluster.planes[n].router.request_all(wanted(news, &payload));
        self.under_way.push((payload, outcomes));
    }

    /// Waits for all that is under way.
    pub(super) async fn end(&mut self) {
        for (payload, outcomes) in std::mem::take(&mut self.under_way) {
            if told(outcomes).await.is_some() {
                self.confirmed.insert(payload);
            }
        }
    }

    pub(super) async fn publish(&mut self, cluster: &Cluster, n: usize, news: ExchangeId) -> Option<u32> {
        self.published += 1;
        let payload = self.published.to_string();
        let nodes = received(cluster, n, news, &payload).await;
        if nodes.is_some() {
            self.confirmed.insert(payload);
        }
        nodes
    }

    /// Each subscriber has each publish once at most, and each that was confirmed once.
    pub(super) fn check(&mut self) {
        for (n, subscriber) in self.subscribers.iter_mut().enumerate() {
            let mut times: BTreeMap<String, u32> = BTreeMap::new();
            for payload in payloads(subscriber) {
                *times.entry(payload).or_default() += 1;
            }
            let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
            assert_eq!(twice, [], "subscriber {n}: nothing is doubled");
            let lost = self.confirmed.iter().filter(|it| !times.contains_key(*it));
            assert_eq!(
                lost.collect::<Vec<_>>(),
                [""; 0],
                "subscriber {n}: nothing confirmed is lost"
            );
        }
    }
}
