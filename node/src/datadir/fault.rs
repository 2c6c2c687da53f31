//! Faults of the disk under a data directory: slow, or full. What does not live here: who sets them, and the backend
//! that obeys (`meta::backend`).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// No room is taken away.
const NEVER: u64 = u64::MAX;

/// What the disk suffers now; shared by whoever sets it and the file that obeys. Harmless when new.
#[derive(Debug)]
pub struct DiskFault {
    sync_slow_us: AtomicU64,
    full_above: AtomicU64,
}

impl Default for DiskFault {
    fn default() -> Self {
        Self {
            sync_slow_us: AtomicU64::new(0),
            full_above: AtomicU64::new(NEVER),
        }
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

    /// How much longer a sync takes now.
    #[must_use]
    pub fn slow(&self) -> Duration {
        Duration::from_micros(self.sync_slow_us.load(Ordering::Relaxed))
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
}
