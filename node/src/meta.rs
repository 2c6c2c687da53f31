//! The meta plane: one Raft group that agrees on the registry. `Meta` is a node's handle on it.
//!
//! What does not live here: what commands mean (the kernel's registry), who carries Raft's messages (the mesh,
//! behind `RaftTransport`), and forwarding of commands to the leader (the mesh, too).

mod backend;
mod change;
mod disk;
mod error;
mod inbox;
mod log;
mod machine;
mod members;
mod network;
pub mod recover;
mod state;
mod store;
mod tasks;
mod transport;
pub mod types;
mod wire;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Config, Raft, SnapshotPolicy};
use squall_kernel::id::{ClusterId, NodeId};
use squall_kernel::limits::SNAPSHOT_CHUNK_BYTES;
use squall_kernel::profile::{Profile, Times};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use backend::Place;
pub use change::{Change, Changes, Committed};
pub use disk::{DiskError, WriteFailure};
pub use error::{ChangeError, FoundError, MetaError, ProposeError};
pub use inbox::Inbox;
pub use log::LogStore;
pub use machine::{Builder, StateMachine, Witness};
pub use members::Granted;
pub use network::{Network, Peer};
pub use squall_kernel::voters::{founding_voters, promotions, voters_for};
pub use state::{MetaState, Role};
pub use store::Store;
pub use tasks::{complete_founding, watch_state};
pub use transport::{RaftTransport, TransportError};
pub use wire::Refusal;
pub use writer::{Commits, Finish, StorageStats};

use types::Live;
use writer::Writer;

use crate::datadir::DataDir;

/// When the log is replaced by a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Entries after the last snapshot that call for another.
    pub entries_per_snapshot: u64,
    /// Entries kept although a snapshot covers them, so that a node that was away for a moment needs no snapshot.
    pub entries_kept: u64,
}

impl Default for Compaction {
    /// Some 4 000 entries of 300 bytes: a megabyte of log, replayed in milliseconds.
    fn default() -> Self {
        Self {
            entries_per_snapshot: 4096,
            entries_kept: 1024,
        }
    }
}

/// A node's part of the meta plane; clones share it.
#[derive(Clone)]
pub struct Meta {
    inner: Arc<Inner>,
}

struct Inner {
    id: NodeId,
    raft: Raft<Live, StateMachine>,
    changes: Changes<openraft_rt_tokio::TokioRuntime>,
    profile: Profile,
    registry: watch::Receiver<Arc<Registry>>,
    state: watch::Receiver<MetaState>,
    founding: watch::Sender<Founding>,
    inbox: Inbox,
    writer: Writer,
    tasks: [JoinHandle<()>; 2],
}

/// What this node proposes if it comes to lead a cluster that is not founded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Founding {
    /// Id of the cluster.
    pub cluster: ClusterId,
    /// Its times.
    pub profile: Profile,
}

impl Meta {
    /// Recovers the registry from the data directory and runs Raft on the current tokio runtime. The timers are
    /// those of the profile the cluster was founded with, or of `profile` before there is one.
    ///
    /// # Errors
    /// [`MetaError`] names the file that cannot be used; nothing is deleted and nothing started.
    pub async fn start(
        dir: &DataDir,
        transport: Arc<dyn RaftTransport>,
        profile: Profile,
    ) -> Result<Self, MetaError> {
        Self::start_with(dir, transport, profile, Compaction::default(), None).await
    }

    /// The same, with another rule for snapshots, and with somebody who is told of every step of the registry.
    ///
    /// # Errors
    /// As for [`Meta::start`].
    pub async fn start_with(
        dir: &DataDir,
        transport: Arc<dyn RaftTransport>,
        profile: Profile,
        compaction: Compaction,
        witness: Option<Witness>,
    ) -> Result<Self, MetaError> {
        let id = dir.node_id();
        let Store {
            log,
            mut machine,
            registry,
            writer,
            profile: stored,
        } = Store::open(dir)?;
        if let Some(witness) = witness {
            machine.tell(witness);
        }
        let profile = stored.unwrap_or(profile);
        let times = profile.times();
        let config = Arc::new(raft_config(&times, compaction));
        let append_timeout = Duration::from_millis(times.election_min.as_ms());
        let network = Network::new(id, transport, append_timeout);
        let raft = match Raft::new(id.0, config, network, log, machine).await {
            Ok(raft) => raft,
            Err(e) => {
                writer.close().await;
                return Err(MetaError::Recovery(e.to_string()));
            }
        };
        let cluster = dir.cluster().unwrap_or_else(|| ClusterId(rand::random()));
        let (founding, intent) = watch::channel(Founding { cluster, profile });
        let (state, watching) = tasks::watch_state(&raft, times);
        let watching = tokio::spawn(watching);
        let completing = tokio::spawn(tasks::complete_founding(
            raft.clone(),
            state.clone(),
            registry.clone(),
            intent,
            times,
        ));
        let tasks = [watching, completing];
        let inbox = Inbox::default();
        let inner = Inner {
            id,
            changes: Changes::new(raft.clone(), times),
            raft,
            profile,
            registry,
            state,
            founding,
            inbox,
            writer,
            tasks,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.id
    }

    /// The profile whose times Raft runs on; a change of it in the registry takes effect at the next start.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.inner.profile
    }

    /// The registry, published after every change.
    #[must_use]
    pub fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.inner.registry.clone()
    }

    /// This node's Raft, published after every change and, on a leader, at every heartbeat.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<MetaState> {
        self.inner.state.clone()
    }

    /// The entry of the log by which this node votes, from Raft itself: what [`Meta::state`] publishes may be late.
    #[must_use]
    pub fn voters_at(&self) -> VotersAt {
        state::voters_at(&self.inner.raft.metrics().borrow_watched().membership_config)
    }

    /// This node's Raft, from Raft itself.
    #[must_use]
    pub fn state_now(&self) -> MetaState {
        MetaState::of(&self.inner.raft.metrics().borrow_watched())
    }

    /// The answer to another node's Raft request. It may wait for the disk: give every request a task of its own.
    /// Never fails; bytes that are no request are answered as such, and counted.
    pub async fn handle_rpc(&self, from: NodeId, request: Bytes) -> Bytes {
        self.inner.inbox.answer(&self.inner.raft, from, &request).await
    }

    /// Requests of other nodes that could not be decoded.
    #[must_use]
    pub fn undecodable_requests(&self) -> u64 {
        self.inner.inbox.undecodable()
    }

    /// What the registry's storage did.
    #[must_use]
    pub fn storage_stats(&self) -> StorageStats {
        self.inner.writer.stats()
    }

    /// Why the registry's file cannot be written any more; Raft has stopped then, or is about to.
    #[must_use]
    pub fn write_failure(&self) -> Option<WriteFailure> {
        self.inner.writer.failure()
    }

    /// Allows or forbids this node to start elections: one whose timers are late accuses nobody. It still votes.
    pub fn set_elections(&self, allowed: bool) {
        self.inner.raft.runtime_config().elect(allowed);
    }

    /// Waits until this node has no vote, for at most so long; true when it has none. A node that leaves must not end
    /// before: the others would count it among the voters for ever.
    pub async fn out_of_voters(&self, within: Duration) -> bool {
        let mut state = self.inner.state.clone();
        let id = self.inner.id;
        let out = state.wait_for(|s| !s.voters.contains(&id));
        tokio::time::timeout(within, out)
            .await
            .is_ok_and(|left| left.is_ok())
    }

    /// Ends Raft's backoff towards a node whose link is back.
    pub async fn peer_is_back(&self, peer: NodeId) {
        // Raft that has stopped has nothing to send.
        let _ = self.inner.raft.trigger().reset_backoff([peer.0]).await;
    }

    /// Stops Raft, writes what is queued and closes the file.
    pub async fn shutdown(&self) {
        if let Err(e) = self.inner.raft.shutdown().await {
            tracing::warn!(error = %e, "Raft did not stop in order");
        }
        self.inner.writer.close().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// How Raft runs on these times.
#[must_use]
pub fn raft_config(times: &Times, compaction: Compaction) -> Config {
    let heartbeat = times.heartbeat.as_ms();
    let config = Config {
        cluster_name: "squall".into(),
        heartbeat_interval: heartbeat,
        election_timeout_min: times.election_min.as_ms(),
        election_timeout_max: times.election_max.as_ms(),
        // A node that cannot win must not depose a healthy leader by its term.
        enable_pre_vote: Some(true),
        // A restarted leader is elected anew: restored in its old term as a sole voter it commits nothing any more.
        enable_leader_restore: Some(false),
        // For one chunk: on a loaded machine a chunk waits for other traffic, and the last one for the disk.
        install_snapshot_timeout: 20 * heartbeat,
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES as u64,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(compaction.entries_per_snapshot),
        max_in_snapshot_log_to_keep: compaction.entries_kept,
        replication_lag_threshold: compaction.entries_per_snapshot + compaction.entries_kept,
        // Some 300 KiB of the largest commands: no heartbeat waits long behind one request.
        max_payload_entries: 64,
        purge_batch_size: 256.min(compaction.entries_kept.max(1)),
        // A returned peer hears from the leader well within its election timeout.
        backoff: format!("{heartbeat}ms ...{}ms", 10 * heartbeat),
        ..Config::default()
    };
    config
        .validate()
        .expect("the kernel asserts that a profile's election outlasts its heartbeats")
}

#[cfg(test)]
#[path = "meta/cluster_test.rs"]
mod cluster_tests;
#[cfg(test)]
#[path = "meta/failure_test.rs"]
mod failure_tests;
#[cfg(test)]
#[path = "meta/harness_test.rs"]
mod harness;
#[cfg(test)]
#[path = "meta/members_test.rs"]
mod members_tests;
