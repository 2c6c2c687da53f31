//! Faults of the disk under a data directory: slow, full, or holding back what is written until it is synced. What does not
//! live here: who sets them, and the backend that obeys (`meta::backend`).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use squall_kernel::fault::Held;

/// No room is taken away.
const NEVER: u64 = u64::MAX;

/// A file that may hold back what was written to it.
pub(crate) trait Holds: Send + Sync {
    /// Writes what is held back, if anything is.
    fn let_go(&self);
}

/// What the disk suffers now; shared by whoever sets it and the file that obeys. Harmless when new.
pub struct DiskFault {
    sync_slow_us: AtomicU64,
    full_above: AtomicU64,
    /// 0 nothing is held back; 1 it goes whole, 2 in pieces.
    held: AtomicU8,
    file: Mutex<Option<Weak<dyn Holds>>>,
}

impl Default for DiskFault {
    fn default() -> Self {
        Self {
            sync_slow_us: AtomicU64::new(0),
            full_above: AtomicU64::new(NEVER),
            held: AtomicU8::new(0),
            file: Mutex::default(),
        }
    }
}

impl fmt::Debug for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskFault")
            .field("sync_slow_us", &self.sync_slow_us)
            .field("full_above", &self.full_above)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl DiskFault {
    /// Every sync takes this much longer, at most an hour; zero ends it.
    pub fn set_slow(&self, each_sync: Duration) {
        let us = each_sync.min(Duration::from_secs(3600)).as_micros();
        self.sync_slow_us
            .store(u64::try_from(us).unwrap_or(0), Ordering::Relaxed);
    }

    /// Nothing is written beyond this many bytes of a file; `Some(0)` is a disk that takes nothing at all, none ends
    /// the fault.
    pub fn set_full_above(&self, bytes: Option<u64>) {
        self.full_above.store(bytes.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// What is written is held back until it is synced, and goes so then; none ends the fault, and what is held back is
    /// written, by a thread of its own: nobody waits for it.
    pub fn set_held(&self, held: Option<Held>) {
        let number = match held {
            None => 0,
            Some(Held::Whole) => 1,
            Some(Held::Torn) => 2,
        };
        let before = self.held.swap(number, Ordering::AcqRel);
        let file = self.file();
        if let Some(file) = file.filter(|_| held.is_none() && before != 0) {
            let let_go = move || file.let_go();
            if let Err(error) = thread::Builder::new().name("squall-disk".into()).spawn(let_go) {
                tracing::warn!(%error, "what the disk has held back waits for the next write");
            }
        }
    }

    /// How much longer a sync takes now.
    #[must_use]
    pub fn slow(&self) -> Duration {
        Duration::from_micros(self.sync_slow_us.load(Ordering::Relaxed))
    }

    /// Whether what is written is held back, and how it goes then.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        match self.held.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Held::Whole),
            _ => Some(Held::Torn),
        }
    }

    /// May a file be written up to this byte?
    ///
    /// # Errors
    /// What a full disk says.
    pub fn room_for(&self, end: u64) -> io::Result<()> {
        if end > self.full_above.load(Ordering::Relaxed) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    /// The file that obeys from now on.
    pub(crate) fn obeyed_by(&self, file: Weak<dyn Holds>) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    fn file(&self) -> Option<Arc<dyn Holds>> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().and_then(Weak::upgrade)
    }
}
