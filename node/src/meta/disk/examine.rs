//! Reads a registry's file and trusts nothing in it: checksums, values, and whether log, vote and snapshot can belong
//! together. It works on an image in memory, so that whatever is found, the file stays as it is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _};
use serde::de::DeserializeOwned;
use squall_kernel::id::NodeId;
use squall_kernel::registry::Registry;

use super::super::backend::{self, Image, Place};
use super::super::machine;
use super::super::types::{Entry, LogId, SnapshotMeta, Vote};
use super::damage::{DiskError, database_error};
use super::{COMMITTED, LOG, META, NODE, PURGED, SNAPSHOT, SNAPSHOT_META, VOTE};

/// Progress that redb reports when the commit that counts does not verify and it turns to the other one.
const OTHER_COMMIT: Range<f64> = 0.1..0.5;

/// What a file held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) snapshot: Option<(SnapshotMeta, Bytes)>,
    /// The registry in the snapshot.
    pub(crate) base: Option<Registry>,
}

impl Loaded {
    /// Last entry of the log, or what stands for it.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        let entry = self.entries.values().next_back().map(|e| e.log_id);
        entry.or(self.purged).max(self.snapshot_log_id())
    }

    fn snapshot_log_id(&self) -> Option<LogId> {
        self.snapshot.as_ref().and_then(|(about, _)| about.last_log_id)
    }
}

/// Verifies and reads the bytes of a file.
pub(super) fn image(mut bytes: Vec<u8>, file: &Path, node: NodeId) -> Result<Loaded, DiskError> {
    let (len, header_holds) = (bytes.len() as u64, backend::header_holds(&bytes));
    let damaged = |at: Place, why: &str| DiskError::Damaged {
        file: file.to_path_buf(),
        at: Some(at),
        why: why.to_owned(),
    };
    if len < backend::header_end() {
        let at = Place { offset: len, len: 0 };
        return Err(damaged(at, "the file ends before its header does"));
    }
    if !header_holds {
        return Err(damaged(backend::header(), "the header's checksum does not match"));
    }
    backend::distrust(&mut bytes);
    let image = Image::new(bytes);
    let opened = Database::builder()
        // Every look at the bytes is to be seen, or the last one seen would not be the bad one.
        .set_cache_size(0)
        .set_repair_callback(|session| {
            if OTHER_COMMIT.contains(&session.progress()) {
                session.abort();
            }
        })
        .create_with_backend(image.clone());
    match opened {
        Ok(database) => read(&database, file, node, &|| Some(image.last_read())),
        Err(DatabaseError::RepairAborted) => Err(damaged(image.last_read(), "a checksum does not match")),
        Err(e) => Err(place_of(database_error(file, Some(image.last_read()), e), len)),
    }
}

/// A file cut short is damaged where it ends, though its header was read last.
fn place_of(error: DiskError, len: u64) -> DiskError {
    match error {
        DiskError::Damaged { file, at, why } => {
            let cut = why.contains("truncated below") || at.is_some_and(|at| at.offset + at.len > len);
            let at = if cut {
                Some(Place { offset: len, len: 0 })
            } else {
                at
            };
            DiskError::Damaged { file, at, why }
        }
        other => other,
    }
}

/// Where the database was read last.
pub(super) type LastRead<'a> = &'a dyn Fn() -> Option<Place>;

/// Reads everything of a database whose checksums hold.
pub(super) fn read(
    database: &Database,
    file: &Path,
    node: NodeId,
    last_read: LastRead<'_>,
) -> Result<Loaded, DiskError> {
    let wrong = |e: redb::Error| match e {
        redb::Error::Io(source) => database_error(file, last_read(), redb::StorageError::Io(source).into()),
        other => DiskError::Damaged {
            file: file.to_path_buf(),
            at: last_read(),
            why: other.to_string(),
        },
    };
    let read = database.begin_read().map_err(|e| wrong(e.into()))?;
    let reader = Reader {
        file,
        last_read,
        meta: read.open_table(META).map_err(|e| wrong(e.into()))?,
        log: read.open_table(LOG).map_err(|e| wrong(e.into()))?,
    };
    reader.check_owner(node)?;
    let (snapshot, base) = reader.snapshot()?.map_or((None, None), |(about, bytes, base)| {
        (Some((about, bytes)), Some(base))
    });
    let loaded = Loaded {
        vote: reader.value(VOTE)?,
        committed: reader.value(COMMITTED)?,
        purged: reader.value(PURGED)?,
        entries: reader.entries()?,
        snapshot,
        base,
    };
    reader.check_log(&loaded)?;
    reader.check_marks(&loaded)?;
    Ok(loaded)
}

struct Reader<'a> {
    file: &'a Path,
    last_read: LastRead<'a>,
    meta: ReadOnlyTable<&'static str, &'static [u8]>,
    log: ReadOnlyTable<u64, &'static [u8]>,
}

impl Reader<'_> {
    fn damaged(&self, why: impl Into<String>) -> DiskError {
        DiskError::Damaged {
            file: self.file.to_path_buf(),
            at: (self.last_read)(),
            why: why.into(),
        }
    }

    fn wrong(&self, error: redb::StorageError) -> DiskError {
        database_error(self.file, (self.last_read)(), error.into())
    }

    /// The same, about the place where this entry is, or should be.
    fn damaged_entry(&self, index: u64, why: impl Into<String>) -> DiskError {
        match self.log.get(index) {
            Ok(_) => self.damaged(why),
            Err(e) => self.wrong(e),
        }
    }

    fn damaged_value(&self, key: &'static str, why: impl Into<String>) -> DiskError {
        match self.meta.get(key) {
            Ok(_) => self.damaged(why),
            Err(e) => self.wrong(e),
        }
    }

    fn bytes(&self, key: &'static str) -> Result<Option<Bytes>, DiskError> {
        let guard = self.meta.get(key).map_err(|e| self.wrong(e))?;
        Ok(guard.map(|g| Bytes::copy_from_slice(g.value())))
    }

    fn value<T: DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>, DiskError> {
        let decode = |b: Bytes| postcard::from_bytes(&b).map_err(|e| self.damaged(format!("{key}: {e}")));
        self.bytes(key)?.map(decode).transpose()
    }

    fn check_owner(&self, node: NodeId) -> Result<(), DiskError> {
        match self.value(NODE)?.map(NodeId) {
            Some(found) if found != node => Err(DiskError::Foreign {
                file: self.file.to_path_buf(),
                found,
                expected: node,
            }),
            None => Err(self.damaged("it does not say whose it is")),
            Some(_) => Ok(()),
        }
    }

    fn snapshot(&self) -> Result<Option<(SnapshotMeta, Bytes, Registry)>, DiskError> {
        let about: Option<SnapshotMeta> = self.value(SNAPSHOT_META)?;
        match (about, self.bytes(SNAPSHOT)?) {
            (Some(about), Some(bytes)) => {
                let base = machine::decode(&bytes).map_err(|e| self.damaged(e.to_string()))?;
                Ok(Some((about, bytes, base)))
            }
            (None, None) => Ok(None),
            _ => Err(self.damaged("half of the snapshot is missing")),
        }
    }

    fn entries(&self) -> Result<BTreeMap<u64, Entry>, DiskError> {
        let mut entries = BTreeMap::new();
        for row in self.log.iter().map_err(|e| self.wrong(e))? {
            let (index, bytes) = row.map_err(|e| self.wrong(e))?;
            let entry = postcard::from_bytes(bytes.value()).map_err(|e| {
                self.damaged_entry(index.value(), format!("log entry {}: {e}", index.value()))
            })?;
            entries.insert(index.value(), entry);
        }
        Ok(entries)
    }

    /// A log without holes, each entry where its own id says, terms never falling.
    fn check_log(&self, loaded: &Loaded) -> Result<(), DiskError> {
        let mut expected = loaded.purged.map_or(0, |p| p.index + 1);
        let mut before = loaded.purged;
        for (index, entry) in &loaded.entries {
            if *index != expected {
                return Err(self.damaged_entry(
                    expected,
                    format!("log entry {expected} is missing, {index} is the next"),
                ));
            }
            if entry.log_id.index != *index || Some(entry.log_id) <= before {
                let why = format!("log entry {index} holds what belongs elsewhere");
                return Err(self.damaged_entry(*index, why));
            }
            (expected, before) = (index + 1, Some(entry.log_id));
        }
        Ok(())
    }

    /// Vote and committed mark belong to this log, and the snapshot reaches to where it begins. The vote of a term is
    /// durable before the first entry of that term, and an entry before the mark that it is committed. The founding entry is of term
    /// 0, which nobody votes in: whoever dies right behind it has no vote yet.
    fn check_marks(&self, loaded: &Loaded) -> Result<(), DiskError> {
        let last = loaded.last_log_id();
        if loaded.committed > last {
            let why = format!(
                "committed up to {}, but the log ends at {}",
                text(loaded.committed),
                text(last)
            );
            return Err(self.damaged_value(COMMITTED, why));
        }
        let voted = loaded.vote.map_or(0, |vote| vote.leader_id.term);
        if let Some(last) = last
            && voted < last.committed_leader_id().term
        {
            let vote = loaded.vote.map_or("none".to_owned(), |v| v.to_string());
            let why = format!("the last vote is {vote}, older than the log's end {last}");
            return Err(self.damaged_value(VOTE, why));
        }
        if loaded.purged > loaded.snapshot_log_id() {
            let why = format!(
                "the log begins after {}, but the snapshot ends at {}",
                text(loaded.purged),
                text(loaded.snapshot_log_id())
            );
            return Err(self.damaged_value(SNAPSHOT_META, why));
        }
        Ok(())
    }
}

fn text(id: Option<LogId>) -> String {
    id.map_or("its beginning".to_owned(), |id| id.to_string())
}
