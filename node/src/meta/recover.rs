//! A new cluster from one survivor's data directory, when the quorum is lost for good. Offline: the directory's lock
//! is held throughout. What does not live here: who confirms it, and how it is printed.
//!
//! Every entry of the survivor's log is kept and applied, committed or not: the survivor cannot know what the lost
//! majority had acknowledged. To drop an acknowledged entry breaks a promise; to carry out one that was not
//! acknowledged does what its caller, who was told that the fate is unknown, must reckon with.
//!
//! The new file holds one snapshot and no log: a node that joins later gets it whole, and never the log's old part,
//! in which the cluster is still the lost one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use openraft::impls::BasicNode;
use openraft::vote::RaftLeaderId as _;
use openraft::{EntryPayload, Membership};
use squall_kernel::id::{ClusterId, NodeId, NodeName, Revision, Term};
use squall_kernel::registry::{Command, Outcome, Registry};

use super::disk::{self, DiskError, Loaded, Op};
use super::types::{LeaderId, LogId, Members, SnapshotMeta, Vote};
use super::writer::encode_registry;
use crate::datadir::{DataDir, DataDirError, sync_dir};

/// Why nothing was recovered; the directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The directory cannot be used, or a node runs on it.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Its registry cannot be trusted.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It never was a member.
    #[error("data directory {} belongs to no cluster: there is nothing to recover", dir.display())]
    NotAMember {
        /// The directory.
        dir: PathBuf,
    },
    /// It is its own quorum.
    #[error("node '{name}' is the only voter already: start it, there is nothing to recover")]
    NotNeeded {
        /// The node.
        name: NodeName,
    },
    /// Another name was typed.
    #[error("'{typed}' is not the name of this node, which is '{name}'; nothing was changed")]
    NotConfirmed {
        /// What was typed.
        typed: String,
        /// The node.
        name: NodeName,
    },
    /// The registry refused.
    #[error("the registry refuses to be recovered: {0}")]
    Refused(squall_kernel::registry::Refused),
    /// The new file cannot be written.
    #[error("cannot write {}: {source}; nothing was changed", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The error.
        source: io::Error,
    },
}

/// A survivor's directory, verified and locked, with what a recovery would make of it.
#[derive(Debug)]
pub struct Survivor {
    dir: DataDir,
    name: NodeName,
    loaded: Loaded,
    before: Registry,
}

/// What a recovery keeps and what it gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// The survivor.
    pub name: NodeName,
    /// The cluster that ends.
    pub cluster: ClusterId,
    /// Last entry of the survivor's log: all up to it is kept.
    pub revision: Revision,
    /// Term of that entry. Of several survivors the one with the highest term, then the highest revision, has the most.
    pub term: Term,
    /// How far the survivor knows the log to be committed.
    pub committed: Revision,
    /// Exchanges kept.
    pub exchanges: usize,
    /// Exchanges that another node owns.
    pub taken_over: usize,
    /// Nodes given up.
    pub given_up: Vec<NodeName>,
}

/// A recovery that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The new cluster.
    pub cluster: ClusterId,
    /// Its first revision.
    pub revision: Revision,
    /// The registry's file as it was.
    pub backup: PathBuf,
}

impl Survivor {
    /// Takes the directory's lock and reads its registry; changes nothing.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn open(path: &Path) -> Result<Self, RecoverError> {
        let dir = DataDir::open_offline(path)?;
        let not_a_member = || RecoverError::NotAMember { dir: path.to_owned() };
        if !dir.has_registry() {
            return Err(not_a_member());
        }
        let file = dir.registry_file();
        if !file.exists() {
            return Err(DiskError::Missing { file }.into());
        }
        let (_closed, loaded) = disk::examine(&file, dir.node_id(), dir.disk_fault())?;
        let before = replay(&loaded);
        let me = before.nodes.get(&dir.node_id());
        let (Some(name), Some(_)) = (me.map(|me| me.name.clone()), before.cluster) else {
            return Err(not_a_member());
        };
        if voters(&loaded) == BTreeSet::from([dir.node_id().0]) {
            return Err(RecoverError::NotNeeded { name });
        }
        Ok(Self {
            dir,
            name,
            loaded,
            before,
        })
    }

    /// What would be kept and what given up.
    #[must_use]
    pub fn prospect(&self) -> Prospect {
        let me = self.dir.node_id();
        let (registry, last) = (&self.before, self.loaded.last_log_id());
        let others = registry.nodes.values().filter(|n| n.id != me);
        let index = |id: Option<LogId>| Revision(id.map_or(0, |id| id.index));
        Prospect {
            name: self.name.clone(),
            cluster: registry
                .cluster
                .expect("open refuses a directory without a cluster"),
            revision: index(last),
            term: Term(last.map_or(0, |id| id.leader_id.term)),
            committed: index(self.loaded.committed),
            exchanges: registry.exchanges.len(),
            taken_over: registry.exchanges.len() - registry.owned_by(me).count(),
            given_up: others.map(|n| n.name.clone()).collect(),
        }
    }

    /// Makes the directory the one voter of a new cluster, if `typed` is the node's name. A crash on the way leaves the
    /// directory as it was or recovered.
    ///
    /// # Errors
    /// [`RecoverError`]; nothing is changed then.
    pub fn recover(self, typed: &str) -> Result<Recovered, RecoverError> {
        if typed != self.name.as_str() {
            return Err(RecoverError::NotConfirmed {
                typed: typed.to_owned(),
                name: self.name,
            });
        }
        let cluster = ClusterId(rand::random());
        let (ops, revision) = self.new_state(cluster)?;
        let (node, fault) = (self.dir.node_id(), self.dir.disk_fault());
        let new = self.dir.recovered_file();
        disk::write_new(&new, node, fault, &ops)?;
        // What the node will do with it at its start, done once now.
        disk::examine(&new, node, fault)?;
        let backup = self.back_up()?;
        self.dir.switch_cluster(cluster)?;
        Ok(Recovered {
            cluster,
            revision,
            backup,
        })
    }

    /// All that the new file holds: two entries after the last, one that makes this node the only voter and one that
    /// makes the registry a new cluster's, applied and compacted into a snapshot.
    fn new_state(&self, cluster: ClusterId) -> Result<(Vec<Op>, Revision), RecoverError> {
        let node = self.dir.node_id();
        let leader = LeaderId::new(self.term() + 1, node.0);
        let next = self.loaded.last_log_id().map_or(0, |id| id.index) + 1;
        let [alone, recovered] = [next, next + 1].map(|index| LogId {
            leader_id: leader.to_committed(),
            index,
        });
        let mut registry = self.before.clone();
        registry.skip(Revision(alone.index));
        let revision = Revision(recovered.index);
        let survivor = Command::Recover {
            cluster,
            survivor: node,
        };
        if let Outcome::Refused(refused) = registry.apply(revision, &survivor) {
            return Err(RecoverError::Refused(refused));
        }
        let bytes = encode_registry(&registry).map_err(|source| self.cannot_write(source))?;
        let about = SnapshotMeta {
            last_log_id: Some(recovered),
            last_membership: Members::new(Some(alone), sole_voter(node, &registry)),
        };
        let vote = Vote {
            leader_id: leader,
            committed: true,
        };
        let ops = vec![
            Op::Vote(vote),
            Op::Snapshot(about, bytes),
            Op::Purge(recovered),
            Op::Committed(Some(recovered)),
        ];
        Ok((ops, revision))
    }

    /// The highest term this node has seen.
    fn term(&self) -> u64 {
        let voted = self.loaded.vote.map_or(0, |vote| vote.leader_id.term);
        voted.max(self.loaded.last_log_id().map_or(0, |id| id.leader_id.term))
    }

    /// A second name for the file as it is; the first one goes to the new file.
    fn back_up(&self) -> Result<PathBuf, RecoverError> {
        let file = self.dir.registry_file();
        let old = self.before.cluster.map(|c| c.to_string()).unwrap_or_default();
        let backup = file.with_extension(format!("redb.before-recovery-{}", &old[..old.len().min(8)]));
        let make = || -> io::Result<()> {
            if backup.try_exists()? {
                // Of a recovery that did not get as far as the rename: the file it names has not changed since.
                fs::remove_file(&backup)?;
            }
            // Not every file system has hard links.
            fs::hard_link(&file, &backup).or_else(|_| {
                fs::copy(&file, &backup)?;
                fs::File::open(&backup)?.sync_all()
            })?;
            sync_dir(self.dir.path())
        };
        make().map_err(|source| RecoverError::Write {
            file: backup.clone(),
            source,
        })?;
        Ok(backup)
    }

    fn cannot_write(&self, source: io::Error) -> RecoverError {
        RecoverError::Write {
            file: self.dir.recovered_file(),
            source,
        }
    }
}

/// The registry with every entry applied.
fn replay(loaded: &Loaded) -> Registry {
    let mut registry = loaded.base.clone().unwrap_or_default();
    for (index, entry) in &loaded.entries {
        let at = Revision(*index);
        if at <= registry.revision && at.0 > 0 {
            continue;
        }
        match &entry.payload {
            EntryPayload::Normal(proposal) => drop(registry.apply(at, &proposal.0)),
            // Index 0 is the founding membership: the registry is at revision 0 already.
            _ if at.0 == 0 => {}
            _ => registry.skip(at),
        }
    }
    registry
}

/// The voters of the last membership in the log or the snapshot.
fn voters(loaded: &Loaded) -> BTreeSet<u64> {
    let last = loaded
        .entries
        .values()
        .rev()
        .find_map(|entry| match &entry.payload {
            EntryPayload::Membership(members) => Some(members.voter_ids().collect()),
            _ => None,
        });
    let stored = || {
        let (about, _) = loaded.snapshot.as_ref()?;
        Some(about.last_membership.voter_ids().collect())
    };
    last.or_else(stored).unwrap_or_default()
}

fn sole_voter(node: NodeId, registry: &Registry) -> Membership<u64, BasicNode> {
    let addr = registry
        .nodes
        .get(&node)
        .map(|n| n.mesh_addr.clone())
        .unwrap_or_default();
    let nodes = BTreeMap::from([(node.0, BasicNode { addr })]);
    Membership::new(vec![BTreeSet::from([node.0])], nodes).expect("the one voter is among the nodes")
}

#[cfg(test)]
#[path = "recover_test.rs"]
mod tests;
