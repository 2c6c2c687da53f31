//! The beginning of a node's run: its storage opened, its Raft recovered, and the tasks that tell what becomes of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::{AsyncRuntime as _, Raft};
use redb::Database;
use squall_kernel::id::NodeId;
use squall_kernel::profile::Times;
use squall_kernel::registry::Registry;
use squall_kernel::time::Span;
use squall_node::meta::types::Types;
use squall_node::meta::{
    Changes, Commits, Compaction, Finish, Founding, MetaState, Network, Role, StateMachine, Store, Witness,
    complete_founding, raft_config, watch_state,
};
use tokio::sync::watch;

use super::disk::Disk;
use super::port::{Outbox, Port};
use super::runtime::{Life, NodeRuntime, true_now};
use crate::sim::log::{LogState, Output};

/// redb's cache of one node: the whole file is in memory anyway.
const CACHE_BYTES: usize = 256 * 1024;

/// A node's Raft that has recovered.
#[derive(Clone)]
pub(super) struct Handles {
    pub(super) raft: Raft<Types<NodeRuntime>, StateMachine>,
    pub(super) changes: Changes<NodeRuntime>,
}

/// What a run begins with.
pub(super) struct Starting {
    pub(super) node: NodeId,
    pub(super) run: u32,
    pub(super) disk: Disk,
    pub(super) transport: Arc<Port>,
    pub(super) times: Times,
    pub(super) founding: Founding,
    pub(super) outbox: Outbox,
    pub(super) life: Life,
}

impl Starting {
    pub(super) async fn open(self) -> Result<Handles, String> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(self.disk.clone())
            .map_err(|e| e.to_string())?;
        let commits = Commits::Deferred(self.defer());
        let mut store =
            Store::on(database, Path::new("simulated"), self.node, commits).map_err(|e| e.to_string())?;
        store.machine.tell(self.witness());
        let config = Arc::new(raft_config(&self.times, Compaction::default()));
        let append_timeout = Duration::from_millis(self.times.election_min.as_ms());
        let network = Network::new(self.node, self.transport.clone(), append_timeout)
            .numbered_from(u64::from(self.run) << 32);
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

    /// Each step of the registry goes into the history.
    fn witness(&self) -> Witness {
        let (node, outbox) = (self.node, self.outbox.clone());
        Box::new(move |registry, command| {
            outbox.put(Output::Registry {
                node,
                registry: Arc::clone(registry),
                command: command.map(|command| (registry.revision, command.clone())),
            });
        })
    }

    fn watch(&self, raft: &Raft<Types<NodeRuntime>, StateMachine>, registry: watch::Receiver<Arc<Registry>>) {
        let (state, watching) = watch_state(raft, self.times);
        let (_, intent) = watch::channel(self.founding);
        drop(NodeRuntime::spawn(watching));
        drop(NodeRuntime::spawn(tell_state(
            self.node,
            self.times,
            self.disk.clone(),
            state.clone(),
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

async fn tell_state(
    node: NodeId,
    times: Times,
    disk: Disk,
    mut state: watch::Receiver<MetaState>,
    outbox: Outbox,
) {
    let mut told = None;
    loop {
        let now = state.borrow_and_update().clone();
        if let Some(why) = now.failure {
            let full = disk.has_refused();
            outbox.put(Output::Failed { node, why, full });
            return;
        }
        let now = LogState {
            term: now.term,
            leader: now.leader,
            leads: now.role == Role::Leader,
            quorum: now.leads(&times),
            initialized: now.initialized,
            members: now.voters.iter().chain(&now.learners).copied().collect(),
            voters: now.electorate,
        };
        if told.as_ref() != Some(&now) {
            told = Some(now.clone());
            outbox.put(Output::State { node, state: now });
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
