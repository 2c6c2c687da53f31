//! The registry's file: Raft's log, vote and snapshot in one redb database, opened, created and changed.
//! What does not live here: what makes it unusable (`examine`, `damage`), when to commit (see `writer`), and what the
//! bytes of a snapshot mean (see `machine`).

mod damage;
mod examine;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase as _, TableDefinition};
use serde::Serialize;
use squall_kernel::id::NodeId;

use super::backend::Guarded;
use super::types::{LogId, SnapshotMeta, Vote};
use crate::datadir::{DataDir, DiskFault, sync_dir};
use damage::{database_error, io_error};

pub use damage::{DiskError, WriteFailure};
pub(crate) use examine::Loaded;

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

/// The open database.
#[derive(Debug)]
pub(crate) struct Disk {
    database: Database,
    snapshot_at: Option<LogId>,
    /// Noted, and not written yet.
    committed: Option<LogId>,
}

/// Opens the registry's file of a data directory, or creates it if the directory never had one. A file that cannot be
/// trusted is not written to: all of it is verified on a copy in memory before the database gets hold of it, some
/// milliseconds, so that a flipped bit is found now and not in an election.
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
        create(&file, dir.node_id(), dir.disk_fault())?;
    }
    dir.mark_registry()?;
    let (guarded, loaded) = examine(&file, dir.node_id(), dir.disk_fault())?;
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(guarded)
        .map_err(|e| database_error(&file, None, e))?;
    Ok((Disk::new(database, &loaded), loaded))
}

/// Verifies and reads the file, and leaves it as it is.
pub(crate) fn examine(
    file: &Path,
    node: NodeId,
    fault: &Arc<DiskFault>,
) -> Result<(Guarded, Loaded), DiskError> {
    let io = |source| DiskError::Io {
        file: file.to_path_buf(),
        source,
    };
    let guarded = Guarded::open(file, Arc::clone(fault)).map_err(|e| database_error(file, None, e))?;
    let Some(bytes) = guarded.image().map_err(io)? else {
        return Err(DiskError::InUse {
            file: file.to_path_buf(),
        });
    };
    let loaded = examine::image(bytes, file, node)?;
    Ok((guarded, loaded))
}

/// Under another name first: the file either is whole or does not exist.
fn create(file: &Path, node: NodeId, fault: &Arc<DiskFault>) -> Result<(), DiskError> {
    let beside = file.with_extension("redb.new");
    write_new(&beside, node, fault, &[])?;
    let io = |source| DiskError::Io {
        file: beside.clone(),
        source,
    };
    fs::rename(&beside, file).map_err(io)?;
    file.parent().map_or(Ok(()), sync_dir).map_err(io)
}

/// A file of that node with these changes in it, durable when this returns; whatever had the name is gone.
pub(crate) fn write_new(
    file: &Path,
    node: NodeId,
    fault: &Arc<DiskFault>,
    ops: &[Op],
) -> Result<(), DiskError> {
    let io = |source| DiskError::Io {
        file: file.to_path_buf(),
        source,
    };
    // Remains of a start that did not get as far as the rename: never used, so nothing is lost with them.
    let fresh = File::create(file).map_err(io)?;
    let guarded = Guarded::open(file, Arc::clone(fault)).map_err(|e| database_error(file, None, e))?;
    let database = Database::builder()
        .create_with_backend(guarded)
        .map_err(|e| database_error(file, None, e))?;
    prepare(&database, node).map_err(io)?;
    let mut disk = Disk::new(database, &Loaded::default());
    disk.commit(ops).map_err(io)?;
    drop(disk);
    fresh.sync_all().map_err(io)
}

/// Makes the tables and writes whose file it is.
pub(crate) fn prepare(database: &Database, node: NodeId) -> io::Result<()> {
    let mut write = database.begin_write().map_err(io_error)?;
    write.set_two_phase_commit(true);
    write.open_table(LOG).map_err(io_error)?;
    write
        .open_table(META)
        .map_err(io_error)?
        .insert(NODE, encode(&node.0).as_slice())
        .map_err(io_error)?;
    write.commit().map_err(io_error)
}

/// The same, unless somebody has done it already.
pub(crate) fn prepare_if_empty(database: &Database, node: NodeId) -> io::Result<()> {
    let read = database.begin_read().map_err(io_error)?;
    match read.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => prepare(database, node),
        Ok(_) => Ok(()),
        Err(e) => Err(io::Error::other(e)),
    }
}

impl Disk {
    /// Reads everything of a database on any backend; `file` only names it in errors.
    pub(crate) fn load(database: Database, file: &Path, node: NodeId) -> Result<(Self, Loaded), DiskError> {
        let loaded = examine::read(&database, file, node, &|| None)?;
        Ok((Self::new(database, &loaded), loaded))
    }

    fn new(database: Database, loaded: &Loaded) -> Self {
        Self {
            database,
            snapshot_at: loaded.snapshot.as_ref().and_then(|(meta, _)| meta.last_log_id),
            committed: None,
        }
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
        let mut write = self.database.begin_write().map_err(io_error)?;
        write.set_durability(Durability::Immediate).map_err(io_error)?;
        // In one phase the database may go back to the commit before the last when a page of the last one does not
        // match its checksum, as after a power loss: an acknowledged vote could be forgotten without a word.
        write.set_two_phase_commit(true);
        let mut snapshot_at = self.snapshot_at;
        {
            let mut log = write.open_table(LOG).map_err(io_error)?;
            let mut meta = write.open_table(META).map_err(io_error)?;
            if let Some(upto) = &self.committed {
                meta.insert(COMMITTED, encode(upto).as_slice())
                    .map_err(io_error)?;
            }
            for op in ops {
                carry_out(op, &mut log, &mut meta, &mut snapshot_at).map_err(io_error)?;
            }
        }
        write.commit().map_err(io_error)?;
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
