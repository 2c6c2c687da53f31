//! The registry's file: Raft's log, vote and snapshot in one redb database, and what makes it unusable.
//! What does not live here: when to commit (see `writer`), and what the bytes of a snapshot mean (see `machine`).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use squall_kernel::id::NodeId;

use super::types::{Entry, LogId, SnapshotMeta, Vote};
use crate::datadir::{DataDir, DataDirError, sync_dir};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const NODE: &str = "node";
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";
const SNAPSHOT_META: &str = "snapshot_meta";
const SNAPSHOT: &str = "snapshot";

/// The log is read from memory: redb's cache, 1 GiB by default, would only hold it twice.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Why the registry's file cannot be used. The node does not start, and the file stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It was there in an earlier run.
    #[error("registry file {} is missing; this node has voted and may have acknowledged writes: restore the file, or start on an empty data directory as a new node", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// Truncated, overwritten, or not a registry at all.
    #[error("registry file {} is damaged: {why}; restore it, or start on an empty data directory as a new node", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another node's file was copied here.
    #[error("registry file {} belongs to node {found:x}, this data directory to node {expected:x}", file.display(), found = found.0, expected = expected.0)]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Node that wrote it.
        found: NodeId,
        /// Node of this directory.
        expected: NodeId,
    },
    /// Held by another process.
    #[error("registry file {} is in use by another process", file.display())]
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// The file system refused.
    #[error("cannot use registry file {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The identity beside it cannot be written.
    #[error(transparent)]
    Identity(#[from] DataDirError),
}

/// One change of the file.
#[derive(Debug)]
pub(crate) enum Op {
    /// Entries, encoded, at their indexes.
    Append(Vec<(u64, Vec<u8>)>),
    /// Removes entries from this index on.
    TruncateFrom(u64),
    /// Removes entries up to this one.
    Purge(LogId),
    /// Replaces the vote.
    Vote(Vote),
    /// Notes how far the log is known to be committed. Nobody relies on it, so it waits for the next commit: it only
    /// makes a restarted node's registry younger before it hears of a leader.
    Committed(Option<LogId>),
    /// Replaces the snapshot, unless the file has a later one.
    Snapshot(SnapshotMeta, Bytes),
}

/// What a file held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) snapshot: Option<(SnapshotMeta, Bytes)>,
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Disk {
    database: Database,
    snapshot_at: Option<LogId>,
    /// Noted, and not written yet.
    committed: Option<LogId>,
}

/// Opens the registry's file of a data directory, or creates it if the directory never had one.
pub(crate) fn open(dir: &DataDir) -> Result<(Disk, Loaded), DiskError> {
    let file = dir.registry_file();
    let exists = file.try_exists().map_err(|source| DiskError::Io {
        file: file.clone(),
        source,
    })?;
    if !exists {
        if dir.has_registry() {
            return Err(DiskError::Missing { file });
        }
        create(&file, dir.node_id())?;
    }
    dir.mark_registry()?;
    let mut database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .open(&file)
        .map_err(|e| database_error(&file, e))?;
    // Reads the whole file once, some milliseconds: a flipped bit is found now and not in an election.
    match database.check_integrity() {
        Ok(true) => Disk::load(database, &file, dir.node_id()),
        Ok(false) => Err(damaged(&file, "checksums do not match")),
        Err(e) => Err(database_error(&file, e)),
    }
}

/// Under another name first: the file either is whole or does not exist.
fn create(file: &Path, node: NodeId) -> Result<(), DiskError> {
    let beside = file.with_extension("redb.new");
    let io = |source| DiskError::Io {
        file: beside.clone(),
        source,
    };
    // Remains of a start that did not get as far as the rename: never used, so nothing is lost with them.
    let fresh = File::create(&beside).map_err(io)?;
    drop(fresh);
    let database = Database::builder()
        .create(&beside)
        .map_err(|e| database_error(&beside, e))?;
    prepare(&database, node).map_err(io)?;
    drop(database);
    fs::rename(&beside, file).map_err(io)?;
    file.parent().map_or(Ok(()), sync_dir).map_err(io)
}

/// Makes the tables and writes whose file it is.
pub(crate) fn prepare(database: &Database, node: NodeId) -> io::Result<()> {
    let write = database.begin_write().map_err(io::Error::other)?;
    write.open_table(LOG).map_err(io::Error::other)?;
    write
        .open_table(META)
        .map_err(io::Error::other)?
        .insert(NODE, encode(&node.0).as_slice())
        .map_err(io::Error::other)?;
    write.commit().map_err(io::Error::other)
}

/// The same, unless somebody has done it already.
pub(crate) fn prepare_if_empty(database: &Database, node: NodeId) -> io::Result<()> {
    let read = database.begin_read().map_err(io::Error::other)?;
    match read.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => prepare(database, node),
        Ok(_) => Ok(()),
        Err(e) => Err(io::Error::other(e)),
    }
}

impl Disk {
    /// Reads everything; `file` only names the database in errors.
    pub(crate) fn load(database: Database, file: &Path, node: NodeId) -> Result<(Self, Loaded), DiskError> {
        let loaded = read_all(&database, file, node)?;
        check_order(&loaded).map_err(|why| damaged(file, why))?;
        let snapshot_at = loaded.snapshot.as_ref().and_then(|(meta, _)| meta.last_log_id);
        Ok((
            Self {
                database,
                snapshot_at,
                committed: None,
            },
            loaded,
        ))
    }

    /// Carries all of it out in one transaction, durable when this returns. False when nothing had to be written.
    pub(crate) fn commit(&mut self, ops: &[Op]) -> io::Result<bool> {
        for op in ops {
            if let Op::Committed(upto) = op {
                self.committed = self.committed.max(*upto);
            }
        }
        if ops.iter().all(|op| matches!(op, Op::Committed(_))) {
            return Ok(false);
        }
        self.transact(ops).map(|()| true)
    }

    /// Writes what may wait, before the file is closed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.committed.is_some() {
            self.transact(&[])
        } else {
            Ok(())
        }
    }

    fn transact(&mut self, ops: &[Op]) -> io::Result<()> {
        let mut write = self.database.begin_write().map_err(io::Error::other)?;
        write
            .set_durability(Durability::Immediate)
            .map_err(io::Error::other)?;
        let mut snapshot_at = self.snapshot_at;
        {
            let mut log = write.open_table(LOG).map_err(io::Error::other)?;
            let mut meta = write.open_table(META).map_err(io::Error::other)?;
            if let Some(upto) = &self.committed {
                meta.insert(COMMITTED, encode(upto).as_slice())
                    .map_err(io::Error::other)?;
            }
            for op in ops {
                carry_out(op, &mut log, &mut meta, &mut snapshot_at).map_err(io::Error::other)?;
            }
        }
        write.commit().map_err(io::Error::other)?;
        (self.snapshot_at, self.committed) = (snapshot_at, None);
        Ok(())
    }
}

fn carry_out(
    op: &Op,
    log: &mut redb::Table<'_, u64, &'static [u8]>,
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    snapshot_at: &mut Option<LogId>,
) -> Result<(), redb::StorageError> {
    match op {
        Op::Append(entries) => {
            for (index, bytes) in entries {
                log.insert(index, bytes.as_slice())?;
            }
        }
        Op::TruncateFrom(index) => log.retain_in(*index.., |_, _| false)?,
        Op::Purge(upto) => {
            log.retain_in(..=upto.index, |_, _| false)?;
            meta.insert(PURGED, encode(upto).as_slice())?;
        }
        Op::Vote(vote) => drop(meta.insert(VOTE, encode(vote).as_slice())?),
        Op::Committed(_) => {}
        Op::Snapshot(about, bytes) => {
            if about.last_log_id >= *snapshot_at {
                meta.insert(SNAPSHOT_META, encode(about).as_slice())?;
                meta.insert(SNAPSHOT, bytes.as_ref())?;
                *snapshot_at = about.last_log_id;
            }
        }
    }
    Ok(())
}

/// Postcard of plain data.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("ids, votes and entries are plain data of known length")
}

fn read_all(database: &Database, file: &Path, node: NodeId) -> Result<Loaded, DiskError> {
    let wrong = |e: redb::Error| damaged(file, e);
    let read = database.begin_read().map_err(|e| wrong(e.into()))?;
    let meta = read.open_table(META).map_err(|e| wrong(e.into()))?;
    let log = read.open_table(LOG).map_err(|e| wrong(e.into()))?;
    let value = |key: &'static str| -> Result<Option<Bytes>, DiskError> {
        let guard = meta.get(key).map_err(|e| wrong(e.into()))?;
        Ok(guard.map(|g| Bytes::copy_from_slice(g.value())))
    };
    let found: Option<u64> = decode(file, NODE, value(NODE)?)?;
    match found.map(NodeId) {
        Some(found) if found != node => {
            return Err(DiskError::Foreign {
                file: file.to_path_buf(),
                found,
                expected: node,
            });
        }
        None => return Err(damaged(file, "it does not say whose it is")),
        Some(_) => {}
    }
    let mut entries = BTreeMap::new();
    for row in log.iter().map_err(|e| wrong(e.into()))? {
        let (index, bytes) = row.map_err(|e| wrong(e.into()))?;
        let entry = postcard::from_bytes(bytes.value())
            .map_err(|e| damaged(file, format!("log entry {}: {e}", index.value())))?;
        entries.insert(index.value(), entry);
    }
    let about: Option<SnapshotMeta> = decode(file, SNAPSHOT_META, value(SNAPSHOT_META)?)?;
    let snapshot = match (about, value(SNAPSHOT)?) {
        (Some(about), Some(bytes)) => Some((about, bytes)),
        (None, None) => None,
        _ => return Err(damaged(file, "half of the snapshot is missing")),
    };
    Ok(Loaded {
        vote: decode(file, VOTE, value(VOTE)?)?,
        committed: decode(file, COMMITTED, value(COMMITTED)?)?,
        purged: decode(file, PURGED, value(PURGED)?)?,
        entries,
        snapshot,
    })
}

fn decode<T: DeserializeOwned>(
    file: &Path,
    what: &'static str,
    bytes: Option<Bytes>,
) -> Result<Option<T>, DiskError> {
    bytes
        .map(|b| postcard::from_bytes(&b).map_err(|e| damaged(file, format!("{what}: {e}"))))
        .transpose()
}

/// A log without holes, each entry where its own id says.
fn check_order(loaded: &Loaded) -> Result<(), String> {
    let mut expected = loaded.entries.keys().next().copied();
    for (index, entry) in &loaded.entries {
        if Some(*index) != expected || entry.log_id.index != *index {
            return Err(format!("log entry {index} is out of order"));
        }
        expected = Some(index + 1);
    }
    let first = loaded.entries.keys().next().copied();
    let after_purged = loaded.purged.map_or(0, |p| p.index + 1);
    match first {
        Some(first) if first != after_purged => {
            Err(format!("the log begins at {first}, not at {after_purged}"))
        }
        _ => Ok(()),
    }
}

fn damaged(file: &Path, why: impl Display) -> DiskError {
    DiskError::Damaged {
        file: file.to_path_buf(),
        why: why.to_string(),
    }
}

fn database_error(file: &Path, error: DatabaseError) -> DiskError {
    let file = file.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen => DiskError::InUse { file },
        DatabaseError::Storage(redb::StorageError::Io(source))
            if !matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            DiskError::Io { file, source }
        }
        other => DiskError::Damaged {
            file,
            why: other.to_string(),
        },
    }
}
