//! The feed of a live cluster: one task per node, each with its own connection and its own retries, so
//! that a dead node stalls nobody. One address is enough to find all: every node tells its members.
//! What does not live here: one node's session (`session.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use squall_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::backoff::Backoff;
use super::pending::{Inbox, Outbox, channel};
use super::session::{self, Target};
use super::{Feed, Update, Wants};
use crate::limits::{LOOP_QUEUE, NODES_MAX};

/// Watches a cluster over gRPC.
#[derive(Debug)]
pub struct GrpcFeed {
    inbox: Inbox,
    wants: watch::Sender<Wants>,
    directory: JoinHandle<()>,
}

/// Members that a node told of, and the address that was asked, when it was one of those given.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) asked: Option<String>,
    pub(super) node: String,
    pub(super) members: Vec<v1::Member>,
}

impl GrpcFeed {
    /// Starts watching through `addresses` (`host:port`, of any port of any node). Needs a tokio runtime.
    #[must_use]
    pub fn start(addresses: Vec<String>) -> Self {
        let (outbox, inbox) = channel();
        let (wants, wanted) = watch::channel(Wants::default());
        let directory = tokio::spawn(Directory::new(outbox, wanted).run(addresses));
        Self {
            inbox,
            wants,
            directory,
        }
    }
}

impl Feed for GrpcFeed {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<Update>>> {
        async { Some(self.inbox.take().await) }.boxed()
    }

    fn want(&mut self, wants: Wants) {
        self.wants.send_if_modified(|current| {
            let changed = *current != wants;
            *current = wants;
            changed
        });
    }
}

impl Drop for GrpcFeed {
    fn drop(&mut self) {
        // Ends the sessions too: they live in the directory's set.
        self.directory.abort();
    }
}

/// Knows the nodes and starts a session for each.
struct Directory {
    outbox: Outbox,
    wanted: watch::Receiver<Wants>,
    found: mpsc::Sender<Found>,
    incoming: mpsc::Receiver<Found>,
    nodes: BTreeMap<String, watch::Sender<Vec<String>>>,
    sessions: JoinSet<()>,
}

impl Directory {
    fn new(outbox: Outbox, wanted: watch::Receiver<Wants>) -> Self {
        let (found, incoming) = mpsc::channel(LOOP_QUEUE);
        Self {
            outbox,
            wanted,
            found,
            incoming,
            nodes: BTreeMap::new(),
            sessions: JoinSet::new(),
        }
    }

    async fn run(mut self, addresses: Vec<String>) {
        for addr in addresses
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .take(NODES_MAX)
        {
            self.sessions
                .spawn(resolve(addr, self.outbox.clone(), self.found.clone()));
        }
        while let Some(found) = self.incoming.recv().await {
            self.learn(found);
        }
    }

    fn learn(&mut self, found: Found) {
        let Found { asked, node, members } = found;
        let told = members
            .into_iter()
            .map(|m| (m.name, vec![m.grpc_addr, m.mesh_addr]));
        let mut told: BTreeMap<_, _> = told.filter(|(name, _)| !name.is_empty()).collect();
        if let Some(addr) = asked {
            // The address that worked comes first for the node that answered at it.
            told.entry(node).or_default().insert(0, addr);
        }
        for (name, addresses) in told {
            self.address(name, addresses);
        }
    }

    fn address(&mut self, name: String, addresses: Vec<String>) {
        let usable = |a: &String| !a.is_empty() && !a.starts_with("0.0.0.0:") && !a.starts_with("[::]:");
        let mut addresses: Vec<_> = addresses.into_iter().filter(usable).collect();
        if let Some(known) = self.nodes.get(&name) {
            known.send_if_modified(|current| {
                let same = addresses.iter().all(|a| current.contains(a));
                if !same {
                    // A node that moved is looked for at its new addresses first.
                    addresses.extend(
                        current
                            .iter()
                            .filter(|a| !addresses.contains(a))
                            .take(4)
                            .cloned()
                            .collect::<Vec<_>>(),
                    );
                    *current = std::mem::take(&mut addresses);
                }
                !same
            });
            return;
        }
        if addresses.is_empty() || self.nodes.len() >= NODES_MAX {
            return;
        }
        let (sender, addresses) = watch::channel(addresses);
        self.nodes.insert(name.clone(), sender);
        self.sessions.spawn(session::run(Target {
            node: name,
            addresses,
            wanted: self.wanted.clone(),
            outbox: self.outbox.clone(),
            found: self.found.clone(),
        }));
    }
}

/// Asks a given address until it says whose it is.
async fn resolve(addr: String, outbox: Outbox, found: mpsc::Sender<Found>) {
    let mut backoff = Backoff::default();
    loop {
        match session::greet(&addr).await {
            Ok((_, hello)) => {
                outbox.put(Update::Seed {
                    addr: addr.clone(),
                    why: None,
                });
                let node = hello.node.clone();
                // An ended directory needs no answer.
                let _ = found
                    .send(Found {
                        asked: Some(addr),
                        node,
                        members: hello.members,
                    })
                    .await;
                return;
            }
            Err(failure) => outbox.put(Update::Seed {
                addr: addr.clone(),
                why: Some(failure.why),
            }),
        }
        tokio::time::sleep(backoff.next(rand::random())).await;
    }
}

/// Addresses as given on a command line: `host:port` or an `http://` URI.
pub(super) fn uri(addr: &str) -> Arc<str> {
    if addr.contains("://") {
        addr.into()
    } else {
        format!("http://{addr}").into()
    }
}

#[cfg(test)]
#[path = "grpc_test.rs"]
mod tests;
