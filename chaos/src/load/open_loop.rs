//! The open loop: something at every intended moment, whatever became of what was before, so that a latency is taken from the moment
//! at which somebody wanted it. What does not live here: what is asked, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Open at a time: what a session may have.
const IN_FLIGHT_MAX: u32 = 4_096;
/// What takes longer has failed for whoever waits for it.
pub(crate) const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// Asks.
pub(crate) trait Asks: Send + Sync + 'static {
    /// What is to be asked at that moment. It counts as sent.
    type Question: Send + 'static;

    /// Something is to be asked, which was intended for that moment.
    fn begin(&self, intended: Instant) -> Self::Question;

    /// It is not: too much is open.
    fn hold_back(&self, intended: Instant);

    /// Asks it, and notes how it ended.
    fn ask(&self, intended: Instant, question: Self::Question) -> impl Future<Output = ()> + Send;
}

/// A loop that goes on until it is ended, or dropped.
#[derive(Debug)]
pub(crate) struct OpenLoop {
    pacer: JoinHandle<()>,
    slots: Arc<Semaphore>,
}

impl OpenLoop {
    /// Asks so often a second.
    pub(crate) fn start(asks: Arc<impl Asks>, rate: u32) -> Self {
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
        let pacer = tokio::spawn(pace(asks, Arc::clone(&slots), rate));
        Self { pacer, slots }
    }

    /// Asks no more.
    pub(crate) fn stop(&self) {
        self.pacer.abort();
    }

    /// Asks no more, and waits until what is under way has ended.
    pub(crate) async fn end(self) {
        self.stop();
        // Everything ends by its own timeout, a little later at most; what does not is missing in the sum.
        drop(timeout(2 * ASKED_WITHIN, self.slots.acquire_many(IN_FLIGHT_MAX)).await);
    }
}

impl Drop for OpenLoop {
    fn drop(&mut self) {
        self.pacer.abort();
    }
}

async fn pace(asks: Arc<impl Asks>, slots: Arc<Semaphore>, rate: u32) {
    let mut moments = interval(Duration::from_secs(1) / rate.max(1));
    // A late loop makes up for it: the moments stay those intended.
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let intended = moments.tick().await;
        let question = asks.begin(intended);
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let asks = Arc::clone(&asks);
                tokio::spawn(async move {
                    asks.ask(intended, question).await;
                    drop(slot);
                });
            }
            Err(_) => asks.hold_back(intended),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tokio::sync::Notify;

    use super::*;

    /// Answers nothing until it is told to.
    #[derive(Default)]
    struct Slow {
        begun: AtomicU32,
        held_back: AtomicU32,
        ended: AtomicU32,
        answers: Notify,
    }

    impl Asks for Slow {
        type Question = ();

        fn begin(&self, _: Instant) {
            self.begun.fetch_add(1, Relaxed);
        }

        fn hold_back(&self, _: Instant) {
            self.held_back.fetch_add(1, Relaxed);
        }

        async fn ask(&self, _: Instant, (): ()) {
            self.answers.notified().await;
            self.ended.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_on_whatever_becomes_of_what_was_before_up_to_a_bound() {
        let slow = Arc::new(Slow::default());
        let open = OpenLoop::start(Arc::clone(&slow), 1_000);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let begun = slow.begun.load(Relaxed);
        assert!((5_990..6_010).contains(&begun), "{begun}");
        assert_eq!(slow.held_back.load(Relaxed), begun - IN_FLIGHT_MAX);
        open.stop();
        slow.answers.notify_waiters();
        open.end().await;
        assert_eq!(slow.ended.load(Relaxed), IN_FLIGHT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_not_waited_for() {
        let slow = Arc::new(Slow::default());
        let open = OpenLoop::start(Arc::clone(&slow), 10);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        open.end().await;
        assert_eq!(begun.elapsed(), 2 * ASKED_WITHIN);
    }
}
