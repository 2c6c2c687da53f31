//! The open loop: something at every intended moment, whatever became of what was before, so that a latency is taken from the moment
//! at which somebody wanted it. What does not live here: what is asked, and what comes of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Open at a time unless said otherwise: what a session may have.
pub(crate) const IN_FLIGHT_MAX: u32 = 4_096;
/// What takes longer has failed for whoever waits for it.
pub(crate) const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// By then all that is asked with that timeout has ended.
pub(crate) const ENDED_WITHIN: Duration = Duration::from_secs(10);

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
    pacer: Pacer,
    slots: Arc<Semaphore>,
    /// How many slots there are.
    bound: u32,
}

#[derive(Debug)]
enum Pacer {
    Task(JoinHandle<()>),
    /// Ends by itself, and at once when this is true.
    Thread(Arc<AtomicBool>),
}

impl OpenLoop {
    /// Asks so often a second.
    pub(crate) fn start(asks: Arc<impl Asks>, rate: u32) -> Self {
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
        let pacer = Pacer::Task(tokio::spawn(pace(asks, Arc::clone(&slots), rate)));
        Self {
            pacer,
            slots,
            bound: IN_FLIGHT_MAX,
        }
    }

    /// The same with a thread for the moments: a runtime's timers go in whole milliseconds, which latencies in microseconds must
    /// not contain. It asks on that runtime at each moment of `moments`, be it late, and at most `bound` are open at a time.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start_fine(
        asks: Arc<impl Asks>,
        rate: u32,
        bound: u32,
        moments: Range<Instant>,
        runtime: Handle,
    ) -> std::io::Result<Self> {
        // One more for the thread, until it has come to the last moment.
        let slots = Arc::new(Semaphore::new(bound as usize + 1));
        let own = Arc::clone(&slots)
            .try_acquire_owned()
            .expect("nobody has one yet");
        let stopped = Arc::new(AtomicBool::new(false));
        let (room, stop) = (Arc::clone(&slots), Arc::clone(&stopped));
        std::thread::Builder::new().name("pacer".into()).spawn(move || {
            pace_fine(&asks, &room, rate, moments, &runtime, &stop);
            drop(own);
        })?;
        Ok(Self {
            pacer: Pacer::Thread(stopped),
            slots,
            bound: bound + 1,
        })
    }

    /// Asks no more.
    pub(crate) fn stop(&self) {
        match &self.pacer {
            Pacer::Task(task) => task.abort(),
            Pacer::Thread(stopped) => stopped.store(true, Ordering::Relaxed),
        }
    }

    /// Asks no more, and waits until what is under way has ended, in that time.
    pub(crate) async fn end(self, within: Duration) {
        if let Pacer::Task(task) = &self.pacer {
            task.abort();
        }
        // Everything ends by its own timeout, a little later at most; what does not is missing in the sum.
        let all = timeout(within, self.slots.acquire_many(self.bound)).await;
        // Whoever may be about to ask once more finds no slot, not one of those given back here.
        self.slots.close();
        self.stop();
        drop(all);
    }
}

impl Drop for OpenLoop {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn pace(asks: Arc<impl Asks>, slots: Arc<Semaphore>, rate: u32) {
    let mut moments = interval(Duration::from_secs(1) / rate.max(1));
    // A late loop makes up for it: the moments stay those intended.
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let intended = moments.tick().await;
        if let Some(asking) = begin(&asks, &slots, intended) {
            tokio::spawn(asking);
        }
    }
}

fn pace_fine(
    asks: &Arc<impl Asks>,
    slots: &Arc<Semaphore>,
    rate: u32,
    moments: Range<Instant>,
    runtime: &Handle,
    stopped: &AtomicBool,
) {
    let step = Duration::from_secs(1) / rate.max(1);
    let mut intended = moments.start;
    while intended < moments.end && !stopped.load(Ordering::Relaxed) {
        // None when the loop is late: it makes up for it.
        while let Some(early) = until(intended) {
            std::thread::park_timeout(early);
        }
        if let Some(asking) = begin(asks, slots, intended) {
            runtime.spawn(asking);
        }
        intended += step;
    }
}

fn until(moment: Instant) -> Option<Duration> {
    let early = moment.checked_duration_since(Instant::now());
    early.filter(|early| !early.is_zero())
}

/// What is to be done at that moment, if there is room for it. Nothing counts any more once the loop has ended.
fn begin<A: Asks>(
    asks: &Arc<A>,
    slots: &Arc<Semaphore>,
    intended: Instant,
) -> Option<impl Future<Output = ()> + Send + use<A>> {
    let slot = Arc::clone(slots).try_acquire_owned();
    if let Err(TryAcquireError::Closed) = slot {
        return None;
    }
    let question = asks.begin(intended);
    let Ok(slot) = slot else {
        asks.hold_back(intended);
        return None;
    };
    let asks = Arc::clone(asks);
    Some(async move {
        asks.ask(intended, question).await;
        drop(slot);
    })
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
        open.end(ENDED_WITHIN).await;
        assert_eq!(slow.ended.load(Relaxed), IN_FLIGHT_MAX);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_a_thread_of_its_own_it_comes_to_every_moment_and_ends() {
        let slow = Arc::new(Slow::default());
        let now = Instant::now();
        let moments = now..now + Duration::from_millis(10);
        let open = OpenLoop::start_fine(Arc::clone(&slow), 100_000, 7, moments, Handle::current()).unwrap();
        let end = std::pin::pin!(open.end(ENDED_WITHIN));
        let answers = std::pin::pin!(async {
            loop {
                slow.answers.notify_waiters();
                tokio::task::yield_now().await;
            }
        });
        futures::future::select(end, answers).await;
        let (begun, held_back) = (slow.begun.load(Relaxed), slow.held_back.load(Relaxed));
        assert_eq!((begun, begun - held_back), (1_000, slow.ended.load(Relaxed)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_end_is_neither_asked_nor_held_back() {
        let slow = Arc::new(Slow::default());
        let open = OpenLoop::start(Arc::clone(&slow), 1);
        let slots = Arc::clone(&open.slots);
        open.end(ENDED_WITHIN).await;
        let before = (slow.begun.load(Relaxed), slow.held_back.load(Relaxed));
        assert!(begin(&slow, &slots, Instant::now()).is_none());
        assert_eq!((slow.begun.load(Relaxed), slow.held_back.load(Relaxed)), before);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_not_waited_for() {
        let slow = Arc::new(Slow::default());
        let open = OpenLoop::start(Arc::clone(&slow), 10);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        open.end(ENDED_WITHIN).await;
        assert_eq!(begun.elapsed(), ENDED_WITHIN);
    }
}
