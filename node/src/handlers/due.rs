//! What is due when, for many handlers and one timer.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use squall_kernel::time::Instant;
use tokio::sync::Notify;

use crate::clock::Clock;

/// Serials of handlers by the time at which something is to be done for them.
#[derive(Default)]
pub(super) struct Due {
    planned: Mutex<BTreeSet<(Instant, u64)>>,
    earlier: Notify,
}

impl Due {
    /// Plans something.
    pub(super) fn plan(&self, at: Instant, serial: u64) {
        let mut planned = self.lock();
        planned.insert((at, serial));
        if planned.first().is_some_and(|(first, _)| *first == at) {
            self.earlier.notify_one();
        }
    }

    /// Waits until something is due, and takes it out.
    pub(super) async fn next(&self, clock: &Clock) -> BTreeSet<(Instant, u64)> {
        loop {
            let first = self.lock().first().map(|(at, _)| *at);
            tokio::select! {
                () = self.earlier.notified() => {}
                () = clock.wait(first) => return self.take(clock.now()),
            }
        }
    }

    fn take(&self, now: Instant) -> BTreeSet<(Instant, u64)> {
        let mut planned = self.lock();
        let later = planned.split_off(&(Instant(now.0 + 1), 0));
        std::mem::replace(&mut *planned, later)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Instant, u64)>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
