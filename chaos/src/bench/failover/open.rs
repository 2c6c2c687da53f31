//! A load of requests in an open loop, and what became of them. What does not live here: the loop (`crate::load`), and what the
//! times mean (`report`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_client::{Client, Reply, RequestError, RequestOptions};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::load::Outcomes;
use crate::load::open_loop::{ASKED_WITHIN, Asks, ENDED_WITHIN, OpenLoop};

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
    open: OpenLoop,
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
        let asker = Arc::new(Asker {
            client,
            exchange,
            first,
            seen: Arc::clone(&seen),
            good: sender,
        });
        let open = OpenLoop::start(asker, rate);
        Self { seen, good, open }
    }

    /// Waits for so many good replies more; false when they do not come in time.
    pub(super) async fn more(&mut self, replies: usize, within: Duration) -> bool {
        let wanted = *self.good.borrow() + replies;
        let come = self.good.wait_for(|good| *good >= wanted);
        matches!(timeout(within, come).await, Ok(Ok(_)))
    }

    /// Requests sent so far.
    pub(super) fn sent(&self) -> u64 {
        lock(&self.seen).outcomes.sent
    }

    /// Sends no more, waits for the ends of those under way, and gives everything.
    pub(super) async fn end(self) -> Seen {
        self.open.end(ENDED_WITHIN).await;
        std::mem::take(&mut *lock(&self.seen))
    }
}

impl Asks for Asker {
    /// Its number.
    type Question = u64;

    fn begin(&self, _: Instant) -> u64 {
        let mut seen = lock(&self.seen);
        seen.outcomes.sent += 1;
        self.first + seen.outcomes.sent
    }

    fn hold_back(&self, _: Instant) {
        lock(&self.seen).outcomes.held_back += 1;
    }

    async fn ask(&self, intended: Instant, number: u64) {
        let options = RequestOptions {
            timeout: ASKED_WITHIN,
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
