//! Fan-out beside a peer: subscribers of everything that is published, or with patterns that have wildcards, spread over five nodes of
//! Squall and over a NATS cluster of five, and publishers at one of them, each of which publishes the next when every subscriber that
//! wants the one before has it. What does not live here: Squall's own fan-out (`fanout`), and NATS' (`nats_fan`).

use std::path::Path;
use std::time::Duration;

use tokio::process::Child;

use super::nats_fan::Publishers;
use super::servers::{self, Servers};
use super::{Compared, Missing, NO_OPEN_LOOP, Peer, PeersOptions, Setting, Step, begun, step, wrong};
use crate::bench::fanout::plan::Plan;
use crate::bench::fanout::{PATTERNS_MAX, PUBLISHERS_MAX, Standing};
use crate::bench::role::{self, Part, Role};
use crate::bench::{BenchError, Load, processor};

/// Nodes, and servers.
const NODES: usize = 5;
/// Publishers at the same time, one row each.
pub(super) const PUBLISHERS: [usize; 2] = [1, 8];

/// Both, ready to be measured in turn.
pub(super) struct Fan {
    squall: Standing,
    nats: Nats,
    peer: Peer,
}

/// Servers, the processes with their subscribers, and publishers in this process. They end when it is dropped.
struct Nats {
    publishers: Publishers,
    subscribers: Vec<Child>,
    servers: Servers,
}

/// There are as many subscribers as nodes at least, and all is bounded.
pub(super) fn check(options: &PeersOptions) -> Result<(), BenchError> {
    let fits = most(options) <= PUBLISHERS_MAX
        && options.subscribers >= NODES
        && (1..=PATTERNS_MAX).contains(&options.patterns);
    let what = "a fan-out has five subscribers at least, and a bounded number of publishers and patterns";
    fits.then_some(()).ok_or_else(|| BenchError::Unsound(what.into()))
}

fn most(options: &PeersOptions) -> usize {
    options.publishers.iter().copied().max().unwrap_or(0)
}

impl Fan {
    /// None when the peer does not start.
    pub(super) async fn set(
        options: &PeersOptions,
        peer: Peer,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<Self>, BenchError> {
        let patterns = match peer.beside() {
            Setting::Wildcards => options.patterns,
            _ => 0,
        };
        let (subscribers, publishers) = (options.subscribers, most(options));
        let plan = Plan::new(subscribers, NODES, patterns);
        let nats = Nats::begin(&options.program, plan, patterns, publishers).await;
        let Some(nats) = begun(peer, nats, missing) else {
            return Ok(None);
        };
        match Standing::begin(subscribers, NODES, patterns, publishers).await {
            Ok(squall) => Ok(Some(Self { squall, nats, peer })),
            Err(error) => {
                nats.end().await;
                Err(error)
            }
        }
    }

    async fn squall(&self, at: (Load, usize), measured: Duration) -> Result<Step, BenchError> {
        let (load, round) = at;
        let place = self.peer.beside();
        let row = self.squall.measure(load, (measured / 5, measured)).await;
        let row = row.map_err(|error| wrong(place, load, None, &error.to_string()))?;
        Ok(Step {
            place,
            load,
            round,
            peer: None,
            rate: row.deliveries_per_s,
            p50_us: row.p50_us,
            p99_us: row.p99_us,
            p999_us: row.p999_us,
            cpu_us: Some((row.cpu_ns_per_delivery / 10.0).round() / 100.0),
        })
    }

    async fn nats(&mut self, at: (Load, usize), measured: Duration) -> Result<Step, BenchError> {
        let Load::Closed(publishers) = at.0 else {
            return Err(BenchError::Unsound(NO_OPEN_LOOP.into()));
        };
        let before = self.nats.processor();
        let published = self
            .nats
            .publishers
            .publish(publishers, (measured / 5, measured))
            .await?;
        let after = self.nats.processor();
        let step = step(
            self.peer.beside(),
            at,
            Some(self.peer),
            &published.tally,
            measured,
        )?;
        Ok(Step {
            rate: (published.deliveries as f64 / measured.as_secs_f64()).round(),
            cpu_us: processor::each_us(before, after, published.deliveries_in_all),
            ..step
        })
    }
}

impl Compared for Fan {
    fn peers(&self) -> usize {
        1
    }

    fn loads(options: &PeersOptions) -> Vec<Load> {
        options.publishers.iter().copied().map(Load::Closed).collect()
    }

    async fn measure(
        &mut self,
        who: Option<usize>,
        at: (Load, usize),
        measured: Duration,
    ) -> Result<Step, BenchError> {
        match who {
            None => self.squall(at, measured).await,
            Some(_) => self.nats(at, measured).await,
        }
    }

    async fn end(self) {
        self.nats.end().await;
        self.squall.end().await;
    }
}

impl Nats {
    async fn begin(
        program: &Path,
        plan: Plan,
        patterns: usize,
        publishers: usize,
    ) -> Result<Self, BenchError> {
        let servers = servers::nats(program, NODES).await?;
        let mut children = Vec::new();
        let begun = async {
            for (node, server) in servers.addresses.iter().enumerate() {
                let role = Role::NatsSubscribers {
                    server: *server,
                    part: Part {
                        subscribers: plan.subscribers(),
                        nodes: NODES,
                        patterns,
                        node,
                        publishers,
                    },
                };
                children.push(role::start(program, &role)?);
            }
            for child in &mut children {
                role::first_line(child, "the subscribers are there").await?;
            }
            Publishers::begin(servers.addresses[0], publishers, plan, NODES).await
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
