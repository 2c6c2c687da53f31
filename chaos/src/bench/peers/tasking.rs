//! Tasks beside a queue of RabbitMQ: a client submits, five workers with connections of their own settle, all of them in this process.
//! What does not live here: Squall's own part (`tasks`), and RabbitMQ's (`rabbitmq_tasks`).

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::rabbitmq_tasks::Queue;
use super::servers::{self, Servers};
use super::{Compared, Missing, Peer, PeersOptions, Setting, Step, begun, step};
use crate::bench::req_resp::host::{PATIENCE, late};
use crate::bench::tasks::scene::Scene;
use crate::bench::tasks::{Place, working};
use crate::bench::{BenchError, Load, processor, role};

/// Both, ready to be measured in turn.
pub(super) struct Tasking {
    squall: Scene,
    rabbitmq: Rabbitmq,
}

/// A server, and whoever submits and works in this process.
struct Rabbitmq {
    queue: Queue,
    servers: Servers,
}

impl Tasking {
    /// None when the peer does not start.
    pub(super) async fn set(program: &Path, missing: &mut Vec<Missing>) -> Result<Option<Self>, BenchError> {
        let rabbitmq = Rabbitmq::begin(program).await;
        let Some(rabbitmq) = begun(Peer::RabbitmqTasks, rabbitmq, missing) else {
            return Ok(None);
        };
        match Scene::begin(Place::OneNode).await {
            Ok(squall) => Ok(Some(Self { squall, rabbitmq })),
            Err(error) => {
                rabbitmq.end().await;
                Err(error)
            }
        }
    }
}

impl Compared for Tasking {
    fn peers(&self) -> usize {
        1
    }

    fn loads(options: &PeersOptions) -> Vec<Load> {
        options.loads.clone()
    }

    async fn measure(
        &mut self,
        who: Option<usize>,
        at: (Load, usize),
        measured: Duration,
    ) -> Result<Step, BenchError> {
        let times = (measured / 5, measured);
        let (peer, before, worked, after) = if who.is_some() {
            let servers = role::ids(&self.rabbitmq.servers.children);
            let before = processor::with(&servers);
            let worked = working::work(&self.rabbitmq.queue.submitter, at.0, times).await?;
            let after = processor::with(&servers);
            (Some(Peer::RabbitmqTasks), before, worked, after)
        } else {
            let before = processor::with(&[]);
            let worked = working::work(&self.squall.submitter, at.0, times).await?;
            (None, before, worked, processor::with(&[]))
        };
        let cpu_us = processor::each_us(before, after, worked.tally.asked);
        let step = step(Setting::Tasks, at, peer, &worked.tally, measured)?;
        Ok(Step { cpu_us, ..step })
    }

    async fn end(self) {
        self.rabbitmq.end().await;
        self.squall.end().await;
    }
}

impl Rabbitmq {
    async fn begin(program: &Path) -> Result<Self, BenchError> {
        let servers = servers::rabbitmq(program).await?;
        let queue = timeout(PATIENCE, Queue::begin(servers.addresses[0])).await;
        match queue.unwrap_or_else(|_| Err(late("the queue is there"))) {
            Ok(queue) => Ok(Self { queue, servers }),
            Err(error) => {
                servers.end().await;
                Err(error)
            }
        }
    }

    async fn end(self) {
        self.queue.end().await;
        self.servers.end().await;
    }
}
