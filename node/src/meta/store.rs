//! Log and state machine on one database, ready for Raft.

use std::path::Path;
use std::sync::Arc;

use redb::Database;
use squall_kernel::id::NodeId;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Command, Registry};
use tokio::sync::watch;

use super::disk::{self, Disk, DiskError, Loaded};
use super::error::MetaError;
use super::log::{LogStore, Tail};
use super::machine::StateMachine;
use super::writer::{Commits, Writer};
use crate::datadir::DataDir;

/// What Raft needs of a node's storage.
pub struct Store {
    /// Log and vote.
    pub log: LogStore,
    /// The registry and its snapshots.
    pub machine: StateMachine,
    /// The registry as far as it is applied; empty until Raft has recovered it.
    pub registry: watch::Receiver<Arc<Registry>>,
    pub(crate) writer: Writer,
    /// The profile the stored registry was founded with.
    pub(crate) profile: Option<Profile>,
}

impl Store {
    /// Opens the registry's file of a data directory.
    pub(crate) fn open(dir: &DataDir) -> Result<Self, MetaError> {
        let (disk, loaded) = disk::open(dir)?;
        Self::assemble(disk, loaded, &dir.registry_file(), Commits::OnThread)
    }

    /// A store on any database, for instance one over a simulated `redb::StorageBackend`; `name` stands for it in
    /// errors. A database without tables becomes `node`'s.
    ///
    /// # Errors
    /// [`MetaError`] when the database is another node's or makes no sense.
    pub fn on(database: Database, name: &Path, node: NodeId, commits: Commits) -> Result<Self, MetaError> {
        let io = |source| DiskError::Io {
            file: name.to_path_buf(),
            source,
        };
        disk::prepare_if_empty(&database, node).map_err(io)?;
        let (disk, loaded) = Disk::load(database, name, node)?;
        Self::assemble(disk, loaded, name, commits)
    }

    fn assemble(disk: Disk, loaded: Loaded, file: &Path, commits: Commits) -> Result<Self, MetaError> {
        let profile = founded_with(&loaded);
        let writer = Writer::start(disk, file, commits).map_err(MetaError::Thread)?;
        let Loaded {
            vote,
            committed,
            purged,
            entries,
            snapshot,
            base: _,
        } = loaded;
        let log = LogStore::new(
            Tail {
                vote,
                committed,
                purged,
                entries,
            },
            writer.clone(),
        );
        let (machine, registry) = StateMachine::new(snapshot, writer.clone());
        Ok(Self {
            log,
            machine,
            registry,
            writer,
            profile,
        })
    }
}

/// From the snapshot, or from the founding command among the committed entries: needed before Raft runs.
fn founded_with(loaded: &Loaded) -> Option<Profile> {
    if let Some(base) = &loaded.base
        && base.cluster.is_some()
    {
        return Some(base.profile);
    }
    let committed = loaded.committed.map_or(0, |id| id.index);
    loaded
        .entries
        .range(..=committed)
        .find_map(|(_, entry)| match &entry.payload {
            openraft::EntryPayload::Normal(proposal) => match proposal.0 {
                Command::Found { profile, .. } => Some(profile),
                _ => None,
            },
            _ => None,
        })
}

#[cfg(test)]
#[path = "store_test.rs"]
mod tests;

#[cfg(test)]
#[path = "damage_test.rs"]
mod damage_tests;

#[cfg(test)]
#[path = "crash_test.rs"]
mod crash_tests;
