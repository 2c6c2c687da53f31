//! The runtime that simulated nodes run Raft on: openraft's deterministic one, shared by all nodes of a cluster, with what
//! belongs to a single node added. A node's clock may run fast or slow; a node that stands still is polled no more, and
//! finds itself late when it goes on; a node that is dead is never polled again.
//!
//! What does not live here: what nodes do (`engine`), and what they say to each other on the way.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend};
use openraft_rt_sim::{SimInstant, SimRuntime};
use squall_kernel::time::Instant;

const MILLION: i128 = 1_000_000;
/// A node's clock starts a day in, so that code which takes a timeout from `now` does not go below zero.
const EPOCH: u64 = 86_400 * 1_000_000_000;

/// Simulated true time, in nanoseconds; none outside of the runtime.
pub(super) fn true_nanos() -> Option<u64> {
    let now = SimInstant::try_now()?.elapsed_since_start();
    Some(u64::try_from(now.as_nanos()).expect("a run lasts less than 500 years"))
}

/// Simulated true time; zero outside of the runtime.
pub(super) fn true_now() -> Instant {
    Instant(true_nanos().unwrap_or(0) / 1000)
}

/// One run of a node: it may stand still, and it ends once. Clones share it.
#[derive(Clone)]
pub(super) struct Life(Arc<Mutex<State>>);

struct State {
    dead: bool,
    paused: bool,
    waiting: Vec<Waker>,
    ppm: i64,
    /// True time and the node's, in nanoseconds, when the rate last changed.
    since: (u64, u64),
}

impl Life {
    /// A run that begins now, on a clock of that rate: parts per million faster than true time.
    pub(super) fn new(ppm: i64) -> Self {
        let now = true_nanos().unwrap_or(0);
        Self(Arc::new(Mutex::new(State {
            dead: false,
            paused: false,
            waiting: Vec::new(),
            ppm,
            since: (now, EPOCH + now),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it: nothing of this run is polled again.
    pub(super) fn end(&self) {
        let waiting = {
            let mut state = self.state();
            state.dead = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Lets it stand still, or go on.
    pub(super) fn pause(&self, paused: bool) {
        let waiting = {
            let mut state = self.state();
            state.paused = paused;
            if paused {
                Vec::new()
            } else {
                std::mem::take(&mut state.waiting)
            }
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// From now on its clock runs at that rate.
    pub(super) fn set_rate(&self, now: Instant, ppm: i64) {
        let mut state = self.state();
        let now = now.0.saturating_mul(1000).max(state.since.0);
        state.since = (now, state.local(now));
        state.ppm = ppm;
    }

    /// Polls it as a task of this run. Dropped where the run is over.
    pub(super) fn task<F: Future>(&self, future: F) -> Task<F> {
        Task {
            life: self.clone(),
            future: Some(Box::pin(future)),
        }
    }
}

impl State {
    fn local(&self, now: u64) -> u64 {
        let passed = i128::from(now.saturating_sub(self.since.0));
        self.since.1 + nanoseconds(passed * (MILLION + i128::from(self.ppm)) / MILLION)
    }

    /// The first microsecond at which the clock shows that: no timer fires before its time.
    fn true_of(&self, local: u64) -> u64 {
        let (ahead, rate) = (
            i128::from(local.saturating_sub(self.since.1)),
            MILLION + i128::from(self.ppm),
        );
        let passed = nanoseconds((ahead * MILLION + rate - 1) / rate);
        (self.since.0 + passed).div_ceil(1000) * 1000
    }
}

fn nanoseconds(span: i128) -> u64 {
    u64::try_from(span).expect("clocks run forward, and not for 500 years")
}

thread_local! {
    static RUNNING: RefCell<Option<Life>> = const { RefCell::new(None) };
}

fn running() -> Option<Life> {
    RUNNING.with(|running| running.borrow().clone())
}

/// Puts back who was polled before, after a panic too.
struct Before(Option<Life>);

impl Drop for Before {
    fn drop(&mut self) {
        RUNNING.with(|running| running.replace(self.0.take()));
    }
}

/// A future of one run.
pub(super) struct Task<F> {
    life: Life,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut state = self.life.state();
            if state.paused && !state.dead {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            if state.dead {
                drop(state);
                self.future = None;
            }
        }
        let life = self.life.clone();
        let Some(future) = self.future.as_mut() else {
            return Poll::Pending;
        };
        let _before = Before(RUNNING.with(|running| running.replace(Some(life))));
        future.as_mut().poll(cx)
    }
}

/// A reading of a node's clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LocalInstant(u64);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl openraft::Instant for LocalInstant {
    fn now() -> Self {
        let now = true_nanos().unwrap_or(0);
        Self(running().map_or(EPOCH + now, |life| life.state().local(now)))
    }
}
impl Add<Duration> for LocalInstant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}
impl AddAssign<Duration> for LocalInstant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}
impl Sub<Duration> for LocalInstant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(rhs)))
    }
}
impl SubAssign<Duration> for LocalInstant {
    fn sub_assign(&mut self, rhs: Duration) {
        *self = *self - rhs;
    }
}
impl Sub for LocalInstant {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(rhs.0))
    }
}

/// What simulated nodes run Raft on.
pub(super) struct NodeRuntime(SimRuntime);

impl NodeRuntime {
    /// A runtime whose random numbers come from that seed.
    pub(super) fn with_seed(seed: u64) -> Self {
        Self(SimRuntime::with_seed(seed))
    }

    /// How long true time takes to reach that point of the clock of whoever runs.
    fn until(deadline: LocalInstant) -> Duration {
        let now = true_nanos().expect("timers are set inside the runtime");
        let then = running().map_or(deadline.0.saturating_sub(EPOCH), |life| {
            life.state().true_of(deadline.0)
        });
        Duration::from_nanos(then.saturating_sub(now))
    }
}

impl fmt::Debug for NodeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeRuntime")
    }
}

impl AsyncRuntime for NodeRuntime {
    type JoinError = <SimRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <SimRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <SimRuntime as AsyncRuntime>::Sleep;
    type Instant = LocalInstant;
    type TimeoutError = <SimRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <SimRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <SimRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <SimRuntime as AsyncRuntime>::Mpsc;
    type Watch = <SimRuntime as AsyncRuntime>::Watch;
    type Oneshot = <SimRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <SimRuntime as AsyncRuntime>::Mutex<T>;

    /// A task belongs to the run that spawns it.
    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        match running() {
            Some(life) => SimRuntime::spawn(life.task(future)),
            None => SimRuntime::spawn(future),
        }
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Self::sleep_until(<LocalInstant as openraft::Instant>::now() + duration)
    }

    fn sleep_until(deadline: LocalInstant) -> Self::Sleep {
        SimRuntime::sleep(Self::until(deadline))
    }

    fn timeout<R, F>(duration: Duration, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        Self::timeout_at(<LocalInstant as openraft::Instant>::now() + duration, future)
    }

    fn timeout_at<R, F>(deadline: LocalInstant, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        SimRuntime::timeout(Self::until(deadline), future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        SimRuntime::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SimRuntime::thread_rng()
    }

    fn new(_threads: usize) -> Self {
        Self::with_seed(0)
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    async fn spawn_blocking<F, T>(_: F) -> Result<T, std::io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timer_fires_before_its_time_and_none_late() {
        for ppm in [-5000, -333, -1, 0, 1, 77, 5000] {
            let state = State {
                dead: false,
                paused: false,
                waiting: Vec::new(),
                ppm,
                since: (1_234, EPOCH + 77),
            };
            for ahead in (997..2_000_000).step_by(997) {
                let local = EPOCH + 77 + ahead;
                let fires = state.true_of(local);
                assert!(state.local(fires) >= local, "{ppm} {ahead}");
                assert!(
                    fires < 2_000 || state.local(fires - 1_001) < local,
                    "{ppm} {ahead}"
                );
            }
        }
    }
}
