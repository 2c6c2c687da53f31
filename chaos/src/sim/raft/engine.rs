//! The registry's log of a whole simulated cluster: every node's Raft and disk, on one clock, driven step by step. The
//! world hands in what arrives and what is asked for, lets it run until something comes of it, and takes that out.
//!
//! What does not live here: what nodes do with it, and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use openraft::AsyncRuntime as _;
use squall_kernel::id::{Boot, ClusterId, NodeId};
use squall_kernel::message::{Call, PeerMessage, ProposeResult};
use squall_kernel::profile::{Profile, Times};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Command, Introduction};
use squall_kernel::time::{Instant, Span};
use squall_kernel::voters::Roll;
use squall_node::meta::{ChangeError, Changes, Founding, Inbox};

use super::disk::Disk;
use super::port::{Outbox, Port};
use super::runtime::{Life, NodeRuntime, true_nanos, true_now};
use super::start::{Handles, Starting};
use crate::sim::log::{Log, Output, Ticket};
use crate::sim::plan::{Plan, Spread};
use crate::sim::rng::Rng;

/// The logs of a cluster.
pub struct Engine {
    runtime: NodeRuntime,
    outbox: Outbox,
    times: Times,
    founding: Founding,
    sync: Spread,
    seed: u64,
    /// Addresses of the founding voters, as their nodes introduce themselves.
    addresses: BTreeMap<NodeId, String>,
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
    /// True while a change of the members is under way.
    changing: Arc<AtomicBool>,
}

/// The right to change the members, given back when dropped.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Running {
    fn handles(&self) -> Option<Handles> {
        self.raft.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_turn(&self) -> Option<Turn> {
        let free = !self.changing.swap(true, Ordering::AcqRel);
        free.then(|| Turn(Arc::clone(&self.changing)))
    }
}

impl Engine {
    /// Logs for the nodes of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let addresses = plan
            .nodes
            .iter()
            .map(|node| (node.id, format!("{}:1", node.name)));
        Self {
            addresses: addresses.collect(),
            ..Self::new(plan.seed, plan.profile, plan.disk)
        }
    }

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
            addresses: BTreeMap::new(),
            disks: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Now, in true time.
    #[must_use]
    pub fn now(&mut self) -> Instant {
        self.runtime.block_on(async { true_now() })
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

impl Log for Engine {
    fn run(&mut self, until: Instant) -> Instant {
        let outbox = self.outbox.clone();
        self.runtime.block_on(async move {
            let now = true_nanos().expect("inside the runtime");
            let left = Duration::from_nanos((until.0 * 1000).saturating_sub(now));
            match select(Box::pin(outbox.filled()), Box::pin(NodeRuntime::sleep(left))).await {
                Either::Left(_) | Either::Right(_) => true_now(),
            }
        })
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.outbox.take()
    }

    fn start(&mut self, node: NodeId, ppm: i32, run: u32) {
        let disk = self.disks.entry(node).or_insert_with(|| {
            let name = format!("disk {:x}", node.0);
            Disk::new(Vec::new(), self.sync, Rng::fork(self.seed, &name))
        });
        let (disk, outbox) = (disk.clone(), self.outbox.clone());
        let port = Arc::new(Port::new(node, Boot(run), outbox.clone()));
        let slot = Arc::new(Mutex::new(None));
        let (times, founding) = (self.times, self.founding);
        let (put, transport) = (Arc::clone(&slot), Arc::clone(&port));
        let life = self.runtime.block_on(async move {
            let life = Life::new(i64::from(ppm));
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
                let disk = starting.disk.clone();
                match starting.open().await {
                    Ok(handles) => *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(handles),
                    Err(why) => outbox.put(Output::Failed {
                        node,
                        why,
                        full: disk.has_refused(),
                    }),
                }
            })));
            life
        });
        let running = Running {
            life,
            port,
            inbox: Arc::default(),
            raft: slot,
            changing: Arc::default(),
        };
        self.running.insert(node, running);
    }

    fn end(&mut self, node: NodeId) {
        let (Some(running), Some(disk)) = (self.running.remove(&node), self.disks.get_mut(&node)) else {
            return;
        };
        let lost = self.runtime.block_on(async move {
            running.life.end();
            drop(running);
            let (found, lost) = disk.after_power_loss(true_now());
            *disk = found;
            lost
        });
        if lost {
            self.outbox.put(Output::TailLost { node });
        }
    }

    fn pause(&mut self, node: NodeId, paused: bool) {
        if let Some(running) = self.running.get(&node) {
            running.life.pause(paused);
        }
    }

    fn set_rate(&mut self, node: NodeId, ppm: i32) {
        let now = self.now();
        if let Some(running) = self.running.get(&node) {
            running.life.set_rate(now, i64::from(ppm));
        }
    }

    fn set_slower(&mut self, node: NodeId, by: Span) {
        if let Some(disk) = self.disks.get(&node) {
            disk.set_slower(by);
        }
    }

    fn set_full(&mut self, node: NodeId, full: bool) {
        if let Some(disk) = self.disks.get(&node) {
            disk.set_full(full);
        }
    }

    fn link(&mut self, node: NodeId, peer: NodeId, up: bool) {
        if let Some(running) = self.running.get(&node) {
            running.port.link(peer, up);
        }
        if up {
            self.with(node, move |handles| async move {
                let _ = handles.raft.trigger().reset_backoff([peer.0]).await;
            });
        }
    }

    fn message(&mut self, node: NodeId, from: NodeId, message: PeerMessage) {
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

    fn found(&mut self, node: NodeId, voters: &BTreeSet<NodeId>) {
        let addresses = &self.addresses;
        let voters = voters
            .iter()
            .map(|id| (*id, addresses.get(id).cloned().unwrap_or_default()))
            .collect();
        self.with(node, move |handles| async move {
            let _ = handles.changes.found(voters).await;
        });
    }

    fn propose(&mut self, node: NodeId, ticket: Ticket, command: Command, under: Option<VotersAt>) {
        let outbox = self.outbox.clone();
        self.ask(node, ticket, move |handles| async move {
            let result = here(&handles.changes, command, under).await;
            outbox.put(Output::Answer { node, ticket, result });
        });
    }

    fn admit(&mut self, node: NodeId, ticket: Ticket, introduction: Introduction) {
        let outbox = self.outbox.clone();
        self.ask(node, ticket, move |handles| async move {
            let learner = handles
                .changes
                .add_learner(introduction.id, &introduction.mesh_addr)
                .await;
            let result = match learner {
                Ok(_) => here(&handles.changes, Command::NodeUp(introduction), None).await,
                Err(ChangeError::Propose(error)) => ProposeResult::from(&error),
                Err(error) => ProposeResult::Failed {
                    reason: error.to_string(),
                },
            };
            outbox.put(Output::Answer { node, ticket, result });
        });
    }

    /// One change at a time, as on a live node; what comes of it the log tells.
    fn keep_voters(&mut self, node: NodeId, roll: Roll) {
        let Some(turn) = self.running.get(&node).and_then(Running::take_turn) else {
            return;
        };
        self.with(node, move |handles| async move {
            let _ = handles.changes.keep_voters(&roll).await;
            drop(turn);
        });
    }

    fn changes_voters(&self) -> bool {
        true
    }

    fn transfer(&mut self, node: NodeId, to: NodeId) {
        self.with(node, move |handles| async move {
            let _ = handles.changes.transfer_leader(to).await;
        });
    }

    fn set_elections(&mut self, node: NodeId, allowed: bool) {
        if let Some(handles) = self.running.get(&node).and_then(Running::handles) {
            handles.raft.runtime_config().elect(allowed);
        }
    }
}

async fn here(changes: &Changes<NodeRuntime>, command: Command, under: Option<VotersAt>) -> ProposeResult {
    let done = match under {
        Some(voters) => changes.propose_under(command, voters).await,
        None => changes.propose(command).await,
    };
    match done {
        Ok(done) => ProposeResult::Committed {
            outcome: done.outcome,
            revision: done.revision,
        },
        Err(error) => ProposeResult::from(&error),
    }
}

#[cfg(test)]
#[path = "engine_test.rs"]
pub(super) mod tests;
