//! What is expected of each class, and whether it was met. Pure. What does not live here: the figures (`report`).

use serde::Serialize;

use super::class::{Class, Shape};
use super::report::Trial;
use super::summary::ClassFigures;

/// One goal beside what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What is measured.
    pub what: &'static str,
    /// No more than that.
    pub at_most: f64,
    /// As measured.
    pub measured: f64,
    /// Whether it holds.
    pub met: bool,
}

/// The goals of a class, against its trials.
pub(super) fn goals(figures: &ClassFigures, trials: &[&Trial]) -> Vec<Goal> {
    let p50 = |bound| goal("gap p50 ms", bound, figures.gap_p50_ms);
    let p99 = |bound| goal("gap p99 ms", bound, figures.gap_p99_ms);
    let outcomes = &figures.outcomes;
    let failed = outcomes.failed() + figures.lost;
    let mut goals = match figures.class {
        Class::G0 => vec![p99(30.0), goal("requests lost or rejected", 0.0, count(failed))],
        Class::G1 => vec![p50(60.0), p99(250.0)],
        Class::G1m | Class::G3 => vec![p99(800.0)],
        Class::G1o => vec![
            goal("slowest request ms", 50.0, figures.slowest_ms),
            goal("requests lost", 0.0, count(failed)),
        ],
        Class::G2 => vec![p50(350.0), p99(700.0)],
        Class::G4 => slow(figures.shape, trials),
        Class::G4l => vec![lossy(trials)],
        Class::G5 if figures.shape == Shape::Restart => vec![p99(1000.0)],
        Class::G5 => vec![p99(500.0)],
    };
    goals.push(goal("requests without an end", 0.0, count(figures.lost)));
    goals.push(goal("requests handled twice", 0.0, count(figures.doubled)));
    goals.push(goal("stale effects", 0.0, count(figures.stale)));
    goals
}

/// Exactly one hand-over of each thing that the slow node had, and half the rate again within two seconds.
fn slow(shape: Shape, trials: &[&Trial]) -> Vec<Goal> {
    let off = |count: u32, wanted: u32| f64::from(count.abs_diff(wanted));
    let led = u32::from(shape == Shape::Leader);
    let worst = |of: &dyn Fn(&Trial) -> f64| trials.iter().map(|trial| of(trial)).fold(0.0, f64::max);
    vec![
        goal(
            "hand-overs of the exchange, off one",
            0.0,
            worst(&|trial| off(trial.moves, 1)),
        ),
        goal(
            "changes of the meta leader, off what is needed",
            0.0,
            worst(&|trial| off(trial.elections, led)),
        ),
        goal(
            "until half the rate ms",
            2000.0,
            worst(&|trial| trial.half_rate_ms.unwrap_or(f64::MAX)),
        ),
    ]
}

/// Each trial is a minute of loss; what comes at its healing is counted as well.
fn lossy(trials: &[&Trial]) -> Goal {
    let most = trials.iter().map(|trial| trial.elections).max();
    goal(
        "changes of the meta leader in a minute",
        1.0,
        f64::from(most.unwrap_or_default()),
    )
}

fn goal(what: &'static str, at_most: f64, measured: f64) -> Goal {
    Goal {
        what,
        at_most,
        measured,
        met: measured <= at_most,
    }
}

fn count(count: u64) -> f64 {
    count as f64
}
