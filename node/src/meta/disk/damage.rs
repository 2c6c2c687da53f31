//! Why a registry's file cannot be used, and what to do about it. What does not live here: how it is found out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use redb::DatabaseError;
use squall_kernel::id::NodeId;

use super::super::backend::Place;
use crate::datadir::{DataDirError, Rejoin};

/// Why the registry's file cannot be used. The node does not start, and the file stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It was there in an earlier run.
    #[error("registry file {} is missing, but this node has voted and may have acknowledged writes; restore the file, or {}", file.display(), rejoin(file))]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// Truncated, overwritten, or not a registry at all.
    #[error("registry file {} is damaged{}: {why}; the node neither votes nor leads with it, and the file stays as it is; {}", file.display(), At(*at), rejoin(file))]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where; none for a database that is no file.
        at: Option<Place>,
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
    #[error("cannot use registry file {}: {source}; {}", file.display(), remedy(source.kind()))]
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

/// A running node's file can be written no more. Everything acknowledged before is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("registry file {} cannot be written: {why}; the node has stepped down, and what it acknowledged is in the file; {}", file.display(), remedy(*kind))]
pub struct WriteFailure {
    /// The file.
    pub file: PathBuf,
    /// The error's kind.
    pub kind: io::ErrorKind,
    /// The error.
    pub why: String,
}

/// What to do about an error of the file system.
fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room on its file system, then start the node again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let this user write it, then start the node again"
        }
        _ => "see to the disk, then start the node again",
    }
}

fn rejoin(file: &Path) -> Rejoin<'_> {
    Rejoin(file.parent().unwrap_or(file))
}

struct At(Option<Place>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(Place { offset, len: 0 | 1 }) => write!(f, " at offset {offset}"),
            Some(Place { offset, len }) => write!(f, " at offset {offset} (in the {len} bytes from there)"),
        }
    }
}

/// What the database said, in our words.
pub(super) fn database_error(file: &Path, at: Option<Place>, error: DatabaseError) -> DiskError {
    let file = file.to_path_buf();
    let damage = |e: &io::Error| {
        matches!(
            e.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        )
    };
    match error {
        DatabaseError::DatabaseAlreadyOpen => DiskError::InUse { file },
        DatabaseError::Storage(redb::StorageError::Io(source)) if !damage(&source) => {
            DiskError::Io { file, source }
        }
        other => DiskError::Damaged {
            file,
            at,
            why: other.to_string(),
        },
    }
}

/// The error of the file system inside the database's, if there is one: its kind tells a full disk from a broken one.
pub(super) fn io_error(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(source) => source,
        other => io::Error::other(other),
    }
}
