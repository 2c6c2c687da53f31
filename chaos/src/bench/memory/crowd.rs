//! A node with very many idle processes. What does not live here: reading memory.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use squall_client::{Answer, Delivery, Handler};
use squall_kernel::registry::Pattern;
use squall_node::data::DataPlane;
use squall_node::handlers::HandlerTags;
use squall_node::process::ProcessKind;
use squall_node::pubsub::Subscription;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use super::Kind;
use crate::bench::cluster::{COOKIE, Cluster, PATIENCE, Wanted, late};
use crate::bench::{BenchError, io_error, temporary};

/// Handlers of one exchange: a usual number. Each is told of all the others, so that what very many of one exchange need
/// together grows with their square.
const HANDLERS_EACH: usize = 10;
/// What is subscribed at a time.
const AT_ONCE: usize = 256;
/// Time between two looks where nothing tells of a change.
const LOOK: Duration = Duration::from_millis(20);
/// The clients have nothing to hand over: they end with their standard input.
const END_GRACE: Duration = Duration::from_secs(5);

/// The node and all that is in it; it ends when it is dropped.
pub(super) struct Crowd {
    subscribers: Vec<Subscription>,
    clients: Option<(Child, TempDir)>,
    cluster: Cluster,
}

impl Crowd {
    pub(super) async fn new() -> Result<Self, BenchError> {
        Ok(Self {
            subscribers: Vec::new(),
            clients: None,
            cluster: Cluster::start(1).await?,
        })
    }

    fn plane(&self) -> &Arc<DataPlane> {
        self.cluster.plane(0)
    }

    /// Does what is not to be counted.
    pub(super) async fn prepare(&mut self, kind: Kind, count: usize) -> Result<(), BenchError> {
        let wanted = match kind {
            Kind::Subscriber => vec![crowd()],
            Kind::Handler => homes(count),
            Kind::Session | Kind::Exchange => Vec::new(),
        };
        let before = self.plane().exchanges.owned().len();
        self.cluster.declare(&wanted).await?;
        // Where subscribers are, a table is made with the first of them.
        let processes = if kind == Kind::Handler { wanted.len() } else { 0 };
        let owned = || self.plane().exchanges.owned().len() >= before + processes;
        until("the exchanges have their processes", owned).await
    }

    pub(super) async fn subscribers(&mut self, count: usize) -> Result<(), BenchError> {
        // Its room is no part of a subscriber.
        let mut subscribers = Vec::with_capacity(count);
        let (pubsub, name) = (&self.plane().pubsub, crowd().name);
        let subscribe = |_| pubsub.subscribe_embedded(&name, "", &["news.one"]);
        let mut all = stream::iter(0..count).map(subscribe).buffer_unordered(AT_ONCE);
        let failed = |error: squall_node::pubsub::SubscribeError| BenchError::Unsound(error.to_string());
        while let Some(one) = all.try_next().await.map_err(failed)? {
            subscribers.push(one);
        }
        drop(all);
        self.subscribers = subscribers;
        Ok(())
    }

    pub(super) async fn handlers(&mut self, count: usize) -> Result<(), BenchError> {
        let homes = homes(count);
        for number in 0..count {
            let name = &homes[number / HANDLERS_EACH].name;
            let attached = self
                .plane()
                .handlers
                .attach_embedded(name, HandlerTags::default(), Idle);
            attached.map_err(|error| BenchError::Unsound(error.to_string()))?;
        }
        let attached = || {
            let owned = self.plane().exchanges.owned();
            owned.iter().map(|exchange| exchange.handlers).sum::<u64>() >= count as u64
        };
        until("all handlers are attached", attached).await
    }

    pub(super) async fn exchanges(&mut self, count: usize) -> Result<(), BenchError> {
        let named = |n: usize| Wanted::new(&format!("idle-{n}"), Pattern::RequestResponse, 0);
        let wanted: Vec<Wanted> = (0..count).map(named).collect();
        let before = self.plane().exchanges.owned().len();
        self.cluster.declare(&wanted).await?;
        let owned = || self.plane().exchanges.owned().len() >= before + count;
        until("all exchanges have a process", owned).await
    }

    /// Clients in a process of their own, so that only what the node keeps of them is counted.
    pub(super) async fn sessions(&mut self, count: usize, program: &Path) -> Result<(), BenchError> {
        let dir = temporary()?;
        let cookie = dir.path().join("cookie");
        std::fs::write(&cookie, COOKIE).map_err(io_error("cookie file"))?;
        let address = self.cluster.nodes()[0].introduction().mesh_addr.clone();
        let child = Command::new(program)
            .args([
                "bench-clients",
                "--connect",
                &address,
                "--count",
                &count.to_string(),
            ])
            .arg("--cookie-file")
            .arg(&cookie)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is for this process, whose end is theirs.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        self.clients = Some((child.map_err(io_error("the process of the clients"))?, dir));
        let sessions = || {
            let mut found = 0;
            self.plane()
                .context
                .processes
                .each(|process| found += usize::from(process.kind() == ProcessKind::Session));
            found >= count
        };
        until("all clients have a session", sessions).await
    }

    pub(super) async fn end(mut self) {
        if let Some((mut child, _dir)) = self.clients.take() {
            drop(child.stdin.take());
            if timeout(END_GRACE, child.wait()).await.is_err() {
                // Fails only for a process that has ended meanwhile.
                drop(child.kill().await);
            }
        }
        drop(self.subscribers);
        self.cluster.end().await;
    }
}

fn crowd() -> Wanted {
    Wanted::new("crowd", Pattern::PublishSubscribe, 0)
}

fn homes(handlers: usize) -> Vec<Wanted> {
    let named = |n: usize| Wanted::new(&format!("home-{n}"), Pattern::RequestResponse, 0);
    (0..handlers.div_ceil(HANDLERS_EACH)).map(named).collect()
}

async fn until(what: &str, reached: impl Fn() -> bool) -> Result<(), BenchError> {
    let reached = async {
        let mut look = interval(LOOK);
        while !reached() {
            look.tick().await;
        }
    };
    timeout(PATIENCE, reached).await.map_err(|_| late(what))
}

struct Idle;

impl Handler for Idle {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_exchange_has_more_handlers_than_is_usual() {
        assert_eq!(homes(1).len(), 1);
        assert_eq!(homes(HANDLERS_EACH).len(), 1);
        assert_eq!(homes(HANDLERS_EACH + 1).len(), 2);
        assert_eq!(homes(100_000).len(), 10_000);
    }
}
