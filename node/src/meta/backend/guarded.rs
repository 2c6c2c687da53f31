//! The registry's file, which obeys disk faults: it is slow, has no room, or holds back what is written until it is synced.
//!
//! What does not live here: who sets faults, and what is held back (`unsynced`).

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use squall_kernel::fault::Held;

use super::unsynced::{Change, Unsynced};
use super::{HEADER, HEADER_LEN, HEADER_SUM};
use crate::datadir::{DiskFault, Holds};
use crate::limits::{DISK_HELD_BYTES_MAX, TORN_SYNC_FOR};

/// The file, with its faults.
#[derive(Debug)]
pub(in crate::meta) struct Guarded(Arc<Obedient>);

struct Obedient {
    file: FileBackend,
    fault: Arc<DiskFault>,
    held: Mutex<Unsynced>,
    pause: fn(Duration),
}

impl Guarded {
    /// Opens an existing file.
    pub(in crate::meta) fn open(path: &Path, fault: Arc<DiskFault>) -> Result<Self, DatabaseError> {
        Self::pausing(path, fault, pause)
    }

    /// As [`Self::open`]; what takes time calls `pause`.
    pub(in crate::meta) fn pausing(
        path: &Path,
        fault: Arc<DiskFault>,
        pause: fn(Duration),
    ) -> Result<Self, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let file = Arc::new(Obedient {
            file: FileBackend::new(file)?,
            fault,
            held: Mutex::default(),
            pause,
        });
        let weak = Arc::downgrade(&file);
        file.fault.obeyed_by(weak);
        Ok(Self(file))
    }

    /// All of the file, read while nobody else has it open; none when somebody has.
    pub(in crate::meta) fn image(&self) -> io::Result<Option<Vec<u8>>> {
        let whole = (Bound::Unbounded, Bound::Unbounded);
        let locked = match self.try_lock_range(whole.0, whole.1) {
            Ok(true) => true,
            Ok(false) => return Ok(None),
            // Without locks the lock of the data directory has to do.
            Err(BackendError::Unsupported) => false,
            Err(other) => return Err(other.into()),
        };
        let len = usize::try_from(self.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = self.read(0, &mut bytes);
        if locked {
            self.unlock_range(whole.0, whole.1)?;
        }
        read.map(|()| Some(bytes))
    }
}

impl Obedient {
    /// Changes the file: at once, or in memory while that is held back.
    fn change(&self, change: Change) -> io::Result<()> {
        let mut held = self.held();
        if self.fault.held().is_none() {
            self.write_out(&mut held, 0)?;
            return self.apply(&change);
        }
        held.push(change);
        self.write_out(&mut held, DISK_HELD_BYTES_MAX)
    }

    /// Writes the oldest of what is held back, until no more than so many bytes are.
    fn write_out(&self, held: &mut Unsynced, bytes_max: usize) -> io::Result<()> {
        while held.bytes() > bytes_max || (bytes_max == 0 && !held.is_empty()) {
            let Some(change) = held.pop() else { break };
            if let Err(error) = self.apply(&change) {
                held.put_back(change);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes all that is held back piece by piece, with a pause behind each.
    fn tear(&self, held: &mut Unsynced) -> io::Result<()> {
        let pieces = held.pieces();
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        for piece in pieces {
            self.apply(&piece)?;
            (self.pause)(TORN_SYNC_FOR / count.max(1));
        }
        Ok(())
    }

    fn apply(&self, change: &Change) -> io::Result<()> {
        match change {
            Change::Write(offset, data) => self.file.write(*offset, data),
            Change::Len(len) => self.file.set_len(*len),
        }
    }

    fn held(&self) -> MutexGuard<'_, Unsynced> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holds for Obedient {
    fn let_go(&self) {
        let mut held = self.held();
        if self.fault.held().is_none()
            && let Err(error) = self.write_out(&mut held, 0)
        {
            // Whoever writes or syncs next is told.
            tracing::warn!(%error, "what the disk has held back is not written");
        }
    }
}

impl StorageBackend for Guarded {
    fn len(&self) -> io::Result<u64> {
        let held = self.0.held();
        self.0.file.len().map(|on_disk| held.len(on_disk))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let held = self.0.held();
        if held.is_empty() {
            return self.0.file.read(offset, out);
        }
        let on_disk = self.0.file.len()?;
        held.read(on_disk, offset, out, |at, out| self.0.file.read(at, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.len()? {
            self.0.fault.room_for(len)?;
        }
        self.0.change(Change::Len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let slow = self.0.fault.slow();
        if !slow.is_zero() {
            (self.0.pause)(slow);
        }
        let mut held = self.0.held();
        match self.0.fault.held() {
            Some(Held::Torn) => self.0.tear(&mut held)?,
            Some(Held::Whole) | None => self.0.write_out(&mut held, 0)?,
        }
        self.0.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.fault.room_for(offset + data.len() as u64)?;
        let is_header = offset == 0 && data.len() >= HEADER_LEN;
        if !is_header && self.0.fault.held().is_none() {
            self.0.write_out(&mut self.0.held(), 0)?;
            return self.0.file.write(offset, data);
        }
        let mut data = data.to_vec();
        if is_header {
            let sum = crc32c::crc32c(&data[HEADER]);
            data[HEADER_SUM].copy_from_slice(&sum.to_le_bytes());
        }
        self.0.change(Change::Write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.0.write_out(&mut self.0.held(), 0)?;
        self.0.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

impl fmt::Debug for Obedient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Obedient")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a fault that was asked for: the storage thread is as late as a slow disk makes it"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
#[path = "guarded_test.rs"]
mod tests;
