//! The load beside the one that is measured: requests to another exchange, one after the other, so many at a time. What
//! does not live here: the requests that are measured (`open`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_client::{Client, RequestOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::open::count;
use crate::load::Outcomes;

/// Requests under way.
pub(super) const IN_FLIGHT: usize = 64;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Whoever is refused at once does not ask again at once.
const REFUSED: Duration = Duration::from_millis(5);

/// A load that runs until it is ended.
pub(super) struct Background {
    outcomes: Arc<Mutex<Outcomes>>,
    ending: Arc<AtomicBool>,
    askers: JoinSet<()>,
}

impl Background {
    pub(super) fn start(client: &Client, exchange: &str) -> Self {
        let outcomes = Arc::new(Mutex::new(Outcomes::default()));
        let ending = Arc::new(AtomicBool::new(false));
        let mut askers = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (client, exchange) = (client.clone(), exchange.to_owned());
            askers.spawn(ask(client, exchange, Arc::clone(&outcomes), Arc::clone(&ending)));
        }
        Self {
            outcomes,
            ending,
            askers,
        }
    }

    /// Asks no more, waits for the ends of the requests under way, and tells how all ended.
    pub(super) async fn end(mut self) -> Outcomes {
        self.ending.store(true, Ordering::Relaxed);
        let all = async { while self.askers.join_next().await.is_some() {} };
        // Every request ends by its own timeout; one that does not is missing in the sum.
        let _late = timeout(2 * REQUEST_TIMEOUT, all).await;
        std::mem::take(&mut *lock(&self.outcomes))
    }
}

async fn ask(client: Client, exchange: String, outcomes: Arc<Mutex<Outcomes>>, ending: Arc<AtomicBool>) {
    while !ending.load(Ordering::Relaxed) {
        lock(&outcomes).sent += 1;
        let options = RequestOptions {
            timeout: REQUEST_TIMEOUT,
            ..RequestOptions::default()
        };
        let outcome = client.request(&exchange, "load", options).await;
        count(&mut lock(&outcomes), &outcome);
        if outcome.is_err() {
            sleep(REFUSED).await;
        }
    }
}

fn lock(outcomes: &Mutex<Outcomes>) -> MutexGuard<'_, Outcomes> {
    outcomes.lock().unwrap_or_else(PoisonError::into_inner)
}
