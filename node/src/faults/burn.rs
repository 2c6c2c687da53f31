//! Threads that spin, and end by themselves: when they are told to, when whoever started them is gone, and when their time is
//! over.
//!
//! What does not live here: which fault wants how many.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Turns between two looks at the time: less than a millisecond, however long a processor rests in one.
const TURNS: u32 = 10_000;

/// Threads that spin until it is dropped, or their time is over.
#[derive(Debug)]
pub(super) struct Burn(Arc<AtomicBool>);

impl Burn {
    /// So many threads, for so long at most. A thread more starts them: nobody waits for the system.
    pub(super) fn start(threads: u8, left: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (told, until) = (Arc::clone(&over), Instant::now() + left);
        let starter = move || {
            for _ in 1..threads {
                let told = Arc::clone(&told);
                begin(move || spin(&told, until));
            }
            spin(&told, until);
        };
        begin(starter);
        Self(over)
    }

    /// For tests: true in it once its threads are to end, and gone once they have.
    #[cfg(test)]
    pub(super) fn watch(&self) -> std::sync::Weak<AtomicBool> {
        Arc::downgrade(&self.0)
    }
}

impl Drop for Burn {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn begin(run: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name("squall-burn".into()).spawn(run) {
        tracing::warn!(%error, "a thread less spins than was asked for");
    }
}

fn spin(over: &AtomicBool, until: Instant) {
    while !over.load(Ordering::Relaxed) && Instant::now() < until {
        (0..TURNS).for_each(|_| spin_loop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when no thread holds it any more.
    fn ended(burning: &std::sync::Weak<AtomicBool>) {
        while burning.strong_count() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn threads_spin_until_they_are_told_to_end_or_their_time_is_over() {
        let burn = Burn::start(3, Duration::from_secs(3600));
        let burning = Arc::downgrade(&burn.0);
        // The one that is held, the starter's, and one for each other thread.
        while burning.strong_count() < 4 {
            thread::yield_now();
        }
        drop(burn);
        ended(&burning);

        let short = Burn::start(2, Duration::from_millis(5));
        while Arc::strong_count(&short.0) > 1 {
            thread::yield_now();
        }
    }
}
