//! Raft as it runs on the times of one profile. Openraft takes its times once, at its start: a node that turns out to belong
//! to a cluster with other times gets a new engine over the same log and registry, without reading the disk again.
//!
//! What does not live here: what is asked of Raft (`change`, `members`), and the handle on it (`meta`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::Raft;
use squall_kernel::id::NodeId;
use squall_kernel::profile::Profile;
use squall_kernel::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::change::Changes;
use super::error::MetaError;
use super::log::LogStore;
use super::machine::StateMachine;
use super::network::Network;
use super::state::{MetaState, Role};
use super::transport::RaftTransport;
use super::types::Live;
use super::{Compaction, Founding, raft_config, tasks};

/// What every engine of a node stands on.
pub(super) struct Ground {
    pub(super) id: NodeId,
    pub(super) transport: Arc<dyn RaftTransport>,
    pub(super) log: LogStore,
    pub(super) compaction: Compaction,
    pub(super) registry: watch::Receiver<Arc<Registry>>,
    pub(super) founding: watch::Receiver<Founding>,
    pub(super) state: watch::Sender<MetaState>,
    /// Whether it may start elections; kept over a change of engines.
    pub(super) elects: AtomicBool,
}

/// A running Raft and the tasks beside it.
pub(super) struct Engine {
    pub(super) raft: Raft<Live, StateMachine>,
    pub(super) changes: Changes<openraft_rt_tokio::TokioRuntime>,
    pub(super) profile: Profile,
    tasks: [JoinHandle<()>; 2],
}

impl Engine {
    /// Runs Raft on the times of `profile`.
    ///
    /// # Errors
    /// [`MetaError::Recovery`] when log and machine do not fit together.
    pub(super) async fn start(
        ground: &Ground,
        profile: Profile,
        machine: StateMachine,
    ) -> Result<Self, MetaError> {
        let times = profile.times();
        let config = Arc::new(raft_config(&times, ground.compaction));
        let append_timeout = Duration::from_millis(times.election_min.as_ms());
        let network = Network::new(ground.id, Arc::clone(&ground.transport), append_timeout);
        let raft = Raft::new(ground.id.0, config, network, ground.log.clone(), machine);
        let raft = raft.await.map_err(|e| MetaError::Recovery(e.to_string()))?;
        raft.runtime_config().elect(ground.elects.load(Ordering::Acquire));
        let watching = tasks::publish_state(&raft, times, ground.state.clone());
        let completing = tasks::complete_founding(
            raft.clone(),
            ground.state.subscribe(),
            ground.registry.clone(),
            ground.founding.clone(),
            times,
        );
        let tasks = [tokio::spawn(watching), tokio::spawn(completing)];
        Ok(Self {
            changes: Changes::new(raft.clone(), times),
            raft,
            profile,
            tasks,
        })
    }

    /// Ends this engine and starts another one on the times of `profile`: for the log a restart, for everybody else a
    /// moment without answers.
    ///
    /// # Errors
    /// [`MetaError::Recovery`]; there is no engine then.
    pub(super) async fn rerun(&self, ground: &Ground, profile: Profile) -> Result<Self, MetaError> {
        // First: that this engine stops is nobody's business.
        self.silence();
        let stopped = |why: String| MetaError::Recovery(why);
        let machine = self
            .raft
            .with_state_machine(|machine| Box::pin(async move { machine.successor() }))
            .await
            .map_err(|e| stopped(e.to_string()))?;
        self.raft.shutdown().await.map_err(|e| stopped(e.to_string()))?;
        Self::start(ground, profile, machine).await
    }

    fn silence(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.silence();
    }
}

/// Tells that there is no engine any more, and why.
pub(super) fn tell_failure(state: &watch::Sender<MetaState>, error: &MetaError) {
    state.send_modify(|state| {
        state.role = Role::Stopped;
        state.failure = Some(error.to_string());
    });
}
