//! Closed loops: each requester has one request open and sends the next when it ends. What does not live here: what sends a
//! request (`asker`), and the processes they run in.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::asker::Asker;
use super::tally::{Tally, Times, Window};
use crate::bench::BenchError;

/// Tallies of one loop: enough for its threads to have one each. Each requester's own would be some kilobytes that are in no cache
/// when a thousand of them take turns.
const TALLIES: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which tally this thread counts in.
    static MINE: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % TALLIES);
}

/// Lets all of them ask on that runtime, each one request at a time, and gives them back.
pub(in crate::bench) async fn run<A: Asker>(
    runtime: &Handle,
    askers: impl Iterator<Item = A>,
    times: Times,
) -> Result<(Tally, Vec<A>), BenchError> {
    let window = Window::opens(times);
    let tallies: Arc<[Mutex<Tally>; TALLIES]> = Arc::default();
    let asking: Vec<_> = askers
        .map(|asker| runtime.spawn(ask(asker, window, Arc::clone(&tallies))))
        .collect();
    let mut askers = Vec::with_capacity(asking.len());
    for asked in join_all(asking).await {
        askers.push(asked.map_err(no_requester)?);
    }
    let mut all = Tally::default();
    for tally in tallies.iter() {
        all.add(std::mem::take(&mut *lock(tally)));
    }
    Ok((all, askers))
}

/// Waits for all that ask, and adds up what they saw. All of them are begun before the first is waited for.
pub(in crate::bench) async fn gather(
    asking: impl Iterator<Item = JoinHandle<Tally>>,
) -> Result<Tally, BenchError> {
    let asking: Vec<_> = asking.collect();
    let mut all = Tally::default();
    for tally in join_all(asking).await {
        all.add(tally.map_err(no_requester)?);
    }
    Ok(all)
}

#[expect(clippy::needless_pass_by_value, reason = "as errors are mapped")]
fn no_requester(error: tokio::task::JoinError) -> BenchError {
    BenchError::Unsound(format!("a requester: {error}"))
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask<A: Asker>(mut asker: A, window: Window, tallies: Arc<[Mutex<Tally>; TALLIES]>) -> A {
    let mut begun = Instant::now();
    let mut number = 0;
    while begun < window.until {
        number += 1;
        let wrong = asker.ask(number).await;
        let ended = Instant::now();
        let took = window.holds(ended).then(|| ended - begun);
        lock(&tallies[MINE.get()]).ended(took, wrong);
        begun = ended;
    }
    if let Some(more) = asker.rest() {
        lock(&tallies[MINE.get()]).fail(more);
    }
    asker
}
