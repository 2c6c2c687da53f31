//! The node's monotonic clock, which a fault can make run at another rate. What does not live here: wall clock time
//! (`calendar`), and who sets faults.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use squall_kernel::time::Instant;

const MILLION: i128 = 1_000_000;
/// Readings of two clocks side by side, of which the closest counts: a thread may be put aside between the two of one.
const READINGS: usize = 16;

thread_local! {
    /// What a clock shows while this thread is in a step of it: which clock, and what it shows.
    static STEP: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

/// While it is held, the clock shows the same on this thread: what is done in one step happens at one time, and is told so without
/// a reading for each part of it. Ends with the step; not to be held for long, nor across an await, which the compiler sees to.
#[derive(Debug)]
#[must_use = "a step ends when this is dropped"]
pub struct Step {
    before: (usize, u64),
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for Step {
    fn drop(&mut self) {
        STEP.set(self.before);
    }
}

/// Reads the node's monotonic clock as the kernel counts it: microseconds since the node started. Clones are one clock. One pointer
/// wide: every process of a node has one.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Pace>);

/// When the clock started, and at which rate it runs.
#[derive(Debug)]
struct Pace {
    start: tokio::time::Instant,
    /// The same on the machine's clock.
    started: Instant,
    /// False while it never ran at any other rate than time itself: nobody looks further then.
    bent: AtomicBool,
    since: RwLock<Since>,
}

/// The rate since it was changed last. All in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Since {
    real: u64,
    shown: u64,
    faster_ppm: i32,
}

impl Since {
    /// What the clock shows when so much time has really passed.
    fn shown_at(&self, real: u64) -> u64 {
        let passed = i128::from(real.saturating_sub(self.real));
        let shown = i128::from(self.shown) + passed * (MILLION + i128::from(self.faster_ppm)) / MILLION;
        u64::try_from(shown).unwrap_or(u64::MAX)
    }

    /// When the clock shows that, and not earlier. What it has shown before was at the rate of time itself: it is over.
    fn real_at(&self, shown: u64) -> u64 {
        let Some(left) = shown.checked_sub(self.shown) else {
            return self.real.saturating_sub(self.shown - shown);
        };
        let rate = MILLION + i128::from(self.faster_ppm);
        let takes = (i128::from(left) * MILLION + rate - 1) / rate;
        u64::try_from(i128::from(self.real) + takes).unwrap_or(u64::MAX)
    }
}

impl Clock {
    /// A clock that starts at zero now.
    #[must_use]
    pub fn start() -> Self {
        let readings = (0..READINGS).map(|_| {
            let before = machine_nanos();
            let start = tokio::time::Instant::now();
            (machine_nanos() - before, start, before)
        });
        let closest = readings.min_by_key(|(apart, ..)| *apart);
        let (apart, start, before) = closest.expect("more than none");
        Self::at_rate(start, Instant((before + apart / 2) / 1_000))
    }

    /// A clock with the same beginning that no fault of this one touches.
    #[must_use]
    pub fn untouched(&self) -> Self {
        Self::at_rate(self.0.start, self.0.started)
    }

    /// At the rate of time itself.
    fn at_rate(start: tokio::time::Instant, started: Instant) -> Self {
        Self(Arc::new(Pace {
            start,
            started,
            bent: AtomicBool::new(false),
            since: RwLock::default(),
        }))
    }

    /// Begins a step now; inside another one of this clock that one's time goes on.
    pub fn step(&self) -> Step {
        self.step_at(self.now())
    }

    /// Begins a step at `now`, which this clock has just shown.
    pub fn step_at(&self, now: Instant) -> Step {
        Step {
            before: STEP.replace((self.which(), now.0)),
            _of_this_thread: PhantomData,
        }
    }

    fn which(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Now; inside a [`Step`] the time of that.
    #[must_use]
    pub fn now(&self) -> Instant {
        let (clock, shown) = STEP.get();
        if clock == self.which() {
            return Instant(shown);
        }
        // Read first: a rate that is set afterwards begins later.
        let real = self.real();
        if !self.0.bent.load(Ordering::Relaxed) {
            return Instant(real);
        }
        // Read again under the lock: no rate begins between the reading and its meaning, so the clock never goes back.
        let since = self.0.since.read().unwrap_or_else(PoisonError::into_inner);
        Instant(since.shown_at(self.real()))
    }

    /// From now on it runs faster by so much, in parts per million; slower where that is negative, and at the rate of time
    /// itself with zero. It goes on from where it is.
    pub fn skew(&self, faster_ppm: i32) {
        self.0.bent.store(true, Ordering::SeqCst);
        let mut since = self.0.since.write().unwrap_or_else(PoisonError::into_inner);
        let real = self.real();
        *since = Since {
            real,
            shown: since.shown_at(real),
            faster_ppm,
        };
    }

    /// This clock's zero on the machine's monotonic clock, in microseconds: the same for all processes of one boot. Within two
    /// microseconds, which is less than it takes to tell another process anything.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// How much time had really passed when this clock showed that, lately, and by how many parts per million it runs faster
    /// since; none while it never ran at any other rate.
    #[must_use]
    pub fn passed(&self, shown: Instant) -> Option<(Instant, i32)> {
        if !self.0.bent.load(Ordering::Relaxed) {
            return None;
        }
        let since = self.0.since.read().unwrap_or_else(PoisonError::into_inner);
        Some((Instant(since.real_at(shown.0)), since.faster_ppm))
    }

    /// The runtime's instant of a point on this clock as it runs now, for timers.
    #[must_use]
    pub fn at(&self, instant: Instant) -> tokio::time::Instant {
        let real = if self.0.bent.load(Ordering::Relaxed) {
            let since = self.0.since.read().unwrap_or_else(PoisonError::into_inner);
            since.real_at(instant.0)
        } else {
            instant.0
        };
        self.0.start + Duration::from_micros(real)
    }

    /// Waits until then, by the clock as it runs now; without a time for ever.
    pub fn wait(&self, until: Option<Instant>) -> impl Future<Output = ()> + Send + use<> {
        let at = until.map(|until| self.at(until));
        async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Microseconds that have really passed.
    fn real(&self) -> u64 {
        // In two steps: a division of 128 bits for each message shows.
        let passed = self.0.start.elapsed();
        passed.as_secs() * 1_000_000 + u64::from(passed.subsec_micros())
    }
}

/// The machine's monotonic clock, in microseconds: the same for all processes of one boot.
#[must_use]
pub fn machine_now() -> Instant {
    Instant(machine_nanos() / 1_000)
}

fn machine_nanos() -> u64 {
    let machine = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(machine.tv_sec).expect("a monotonic clock starts at zero");
    let nanos = u64::try_from(machine.tv_nsec).expect("nanoseconds are not negative");
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use squall_kernel::time::Span;
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_skewed_clock_runs_at_its_rate_and_goes_on_from_where_it_is() {
        let clock = Clock::start();
        advance(SECOND).await;
        clock.skew(500_000);
        assert_eq!(clock.now(), Instant(1_000_000), "it does not jump");
        advance(SECOND).await;
        assert_eq!(clock.now(), Instant(2_500_000));
        clock.skew(-500_000);
        advance(SECOND).await;
        assert_eq!(clock.now(), Instant(3_000_000));
        clock.skew(0);
        advance(SECOND).await;
        assert_eq!(clock.now(), Instant(4_000_000));
        assert_eq!(clock.untouched().now(), Instant(4_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_really_passed_is_known_of_a_skewed_clock() {
        let clock = Clock::start();
        advance(SECOND).await;
        assert_eq!(clock.passed(clock.now()), None, "it shows it");
        clock.skew(500_000);
        advance(SECOND).await;
        assert_eq!(clock.passed(clock.now()), Some((Instant(2_000_000), 500_000)));
        clock.skew(0);
        advance(SECOND).await;
        assert_eq!(clock.now(), Instant(3_500_000));
        assert_eq!(clock.passed(clock.now()), Some((Instant(3_000_000), 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_step_the_clock_stands_still_for_its_thread_and_other_clocks_go_on() {
        let clock = Clock::start();
        let other = clock.untouched();
        let (begun, step) = (clock.now(), clock.step());
        let seen = {
            let clock = clock.clone();
            move || std::thread::spawn(move || clock.now()).join().unwrap()
        };
        tokio::time::advance(SECOND).await;
        assert_eq!((clock.now(), other.now().since(begun)), (begun, Span(1_000_000)));
        assert!(seen() > begun, "another thread");
        {
            let _inner = clock.step_at(Instant(7));
            assert_eq!(clock.now(), Instant(7));
        }
        assert_eq!(clock.now(), begun);
        drop(step);
        assert_eq!(clock.now().since(begun), Span(1_000_000));
    }

    /// Against the machine's clock read around it: never outside.
    #[test]
    fn all_clocks_of_a_machine_fit_together() {
        let before = machine_now();
        let clocks: Vec<Clock> = (0..100).map(|_| Clock::start()).collect();
        let after = machine_now();
        for pair in clocks.windows(2) {
            assert!(pair[0].started() <= pair[1].started());
        }
        for clock in clocks {
            assert!((before..=after).contains(&clock.started()));
            let early = machine_now();
            let shown = clock.started() + clock.now().since(Instant(0));
            let late = machine_now();
            assert!(
                shown.0 + 2 >= early.0 && shown.0 <= late.0 + 2,
                "{early} {shown} {late}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn timers_follow_a_skewed_clock_and_never_come_early() {
        let clock = Clock::start();
        for ppm in [300_000, -300_000, 7, -7, 0] {
            clock.skew(ppm);
            for wait in [1, 999, 1_000, 123_457] {
                let due = Instant(clock.now().0 + wait);
                clock.wait(Some(due)).await;
                let late = clock.now().since(due).0;
                assert!(clock.now() >= due && late <= 3_000, "{ppm} {wait} {late}");
            }
        }
        let past = Instant(0);
        clock.wait(Some(past)).await;
    }

    #[test]
    fn a_clock_that_is_bent_by_others_never_goes_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let clock = Clock::start();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..2_000 {
                    clock.skew(if n % 2 == 0 { 500_000 } else { -500_000 });
                }
                done.store(true, Ordering::Release);
            });
            let mut last = clock.now();
            while !done.load(Ordering::Acquire) {
                let now = clock.now();
                assert!(now >= last);
                last = now;
            }
        });
    }
}
