//! The registry's log of a whole simulated cluster: every node's Raft and disk, on one clock, driven step by step. The
//! world hands in what arrives and what is asked for, lets it run until something comes of it, and takes that out.
//!
//! What does not live here: what nodes do with it, and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use openraft::{AsyncRuntime as _, Raft};
use redb::Database;
use squall_kernel::id::{ClusterId, NodeId};
use squall_kernel::message::{Call, PeerMessage, ProposeResult};
use squall_kernel::profile::{Profile, Times};
use squall_kernel::registry::{Command, Introduction, Registry};
use squall_kernel::time::{Instant, Span};
use squall_node::meta::types::Types;
use squall_node::meta::{
    ChangeError, Changes, Commits, Compaction, Finish, Founding, Inbox, MetaState, Network, StateMachine,
    Store, complete_founding, raft_config, watch_state,
};
use tokio::sync::watch;

use super::disk::Disk;
use super::port::{Outbox, Port};
use super::runtime::{Life, NodeRuntime, true_nanos, true_now};
use crate::sim::plan::Spread;
use crate::sim::rng::Rng;

/// Number of a question, chosen by who asks, given back with the answer.
pub type Ticket = u64;

/// redb's cache of one node: the whole file is in memory anyway.
const CACHE_BYTES: usize = 256 * 1024;

/// What comes of a step.
#[derive(Debug, Clone)]
pub enum Output {
    /// A message for another node's log.
    Send {
        /// From there.
        from: NodeId,
        /// To there.
        to: NodeId,
        /// `Raft` or `RaftAnswer`.
        message: PeerMessage,
    },
    /// A node's part in the log is another than before.
    State {
        /// Node.
        node: NodeId,
        /// What it is.
        state: MetaState,
    },
    /// A node's registry moved.
    Registry {
        /// Node.
        node: NodeId,
        /// What it is now.
        registry: Arc<Registry>,
    },
    /// What became of a question.
    Answer {
        /// Node that was asked.
        node: NodeId,
        /// Number of the question.
        ticket: Ticket,
        /// What became of it.
        result: ProposeResult,
    },
    /// A node cannot go on: its storage failed.
    Failed {
        /// Node.
        node: NodeId,
        /// In words.
        why: String,
    },
}

/// The logs of a cluster.
pub struct Engine {
    runtime: NodeRuntime,
    outbox: Outbox,
    times: Times,
    founding: Founding,
    sync: Spread,
    seed: u64,
    disks: BTreeMap<NodeId, Disk>,
    running: BTreeMap<NodeId, Running>,
}

/// One run of a node.
struct Running {
    life: Life,
    port: Arc<Port>,
    inbox: Arc<Inbox>,
    /// None until it has recovered.
    raft: Arc<Mutex<Option<Handles>>>,
}

#[derive(Clone)]
struct Handles {
    raft: Raft<Types<NodeRuntime>, StateMachine>,
    changes: Changes<NodeRuntime>,
}

impl Running {
    fn handles(&self) -> Option<Handles> {
        self.raft.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Engine {
    /// Logs of nodes that run on these times; nothing runs yet.
    #[must_use]
    pub fn new(seed: u64, profile: Profile, sync: Spread) -> Self {
        let mut draw = Rng::fork(seed, "raft");
        Self {
            runtime: NodeRuntime::with_seed(draw.next()),
            outbox: Outbox::default(),
            times: profile.times(),
            founding: Founding {
                cluster: ClusterId(u128::from(draw.next())),
                profile,
            },
            sync,
            seed,
            disks: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Now, in true time.
    #[must_use]
    pub fn now(&mut self) -> Instant {
        self.runtime.block_on(async { true_now() })
    }

    /// Runs until something comes of it, or until then. Returns now.
    pub fn run(&mut self, until: Instant) -> Instant {
        let outbox = self.outbox.clone();
        self.runtime.block_on(async move {
            let now = true_nanos().expect("inside the runtime");
            let left = Duration::from_nanos((until.0 * 1000).saturating_sub(now));
            match select(Box::pin(outbox.filled()), Box::pin(NodeRuntime::sleep(left))).await {
                Either::Left(_) | Either::Right(_) => true_now(),
            }
        })
    }

    /// What came of it so far, in order.
    pub fn outputs(&mut self) -> Vec<Output> {
        self.outbox.take()
    }

    /// Starts a node on what its disk holds; `ppm` is how much faster than true time its clock runs, `run` counts its
    /// runs.
    pub fn start(&mut self, node: NodeId, ppm: i64, run: u64) {
        let disk = self.disks.entry(node).or_insert_with(|| {
            let name = format!("disk {:x}", node.0);
            Disk::new(Vec::new(), self.sync, Rng::fork(self.seed, &name))
        });
        let (disk, outbox) = (disk.clone(), self.outbox.clone());
        let port = Arc::new(Port::new(node, outbox.clone()));
        let slot = Arc::new(Mutex::new(None));
        let (times, founding) = (self.times, self.founding);
        let (put, transport) = (Arc::clone(&slot), Arc::clone(&port));
        let life = self.runtime.block_on(async move {
            let life = Life::new(ppm);
            let starting = Starting {
                node,
                run,
                disk,
                transport,
                times,
                founding,
                outbox: outbox.clone(),
                life: life.clone(),
            };
            drop(NodeRuntime::spawn(life.task(async move {
                match starting.open().await {
                    Ok(handles) => *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(handles),
                    Err(why) => outbox.put(Output::Failed { node, why }),
                }
            })));
            life
        });
        let running = Running {
            life,
            port,
            inbox: Arc::default(),
            raft: slot,
        };
        self.running.insert(node, running);
    }

    /// Ends a node's run at once. After a power loss its disk holds what was synced and, of what was not, anything.
    pub fn end(&mut self, node: NodeId, power_loss: bool) {
        let Some(running) = self.running.remove(&node) else {
            return;
        };
        let disk = self.disks.get_mut(&node);
        self.runtime.block_on(async move {
            running.life.end();
            if let Some(disk) = disk {
                let now = if power_loss { true_now() } else { Instant(u64::MAX) };
                *disk = disk.after(now, power_loss);
            }
            drop(running);
        });
    }

    /// Lets a node stand still, or go on.
    pub fn pause(&mut self, node: NodeId, paused: bool) {
        if let Some(running) = self.running.get(&node) {
            running.life.pause(paused);
        }
    }

    /// From now on a node's clock runs at that rate.
    pub fn set_rate(&mut self, node: NodeId, ppm: i64) {
        let now = self.now();
        if let Some(running) = self.running.get(&node) {
            running.life.set_rate(now, ppm);
        }
    }

    /// From now on syncs of a node's disk take so much longer.
    pub fn set_slower(&mut self, node: NodeId, by: Span) {
        if let Some(disk) = self.disks.get(&node) {
            disk.set_slower(by);
        }
    }

    /// From now on nothing can be written to a node's disk, or it can.
    pub fn set_full(&mut self, node: NodeId, full: bool) {
        if let Some(disk) = self.disks.get(&node) {
            disk.set_full(full);
        }
    }

    /// Empties a node's disk; it must not run.
    pub fn wipe(&mut self, node: NodeId) {
        self.disks.remove(&node);
    }

    /// Tells a node whether it has a link to another one.
    pub fn link(&mut self, node: NodeId, peer: NodeId, up: bool) {
        if let Some(running) = self.running.get(&node) {
            running.port.link(peer, up);
        }
        if up {
            self.with(node, move |handles| async move {
                let _ = handles.raft.trigger().reset_backoff([peer.0]).await;
            });
        }
    }

    /// A message of another node's log arrives; anything else than `Raft` and `RaftAnswer` is ignored.
    pub fn message(&mut self, node: NodeId, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Raft { call, body } => self.question(node, from, call, body),
            PeerMessage::RaftAnswer { call, body } => {
                if let Some(running) = self.running.get(&node) {
                    running.port.answered(call, body);
                }
            }
            _ => {}
        }
    }

    fn question(&mut self, node: NodeId, from: NodeId, call: Call, body: Vec<u8>) {
        let (outbox, Some(running)) = (self.outbox.clone(), self.running.get(&node)) else {
            return;
        };
        let inbox = Arc::clone(&running.inbox);
        self.with(node, move |handles| async move {
            let body = inbox.answer(&handles.raft, from, &Bytes::from(body)).await.into();
            outbox.put(Output::Send {
                from: node,
                to: from,
                message: PeerMessage::RaftAnswer { call, body },
            });
        });
    }

    /// Founds the cluster with these voters, as far as this node is concerned.
    pub fn found(&mut self, node: NodeId, voters: BTreeMap<NodeId, String>) {
        self.with(node, move |handles| async move {
            let _ = handles.changes.found(voters).await;
        });
    }

    /// Proposes a command through that node, which should lead.
    pub fn propose(&mut self, node: NodeId, ticket: Ticket, command: Command) {
        let outbox = self.outbox.clone();
        self.ask(node, ticket, move |handles| async move {
            let result = here(&handles.changes, command).await;
            outbox.put(Output::Answer { node, ticket, result });
        });
    }

    /// Takes a node in: a learner of the log, then a member of the registry.
    pub fn admit(&mut self, node: NodeId, ticket: Ticket, introduction: Introduction) {
        let outbox = self.outbox.clone();
        self.ask(node, ticket, move |handles| async move {
            let learner = handles
                .changes
                .add_learner(introduction.id, &introduction.mesh_addr)
                .await;
            let result = match learner {
                Ok(_) => here(&handles.changes, Command::NodeUp(introduction)).await,
                Err(ChangeError::Propose(error)) => ProposeResult::from(&error),
                Err(error) => ProposeResult::Failed {
                    reason: error.to_string(),
                },
            };
            outbox.put(Output::Answer { node, ticket, result });
        });
    }

    /// Looks after the voters, as the leader does now and then.
    pub fn adjust_voters(&mut self, node: NodeId, live: BTreeSet<NodeId>) {
        self.with(node, move |handles| async move {
            let _ = handles.changes.adjust_voters(&live).await;
        });
    }

    /// Asks another voter to lead in this one's place.
    pub fn transfer(&mut self, node: NodeId, to: NodeId) {
        self.with(node, move |handles| async move {
            let _ = handles.changes.transfer_leader(to).await;
        });
    }

    /// Allows or forbids a node to start elections.
    pub fn set_elections(&mut self, node: NodeId, allowed: bool) {
        if let Some(handles) = self.running.get(&node).and_then(Running::handles) {
            handles.raft.runtime_config().elect(allowed);
        }
    }

    fn ask<F>(&mut self, node: NodeId, ticket: Ticket, task: impl FnOnce(Handles) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.with(node, task) {
            let reason = "the node is starting".into();
            let result = ProposeResult::Failed { reason };
            self.outbox.put(Output::Answer { node, ticket, result });
        }
    }

    /// Begins a task of a node's run; false when it does not run or has not recovered.
    fn with<F>(&mut self, node: NodeId, task: impl FnOnce(Handles) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(running) = self.running.get(&node) else {
            return false;
        };
        let Some(handles) = running.handles() else {
            return false;
        };
        let task = running.life.task(task(handles));
        self.runtime
            .block_on(async move { drop(NodeRuntime::spawn(task)) });
        true
    }
}

async fn here(changes: &Changes<NodeRuntime>, command: Command) -> ProposeResult {
    match changes.propose(command).await {
        Ok(done) => ProposeResult::Committed {
            outcome: done.outcome,
            revision: done.revision,
        },
        Err(error) => ProposeResult::from(&error),
    }
}

/// What a run begins with.
struct Starting {
    node: NodeId,
    run: u64,
    disk: Disk,
    transport: Arc<Port>,
    times: Times,
    founding: Founding,
    outbox: Outbox,
    life: Life,
}

impl Starting {
    async fn open(self) -> Result<Handles, String> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(self.disk.clone())
            .map_err(|e| e.to_string())?;
        let commits = Commits::Deferred(self.defer());
        let store =
            Store::on(database, Path::new("simulated"), self.node, commits).map_err(|e| e.to_string())?;
        let config = Arc::new(raft_config(&self.times, Compaction::default()));
        let append_timeout = Duration::from_millis(self.times.election_min.as_ms());
        let network =
            Network::new(self.node, self.transport.clone(), append_timeout).numbered_from(self.run << 32);
        let registry = store.registry;
        let raft = Raft::new(self.node.0, config, network, store.log, store.machine)
            .await
            .map_err(|e| e.to_string())?;
        let changes = Changes::new(raft.clone(), self.times);
        self.watch(&raft, registry);
        Ok(Handles { raft, changes })
    }

    /// Whoever waits for a commit is told when the disk has ended it.
    fn defer(&self) -> Arc<dyn Fn(Finish) + Send + Sync> {
        let (disk, life) = (self.disk.clone(), self.life.clone());
        Arc::new(move |finish| {
            let left = disk.busy_until().since(true_now());
            if left == Span::ZERO {
                finish();
                return;
            }
            let wait = openraft_rt_sim::SimRuntime::sleep(Duration::from_micros(left.0));
            drop(NodeRuntime::spawn(life.task(async move {
                wait.await;
                finish();
            })));
        })
    }

    fn watch(&self, raft: &Raft<Types<NodeRuntime>, StateMachine>, registry: watch::Receiver<Arc<Registry>>) {
        let (state, watching) = watch_state(raft, self.times);
        let (_, intent) = watch::channel(self.founding);
        drop(NodeRuntime::spawn(watching));
        drop(NodeRuntime::spawn(tell_state(
            self.node,
            state.clone(),
            self.outbox.clone(),
        )));
        drop(NodeRuntime::spawn(tell_registry(
            self.node,
            registry.clone(),
            self.outbox.clone(),
        )));
        drop(NodeRuntime::spawn(complete_founding(
            raft.clone(),
            state,
            registry,
            intent,
            self.times,
        )));
    }
}

async fn tell_state(node: NodeId, mut state: watch::Receiver<MetaState>, outbox: Outbox) {
    loop {
        let now = state.borrow_and_update().clone();
        if let Some(why) = now.failure.clone() {
            outbox.put(Output::Failed { node, why });
            return;
        }
        outbox.put(Output::State { node, state: now });
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn tell_registry(node: NodeId, mut registry: watch::Receiver<Arc<Registry>>, outbox: Outbox) {
    loop {
        let now = Arc::clone(&registry.borrow_and_update());
        outbox.put(Output::Registry { node, registry: now });
        if registry.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "engine_test.rs"]
mod tests;
