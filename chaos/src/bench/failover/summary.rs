//! All trials of a class together, and the whole report. Pure. What does not live here: one trial's figures (`report`).

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::FailoverOptions;
use super::class::{Class, Shape};
use super::goal::{self, Goal};
use super::phases::{self, PhaseFigures, Phases};
use super::report::{Latency, Trial, label, losses};
use super::spread::{self, Bucket};
use crate::bench::req_resp::known;
use crate::bench::{Histogram, Machine, nearest_rank};
use crate::load::Outcomes;

/// Version of this form.
const VERSION: u32 = 4;

/// The figures of one class in one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Class.
    pub class: Class,
    /// Shape.
    pub shape: Shape,
    /// Trials of it.
    pub trials: usize,
    /// Trials in which the cluster did what there was to do.
    pub failed_over: usize,
    /// Half of the gaps were no longer.
    pub gap_p50_ms: f64,
    /// Nine in ten were no longer.
    pub gap_p90_ms: f64,
    /// 99 in 100 were no longer: with fewer than a hundred trials the longest.
    pub gap_p99_ms: f64,
    /// The longest.
    pub gap_max_ms: f64,
    /// The gaps in log-spaced buckets.
    pub histogram: Vec<Bucket>,
    /// Longest latency of an answered request, from its intended moment.
    pub slowest_ms: f64,
    /// The latencies of all answered requests of its trials; none for G5.
    pub latency: Option<Latency>,
    /// Processor time that nodes, handlers and requesters together used for each request that was sent, in microseconds, in the middle
    /// of the trials; none where the system does not tell, and for G5.
    pub cpu_us: Option<f64>,
    /// What the failovers were made of.
    pub phases: Vec<PhaseFigures>,
    /// What happened while links were slow or lossy; none where they were neither.
    pub lasting: Option<Lasting>,
    /// Requests that never ended, those of the load beside included.
    pub lost: u64,
    /// Requests that handlers got twice.
    pub doubled: u64,
    /// Stale effects.
    pub stale: u64,
    /// How the requests ended.
    pub outcomes: Outcomes,
    /// How those of the load beside ended.
    pub beside: Option<Outcomes>,
    /// The goals, and what they are measured against.
    pub goals: Vec<Goal>,
}

/// What happens while links are slow for ten seconds, or lossy for a minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lasting {
    /// Changes of the meta leader in a trial, on average.
    pub elections_mean: f64,
    /// In the trial with most of them.
    pub elections_max: u32,
    /// Hand-overs of the exchange in a trial, on average.
    pub moves_mean: f64,
    /// In the trial with most of them.
    pub moves_max: u32,
    /// Rate of good replies in percent of that before, on average.
    pub rate_kept_mean_percent: f64,
    /// In the worst trial.
    pub rate_kept_min_percent: f64,
}

/// What the checkers say of the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Invariant, such as `I3`.
    pub id: String,
    /// `ok`, `FAIL: …` or `unknown: …`.
    pub verdict: String,
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failover {
    /// Version of this form.
    pub version: u32,
    /// What they were taken on.
    pub machine: Machine,
    /// Timer profile.
    pub profile: &'static str,
    /// Requests a second.
    pub rate: u32,
    /// Whether there was a load beside.
    pub loaded: bool,
    /// Whether nodes took the seen end of a process for a proof.
    pub proof_of_death: bool,
    /// The classes that occurred.
    pub classes: Vec<ClassFigures>,
    /// The trials.
    pub trials: Vec<Trial>,
    /// What the checkers say; empty when they were not asked.
    pub invariants: Vec<Checked>,
}

impl Failover {
    pub(super) fn new(
        machine: Machine,
        options: &FailoverOptions,
        trials: Vec<Trial>,
        invariants: Vec<Checked>,
    ) -> Self {
        let shapes = |class: Class| class.shapes().iter().map(move |shape| (class, *shape));
        let kinds = Class::ALL.into_iter().flat_map(shapes);
        Self {
            version: VERSION,
            machine,
            profile: options.profile.as_str(),
            rate: options.rate,
            loaded: options.loaded,
            proof_of_death: options.proof_of_death,
            classes: kinds
                .filter_map(|(class, shape)| figures(class, shape, &trials))
                .collect(),
            trials,
            invariants,
        }
    }

    /// True when a checker found a breach.
    #[must_use]
    pub fn broken(&self) -> bool {
        self.invariants.iter().any(|one| one.verdict.starts_with("FAIL"))
    }

    /// The classes as tables for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from(
            "\nclass             trials   gap p50       p90       p99       max   slowest  (ms)\n",
        );
        for class in &self.classes {
            let _ = writeln!(
                text,
                "{:<17} {:>6} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}  {}",
                label(class.class, class.shape),
                class.trials,
                class.gap_p50_ms,
                class.gap_p90_ms,
                class.gap_p99_ms,
                class.gap_max_ms,
                class.slowest_ms,
                losses(&class.outcomes)
            );
        }
        for class in &self.classes {
            class.write(&mut text);
        }
        for checked in &self.invariants {
            let _ = writeln!(text, "{:<4} {}", checked.id, checked.verdict);
        }
        text
    }
}

impl ClassFigures {
    fn write(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{}, {} trials",
            label(self.class, self.shape),
            self.trials
        );
        if self.failed_over < self.trials {
            let _ = writeln!(text, "  {} without a failover", self.trials - self.failed_over);
        }
        text.push_str(&spread::bars(&self.histogram));
        if let Some(Latency {
            p50_ms,
            p99_ms,
            p999_ms,
        }) = self.latency
        {
            let _ = writeln!(
                text,
                "  requests  p50 {p50_ms:>8.1}   p99 {p99_ms:>8.1}   p99.9 {p999_ms:>8.1} ms   cpu µs each {}",
                known(self.cpu_us)
            );
        }
        for phase in &self.phases {
            let _ = writeln!(
                text,
                "  {:<9} {:>4} times   p50 {:>8.1}   p99 {:>8.1}   max {:>8.1} ms",
                phase.phase, phase.count, phase.p50_ms, phase.p99_ms, phase.max_ms
            );
        }
        if let Some(lasting) = &self.lasting {
            let _ = writeln!(text, "  {lasting}");
        }
        if let Some(beside) = &self.beside {
            let _ = writeln!(text, "  beside: {}", losses(beside));
        }
        for goal in &self.goals {
            let word = if goal.met { "met" } else { "MISSED" };
            let _ = writeln!(
                text,
                "  {word:<6} {}: {:.1}, goal ≤ {}",
                goal.what, goal.measured, goal.at_most
            );
        }
    }
}

fn figures(class: Class, shape: Shape, trials: &[Trial]) -> Option<ClassFigures> {
    let of_it = |trial: &&Trial| trial.class == class && trial.shape == shape;
    let trials: Vec<&Trial> = trials.iter().filter(of_it).collect();
    let gaps: Vec<f64> = trials.iter().map(|trial| trial.gap_ms).collect();
    let phases: Vec<Phases> = trials.iter().map(|trial| trial.phases).collect();
    let sum = |of: fn(&Trial) -> u64| trials.iter().map(|trial| of(trial)).sum();
    let mut took = Histogram::default();
    trials.iter().for_each(|trial| took.add(&trial.took));
    let cpu: Vec<f64> = trials.iter().filter_map(|trial| trial.cpu_us).collect();
    let mut figures = ClassFigures {
        class,
        shape,
        trials: trials.len(),
        failed_over: trials.iter().filter(|trial| trial.failed_over).count(),
        gap_p50_ms: nearest_rank(&gaps, 0.5)?,
        gap_p90_ms: nearest_rank(&gaps, 0.9)?,
        gap_p99_ms: nearest_rank(&gaps, 0.99)?,
        gap_max_ms: nearest_rank(&gaps, 1.0)?,
        histogram: spread::buckets(&gaps),
        slowest_ms: trials.iter().map(|trial| trial.slowest_ms).fold(0.0, f64::max),
        latency: Latency::of(&took),
        cpu_us: nearest_rank(&cpu, 0.5),
        phases: phases::figures(&phases),
        lasting: lasting(&trials),
        lost: sum(|trial| trial.lost),
        doubled: sum(|trial| trial.doubled),
        stale: sum(|trial| trial.stale),
        outcomes: total(trials.iter().map(|trial| &trial.outcomes)).unwrap_or_default(),
        beside: total(trials.iter().filter_map(|trial| trial.beside.as_ref())),
        goals: Vec::new(),
    };
    figures.goals = goal::goals(&figures, &trials);
    Some(figures)
}

fn lasting(trials: &[&Trial]) -> Option<Lasting> {
    let kept: Vec<f64> = trials
        .iter()
        .filter_map(|trial| trial.rate_kept_percent)
        .collect();
    let mean = |sum: f64| (10.0 * sum / kept.len() as f64).round() / 10.0;
    let sum = |of: fn(&Trial) -> u32| f64::from(trials.iter().map(|trial| of(trial)).sum::<u32>());
    let most = |of: fn(&Trial) -> u32| trials.iter().map(|trial| of(trial)).max();
    Some(Lasting {
        rate_kept_min_percent: kept.iter().copied().reduce(f64::min)?,
        rate_kept_mean_percent: mean(kept.iter().sum()),
        elections_mean: mean(sum(|trial| trial.elections)),
        elections_max: most(|trial| trial.elections)?,
        moves_mean: mean(sum(|trial| trial.moves)),
        moves_max: most(|trial| trial.moves)?,
    })
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a trial: elections {:.1} (most {}), hand-overs {:.1} (most {}), rate kept {:.1} % (least {:.1} %)",
            self.elections_mean,
            self.elections_max,
            self.moves_mean,
            self.moves_max,
            self.rate_kept_mean_percent,
            self.rate_kept_min_percent
        )
    }
}

fn total<'o>(all: impl Iterator<Item = &'o Outcomes>) -> Option<Outcomes> {
    all.cloned().reduce(|mut sum, other| {
        sum.add(&other);
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::trial;
    use super::*;
    use squall_kernel::profile::Profile;

    #[test]
    fn classes_are_told_apart_and_a_class_without_trials_is_left_out() {
        let options = FailoverOptions::new("squall".into(), Profile::Lan);
        let mut trials: Vec<Trial> = (0..3)
            .zip([150, 170, 190])
            .map(|(number, first)| trial(number, Class::G1, &[99, first, first + 2]))
            .collect();
        trials.push(trial(3, Class::G2, &[99, 1099]));
        let report = Failover::new(Machine::here(), &options, trials, Vec::new());
        assert_eq!(report.classes.len(), 2);
        let g1 = &report.classes[0];
        assert_eq!((g1.trials, g1.gap_p50_ms, g1.gap_p99_ms), (3, 71.0, 91.0));
        assert_eq!((g1.outcomes.sent, g1.outcomes.interrupted), (12, 3));
        assert_eq!((g1.latency.unwrap().p99_ms, g1.cpu_us), (2.0, Some(100.0)));
        let met: Vec<bool> = g1.goals.iter().map(|goal| goal.met).collect();
        assert_eq!(met, [false, true, true, true, true]);
        let table = report.table();
        assert!(table.contains("9 of 12 answered, 3 interrupted"), "{table}");
        assert!(
            table.contains("p99.9      2.0 ms   cpu µs each 100.00"),
            "{table}"
        );
        assert!(table.contains("MISSED gap p50 ms: 71.0, goal ≤ 60"), "{table}");
        assert!(table.contains("MISSED gap p99 ms: 1000.0, goal ≤ 700"), "{table}");
    }

    #[test]
    fn a_minute_of_loss_is_told_by_its_elections_hand_overs_and_rate() {
        let options = FailoverOptions::new("squall".into(), Profile::Lan);
        let mut trials: Vec<Trial> = (0..2)
            .map(|number| Trial {
                shape: Shape::Apart,
                ..trial(number, Class::G4l, &[20, 70, 170, 270, 370, 470])
            })
            .collect();
        (trials[1].elections, trials[1].moves) = (2, 1);
        let report = Failover::new(Machine::here(), &options, trials, Vec::new());
        let table = report.table();
        // Two replies in the 100 ms before, four in 400 ms.
        let line = "elections 1.0 (most 2), hand-overs 0.5 (most 1), rate kept 50.0 % (least 50.0 %)";
        assert!(table.contains(line), "{table}");
        let goal = "MISSED changes of the meta leader in a minute: 2.0, goal ≤ 1";
        assert!(table.contains(goal), "{table}");
    }
}
