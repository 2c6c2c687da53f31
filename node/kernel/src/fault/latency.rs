//! How much later things arrive, and how that is spread. Integers and the four operations of floats alone: the same random
//! number gives the same time on every system.
//!
//! What does not live here: which link is slower (`fault`).

use core::fmt;

use crate::spread::mix;
use crate::time::Span;

/// How times are spread around what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// Anything from less to more by the jitter is as likely.
    #[default]
    Uniform,
    /// A bell: the jitter is its standard deviation.
    Normal,
    /// Never less, and now and then much more: the jitter is the mean of what is added, and eight times that its most.
    Exponential,
}

impl Shape {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Exponential => "exponential",
        }
    }
}

/// Times with their spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The time in the middle; the least one where the shape is exponential.
    pub time: Span,
    /// How far they are spread; zero for always the same.
    pub jitter: Span,
    /// How they are spread.
    pub shape: Shape,
}

/// Of a mean, at most so many times as much is added.
const EXPONENTIAL_MAX: u64 = 8;
/// Numbers between zero and one that make a bell when they are added: their sum has a variance of one (Irwin and Hall).
const BELL: u32 = 12;

impl Latency {
    /// Always the same.
    #[must_use]
    pub const fn constant(time: Span) -> Self {
        Self {
            time,
            jitter: Span::ZERO,
            shape: Shape::Uniform,
        }
    }

    /// The longest time it can give.
    #[must_use]
    pub const fn longest(&self) -> Span {
        let more = match self.shape {
            Shape::Uniform => self.jitter.0,
            Shape::Normal => self.jitter.0.saturating_mul((BELL / 2) as u64),
            Shape::Exponential => self.jitter.0.saturating_mul(EXPONENTIAL_MAX),
        };
        Span(self.time.0.saturating_add(more))
    }

    /// The time that a random number stands for; never below zero.
    pub(crate) fn drawn(&self, rng: u64) -> Span {
        let Self { time, jitter, shape } = *self;
        if jitter == Span::ZERO {
            return time;
        }
        match shape {
            Shape::Uniform => {
                let offset = rng % (2 * jitter.0 + 1);
                Span((time.0 + offset).saturating_sub(jitter.0))
            }
            Shape::Normal => {
                let mut state = rng;
                let sum: f64 = (0..BELL)
                    .map(|_| {
                        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                        unit(mix(state))
                    })
                    .sum();
                let off = (sum - f64::from(BELL) / 2.0) * jitter.0 as f64;
                Span((time.0 as f64 + off).max(0.0) as u64)
            }
            Shape::Exponential => {
                let more = -ln(unit(mix(rng))) * jitter.0 as f64;
                let most = jitter.0.saturating_mul(EXPONENTIAL_MAX);
                Span(time.0.saturating_add((more as u64).min(most)))
            }
        }
    }
}

impl fmt::Display for Latency {
    /// As people write it: `200ms`, `200ms ±50ms`, `200ms +50ms exponential`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, jitter, shape } = *self;
        write!(f, "{}", brief(time))?;
        match (jitter, shape) {
            (Span::ZERO, _) => Ok(()),
            (_, Shape::Uniform) => write!(f, " ±{}", brief(jitter)),
            (_, Shape::Normal) => write!(f, " ±{} normal", brief(jitter)),
            (_, Shape::Exponential) => write!(f, " +{} exponential", brief(jitter)),
        }
    }
}

/// A time in whole milliseconds where it is one, else in microseconds.
pub(super) fn brief(time: Span) -> impl fmt::Display {
    struct Brief(Span);
    impl fmt::Display for Brief {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0.0.is_multiple_of(1000) {
                write!(f, "{}ms", self.0.as_ms())
            } else {
                write!(f, "{}us", self.0.0)
            }
        }
    }
    Brief(time)
}

/// A number above zero, and at most one.
fn unit(rng: u64) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    ((rng >> 11) + 1) as f64 / STEPS
}

/// The natural logarithm of a number above zero and at most one, to nine digits.
fn ln(x: f64) -> f64 {
    const LN_2: f64 = core::f64::consts::LN_2;
    let (mut m, mut halvings) = (x, 0.0);
    while m < 0.5 {
        m *= 2.0;
        halvings += 1.0;
    }
    // ln m = 2 artanh z, with |z| at most a third.
    let z = (m - 1.0) / (m + 1.0);
    let (square, mut power, mut sum, mut n) = (z * z, z, 0.0, 1.0);
    while n < 20.0 {
        sum += power / n;
        power *= square;
        n += 2.0;
    }
    2.0 * sum - halvings * LN_2
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;
    use std::vec::Vec;

    use super::*;

    fn draws(shape: Shape) -> Vec<f64> {
        let latency = Latency {
            time: Span::from_ms(100),
            jitter: Span::from_ms(10),
            shape,
        };
        let mut all: Vec<f64> = (0..50_000_u64)
            .map(|n| latency.drawn(mix(n)).0 as f64 / 1000.0)
            .collect();
        assert!(all.iter().all(|ms| *ms <= latency.longest().0 as f64 / 1000.0));
        all.sort_by(f64::total_cmp);
        all
    }

    fn mean(all: &[f64]) -> f64 {
        all.iter().sum::<f64>() / all.len() as f64
    }

    fn deviation(all: &[f64]) -> f64 {
        let mean = mean(all);
        (all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64).sqrt()
    }

    #[test]
    fn a_bell_has_its_mean_and_its_deviation() {
        let all = draws(Shape::Normal);
        assert!((mean(&all) - 100.0).abs() < 0.3, "{}", mean(&all));
        assert!((deviation(&all) - 10.0).abs() < 0.3, "{}", deviation(&all));
        let within = all.iter().filter(|x| (**x - 100.0).abs() < 10.0).count();
        assert!(
            (33_500..34_800).contains(&within),
            "{within} within one deviation"
        );
    }

    #[test]
    fn an_exponential_is_never_less_and_has_its_mean_and_its_median() {
        let all = draws(Shape::Exponential);
        assert!(all[0] >= 100.0);
        assert!((mean(&all) - 110.0).abs() < 0.3, "{}", mean(&all));
        let median = all[all.len() / 2];
        assert!((median - 106.93).abs() < 0.3, "{median}");
    }

    #[test]
    fn a_uniform_one_has_its_ends_and_its_mean() {
        let all = draws(Shape::Uniform);
        assert!(all[0] >= 90.0 && all[0] < 90.1 && mean(&all) - 100.0 < 0.3);
    }

    #[test]
    fn logarithms_are_right() {
        for n in 1..=1000 {
            let x = f64::from(n) / 1000.0;
            assert!((ln(x) - x.ln()).abs() < 1e-9, "{x}");
        }
        assert!(ln(unit(0)).is_finite() && ln(unit(u64::MAX)) == 0.0);
    }

    #[test]
    fn it_reads_as_people_write_it() {
        let text = |jitter, shape| {
            let time = Span::from_ms(200);
            Latency { time, jitter, shape }.to_string()
        };
        let jitter = Span::from_ms(50);
        assert_eq!(text(Span::ZERO, Shape::Normal), "200ms");
        assert_eq!(text(jitter, Shape::Uniform), "200ms ±50ms");
        assert_eq!(text(jitter, Shape::Normal), "200ms ±50ms normal");
        assert_eq!(text(Span(1500), Shape::Exponential), "200ms +1500us exponential");
    }
}
