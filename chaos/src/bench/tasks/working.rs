//! Loops of tasks: closed, each submitting the next one when the one before is settled, or open, one at every intended moment. What
//! does not live here: what they are submitted to, and the workers (`scene`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::ledger::Ledger;
use crate::bench::req_resp::tally::{Tally, Times, Window};
use crate::bench::usage::processor_time_within;
use crate::bench::{BenchError, Histogram, Load, io_error};
use crate::load::open_loop::{Asks, IN_FLIGHT_MAX, OpenLoop};

/// A task that is not settled by then never will be: leases are shorter.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What submitters saw.
#[derive(Debug, Default)]
pub(in crate::bench) struct Worked {
    /// From a submit, or from when it was to be made, to its task's settlement; failures.
    pub(in crate::bench) tally: Tally,
    /// From the same to the word that the task is kept.
    pub(super) kept: Histogram,
    /// Processor time that this process has used within the measured time.
    pub(super) processor: Duration,
}

/// Whoever submits.
pub(in crate::bench) trait Submitter: Clone + Send + Sync + 'static {
    /// Where it is noted which tasks are under way.
    fn ledger(&self) -> &Ledger;

    /// Submits the task of that number, until it is kept as it is to be.
    fn submit(&self, number: u64) -> impl Future<Output = Result<(), String>> + Send;
}

/// Submits.
pub(in crate::bench) async fn work(
    submitter: &impl Submitter,
    load: Load,
    times: Times,
) -> Result<Worked, BenchError> {
    let window = Window::opens(times);
    let loops = async {
        match load {
            Load::Closed(in_flight) => Ok(closed(submitter, in_flight, window).await),
            Load::Open(rate) => open(submitter, rate, window).await,
        }
    };
    let (processor, done) = tokio::join!(processor_time_within(window), loops);
    let mut worked = done?;
    worked.processor = processor;
    if let Some(wrong) = submitter.ledger().wrong() {
        worked.tally.fail(wrong);
    }
    Ok(worked)
}

/// Keeps so many tasks under way.
async fn closed(submitter: &impl Submitter, in_flight: usize, window: Window) -> Worked {
    let mut all = Worked::default();
    for (tally, kept) in join_all((0..in_flight).map(|_| submit(submitter, window))).await {
        all.tally.add(tally);
        all.kept.add(&kept);
    }
    all
}

async fn submit(submitter: &impl Submitter, window: Window) -> (Tally, Histogram) {
    let (mut tally, mut kept) = (Tally::default(), Histogram::default());
    let mut begun = Instant::now();
    while begun < window.until && tally.failure.is_none() {
        match one(submitter).await {
            Ok((known, settled)) => {
                if window.holds(known) {
                    kept.count(known - begun);
                }
                tally.ended(window.holds(settled).then(|| settled - begun), None);
            }
            Err(wrong) => tally.ended(None, Some(wrong)),
        }
        begun = Instant::now();
    }
    (tally, kept)
}

/// Submits so often a second.
async fn open(submitter: &impl Submitter, rate: u32, window: Window) -> Result<Worked, BenchError> {
    let asks = Arc::new(Submits {
        submitter: submitter.clone(),
        window,
        begun: AtomicU64::new(0),
        worked: Mutex::default(),
    });
    let open = OpenLoop::start_fine(
        Arc::clone(&asks),
        rate,
        IN_FLIGHT_MAX,
        window.moments(),
        Handle::current(),
    );
    let open = open.map_err(io_error("a thread"))?;
    tokio::time::sleep_until(window.until.into()).await;
    open.end(2 * SETTLED_WITHIN).await;
    let mut worked = std::mem::take(&mut *lock(&asks.worked));
    let begun = asks.begun.load(Ordering::Relaxed);
    if begun > worked.tally.asked {
        let missing = begun - worked.tally.asked;
        worked
            .tally
            .fail(format!("{missing} tasks were not settled in time"));
    }
    Ok(worked)
}

struct Submits<S> {
    submitter: S,
    window: Window,
    begun: AtomicU64,
    worked: Mutex<Worked>,
}

impl<S: Submitter> Asks for Submits<S> {
    type Question = ();

    fn begin(&self, _: tokio::time::Instant) {}

    fn hold_back(&self, intended: tokio::time::Instant) {
        if self.window.holds(intended.into_std()) {
            lock(&self.worked).tally.held_back += 1;
        }
    }

    async fn ask(&self, intended: tokio::time::Instant, (): ()) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let done = one(&self.submitter).await;
        let intended = intended.into_std();
        let counts = self.window.holds(intended);
        let mut worked = lock(&self.worked);
        match done {
            Ok((known, settled)) => {
                if counts {
                    worked.kept.count(known - intended);
                }
                worked.tally.ended(counts.then(|| settled - intended), None);
            }
            Err(wrong) => worked.tally.ended(None, Some(wrong)),
        }
    }
}

/// One task; gives when it was known to be kept, and when it was settled.
async fn one(submitter: &impl Submitter) -> Result<(Instant, Instant), String> {
    let one = timeout(SETTLED_WITHIN, until_settled(submitter)).await;
    one.unwrap_or_else(|_| Err("a task was not settled in time".into()))
}

async fn until_settled(submitter: &impl Submitter) -> Result<(Instant, Instant), String> {
    let (number, settled) = submitter.ledger().open();
    submitter.submit(number).await?;
    let known = Instant::now();
    let settled = settled.await.map_err(|_| "a task was settled wrongly")?;
    // The word of the worker may overtake that of the submit.
    Ok((known, settled.max(known)))
}

fn lock(worked: &Mutex<Worked>) -> MutexGuard<'_, Worked> {
    worked.lock().unwrap_or_else(PoisonError::into_inner)
}
