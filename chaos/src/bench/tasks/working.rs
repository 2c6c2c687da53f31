//! Closed loops of tasks: each submits the next one when the one before is settled. What does not live here: the workers
//! (`scene`).

use std::time::{Duration, Instant};

use futures::future::join_all;
use squall_client::SubmitOptions;
use tokio::time::timeout;

use super::EXCHANGE;
use super::scene::{Scene, payload};
use crate::bench::Histogram;
use crate::bench::req_resp::tally::{Tally, Window};
use crate::bench::usage::processor_time_within;

/// A task that is not settled by then never will be: leases are shorter.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What submitters saw.
#[derive(Debug, Default)]
pub(super) struct Worked {
    /// From a submit to its task's settlement; failures.
    pub(super) tally: Tally,
    /// From a submit to the word that the task is kept.
    pub(super) kept: Histogram,
    /// Processor time of everything within the measured time.
    pub(super) processor: Duration,
}

/// Keeps so many tasks under way.
pub(super) async fn work(
    scene: &Scene,
    in_flight: usize,
    (warm_up, measured): (Duration, Duration),
) -> Worked {
    let window = Window::opens((warm_up, measured));
    let submitters = join_all((0..in_flight).map(|_| submit(scene, window)));
    let (processor, done) = tokio::join!(processor_time_within(window), submitters);
    let mut all = Worked {
        processor,
        ..Worked::default()
    };
    for (tally, kept) in done {
        all.tally.add(tally);
        all.kept.add(&kept);
    }
    if let Some(wrong) = scene.ledger.wrong() {
        all.tally.fail(wrong);
    }
    all
}

async fn submit(scene: &Scene, window: Window) -> (Tally, Histogram) {
    let (mut tally, mut kept) = (Tally::default(), Histogram::default());
    let mut begun = Instant::now();
    while begun < window.until && tally.failure.is_none() {
        let one = timeout(SETTLED_WITHIN, one(scene)).await;
        match one.unwrap_or_else(|_| Err("a task was not settled in time".into())) {
            Ok((known, settled)) => {
                if known >= window.counts_from && known <= window.until {
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

/// One task; gives when it was known to be kept, and when it was settled.
async fn one(scene: &Scene) -> Result<(Instant, Instant), String> {
    let (number, settled) = scene.ledger.open();
    let submitted = scene
        .submitter
        .submit(EXCHANGE, payload(number), SubmitOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    let known = Instant::now();
    if submitted.copies != scene.copies {
        return Err(format!("a task was kept with a {}", submitted.copies.as_str()));
    }
    let settled = settled.await.map_err(|_| "a task was settled wrongly")?;
    // The word of the worker may overtake that of the submit.
    Ok((known, settled.max(known)))
}
