//! The open loop: a request at every intended moment, whatever became of those before; each latency is counted from that moment.
//! What does not live here: the moments (`crate::load::open_loop`), and what sends a request (`asker`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::asker::Asker;
use super::tally::{Tally, Times, Window};
use crate::bench::{BenchError, io_error};
use crate::load::open_loop::{Asks, ENDED_WITHIN, IN_FLIGHT_MAX, OpenLoop};

/// Asks so often a second, on that runtime, and gives back who asked. `make` makes a requester where all there are have a request
/// open.
pub(in crate::bench) async fn run<A: Asker>(
    runtime: &Handle,
    make: impl Fn() -> A + Send + Sync + 'static,
    rate: u32,
    times: Times,
) -> Result<(Tally, Vec<A>), BenchError> {
    let window = Window::opens(times);
    let load = Arc::new(Load {
        make,
        idle: Mutex::new(Vec::new()),
        window,
        begun: AtomicU64::new(0),
        tally: Mutex::new(Tally::default()),
    });
    let open = OpenLoop::start_fine(
        Arc::clone(&load),
        rate,
        IN_FLIGHT_MAX,
        window.moments(),
        runtime.clone(),
    );
    let open = open.map_err(io_error("a thread"))?;
    sleep_until(window.until.into()).await;
    open.end(ENDED_WITHIN).await;
    Ok(load.taken())
}

struct Load<A, F> {
    make: F,
    /// Requesters without an open request.
    idle: Mutex<Vec<A>>,
    window: Window,
    begun: AtomicU64,
    tally: Mutex<Tally>,
}

impl<A: Asker, F: Fn() -> A + Send + Sync + 'static> Load<A, F> {
    fn taken(&self) -> (Tally, Vec<A>) {
        let mut tally = std::mem::take(&mut *lock(&self.tally));
        let mut askers = std::mem::take(&mut *lock(&self.idle));
        for asker in &mut askers {
            if let Some(more) = asker.rest() {
                tally.fail(more);
            }
        }
        let begun = self.begun.load(Ordering::Relaxed);
        if begun > tally.asked {
            tally.fail(format!("{} requests had no end", begun - tally.asked));
        }
        (tally, askers)
    }
}

impl<A: Asker, F: Fn() -> A + Send + Sync + 'static> Asks for Load<A, F> {
    type Question = ();

    fn begin(&self, _: Instant) {}

    fn hold_back(&self, intended: Instant) {
        if self.window.holds(intended.into_std()) {
            lock(&self.tally).held_back += 1;
        }
    }

    async fn ask(&self, intended: Instant, (): ()) {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let idle = lock(&self.idle).pop();
        let mut asker = idle.unwrap_or_else(&self.make);
        let wrong = asker.ask(number).await;
        let took = intended.elapsed();
        let counts = self.window.holds(intended.into_std());
        lock(&self.tally).ended(counts.then_some(took), wrong);
        lock(&self.idle).push(asker);
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Every third request fails.
    struct Third;

    impl Asker for Third {
        async fn ask(&mut self, number: u64) -> Option<String> {
            number.is_multiple_of(3).then(|| "no".to_owned())
        }

        fn rest(&mut self) -> Option<String> {
            Some("one too many".into())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_request_is_counted_and_so_is_what_went_wrong() {
        let times = (Duration::ZERO, Duration::from_millis(20));
        let (tally, askers) = run(&Handle::current(), || Third, 10_000, times).await.unwrap();
        assert!(!askers.is_empty());
        assert!(
            tally.asked > 0 && tally.asked >= tally.took.total() + tally.asked / 3,
            "{tally:?}"
        );
        assert!(
            tally.failed > tally.asked / 3,
            "what came beyond is added: {tally:?}"
        );
    }

    /// Never answers.
    struct Silent;

    impl Asker for Silent {
        async fn ask(&mut self, _: u64) -> Option<String> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_request_without_an_end_is_a_failure() {
        let load = Arc::new(Load {
            make: || Silent,
            idle: Mutex::new(Vec::new()),
            window: Window::opens((Duration::ZERO, Duration::ZERO)),
            begun: AtomicU64::new(0),
            tally: Mutex::new(Tally::default()),
        });
        let asking = load.ask(Instant::now(), ());
        futures::pin_mut!(asking);
        assert!(futures::poll!(&mut asking).is_pending());
        assert_eq!(load.taken().0.failure.as_deref(), Some("1 requests had no end"));
    }
}
