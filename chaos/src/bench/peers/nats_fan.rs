//! Fan-out over NATS, through the client that its makers give: subscribers at each of several servers, and publishers at the first. What
//! does not live here: the servers (`servers`), what a process of subscribers counts (`nats_counts`), and Squall's own fan-out
//! (`fanout`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client as Nats, Subscriber};
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::nats::{client, unsound};
use super::nats_counts::{Counts, covering, subject};
use crate::bench::BenchError;
use crate::bench::fanout::ledger::{Notice, Seen};
use crate::bench::fanout::plan::Plan;
use crate::bench::req_resp::host::{LOOK, PATIENCE, late};
use crate::bench::req_resp::tally::{Tally, Times, Window};
use crate::bench::role::{self, Part};

/// Where one subscriber a process says that the others of it are known.
const PROBE: &str = "fanout-known";
/// A publish that has not reached all by then never will.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// Publishers at one server, on one connection. Each publishes the next when the one before is with all subscribers that want it.
pub(super) struct Publishers {
    all: Vec<Publisher>,
}

/// What publishers saw.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// From a publish to the word that the last process with subscribers has it; failures.
    pub(super) tally: Tally,
    /// Deliveries of the publishes that ended within the measured time.
    pub(super) deliveries: u64,
    /// Those of the warm-up as well.
    pub(super) deliveries_in_all: u64,
}

struct Publisher {
    client: Nats,
    /// Words of the processes with subscribers: all of one's have it.
    words: Subscriber,
    inbox: String,
    place: u32,
    /// Of its latest publish.
    number: u64,
    plan: Arc<Plan>,
    topics: Vec<u32>,
    published: Published,
}

impl Publishers {
    /// Before their server ends, which they would dial again.
    pub(super) fn end(self) {
        drop(self.all);
    }

    /// So many publishers at that server; the plan's subscribers are in so many processes, and known there when this returns.
    pub(super) async fn begin(
        server: SocketAddr,
        publishers: usize,
        plan: Plan,
        processes: usize,
    ) -> Result<Self, BenchError> {
        let mut publishers = timeout(PATIENCE, Self::connected(server, publishers, plan, processes))
            .await
            .map_err(|_| late("publishers are there"))??;
        timeout(PATIENCE, publishers.first(processes))
            .await
            .map_err(|_| late("the first publishes reach all"))??;
        Ok(publishers)
    }

    async fn connected(
        server: SocketAddr,
        publishers: usize,
        plan: Plan,
        processes: usize,
    ) -> Result<Self, BenchError> {
        let client = client(server).await?;
        known(&client, processes).await?;
        let plan = Arc::new(plan);
        let mut all = Vec::with_capacity(publishers);
        for place in 0..publishers {
            let inbox = client.new_inbox();
            let words = client.subscribe(inbox.clone()).await;
            all.push(Publisher {
                client: client.clone(),
                words: words.map_err(|error| unsound(&error))?,
                inbox,
                place: u32::try_from(place).expect("publishers are bounded"),
                number: 0,
                topics: plan.topics(),
                plan: Arc::clone(&plan),
                published: Published::default(),
            });
        }
        client.flush().await.map_err(|error| unsound(&error))?;
        Ok(Self { all })
    }

    /// The way back to each publisher is known everywhere when every process has got something from it.
    async fn first(&mut self, processes: usize) -> Result<(), BenchError> {
        for publisher in &mut self.all {
            for topic in covering(&publisher.plan, processes) {
                publisher.one(topic).await.map_err(BenchError::Unsound)?;
            }
        }
        Ok(())
    }

    /// Lets so many of them publish at the same time.
    pub(super) async fn publish(&mut self, publishers: usize, times: Times) -> Result<Published, BenchError> {
        let window = Window::opens(times);
        let rest = self.all.split_off(publishers.min(self.all.len()));
        let mut tasks: JoinSet<Publisher> = self
            .all
            .drain(..)
            .map(|publisher| publisher.run(window))
            .collect();
        let mut published = Published::default();
        while let Some(done) = tasks.join_next().await {
            let mut publisher = done.map_err(|error| unsound(&error))?;
            let its = std::mem::take(&mut publisher.published);
            published.tally.add(its.tally);
            published.deliveries += its.deliveries;
            published.deliveries_in_all += its.deliveries_in_all;
            self.all.push(publisher);
        }
        self.all.extend(rest);
        Ok(published)
    }
}

impl Publisher {
    async fn run(mut self, window: Window) -> Self {
        // Publishers begin at different topics.
        let mut turn = self.place as usize;
        let mut begun = Instant::now();
        while begun < window.until && self.published.tally.failure.is_none() {
            let topic = self.topics[turn % self.topics.len()];
            let wrong = match timeout(WHOLE_WITHIN, self.one(topic)).await {
                Ok(Ok(())) => None,
                Ok(Err(wrong)) => Some(wrong),
                Err(_) => Some(format!("a publish was not with all after {WHOLE_WITHIN:?}")),
            };
            let ended = Instant::now();
            let counts = window.holds(ended);
            let receivers = self.plan.receivers(topic) as u64;
            self.published.deliveries_in_all += receivers;
            self.published.deliveries += if counts { receivers } else { 0 };
            self.published.tally.ended(counts.then(|| ended - begun), wrong);
            (begun, turn) = (ended, turn + 1);
        }
        self
    }

    /// One publish, until every process with subscribers that want it has said that all of them have it.
    async fn one(&mut self, topic: u32) -> Result<(), String> {
        self.number += 1;
        let notice = Notice {
            publisher: self.place,
            topic,
            number: self.number,
        };
        let published =
            self.client
                .publish_with_reply(Plan::key(topic), self.inbox.clone(), notice.payload());
        published.await.map_err(|error| error.to_string())?;
        for _ in 0..self.plan.receiving_nodes(topic) {
            let word = self.words.next().await.ok_or("the connection has ended")?;
            if Notice::read(&word.payload) != Some(notice) {
                return Err(String::from_utf8_lossy(&word.payload).into_owned());
            }
        }
        Ok(())
    }
}

/// Waits until the server knows the subscribers of all processes.
async fn known(client: &Nats, processes: usize) -> Result<(), BenchError> {
    let inbox = client.new_inbox();
    let mut answers = client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| unsound(&error))?;
    let mut seen = std::collections::BTreeSet::new();
    let all = async {
        let mut look = interval(LOOK);
        while seen.len() < processes {
            tokio::select! {
                _ = look.tick() => {
                    let asked = client.publish_with_reply(PROBE, inbox.clone(), "".into()).await;
                    asked.map_err(|error| unsound(&error))?;
                }
                answer = answers.next() => {
                    seen.extend(answer.map(|answer| answer.payload));
                }
            }
        }
        Ok(())
    };
    all.await
}

/// That part of the subscribers at that server, on one connection, each read by a task of its own, for ever.
///
/// # Errors
/// There is no connection to be had, or it has ended.
pub(in crate::bench) async fn subscribe(server: SocketAddr, part: Part) -> Result<(), BenchError> {
    let client = client(server).await?;
    let plan = Plan::new(part.subscribers, part.nodes, part.patterns);
    let counts = Arc::new(Counts::of(&plan, part));
    for number in (0..part.subscribers).filter(|number| plan.node_of(*number) == part.node) {
        let subscriber = client.subscribe(subject(&plan.pattern_of(number))).await;
        let subscriber = subscriber.map_err(|error| unsound(&error))?;
        let seen = Seen::new(plan.topic_of(number), part.publishers);
        tokio::spawn(read(client.clone(), subscriber, seen, Arc::clone(&counts)));
    }
    // Behind all others on the same connection: who hears of this one has heard of them.
    let mut probes = client.subscribe(PROBE).await.map_err(|error| unsound(&error))?;
    client.flush().await.map_err(|error| unsound(&error))?;
    role::tell("ready")?;
    let me = std::process::id().to_string();
    while let Some(probe) = probes.next().await {
        if let Some(reply) = probe.reply {
            let told = client.publish(reply, me.clone().into()).await;
            told.map_err(|error| unsound(&error))?;
        }
    }
    Err(BenchError::Unsound("NATS: the subscription has ended".into()))
}

async fn read(client: Nats, mut subscriber: Subscriber, mut seen: Seen, counts: Arc<Counts>) {
    while let Some(message) = subscriber.next().await {
        let word = match seen.check(&message.payload) {
            Ok(notice) if !counts.delivered(notice) => continue,
            Ok(_) => message.payload,
            Err(wrong) => wrong.into(),
        };
        if let Some(reply) = message.reply {
            // Without a connection there is nobody to tell: the publisher sees that nothing comes.
            let _told = client.publish(reply, word).await;
        }
    }
}
