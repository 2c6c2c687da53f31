//! Fan-out over NATS, through the client that its makers give: subscribers of one subject at each of several servers, and publishers at
//! the first. What does not live here: the servers (`servers`), and Squall's own fan-out (`fanout`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client as Nats, Message, Subscriber};
use futures::StreamExt as _;
use futures::future::join_all;
use tokio::time::{interval, timeout};

use super::nats::{client, unsound};
use crate::bench::fanout::ledger::Notice;
use crate::bench::req_resp::host::{LOOK, PATIENCE, late};
use crate::bench::req_resp::tally::{Tally, Times, Window};
use crate::bench::{BenchError, role};

/// Subject of all subscribers.
const SUBJECT: &str = "fanout";
/// Where one subscriber a process says that the others of it are known.
const PROBE: &str = "fanout-known";
/// A publish that has not reached all by then never will.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// Publishers at one server, on one connection. Each publishes the next when the one before is with all subscribers.
pub(super) struct Publishers {
    all: Vec<Publisher>,
}

struct Publisher {
    client: Nats,
    /// Words of the processes with subscribers: all of one's have it.
    words: Subscriber,
    inbox: String,
    place: u32,
    /// Of its latest publish.
    number: u64,
    processes: usize,
}

impl Publishers {
    /// Before their server ends, which they would dial again.
    pub(super) fn end(self) {
        drop(self.all);
    }

    /// So many publishers at that server; the subscribers are in so many processes, and known there when this returns.
    pub(super) async fn begin(
        server: SocketAddr,
        publishers: usize,
        processes: usize,
    ) -> Result<Self, BenchError> {
        let client = client(server).await?;
        known(&client, processes).await?;
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
                processes,
            });
        }
        client.flush().await.map_err(|error| unsound(&error))?;
        let mut publishers = Self { all };
        // The way back to each publisher is known everywhere when its first publish is whole.
        for publisher in &mut publishers.all {
            let whole = timeout(PATIENCE, publisher.one()).await;
            let whole = whole.map_err(|_| late("the first publish reaches all"))?;
            whole.map_err(BenchError::Unsound)?;
        }
        Ok(publishers)
    }

    /// Lets so many of them publish at the same time.
    pub(super) async fn publish(&mut self, publishers: usize, times: Times) -> Result<Tally, BenchError> {
        let window = Window::opens(times);
        let rest = self.all.split_off(publishers.min(self.all.len()));
        let tasks = self
            .all
            .drain(..)
            .map(|publisher| tokio::spawn(publisher.run(window)));
        let tasks: Vec<_> = tasks.collect();
        let mut tally = Tally::default();
        for done in join_all(tasks).await {
            let (publisher, its) = done.map_err(|error| unsound(&error))?;
            tally.add(its);
            self.all.push(publisher);
        }
        self.all.extend(rest);
        Ok(tally)
    }
}

impl Publisher {
    async fn run(mut self, window: Window) -> (Self, Tally) {
        let mut tally = Tally::default();
        let mut begun = Instant::now();
        while begun < window.until && tally.failure.is_none() {
            let wrong = match timeout(WHOLE_WITHIN, self.one()).await {
                Ok(Ok(())) => None,
                Ok(Err(wrong)) => Some(wrong),
                Err(_) => Some(format!("a publish was not with all after {WHOLE_WITHIN:?}")),
            };
            let ended = Instant::now();
            tally.ended(window.holds(ended).then(|| ended - begun), wrong);
            begun = ended;
        }
        (self, tally)
    }

    /// One publish, until every process has said that all its subscribers have it.
    async fn one(&mut self) -> Result<(), String> {
        self.number += 1;
        let notice = Notice {
            publisher: self.place,
            topic: 0,
            number: self.number,
        };
        let published = self
            .client
            .publish_with_reply(SUBJECT, self.inbox.clone(), notice.payload());
        published.await.map_err(|error| error.to_string())?;
        for _ in 0..self.processes {
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
    timeout(PATIENCE, all)
        .await
        .map_err(|_| late("all subscribers are known"))?
}

/// What all subscribers of one process have got.
struct Counts {
    subscribers: u64,
    /// Deliveries, by publisher.
    got: Vec<AtomicU64>,
}

/// So many subscribers of one subject at that server, on one connection, each read by a task of its own, for ever.
///
/// # Errors
/// There is no connection to be had, or it has ended.
pub(in crate::bench) async fn subscribe(
    server: SocketAddr,
    subscribers: usize,
    publishers: usize,
) -> Result<(), BenchError> {
    let client = client(server).await?;
    let counts = Arc::new(Counts {
        subscribers: subscribers as u64,
        got: std::iter::repeat_with(AtomicU64::default)
            .take(publishers)
            .collect(),
    });
    for _ in 0..subscribers {
        let subscriber = client.subscribe(SUBJECT).await;
        let subscriber = subscriber.map_err(|error| unsound(&error))?;
        tokio::spawn(read(client.clone(), subscriber, Arc::clone(&counts)));
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

async fn read(client: Nats, mut subscriber: Subscriber, counts: Arc<Counts>) {
    let mut latest = vec![0; counts.got.len()];
    while let Some(message) = subscriber.next().await {
        let word = match take(&message, &mut latest, &counts) {
            Ok(false) => continue,
            Ok(true) => message.payload,
            Err(wrong) => wrong.into(),
        };
        if let Some(reply) = message.reply {
            // Without a connection there is nobody to tell: the publisher sees that nothing comes.
            let _told = client.publish(reply, word).await;
        }
    }
}

/// True when it is the last one of this process that the publish was for.
fn take(message: &Message, latest: &mut [u64], counts: &Counts) -> Result<bool, String> {
    let notice = Notice::read(&message.payload).ok_or("a payload is not what was published")?;
    let publisher = notice.publisher as usize;
    let latest = latest.get_mut(publisher).ok_or("a publisher that is none")?;
    if notice.number != *latest + 1 {
        return Err(format!(
            "a subscriber got publish {} of publisher {publisher} after {latest}",
            notice.number
        ));
    }
    *latest = notice.number;
    let got = counts.got[publisher].fetch_add(1, Ordering::AcqRel) + 1;
    Ok(got == notice.number * counts.subscribers)
}
