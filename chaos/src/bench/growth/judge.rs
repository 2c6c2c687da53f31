//! Whether a cost grows worse than linearly in something. What does not live here: how the cost was measured.

use serde::Serialize;

/// An exponent above this is called worse than linear: what is linear measures a little above one now and then, and what is
/// quadratic far above.
const LINEAR_UP_TO: f64 = 1.15;

/// How a cost grows with a size, as exponents: 0 for not at all, 1 for in proportion, 2 for with its square.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Growth {
    /// From the smallest size to the largest.
    pub overall: f64,
    /// From one size to the next, where it is the steepest: a cost that is flat for long and then explodes shows here.
    pub steepest: f64,
    /// The size at which that step ends.
    pub steepest_at: f64,
    /// Whether that is worse than linear.
    pub worse_than_linear: bool,
}

/// The growth of costs by size. None for fewer than two sizes, for sizes that do not increase, and for what is not above 0.
#[must_use]
pub fn growth(points: &[(f64, f64)]) -> Option<Growth> {
    let (first, last) = (points.first()?, points.last()?);
    let positive = |value: f64| value.is_finite() && value > 0.0;
    if !points
        .iter()
        .all(|(size, cost)| positive(*size) && positive(*cost))
    {
        return None;
    }
    let mut steepest: Option<(f64, f64)> = None;
    for pair in points.windows(2) {
        if pair[1].0 <= pair[0].0 {
            return None;
        }
        let step = exponent(pair[0], pair[1]);
        if steepest.is_none_or(|(most, _)| step > most) {
            steepest = Some((step, pair[1].0));
        }
    }
    let (steepest, steepest_at) = steepest?;
    Some(Growth {
        overall: exponent(*first, *last),
        steepest,
        steepest_at,
        worse_than_linear: steepest > LINEAR_UP_TO,
    })
}

fn exponent(from: (f64, f64), to: (f64, f64)) -> f64 {
    (to.1 / from.1).ln() / (to.0 / from.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cost: impl Fn(f64) -> f64) -> Growth {
        let points: Vec<(f64, f64)> = [1.0, 10.0, 100.0, 1000.0].map(|size| (size, cost(size))).into();
        growth(&points).unwrap()
    }

    #[test]
    fn powers_are_told_by_their_exponents() {
        for (exponent, worse) in [(0.0, false), (0.5, false), (1.0, false), (1.5, true), (2.0, true)] {
            let found = of(|size| 3.0 * size.powf(exponent));
            assert!((found.overall - exponent).abs() < 1e-9, "{found:?}");
            assert!((found.steepest - exponent).abs() < 1e-9, "{found:?}");
            assert_eq!(found.worse_than_linear, worse, "{exponent}");
        }
    }

    #[test]
    fn a_cost_that_explodes_late_is_worse_than_linear_though_it_is_not_overall() {
        let found = of(|size| if size < 1000.0 { 1.0 } else { 40.0 });
        assert!(found.overall < 1.0 && found.worse_than_linear, "{found:?}");
        assert_eq!(found.steepest_at, 1000.0);
    }

    #[test]
    fn some_noise_and_a_cost_per_call_do_not_make_linear_worse() {
        let noisy = [(1.0, 5.2), (10.0, 14.0), (100.0, 118.0), (1000.0, 1010.0)];
        assert!(!growth(&noisy).unwrap().worse_than_linear);
        assert!(!of(|size| 5.0 + size).worse_than_linear);
    }

    #[test]
    fn a_cost_that_falls_has_a_negative_exponent() {
        let found = of(|size| 1.0 / size);
        assert!(found.overall < -0.99 && !found.worse_than_linear);
    }

    #[test]
    fn what_is_no_growth_has_none() {
        for points in [
            vec![],
            vec![(1.0, 1.0)],
            vec![(1.0, 1.0), (1.0, 2.0)],
            vec![(2.0, 1.0), (1.0, 2.0)],
            vec![(0.0, 1.0), (1.0, 2.0)],
            vec![(1.0, 0.0), (2.0, 2.0)],
            vec![(1.0, f64::NAN), (2.0, 2.0)],
        ] {
            assert_eq!(growth(&points), None, "{points:?}");
        }
    }
}
