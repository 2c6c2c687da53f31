//! What lies under the registry's database: the file itself, which obeys disk faults, and an image of it in memory,
//! which remembers where it was read last. What does not live here: what the bytes mean.

use std::fs::OpenOptions;
use std::io;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use crate::datadir::DiskFault;

/// redb's header: which of two commits counts, and the layout of the file; no checksum of its own covers that, and a
/// flipped bit there would bring an older commit back.
const HEADER: Range<usize> = 9..32;
/// Where its checksum goes: bytes that redb leaves unused, in the same sector, which is written whole or not at all.
const HEADER_SUM: Range<usize> = 40..44;
const GOD_BYTE: usize = 9;
const PRIMARY_BIT: u8 = 1;
const TWO_PHASE_BIT: u8 = 4;
/// Checksums of the two commit slots.
const SLOT_SUMS: [usize; 2] = [64 + 112, 192 + 112];
const HEADER_LEN: usize = 320;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

/// The file, with its faults.
#[derive(Debug)]
pub(super) struct Guarded {
    file: FileBackend,
    fault: Arc<DiskFault>,
}

impl Guarded {
    /// Opens an existing file.
    pub(super) fn open(path: &Path, fault: Arc<DiskFault>) -> Result<Self, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self {
            file: FileBackend::new(file)?,
            fault,
        })
    }

    /// All of the file, read while nobody else has it open; none when somebody has.
    pub(super) fn image(&self) -> io::Result<Option<Vec<u8>>> {
        let whole = (Bound::Unbounded, Bound::Unbounded);
        let locked = match self.file.try_lock_range(whole.0, whole.1) {
            Ok(true) => true,
            Ok(false) => return Ok(None),
            // Without locks the lock of the data directory has to do.
            Err(BackendError::Unsupported) => false,
            Err(other) => return Err(other.into()),
        };
        let len = usize::try_from(self.file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = self.file.read(0, &mut bytes);
        if locked {
            self.file.unlock_range(whole.0, whole.1)?;
        }
        read.map(|()| Some(bytes))
    }
}

/// Checks the header of a file's image.
pub(super) fn header_holds(image: &[u8]) -> bool {
    let sum = |image: &[u8]| Some(crc32c::crc32c(image.get(HEADER)?).to_le_bytes());
    image.len() >= HEADER_LEN && sum(image).as_ref().map(<[u8; 4]>::as_slice) == image.get(HEADER_SUM)
}

/// Where the header ends.
pub(super) const fn header_end() -> u64 {
    HEADER_LEN as u64
}

/// Where its checked part lies.
pub(super) const fn header() -> Place {
    Place {
        offset: HEADER.start as u64,
        len: (HEADER_SUM.end - HEADER.start) as u64,
    }
}

/// Makes redb verify all of an image before it uses any of it, and without a choice: the commit that counts is the
/// only one left. A file committed in two phases it believes unseen, and some flipped bits make it panic.
pub(super) fn distrust(image: &mut [u8]) {
    if let Some(god) = image.get_mut(GOD_BYTE) {
        let other = usize::from(*god & PRIMARY_BIT == 0);
        *god &= !TWO_PHASE_BIT;
        if let Some(sum) = image.get_mut(SLOT_SUMS[other]) {
            *sum ^= 0xff;
        }
    }
}

impl StorageBackend for Guarded {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.file.len()? {
            self.fault.room_for(len)?;
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        wait(self.fault.slow());
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fault.room_for(offset + data.len() as u64)?;
        if offset > 0 || data.len() < HEADER_LEN {
            return self.file.write(offset, data);
        }
        let mut guarded = data.to_vec();
        let sum = crc32c::crc32c(&guarded[HEADER]);
        guarded[HEADER_SUM].copy_from_slice(&sum.to_le_bytes());
        self.file.write(offset, &guarded)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a fault that was asked for: the storage thread is as late as a slow disk makes it"
)]
fn wait(slow: Duration) {
    if !slow.is_zero() {
        std::thread::sleep(slow);
    }
}

/// A file's bytes in memory: what is written to them never reaches the file.
#[derive(Debug, Clone)]
pub(super) struct Image(Arc<Mutex<Copied>>);

#[derive(Debug)]
struct Copied {
    bytes: Vec<u8>,
    read: Place,
}

impl Image {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let read = Place::default();
        Self(Arc::new(Mutex::new(Copied { bytes, read })))
    }

    /// Where it was read last.
    pub(super) fn last_read(&self) -> Place {
        self.with(|copied| copied.read)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Copied) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The bytes from `offset`, as many as `len`.
fn span(bytes: &mut [u8], offset: u64, len: usize) -> Option<&mut [u8]> {
    let from = usize::try_from(offset).ok()?;
    bytes.get_mut(from..from.checked_add(len)?)
}

impl StorageBackend for Image {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|copied| copied.bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|copied| {
            let len = out.len() as u64;
            copied.read = Place { offset, len };
            let held = span(&mut copied.bytes, offset, out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(held);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.with(|copied| copied.bytes.resize(len, 0));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|copied| {
            let held = span(&mut copied.bytes, offset, data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            held.copy_from_slice(data);
            Ok(())
        })
    }
}
