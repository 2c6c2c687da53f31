//! How the requests of an exchange fare: rates and latencies by time, the longest silences, how all of them ended. Pure but
//! for a lock; times are counted from the beginning. What does not live here: sending them (`work`).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use squall_client::RequestError;
use squall_kernel::fault::Share;

use crate::bench::Histogram;
use crate::load::Outcomes;

/// Requests are counted in buckets of this length, or of longer ones where a run is long.
const BUCKET_LEAST: Duration = Duration::from_millis(100);
/// Buckets of a run.
const BUCKETS_MAX: u32 = 6_000;
/// What is steady is judged over that time.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// What took place in one stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Bucket {
    /// Requests that were to be sent.
    pub sent: u64,
    /// Good replies that came.
    pub good: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Half of the replies came within that, in microseconds; 0 without any.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// All.
    pub max_us: u64,
}

/// The whole run of one exchange.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Exchange.
    pub exchange: String,
    /// Length of a bucket in milliseconds.
    pub bucket_ms: u64,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// How all requests ended.
    pub outcomes: Outcomes,
    /// Longest time without a good reply: when it began and how long it was, in milliseconds.
    pub gap_at_ms: u64,
    /// See above.
    pub gap_ms: u64,
    /// Requests that never ended.
    pub lost: u64,
    /// Requests that handlers got twice.
    pub doubled: u64,
    /// Requests that came under an epoch that was over, and messages or replies that were not as they were sent.
    pub wrong: u64,
}

/// Counts.
#[derive(Debug)]
pub(super) struct Meter {
    exchange: String,
    bucket: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When what is counted began.
    began: Duration,
    buckets: Vec<Bucket>,
    open: Histogram,
    /// Ends of the last second, the oldest first: when, and how long it took; none for those that failed.
    recent: VecDeque<(Duration, Option<Duration>)>,
    last_good: Option<Duration>,
    gap: (Duration, Duration),
    outcomes: Outcomes,
    wrong: u64,
}

impl Meter {
    pub(super) fn new(exchange: &str, lasts: Duration) -> Self {
        Self {
            exchange: exchange.to_owned(),
            bucket: BUCKET_LEAST.max(lasts / BUCKETS_MAX),
            state: Mutex::default(),
        }
    }

    /// A request is to be sent.
    pub(super) fn sent(&self, at: Duration) {
        let mut state = self.state();
        state.outcomes.sent += 1;
        state.bucket(at, self.bucket).sent += 1;
    }

    /// It was not: too many are open.
    pub(super) fn held_back(&self, at: Duration) {
        let mut state = self.state();
        state.outcomes.held_back += 1;
        state.bucket(at, self.bucket).failed += 1;
    }

    /// It ended at `at`, `took` after it was to be sent.
    pub(super) fn ended(&self, at: Duration, took: Duration, outcome: Result<bool, &RequestError>) {
        let mut state = self.state();
        state.outcomes.count(outcome.err());
        state.wrong += u64::from(outcome == Ok(false));
        state.recent.push_back((at, outcome.is_ok().then_some(took)));
        while state.recent.front().is_some_and(|(then, _)| *then + WINDOW < at) {
            state.recent.pop_front();
        }
        let bucket = state.bucket(at, self.bucket);
        if outcome.is_err() {
            bucket.failed += 1;
            return;
        }
        bucket.good += 1;
        state.open.count(took);
        state.good(at);
    }

    /// Good replies of the last second in parts of all ends, and the 99th percentile of their latencies; none when
    /// nothing ended.
    pub(super) fn recent(&self, now: Duration) -> Option<(Share, Duration)> {
        let state = self.state();
        let ends = state.recent.iter().filter(|(at, _)| *at + WINDOW >= now);
        let (mut all, mut took) = (0_u64, Histogram::default());
        for (_, good) in ends {
            all += 1;
            if let Some(good) = good {
                took.count(*good);
            }
        }
        (all > 0).then(|| (share(took.total(), all), took.quantile(0.99)))
    }

    /// How the requests ended so far.
    pub(super) fn outcomes(&self) -> Outcomes {
        self.state().outcomes.clone()
    }

    /// Begins anew at that time: what came before was a rehearsal.
    pub(super) fn begin(&self, at: Duration) {
        let mut state = self.state();
        let open = state.outcomes.sent - ended(&state.outcomes);
        *state = State {
            began: at,
            outcomes: Outcomes {
                exchange: self.exchange.clone(),
                // Those under way end in what is counted now.
                sent: open,
                ..Outcomes::default()
            },
            ..State::default()
        };
    }

    /// Everything, at the end of the run.
    pub(super) fn series(&self, now: Duration, doubled: u64, wrong: u64) -> Series {
        let mut state = self.state();
        state.good(now);
        let at = state.buckets.len();
        state.close(at);
        Series {
            exchange: self.exchange.clone(),
            bucket_ms: millis(self.bucket),
            buckets: state.buckets.clone(),
            gap_at_ms: millis(state.gap.0),
            gap_ms: millis(state.gap.1),
            lost: state.outcomes.sent.saturating_sub(ended(&state.outcomes)),
            outcomes: state.outcomes.clone(),
            doubled,
            wrong: state.wrong + wrong,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bucket(&mut self, at: Duration, length: Duration) -> &mut Bucket {
        let at = at.saturating_sub(self.began);
        let place = usize::try_from(at.as_micros() / length.as_micros().max(1)).unwrap_or(usize::MAX);
        // Work goes on a little after the end: that is counted in the last bucket.
        let place = place.min(BUCKETS_MAX as usize * 2);
        if place >= self.buckets.len() {
            self.close(self.buckets.len());
            self.buckets.resize(place + 1, Bucket::default());
        }
        &mut self.buckets[place]
    }

    /// The last bucket is over: what its latencies were is written into it.
    fn close(&mut self, len: usize) {
        let open = std::mem::take(&mut self.open);
        if let Some(last) = len.checked_sub(1).and_then(|last| self.buckets.get_mut(last)) {
            last.p50_us = micros(open.quantile(0.5));
            last.p99_us = micros(open.quantile(0.99));
            last.max_us = micros(open.largest());
        }
    }

    fn good(&mut self, at: Duration) {
        let last = self.last_good.unwrap_or(self.began);
        let silent = at.saturating_sub(last);
        if silent > self.gap.1 {
            self.gap = (last.saturating_sub(self.began), silent);
        }
        self.last_good = Some(last.max(at));
    }
}

/// So many of all.
pub(super) fn share(some: u64, all: u64) -> Share {
    let parts = u128::from(some) * u128::from(Share::ALL.0) / u128::from(all.max(1));
    Share(u32::try_from(parts).unwrap_or(u32::MAX))
}

fn ended(outcomes: &Outcomes) -> u64 {
    outcomes.replied + outcomes.failed() + outcomes.held_back
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn silences_are_from_one_good_reply_to_the_next() {
        let meter = Meter::new("x", MS(1000));
        for at in [50, 100, 700, 750] {
            meter.sent(MS(at - 10));
            meter.ended(MS(at), MS(10), Ok(true));
        }
        meter.sent(MS(400));
        meter.ended(MS(500), MS(100), Err(&RequestError::Timeout));
        let series = meter.series(MS(800), 0, 0);
        assert_eq!((series.gap_at_ms, series.gap_ms), (100, 600));
        let counts: Vec<(u64, u64)> = series.buckets.iter().map(|b| (b.good, b.failed)).collect();
        assert_eq!(
            counts,
            [(1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 0), (2, 0)]
        );
        assert_eq!(
            (series.outcomes.replied, series.outcomes.timeout, series.lost),
            (4, 1, 0)
        );
        assert!((9_900..10_300).contains(&series.buckets[7].p99_us));
    }

    #[test]
    fn what_is_steady_is_judged_by_the_last_second() {
        let meter = Meter::new("x", MS(1000));
        assert_eq!(meter.recent(MS(0)), None);
        for at in 0..10 {
            meter.ended(MS(at * 100), MS(5), Err(&RequestError::NoResponders));
        }
        for at in 10..30 {
            meter.ended(MS(at * 100), MS(5), Ok(true));
        }
        let (good, p99) = meter.recent(MS(2900)).expect("ends");
        assert!(
            good == Share::ALL && p99 >= MS(5) && p99 < MS(6),
            "{good} {p99:?}"
        );
        assert_eq!(meter.recent(MS(9000)), None, "long ago");
    }

    #[test]
    fn a_rehearsal_is_not_counted_but_for_what_is_under_way() {
        let meter = Meter::new("x", MS(1000));
        meter.sent(MS(1));
        meter.sent(MS(1));
        meter.ended(MS(2), MS(1), Ok(false));
        meter.begin(MS(2));
        meter.ended(MS(3), MS(1), Ok(true));
        let series = meter.series(MS(3), 0, 0);
        assert_eq!((series.outcomes.sent, series.outcomes.replied), (1, 1));
        assert_eq!((series.lost, series.wrong), (0, 0));
    }
}
