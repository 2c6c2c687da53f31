//! The failure detector: how suspicious is the silence of a peer, as one number, phi (Hayashibara et al., "The phi
//! accrual failure detector", 2004, section 4), and the round trips to it over the last seconds.
//!
//! What does not live here: what follows from a high phi; that is decided where promises are.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::limits;
use crate::time::{Instant, Span};

/// Round trips are told over that time.
pub const RTT_WINDOW: Span = Span(10_000_000);
/// Round trips kept: ten seconds at one heartbeat every 50 ms are 200.
pub const RTT_SAMPLES_MAX: usize = 256;

const LN_10: f64 = core::f64::consts::LN_10;
const LN_2: f64 = core::f64::consts::LN_2;

/// Suspicion of one peer.
#[derive(Debug, Clone)]
pub struct Detector {
    heartbeat: Span,
    gaps_us: VecDeque<f64>,
    sampled_at: Instant,
    heard_at: Instant,
}

impl Detector {
    /// A detector of a peer that is expected to be heard once per `heartbeat`, and was heard at `now`.
    #[must_use]
    pub fn new(heartbeat: Span, now: Instant) -> Self {
        assert!(heartbeat > Span::ZERO, "a heartbeat takes time");
        let gaps_us = VecDeque::with_capacity(limits::PHI_WINDOW);
        Self {
            heartbeat,
            gaps_us,
            sampled_at: now,
            heard_at: now,
        }
    }

    /// The peer was heard: any frame will do. A busy link is not held to its own speed later: gaps shorter than a
    /// heartbeat count as one heartbeat, and at most two samples are taken in one.
    pub fn heard(&mut self, now: Instant) {
        let gap = now.since(self.heard_at);
        self.heard_at = self.heard_at.max(now);
        if now.since(self.sampled_at).0 < self.heartbeat.0 / 2 {
            return;
        }
        self.sampled_at = now;
        if self.gaps_us.len() == limits::PHI_WINDOW {
            self.gaps_us.pop_front();
        }
        self.gaps_us.push_back(us(gap.max(self.heartbeat)));
    }

    /// The peer is connected anew: the silence before was not its heart's.
    pub fn reset(&mut self, now: Instant) {
        *self = Self::new(self.heartbeat, now);
    }

    /// When it was heard last.
    #[must_use]
    pub const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Phi: a peer that lives is silent this long once in 10^phi times. Grows without bound in silence.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let (mean, deviation) = self.distribution();
        let y = (us(now.since(self.heard_at)) - mean) / deviation;
        // The normal distribution's tail by the logistic approximation 1 / (1 + e^x) (Bowling et al. 2009): its
        // negative logarithm is ln(1 + e^x), without under- or overflow at either end.
        softplus(y * (1.5976 + 0.070_566 * y * y)) / LN_10
    }

    /// Mean and standard deviation in microseconds. The deviation is never below half a heartbeat: a few regular
    /// samples do not make a late timer a death.
    fn distribution(&self) -> (f64, f64) {
        let least = us(self.heartbeat) / 2.0;
        if self.gaps_us.is_empty() {
            return (us(self.heartbeat), least);
        }
        let n = f64::from(u32::try_from(self.gaps_us.len()).expect("the window is small"));
        let mean = self.gaps_us.iter().sum::<f64>() / n;
        let variance = self
            .gaps_us
            .iter()
            .map(|gap| (gap - mean) * (gap - mean))
            .sum::<f64>()
            / n;
        (mean, square_root(variance).max(least))
    }
}

/// Round trips to one peer.
#[derive(Debug, Clone, Default)]
pub struct RoundTrips {
    samples: VecDeque<(Instant, Span)>,
}

/// Round trips over the last [`RTT_WINDOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtt {
    /// Median.
    pub p50: Span,
    /// 99th percentile.
    pub p99: Span,
}

impl RoundTrips {
    /// A round trip ended at `now`.
    pub fn add(&mut self, now: Instant, took: Span) {
        if self.samples.len() == RTT_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now, took));
    }

    /// Median and 99th percentile (nearest rank); none without a sample in the window.
    #[must_use]
    pub fn at(&self, now: Instant) -> Option<Rtt> {
        let recent = self.samples.iter().filter(|(at, _)| now.since(*at) <= RTT_WINDOW);
        let mut took: Vec<Span> = recent.map(|(_, took)| *took).collect();
        took.sort_unstable();
        let rank = |percent: usize| {
            took.get((took.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };
        Some(Rtt {
            p50: rank(50)?,
            p99: rank(99)?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn us(span: Span) -> f64 {
    span.0 as f64
}

/// ln(1 + e^x).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + ln_1_plus(exp_of_negative(-x.abs()))
}

/// e^x for x ≤ 0: e^x = 2^k · e^r with |r| ≤ ln 2, the latter by its series.
fn exp_of_negative(x: f64) -> f64 {
    // Below the smallest normal number.
    if x.is_nan() || x <= -700.0 {
        return 0.0;
    }
    let halvings = -x / LN_2;
    let mut k = 0_u32;
    while f64::from(k + 1) <= halvings {
        k += 1;
    }
    let r = x + f64::from(k) * LN_2;
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..20 {
        term *= r / f64::from(n);
        sum += term;
    }
    (0..k).fold(sum, |value, _| value / 2.0)
}

/// ln(1 + u) for 0 ≤ u ≤ 1: 2 artanh(u / (2 + u)), whose argument is at most 1/3.
fn ln_1_plus(u: f64) -> f64 {
    let s = u / (2.0 + u);
    let (mut power, mut sum) = (s, 0.0);
    for n in 0..18 {
        sum += power / f64::from(2 * n + 1);
        power *= s * s;
    }
    2.0 * sum
}

/// Newton's iteration from above: it falls until it is exact to the last bits.
fn square_root(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let mut root = x.max(1.0);
    loop {
        let next = (root + x / root) / 2.0;
        if next >= root {
            return root;
        }
        root = next;
    }
}

#[cfg(test)]
#[path = "detector_test.rs"]
mod tests;
