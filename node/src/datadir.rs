//! The node's data directory: one owner at a time, and the small identity that outlives a run (node id, boot
//! count, incarnation, cluster). The registry's file lies here too, but `meta` reads and writes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use squall_kernel::id::{Boot, ClusterId, Incarnation, NodeId};

const LOCK_FILE: &str = "lock";
const IDENTITY_FILE: &str = "identity.json";
const REGISTRY_FILE: &str = "registry.redb";
/// Layout of the identity file; a higher one was written by a later Squall.
const LAYOUT: u32 = 1;
/// An identity is some 200 bytes: a larger file is none of ours and is not read into memory.
const IDENTITY_BYTES_MAX: u64 = 16 * 1024;

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
    #[error("identity file {} is damaged: {why}; restore it, or start on an empty data directory as a new node", file.display())]
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
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// Directory or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The error.
        source: io::Error,
    },
}

/// An open data directory; the lock is held until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Mutex<Identity>,
    /// Closing the file gives the lock back.
    _lock: File,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    layout: u32,
    node_id: u64,
    boot: u32,
    incarnation: u64,
    /// 32 hexadecimal digits: not every reader of JSON has 128 bits.
    cluster: Option<String>,
    /// True once the registry's file was created: from then on a missing one is a loss, not a beginning.
    registry: bool,
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
        let identity = next_run(stored, unix_ms());
        write_identity(&path, &identity)?;
        Ok(Self {
            path,
            identity: Mutex::new(identity),
            _lock: lock,
        })
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
        self.read(|i| i.cluster.as_deref().and_then(parse_cluster))
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

fn read_identity(file: &Path) -> Result<Option<Identity>, DataDirError> {
    let text = match File::open(file) {
        Ok(open) => {
            let mut text = Vec::new();
            open.take(IDENTITY_BYTES_MAX)
                .read_to_end(&mut text)
                .map_err(io_error(file, "read identity file"))?;
            text
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(file, "open identity file")(e)),
    };
    let damaged = |why: String| DataDirError::Damaged {
        file: file.to_path_buf(),
        why,
    };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    // Read by itself first: a later layout may have fields this version cannot parse.
    if let Some(found) = value.get("layout").and_then(serde_json::Value::as_u64)
        && found > u64::from(LAYOUT)
    {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        return Err(DataDirError::Newer {
            file: file.to_path_buf(),
            found,
        });
    }
    let identity: Identity = serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?;
    if identity.node_id == 0 {
        return Err(damaged("the node id is 0".into()));
    }
    if let Some(text) = &identity.cluster
        && parse_cluster(text).is_none()
    {
        return Err(damaged(format!("'{text}' is not a cluster id")));
    }
    Ok(Some(identity))
}

fn parse_cluster(text: &str) -> Option<ClusterId> {
    (text.len() == 32)
        .then(|| u128::from_str_radix(text, 16).ok().map(ClusterId))
        .flatten()
}

fn next_run(stored: Option<Identity>, now_ms: u64) -> Identity {
    let old = stored.unwrap_or_else(|| Identity {
        layout: LAYOUT,
        node_id: rand::random_range(1..=u64::MAX),
        boot: 0,
        incarnation: 0,
        cluster: None,
        registry: false,
    });
    Identity {
        boot: old.boot + 1,
        incarnation: now_ms.max(old.incarnation + 1),
        ..old
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Write beside, sync, rename, sync the directory: a crash leaves the old identity or the new one.
fn write_identity(dir: &Path, identity: &Identity) -> Result<(), DataDirError> {
    let (file, beside) = (dir.join(IDENTITY_FILE), dir.join("identity.json.new"));
    let text = serde_json::to_vec_pretty(identity).expect("an identity is plain data, JSON can hold it");
    let replace = || -> io::Result<()> {
        let mut out = File::create(&beside)?;
        out.write_all(&text)?;
        out.sync_all()?;
        fs::rename(&beside, &file)?;
        sync_dir(dir)
    };
    replace().map_err(io_error(&file, "write identity file"))
}

#[cfg(test)]
#[path = "datadir_test.rs"]
mod tests;
