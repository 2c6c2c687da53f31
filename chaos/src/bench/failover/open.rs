//! The open loop: a request at every intended moment, whatever became of those before, its latency taken from that
//! moment. What does not live here: what the times mean (`report`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_client::{Client, Reply, RequestError, RequestOptions};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::load::Outcomes;

/// Requests open at a time: what a session may have.
const IN_FLIGHT_MAX: usize = 4096;
/// A request that takes longer has failed for whoever waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Good {
    /// When it was to be sent.
    pub(super) intended: Instant,
    /// When its reply came.
    pub(super) ended: Instant,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Those answered, in the order of their ends.
    pub(super) good: Vec<Good>,
    /// How all of them ended.
    pub(super) outcomes: Outcomes,
    /// Replies that were not to the request.
    pub(super) wrong: u64,
}

/// A load that runs until it is ended.
pub(super) struct Load {
    seen: Arc<Mutex<Seen>>,
    good: watch::Receiver<usize>,
    slots: Arc<Semaphore>,
    pacer: JoinHandle<()>,
}

struct Asker {
    client: Client,
    exchange: String,
    first: u64,
    seen: Arc<Mutex<Seen>>,
    good: watch::Sender<usize>,
}

impl Load {
    /// Requests are numbered from `first` on.
    pub(super) fn start(client: Client, exchange: String, first: u64, rate: u32) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, good) = watch::channel(0);
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let asker = Arc::new(Asker {
            client,
            exchange,
            first,
            seen: Arc::clone(&seen),
            good: sender,
        });
        let pacer = tokio::spawn(pace(asker, Arc::clone(&slots), rate));
        Self {
            seen,
            good,
            slots,
            pacer,
        }
    }

    /// Waits for so many good replies more; false when they do not come in time.
    pub(super) async fn more(&mut self, replies: usize, within: Duration) -> bool {
        let wanted = *self.good.borrow() + replies;
        let come = self.good.wait_for(|good| *good >= wanted);
        matches!(timeout(within, come).await, Ok(Ok(_)))
    }

    /// Sends no more, waits for the ends of those under way, and gives everything.
    pub(super) async fn end(self) -> Seen {
        self.pacer.abort();
        // Every request ends by its own timeout, a little later at most.
        let all = u32::try_from(IN_FLIGHT_MAX).expect("a small number");
        let _late = timeout(2 * REQUEST_TIMEOUT, self.slots.acquire_many(all)).await;
        std::mem::take(&mut *lock(&self.seen))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.pacer.abort();
    }
}

async fn pace(asker: Arc<Asker>, slots: Arc<Semaphore>, rate: u32) {
    let mut moments = interval(Duration::from_secs(1) / rate.max(1));
    // A late loop makes up for it: the moments stay those intended.
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let intended = moments.tick().await;
        let number = {
            let mut seen = lock(&asker.seen);
            seen.outcomes.sent += 1;
            asker.first + seen.outcomes.sent
        };
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let asker = Arc::clone(&asker);
                tokio::spawn(async move {
                    asker.ask(intended, number).await;
                    drop(slot);
                });
            }
            Err(_) => lock(&asker.seen).outcomes.held_back += 1,
        }
    }
}

impl Asker {
    async fn ask(&self, intended: Instant, number: u64) {
        let options = RequestOptions {
            timeout: REQUEST_TIMEOUT,
            ..RequestOptions::default()
        };
        let payload = number.to_be_bytes();
        let outcome = self
            .client
            .request(&self.exchange, payload.to_vec(), options)
            .await;
        let mut seen = lock(&self.seen);
        // Taken under the lock, so that the ends are in order.
        let ended = Instant::now();
        count(&mut seen.outcomes, &outcome);
        if let Ok(reply) = &outcome {
            seen.wrong += u64::from(reply.payload[..] != payload);
            seen.good.push(Good { intended, ended });
            self.good.send_replace(seen.good.len());
        }
    }
}

pub(super) fn count(outcomes: &mut Outcomes, outcome: &Result<Reply, RequestError>) {
    outcomes.count(outcome.as_ref().err());
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
