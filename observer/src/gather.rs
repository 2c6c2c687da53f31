//! Collects a picture of the cluster without a terminal: for the headless output and the pictures.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::feed::Feed;
use crate::model::{Model, Page, Screen};
use crate::table::RowId;

/// A cluster and the feed that fills it.
pub struct Gather<F> {
    feed: F,
    /// The reader's clock.
    pub clock: Clock,
    /// What has come so far.
    pub cluster: Cluster,
}

impl<F: Feed> Gather<F> {
    /// Begins to collect what `screen` needs.
    pub fn new(feed: F, screen: Screen) -> Self {
        Self::of(feed, screen, None)
    }

    /// Begins to collect what `screen`, or the page of one of its rows, needs.
    pub fn of(mut feed: F, screen: Screen, page: Option<RowId>) -> Self {
        let mut model = Model::new((0, 0), screen, false);
        model.page = page.map(Page::new);
        feed.want(model.wants());
        Self {
            feed,
            clock: Clock::start(),
            cluster: Cluster::default(),
        }
    }

    /// Collects until every node that was found has shown itself, or until `patience` is over.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when not a single node has.
    pub async fn complete(&mut self, screen: Screen, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        while !self.is_complete(screen) && self.step(deadline).await {}
        if self.cluster.nodes.values().any(|n| n.row.is_some()) {
            return Ok(());
        }
        let seeds = self
            .cluster
            .silent_seeds
            .iter()
            .map(|(a, w)| (a.clone(), w.clone()));
        Err(Error::Unreachable {
            tried: seeds.collect(),
        })
    }

    /// Collects for so long.
    pub async fn go_on(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.step(deadline).await {}
    }

    /// Takes what comes next; false at the deadline.
    async fn step(&mut self, deadline: Instant) -> bool {
        let next = timeout_at(deadline, self.feed.next()).await;
        let now = self.clock.now();
        self.cluster.sample(now);
        match next {
            Ok(Some(updates)) => updates.into_iter().for_each(|u| self.cluster.apply(now, u)),
            Ok(None) => {
                sleep_until(deadline).await;
                return false;
            }
            Err(_) => return false,
        }
        true
    }

    fn is_complete(&self, screen: Screen) -> bool {
        self.cluster.is_complete() && (screen != Screen::Timeline || self.cluster.events_are_complete())
    }
}
