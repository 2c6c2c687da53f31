//! What the times of kills mean: gaps, latencies, losses, by class. Pure. What does not live here: taking the times.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::FailoverOptions;
use super::open::{Good, Seen};
use crate::bench::{Machine, SCHEMA, nearest_rank};
use crate::load::Outcomes;

/// What else the killed owner was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Class {
    /// Nothing: another node was meta leader.
    G1,
    /// Meta leader too.
    #[serde(rename = "G1m")]
    G1m,
}

impl Class {
    /// The class's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G1 => "G1",
            Self::G1m => "G1m",
        }
    }
}

/// When what happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The kill was ordered.
    pub(super) killed: Instant,
    /// From here on the killed node may be running again.
    pub(super) restarted: Instant,
    /// All nodes were seen up again.
    pub(super) healed: Instant,
}

/// One kill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kill {
    /// Number, from 0.
    pub number: u32,
    /// Class.
    pub class: Class,
    /// Node killed.
    pub node: String,
    /// Longest time without a good reply that began before the killed node was started again: from the last good reply
    /// before to the first good one after.
    pub gap_ms: f64,
    /// Longest latency of an answered request over the whole trial, from its intended moment.
    pub slowest_ms: f64,
    /// Longest time without a good reply that began after the killed node was started again.
    pub return_gap_ms: f64,
    /// From the kill until all nodes were seen up again; the time the node was kept down included.
    pub healed_ms: f64,
    /// How the requests of the trial ended.
    pub outcomes: Outcomes,
}

impl Kill {
    pub(super) fn new(number: u32, class: Class, node: &str, times: &Times, seen: &Seen) -> Self {
        let slowest = seen
            .good
            .iter()
            .map(|good| good.ended.duration_since(good.intended));
        Self {
            number,
            class,
            node: node.to_owned(),
            gap_ms: millis(longest(&seen.good, times.killed, times.restarted)),
            slowest_ms: millis(slowest.max().unwrap_or_default()),
            return_gap_ms: millis(longest(&seen.good, times.restarted, Instant::now())),
            healed_ms: millis(times.healed.duration_since(times.killed)),
            outcomes: seen.outcomes.clone(),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:>3}  {:<4} {:<4} gap {:>8.1} ms  slowest {:>8.1} ms  at the return {:>7.1} ms  healed {:>5.1} s  {}",
            self.number,
            self.class.as_str(),
            self.node,
            self.gap_ms,
            self.slowest_ms,
            self.return_gap_ms,
            self.healed_ms / 1000.0,
            losses(&self.outcomes)
        )
    }
}

/// The longest silence between two good replies that ended after `from` and began before `to`.
fn longest(good: &[Good], from: Instant, to: Instant) -> Duration {
    let pairs = good.windows(2).map(|pair| (pair[0].ended, pair[1].ended));
    let touching = pairs.filter(|(last, first)| *first > from && *last < to);
    touching
        .map(|(last, first)| first.duration_since(last))
        .max()
        .unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn losses(outcomes: &Outcomes) -> String {
    let mut text = format!("{} of {} answered", outcomes.replied, outcomes.sent);
    let named = [
        ("interrupted", outcomes.interrupted),
        ("timeout", outcomes.timeout),
        ("unavailable", outcomes.unavailable),
        ("no responders", outcomes.no_responders),
        ("rejected", outcomes.rejected),
        ("declined", outcomes.declined),
        ("not sent", outcomes.held_back),
    ];
    for (name, count) in named.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {count} {name}");
    }
    text
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Class.
    pub class: Class,
    /// Kills of it.
    pub kills: usize,
    /// Half of the gaps were no longer.
    pub gap_p50_ms: f64,
    /// 99 in 100 were no longer: with fewer than a hundred kills the longest.
    pub gap_p99_ms: f64,
    /// The longest.
    pub gap_max_ms: f64,
    /// Longest latency of an answered request, from its intended moment.
    pub slowest_ms: f64,
    /// How the requests ended.
    pub outcomes: Outcomes,
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
    /// The classes that occurred.
    pub classes: Vec<ClassFigures>,
    /// The kills.
    pub kills: Vec<Kill>,
}

impl Failover {
    pub(super) fn new(machine: Machine, options: &FailoverOptions, kills: Vec<Kill>) -> Self {
        let classes = [Class::G1, Class::G1m].into_iter();
        Self {
            version: SCHEMA,
            machine,
            profile: options.profile.as_str(),
            rate: options.rate,
            classes: classes.filter_map(|class| figures(class, &kills)).collect(),
            kills,
        }
    }

    /// The classes as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from("class  kills   gap p50   gap p99   gap max   slowest  (ms)\n");
        for class in &self.classes {
            let _ = writeln!(
                text,
                "{:<6} {:>5} {:>9.1} {:>9.1} {:>9.1} {:>9.1}  {}",
                class.class.as_str(),
                class.kills,
                class.gap_p50_ms,
                class.gap_p99_ms,
                class.gap_max_ms,
                class.slowest_ms,
                losses(&class.outcomes)
            );
        }
        text
    }
}

fn figures(class: Class, kills: &[Kill]) -> Option<ClassFigures> {
    let kills: Vec<&Kill> = kills.iter().filter(|kill| kill.class == class).collect();
    let gaps: Vec<f64> = kills.iter().map(|kill| kill.gap_ms).collect();
    let slowest: Vec<f64> = kills.iter().map(|kill| kill.slowest_ms).collect();
    let mut outcomes = Outcomes::default();
    for kill in &kills {
        add(&mut outcomes, &kill.outcomes);
    }
    Some(ClassFigures {
        class,
        kills: kills.len(),
        gap_p50_ms: nearest_rank(&gaps, 0.5)?,
        gap_p99_ms: nearest_rank(&gaps, 0.99)?,
        gap_max_ms: nearest_rank(&gaps, 1.0)?,
        slowest_ms: nearest_rank(&slowest, 1.0)?,
        outcomes,
    })
}

fn add(sum: &mut Outcomes, other: &Outcomes) {
    sum.sent += other.sent;
    sum.held_back += other.held_back;
    sum.replied += other.replied;
    sum.timeout += other.timeout;
    sum.no_responders += other.no_responders;
    sum.declined += other.declined;
    sum.rejected += other.rejected;
    sum.unavailable += other.unavailable;
    sum.interrupted += other.interrupted;
    sum.invalid += other.invalid;
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_kernel::profile::Profile;

    /// Replies at these milliseconds, each asked for 2 ms before; killed at 100, started again at 500.
    fn kill(number: u32, class: Class, ends: &[u64]) -> Kill {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let good = ends.iter().map(|ms| Good {
            intended: at(ms - 2),
            ended: at(*ms),
        });
        let seen = Seen {
            good: good.collect(),
            outcomes: Outcomes {
                sent: ends.len() as u64 + 1,
                replied: ends.len() as u64,
                interrupted: 1,
                ..Outcomes::default()
            },
        };
        let times = Times {
            killed: at(100),
            restarted: at(500),
            healed: at(700),
        };
        Kill {
            return_gap_ms: millis(longest(&seen.good, times.restarted, at(10_000))),
            ..Kill::new(number, class, "a", &times, &seen)
        }
    }

    #[test]
    fn the_gap_is_the_silence_around_the_kill_and_no_other() {
        // 50 ms of silence before the kill, 150 around it, some less later, 190 after the return.
        let kill = kill(0, Class::G1, &[10, 60, 99, 249, 349, 449, 501, 691]);
        assert_eq!((kill.gap_ms, kill.return_gap_ms), (150.0, 190.0));
        assert_eq!((kill.slowest_ms, kill.healed_ms), (2.0, 600.0));
        assert!(
            kill.line().contains("8 of 9 answered, 1 interrupted"),
            "{}",
            kill.line()
        );
    }

    #[test]
    fn classes_are_told_apart_and_a_class_without_kills_is_left_out() {
        let options = FailoverOptions {
            program: "squall".into(),
            kills: 3,
            rate: 500,
            profile: Profile::Lan,
        };
        let kills: Vec<Kill> = (0..3)
            .zip([150, 170, 190])
            .map(|(number, first)| kill(number, Class::G1, &[99, first, first + 2]))
            .collect();
        let report = Failover::new(Machine::here(), &options, kills);
        assert_eq!(report.classes.len(), 1);
        let g1 = &report.classes[0];
        assert_eq!((g1.kills, g1.gap_p50_ms, g1.gap_p99_ms), (3, 71.0, 91.0));
        assert_eq!((g1.outcomes.sent, g1.outcomes.interrupted), (12, 3));
        assert!(report.table().contains("9 of 12 answered, 3 interrupted"));
    }
}
