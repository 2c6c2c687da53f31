//! The node's data directory: one owner at a time, and the small identity that outlives a run (node id, boot
//! count, incarnation, cluster). The registry's file lies here too, but `meta` reads and writes it.

mod fault;
mod identity;

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use squall_kernel::id::{Boot, ClusterId, Incarnation, NodeId};

use crate::calendar::Calendar;
pub use fault::DiskFault;
pub(crate) use fault::Holds;
use identity::{
    IDENTITY_FILE, Identity, LAYOUT, RECOVERED_FILE, next_run, read_identity, settled, write_identity,
};

const LOCK_FILE: &str = "lock";
const REGISTRY_FILE: &str = "registry.redb";

/// Why a data directory cannot be used. Nothing in it was deleted or changed.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another node runs on it.
    #[error("data directory {} is held by another node{}", dir.display(), holder.map(|p| format!(" (process {p})")).unwrap_or_default())]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The holder's process id in the operating system, when the lock file tells it.
        holder: Option<u32>,
    },
    /// The identity file cannot be understood.
    #[error("identity file {} is damaged: {why}; the node does not start with it, and the file stays as it is; restore it, or {}", file.display(), Rejoin(file.parent().unwrap_or(file)))]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Written by a later version.
    #[error("identity file {} has layout {found}, this version knows {LAYOUT}", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// Written by an earlier version, whose registry this one would misread.
    #[error(
        "identity file {} has layout {found}, this version knows {LAYOUT} alone: start with an empty data directory; the \
         nodes that have a registry of this layout bring it up to date",
        file.display()
    )]
    Older {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// It belongs to another cluster.
    #[error("data directory {} belongs to cluster {bound}, not to {wanted}", dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// Cluster it belongs to.
        bound: ClusterId,
        /// Cluster it was to be bound to.
        wanted: ClusterId,
    },
    /// The file system refused.
    #[error("cannot {doing} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// Directory or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The error.
        source: io::Error,
    },
}

/// How a node comes back whose data directory cannot be used: the exact steps.
pub(crate) struct Rejoin<'a>(pub(crate) &'a Path);

impl fmt::Display for Rejoin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.0.display();
        write!(
            f,
            "to rejoin: keep the directory aside (mv {dir} {dir}.damaged), then start the node under the same --name \
             with --join and the empty directory {dir}; if no majority of the voters is left to join, first run \
             squall node recover --from-survivor --data DIR on the directory of a healthy node"
        )
    }
}

/// An open data directory; the lock is held until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    fault: Arc<DiskFault>,
    identity: Mutex<Identity>,
    /// Closing the file gives the lock back.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be, takes its lock and counts this start as a new run.
    ///
    /// # Errors
    /// [`DataDirError`] names the directory or file; a damaged identity is left as it is.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(io_error(&path, "create data directory"))?;
        let lock = take_lock(&path)?;
        let stored = read_identity(&path.join(IDENTITY_FILE))?;
        let identity = next_run(
            stored.map(|stored| settled(stored, &path)),
            Calendar::default().unix_ms(),
        );
        write_identity(&path, &identity)?;
        Ok(Self::held(path, identity, lock))
    }

    /// Takes the lock of an existing directory, to look at it or to recover it: no run is counted, nothing written but
    /// the lock's note.
    ///
    /// # Errors
    /// [`DataDirError`], also when no node ever ran there.
    pub fn open_offline(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        let file = path.join(IDENTITY_FILE);
        let Some(identity) = read_identity(&file)? else {
            return Err(io_error(&file, "read identity file")(
                io::ErrorKind::NotFound.into(),
            ));
        };
        let lock = take_lock(&path)?;
        // Read again under the lock: a node may just have ended.
        let identity = read_identity(&file)?.unwrap_or(identity);
        let identity = settled(identity, &path);
        Ok(Self::held(path, identity, lock))
    }

    /// The cluster of the directory at that path and its latest run, without its lock and whoever holds it; none where there is
    /// none, or it belongs to no cluster yet.
    #[must_use]
    pub fn peek(path: &Path) -> Option<(ClusterId, Incarnation, Boot)> {
        let identity = read_identity(&path.join(IDENTITY_FILE)).ok()??;
        let identity = settled(identity, path);
        let cluster = identity.cluster.as_deref().and_then(ClusterId::read)?;
        Some((cluster, Incarnation(identity.incarnation), Boot(identity.boot)))
    }

    fn held(path: PathBuf, identity: Identity, lock: File) -> Self {
        Self {
            path,
            fault: Arc::default(),
            identity: Mutex::new(identity),
            _lock: lock,
        }
    }

    /// The faults of the disk below it.
    #[must_use]
    pub fn disk_fault(&self) -> &Arc<DiskFault> {
        &self.fault
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node's id, drawn when the directory was first opened; never 0.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(self.read(|i| i.node_id))
    }

    /// Which run of this directory this is, from 1.
    #[must_use]
    pub fn boot(&self) -> Boot {
        Boot(self.read(|i| i.boot))
    }

    /// This run.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.read(|i| i.incarnation))
    }

    /// The cluster this directory belongs to.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.read(|i| i.cluster.as_deref().and_then(ClusterId::read))
    }

    /// Binds the directory to a cluster for good; durable when this returns. Binding it again to the same one
    /// does nothing.
    ///
    /// # Errors
    /// [`DataDirError::OtherCluster`] when it belongs to another one already.
    pub fn bind_cluster(&self, wanted: ClusterId) -> Result<(), DataDirError> {
        match self.cluster() {
            Some(bound) if bound == wanted => Ok(()),
            Some(bound) => Err(DataDirError::OtherCluster {
                dir: self.path.clone(),
                bound,
                wanted,
            }),
            None => self.update(|i| i.cluster = Some(wanted.to_string())),
        }
    }

    /// Clusters it was taken out of by a recovery; it never goes back.
    #[must_use]
    pub fn former_clusters(&self) -> Vec<ClusterId> {
        self.read(|i| i.former.iter().filter_map(|text| ClusterId::read(text)).collect())
    }

    /// Where a recovery writes the registry's new file before it takes the place of the old one.
    #[must_use]
    pub fn recovered_file(&self) -> PathBuf {
        self.path.join(RECOVERED_FILE)
    }

    /// Puts the recovered file in the place of the registry's, and binds the directory to the new cluster, in one step:
    /// the rename. Before it the directory is what it was, after it a member of `cluster`, whenever a crash comes.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn switch_cluster(&self, cluster: ClusterId) -> Result<(), DataDirError> {
        self.update(|i| i.recovering = Some(cluster.to_string()))?;
        let (from, to) = (self.recovered_file(), self.registry_file());
        fs::rename(&from, &to).map_err(io_error(&to, "replace"))?;
        sync_dir(&self.path).map_err(io_error(&self.path, "sync"))?;
        let path = self.path.clone();
        self.update(|i| *i = settled(i.clone(), &path))
    }

    /// Where the registry's log and snapshot lie.
    #[must_use]
    pub fn registry_file(&self) -> PathBuf {
        self.path.join(REGISTRY_FILE)
    }

    /// True once the registry's file was created.
    #[must_use]
    pub fn has_registry(&self) -> bool {
        self.read(|i| i.registry)
    }

    /// Notes, durably, that the registry's file exists from now on.
    ///
    /// # Errors
    /// [`DataDirError::Io`] when the identity cannot be written.
    pub fn mark_registry(&self) -> Result<(), DataDirError> {
        if self.has_registry() {
            Ok(())
        } else {
            self.update(|i| i.registry = true)
        }
    }

    fn read<T>(&self, of: impl FnOnce(&Identity) -> T) -> T {
        of(&self.identity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update(&self, change: impl FnOnce(&mut Identity)) -> Result<(), DataDirError> {
        let mut held = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = held.clone();
        change(&mut next);
        write_identity(&self.path, &next)?;
        *held = next;
        Ok(())
    }
}

/// Makes renamed and created names in `dir` survive a power loss.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::StorageFull {
        "; make room on its file system, then start the node again"
    } else {
        ""
    }
}

fn io_error<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> DataDirError + 'a {
    move |source| DataDirError::Io {
        path: path.to_path_buf(),
        doing,
        source,
    }
}

fn take_lock(dir: &Path) -> Result<File, DataDirError> {
    let file = dir.join(LOCK_FILE);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file)
        .map_err(io_error(&file, "open lock file"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The holder's number is a courtesy; an unreadable one is only left out.
            let _ = (&mut lock).take(16).read_to_string(&mut text);
            return Err(DataDirError::Held {
                dir: dir.to_path_buf(),
                holder: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(io_error(&file, "lock")(source)),
    }
    let mut note = || -> io::Result<()> {
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())
    };
    note().map_err(io_error(&file, "write lock file"))?;
    Ok(lock)
}

#[cfg(test)]
#[path = "datadir_test.rs"]
mod tests;
