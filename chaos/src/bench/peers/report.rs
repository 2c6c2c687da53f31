//! Rows of what was measured, ratios within each round, and the goals they are held against. What does not live here: measuring.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Peer, Peers, Setting, Step};
use crate::bench::Load;
use crate::bench::ratio::Spread;
use crate::bench::req_resp::known;

/// All measurements of one program in one setting and load. In the middle means: of the rounds, each figure by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What is compared.
    #[serde(rename = "where")]
    pub place: Setting,
    /// The load: what is in flight are requests, publishes or tasks.
    #[serde(flatten)]
    pub load: Load,
    /// Whose row it is; none (null) for Squall.
    pub peer: Option<Peer>,
    /// Requests answered, deliveries, or tasks settled, per second, in the order of the rounds.
    pub rates: Vec<f64>,
    /// The same in the middle.
    pub rate: f64,
    /// Half of them took no longer, in microseconds, as all latencies; in the middle.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time, user and system, of all processes that took part for each, in microseconds, in the middle; none where
    /// the system does not tell.
    pub cpu_us: Option<f64>,
    /// How Squall does beside it; none in Squall's own rows.
    pub against: Option<Against>,
}

/// How Squall does beside a peer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Against {
    /// Rate of Squall to that of the peer in the same round.
    pub ratio: Spread,
    /// p99 of the peer to that of Squall in the same round: above 1 where Squall's is the shorter.
    pub p99_ratio: Spread,
    /// What the middle one is to be at least; none where nothing was set.
    pub goal: Option<f64>,
    /// Whether it is.
    pub met: Option<bool>,
}

impl Against {
    fn of(ratio: Spread, p99_ratio: Spread, goal: Option<f64>) -> Self {
        Self {
            ratio,
            p99_ratio,
            goal,
            met: goal.map(|goal| ratio.median >= goal),
        }
    }
}

/// The rows of one setting: by load, Squall first.
pub(super) fn rows(steps: &[Step]) -> Vec<Row> {
    let (mut loads, mut whos) = (Vec::new(), vec![None]);
    for step in steps {
        if !loads.contains(&step.load) {
            loads.push(step.load);
        }
        if !whos.contains(&step.peer) {
            whos.push(step.peer);
        }
    }
    // In the order of peers, whoever came first in the first round.
    whos.sort();
    let each = loads.iter().flat_map(|load| whos.iter().map(|who| (*load, *who)));
    each.filter_map(|(load, who)| row(steps, load, who)).collect()
}

fn row(steps: &[Step], load: Load, peer: Option<Peer>) -> Option<Row> {
    let of = |peer| {
        let steps = steps.iter();
        steps.filter(move |step| step.load == load && step.peer == peer)
    };
    let mine: Vec<&Step> = of(peer).collect();
    let middle = |figure: fn(&Step) -> f64| {
        let spread = Spread::of(mine.iter().map(|step| figure(step)).collect());
        spread.map(|spread| spread.median)
    };
    let cpu: Option<Vec<f64>> = mine.iter().map(|step| step.cpu_us).collect();
    let against = peer.and_then(|peer| {
        let squall = |round| of(None).find(move |step| step.round == round);
        let ratios = |ratio: fn(&Step, &Step) -> f64| {
            let rounds = mine.iter();
            Spread::of(
                rounds
                    .filter_map(|its| Some(ratio(squall(its.round)?, its)))
                    .collect(),
            )
        };
        let rate = ratios(|squall, its| squall.rate / its.rate)?;
        let p99 = ratios(|squall, its| its.p99_us / squall.p99_us)?;
        Some(Against::of(rate, p99, peer.goal(load)))
    });
    Some(Row {
        place: mine.first()?.place,
        load,
        peer,
        rates: mine.iter().map(|step| step.rate).collect(),
        rate: middle(|step| step.rate)?,
        p50_us: middle(|step| step.p50_us)?,
        p99_us: middle(|step| step.p99_us)?,
        p999_us: middle(|step| step.p999_us)?,
        cpu_us: cpu.and_then(Spread::of).map(|spread| spread.median),
        against,
    })
}

/// Heading of the lines for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<12} {:>9}  {:<14} {:>11} {:>9} {:>9} {:>9} {:>11}",
        "where", "in flight", "who", "per second", "p50 µs", "p99 µs", "p99.9 µs", "cpu µs each"
    )
}

fn figures(
    start: (Setting, Load, Option<Peer>),
    rate: f64,
    latencies: [f64; 3],
    cpu_us: Option<f64>,
) -> String {
    let (place, load, peer) = start;
    let [p50, p99, p999] = latencies;
    format!(
        "{:<12} {load:>9}  {:<14} {rate:>11.0} {p50:>9.1} {p99:>9.1} {p999:>9.1} {:>11}",
        place.as_str(),
        peer.map_or("squall", Peer::as_str),
        known(cpu_us),
    )
}

impl Step {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let latencies = [self.p50_us, self.p99_us, self.p999_us];
        figures(
            (self.place, self.load, self.peer),
            self.rate,
            latencies,
            self.cpu_us,
        )
    }
}

impl Row {
    fn line(&self) -> String {
        let latencies = [self.p50_us, self.p99_us, self.p999_us];
        let mut line = figures(
            (self.place, self.load, self.peer),
            self.rate,
            latencies,
            self.cpu_us,
        );
        if let Some(Against {
            ratio,
            p99_ratio,
            goal,
            met,
        }) = self.against
        {
            let _ = write!(
                line,
                " {:>12.2} {:>7.2} {:>7.2} {:>10.2}",
                ratio.median, ratio.least, ratio.most, p99_ratio.median
            );
            if let Some(goal) = goal {
                let _ = write!(line, "  ≥ {goal:<5}");
            }
            line.push_str(match met {
                Some(true) => "met",
                Some(false) => "not met",
                None => "",
            });
        }
        line
    }
}

impl Peers {
    /// The table for people, and what is missing.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            let rounds = if self.rounds == 1 { "round" } else { "rounds" };
            let _ = writeln!(text, "\nmedians of {} {rounds}", self.rounds);
            let _ = writeln!(
                text,
                "{} {:>12} {:>7} {:>7} {:>10}  goal",
                heading(),
                "squall to it",
                "least",
                "most",
                "p99 ratio"
            );
        }
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        for missing in &self.missing {
            let _ = writeln!(text, "missing: {}: {}", missing.peer.as_str(), missing.why);
        }
        text
    }
}
