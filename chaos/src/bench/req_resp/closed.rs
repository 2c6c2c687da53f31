//! Closed loops: each requester has one request open and sends the next when it ends. What does not live here: what sends a
//! request (`asker`), and the processes they run in.

use std::time::Instant;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::asker::Asker;
use super::tally::{Tally, Times, Window};
use crate::bench::BenchError;

/// Lets all of them ask on that runtime, each one request at a time.
pub(in crate::bench) async fn run<A: Asker>(
    runtime: &Handle,
    askers: impl Iterator<Item = A>,
    times: Times,
) -> Result<Tally, BenchError> {
    let window = Window::opens(times);
    gather(askers.map(|asker| runtime.spawn(ask(asker, window)))).await
}

/// Waits for all that ask, and adds up what they saw. All of them are begun before the first is waited for.
pub(in crate::bench) async fn gather(
    asking: impl Iterator<Item = JoinHandle<Tally>>,
) -> Result<Tally, BenchError> {
    let asking: Vec<_> = asking.collect();
    let mut all = Tally::default();
    for tally in join_all(asking).await {
        all.add(tally.map_err(|error| BenchError::Unsound(format!("a requester: {error}")))?);
    }
    Ok(all)
}

async fn ask(mut asker: impl Asker, window: Window) -> Tally {
    let mut tally = Tally::default();
    let mut begun = Instant::now();
    let mut number = 0;
    while begun < window.until {
        number += 1;
        let wrong = asker.ask(number).await;
        let ended = Instant::now();
        tally.ended(window.holds(ended).then(|| ended - begun), wrong);
        begun = ended;
    }
    if let Some(more) = asker.rest() {
        tally.fail(more);
    }
    tally
}
