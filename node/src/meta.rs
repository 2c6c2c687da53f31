//! The meta plane: one Raft group that agrees on the registry. `Meta` is a node's handle on it.
//!
//! What does not live here: what commands mean (the kernel's registry), who carries Raft's messages (the mesh,
//! behind `RaftTransport`), and forwarding of commands to the leader (the mesh, too).

mod backend;
mod change;
mod disk;
mod engine;
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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Config, SnapshotPolicy};
use squall_kernel::id::{ClusterId, NodeId};
use squall_kernel::limits::SNAPSHOT_CHUNK_BYTES;
use squall_kernel::profile::{Profile, Times};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::Registry;
use tokio::sync::watch;

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

use engine::{Engine, Ground};
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
    ground: Ground,
    engine: ArcSwap<Engine>,
    /// Held while engines change; false once there is to be none any more.
    running: tokio::sync::Mutex<bool>,
    founding: watch::Sender<Founding>,
    inbox: Inbox,
    writer: Writer,
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
        let cluster = dir.cluster().unwrap_or_else(|| ClusterId(rand::random()));
        let (founding, intent) = watch::channel(Founding { cluster, profile });
        let ground = Ground {
            id: dir.node_id(),
            transport,
            log,
            compaction,
            registry,
            founding: intent,
            state: watch::Sender::new(MetaState::before(dir.node_id())),
            elects: AtomicBool::new(true),
        };
        let engine = match Engine::start(&ground, profile, machine).await {
            Ok(engine) => engine,
            Err(error) => {
                writer.close().await;
                return Err(error);
            }
        };
        let inner = Arc::new(Inner {
            ground,
            engine: ArcSwap::from_pointee(engine),
            running: tokio::sync::Mutex::new(true),
            founding,
            inbox: Inbox::default(),
            writer,
        });
        tokio::spawn(follow_profile(
            Arc::downgrade(&inner),
            inner.ground.registry.clone(),
        ));
        Ok(Self { inner })
    }

    fn engine(&self) -> Arc<Engine> {
        self.inner.engine.load_full()
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.ground.id
    }

    /// The profile whose times Raft runs on: the cluster's, as soon as this node knows it.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.engine().profile
    }

    /// The registry, published after every change.
    #[must_use]
    pub fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.inner.ground.registry.clone()
    }

    /// This node's Raft, published after every change and, on a leader, at every heartbeat.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<MetaState> {
        self.inner.ground.state.subscribe()
    }

    /// The entry of the log by which this node votes, from Raft itself: what [`Meta::state`] publishes may be late.
    #[must_use]
    pub fn voters_at(&self) -> VotersAt {
        state::voters_at(&self.engine().raft.metrics().borrow_watched().membership_config)
    }

    /// This node's Raft, from Raft itself.
    #[must_use]
    pub fn state_now(&self) -> MetaState {
        MetaState::of(&self.engine().raft.metrics().borrow_watched())
    }

    /// The answer to another node's Raft request. It may wait for the disk: give every request a task of its own.
    /// Never fails; bytes that are no request are answered as such, and counted.
    pub async fn handle_rpc(&self, from: NodeId, request: Bytes) -> Bytes {
        self.inner.inbox.answer(&self.engine().raft, from, &request).await
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
        self.inner.ground.elects.store(allowed, Ordering::Release);
        self.engine().raft.runtime_config().elect(allowed);
    }

    /// Waits until this node has no vote, for at most so long; true when it has none. A node that leaves must not end
    /// before: the others would count it among the voters for ever.
    pub async fn out_of_voters(&self, within: Duration) -> bool {
        let mut state = self.state();
        let id = self.id();
        let out = state.wait_for(|s| !s.voters.contains(&id));
        tokio::time::timeout(within, out)
            .await
            .is_ok_and(|left| left.is_ok())
    }

    /// Ends Raft's backoff towards a node whose link is back.
    pub async fn peer_is_back(&self, peer: NodeId) {
        // Raft that has stopped has nothing to send.
        let _ = self.engine().raft.trigger().reset_backoff([peer.0]).await;
    }

    /// Stops Raft, writes what is queued and closes the file.
    pub async fn shutdown(&self) {
        // No other engine from here on.
        *self.inner.running.lock().await = false;
        if let Err(e) = self.engine().raft.shutdown().await {
            tracing::warn!(error = %e, "Raft did not stop in order");
        }
        self.inner.writer.close().await;
    }
}

/// Changes to the cluster's profile where a node was started with another one: a joiner whose elections come sooner than
/// the cluster's heartbeats would trouble everybody.
async fn follow_profile(meta: Weak<Inner>, mut registry: watch::Receiver<Arc<Registry>>) {
    loop {
        let wanted = {
            let registry = registry.borrow_and_update();
            registry.cluster.map(|_| registry.profile)
        };
        if let Some(wanted) = wanted {
            let Some(inner) = meta.upgrade() else { return };
            if let Err(error) = inner.run_on(wanted).await {
                tracing::error!(%error, "the meta plane cannot run on the cluster's times");
                engine::tell_failure(&inner.ground.state, &error);
                return;
            }
        }
        if registry.changed().await.is_err() {
            return;
        }
    }
}

impl Inner {
    async fn run_on(&self, profile: Profile) -> Result<(), MetaError> {
        let running = self.running.lock().await;
        let engine = self.engine.load_full();
        if !*running || engine.profile == profile {
            return Ok(());
        }
        let (cluster, own) = (profile.as_str(), engine.profile.as_str());
        tracing::warn!(
            "the cluster runs on the profile '{cluster}', this node was started with '{own}': '{cluster}' it is"
        );
        let next = engine.rerun(&self.ground, profile).await?;
        self.engine.store(Arc::new(next));
        Ok(())
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
