//! Fan-out beside a peer: subscribers of everything that is published, spread over five nodes of Squall and over a NATS cluster of five,
//! and publishers at one of them, each of which publishes the next when every subscriber has the one before. What does not live here:
//! Squall's own fan-out (`fanout`), and NATS' (`nats_fan`).

use std::path::Path;
use std::time::Duration;

use tokio::process::Child;

use super::nats_fan::Publishers;
use super::servers::{self, Servers};
use super::{Missing, NOT_BUILT, Peer, PeersOptions, Setting, Step, step, turn};
use crate::bench::fanout::{self, PUBLISHERS_MAX, Standing};
use crate::bench::role::{self, Role};
use crate::bench::{BenchError, Load, processor};

/// Nodes, and servers.
const NODES: usize = 5;
/// Publishers at the same time, one row each.
pub(super) const PUBLISHERS: [usize; 2] = [1, 8];

/// Both, ready to be measured in turn.
pub(super) struct Fan {
    squall: Standing,
    nats: Nats,
    subscribers: usize,
}

/// Servers, the processes with their subscribers, and publishers in this process. They end when it is dropped.
struct Nats {
    publishers: Publishers,
    subscribers: Vec<Child>,
    servers: Servers,
}

impl Fan {
    /// None when the peer is not there.
    pub(super) async fn set(
        options: &PeersOptions,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<Self>, BenchError> {
        let most = options.publishers.iter().copied().max().unwrap_or(0);
        if most > PUBLISHERS_MAX || options.subscribers < NODES {
            let what = "a fan-out has a subscriber for each node, and a bounded number of publishers";
            return Err(BenchError::Unsound(what.into()));
        }
        let absent = servers::nats_server().err();
        let absent = absent.or_else(|| (!cfg!(feature = "peers")).then(|| NOT_BUILT.to_owned()));
        let begun = match absent {
            Some(why) => Err(why),
            None => Nats::begin(&options.program, options.subscribers, most)
                .await
                .map_err(|error| format!("it does not start: {error}")),
        };
        let nats = match begun {
            Ok(nats) => nats,
            Err(why) => {
                missing.push(Missing {
                    peer: Peer::NatsFive,
                    why,
                });
                return Ok(None);
            }
        };
        match fanout::Standing::begin(options.subscribers, NODES, 0, most).await {
            Ok(squall) => Ok(Some(Self {
                squall,
                nats,
                subscribers: options.subscribers,
            })),
            Err(error) => {
                nats.end().await;
                Err(error)
            }
        }
    }

    pub(super) async fn rounds(
        &mut self,
        options: &PeersOptions,
        mut tell: impl FnMut(Step),
    ) -> Result<(), BenchError> {
        for round in 0..options.rounds {
            for &publishers in &options.publishers {
                for who in turn(round, 1) {
                    let step = match who {
                        None => self.squall(publishers, round, options.measured).await?,
                        Some(_) => self.nats(publishers, round, options.measured).await?,
                    };
                    tell(step);
                }
            }
        }
        Ok(())
    }

    async fn squall(
        &mut self,
        publishers: usize,
        round: usize,
        measured: Duration,
    ) -> Result<Step, BenchError> {
        let row = self
            .squall
            .measure(Load::Closed(publishers), (measured / 5, measured))
            .await?;
        Ok(Step {
            place: Setting::Fanout,
            load: Load::Closed(publishers),
            round,
            peer: None,
            rate: row.deliveries_per_s,
            p50_us: row.p50_us,
            p99_us: row.p99_us,
            p999_us: row.p999_us,
            cpu_us: Some((row.cpu_ns_per_delivery / 10.0).round() / 100.0),
        })
    }

    async fn nats(
        &mut self,
        publishers: usize,
        round: usize,
        measured: Duration,
    ) -> Result<Step, BenchError> {
        let before = self.nats.processor();
        let tally = self
            .nats
            .publishers
            .publish(publishers, (measured / 5, measured))
            .await?;
        let after = self.nats.processor();
        let subscribers = self.subscribers as u64;
        let cpu_us = processor::each_us(before, after, tally.asked * subscribers);
        let at = (Load::Closed(publishers), round);
        let step = step(Setting::Fanout, at, Some(Peer::NatsFive), &tally, measured)?;
        let deliveries = (tally.took.total() * subscribers) as f64;
        Ok(Step {
            rate: (deliveries / measured.as_secs_f64()).round(),
            cpu_us,
            ..step
        })
    }

    pub(super) async fn end(self) {
        self.nats.end().await;
        self.squall.end().await;
    }
}

impl Nats {
    async fn begin(program: &Path, subscribers: usize, publishers: usize) -> Result<Self, BenchError> {
        let servers = servers::nats(program, NODES).await?;
        let mut children = Vec::new();
        let begun = async {
            for (n, server) in servers.addresses.iter().enumerate() {
                let role = Role::NatsSubscribers {
                    server: *server,
                    // As many at each, and what is left over at the first ones.
                    subscribers: (subscribers + NODES - 1 - n) / NODES,
                    publishers,
                };
                children.push(role::start(program, &role)?);
            }
            for child in &mut children {
                role::first_line(child, "the subscribers are there").await?;
            }
            Publishers::begin(servers.addresses[0], publishers, NODES).await
        };
        match begun.await {
            Ok(publishers) => Ok(Self {
                publishers,
                subscribers: children,
                servers,
            }),
            Err(error) => {
                role::end(&mut children).await;
                servers.end().await;
                Err(error)
            }
        }
    }

    /// Processor time of all that takes part.
    fn processor(&self) -> Option<Duration> {
        let servers = role::ids(&self.servers.children);
        let all: Vec<u32> = role::ids(&self.subscribers).into_iter().chain(servers).collect();
        processor::with(&all)
    }

    async fn end(mut self) {
        self.publishers.end();
        role::end(&mut self.subscribers).await;
        self.servers.end().await;
    }
}
