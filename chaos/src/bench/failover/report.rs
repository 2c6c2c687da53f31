//! What the times of a trial mean: gaps, latencies, losses. Pure. What does not live here: taking the times, and all
//! trials of a class together (`summary`).

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::class::{Class, Shape, Turn};
use super::open::{Good, Seen};
use super::phases::{Account, Moment, Phases};
use crate::bench::Histogram;
use crate::load::Outcomes;

#[cfg(test)]
#[path = "report_test.rs"]
pub(super) mod tests;

/// The rate is looked at in windows of this length.
const WINDOW: Duration = Duration::from_millis(250);

/// When what happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The load had begun, and was counted from here.
    pub(super) before: Instant,
    /// The strike was ordered.
    pub(super) struck: Instant,
    /// Healing was ordered: from here on the node may be well again.
    pub(super) healing: Instant,
    /// All nodes were seen up again.
    pub(super) healed: Instant,
    /// The load had ended.
    pub(super) ended: Instant,
}

/// What else was seen.
#[derive(Debug)]
pub(super) struct Sighted {
    pub(super) struck: String,
    pub(super) owner: String,
    pub(super) leader: String,
    pub(super) over: bool,
    pub(super) account: Account,
    pub(super) doubled: u64,
    pub(super) stale: u64,
    pub(super) beside: Option<Outcomes>,
    pub(super) inside: Option<Seen>,
    pub(super) cpu_us: Option<f64>,
}

/// How long answered requests took from their intended moments, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 99 in 100 took no longer.
    pub p99_ms: f64,
    /// 999 in 1000 took no longer.
    pub p999_ms: f64,
}

impl Latency {
    /// None when there was no request.
    pub(super) fn of(took: &Histogram) -> Option<Self> {
        let at = |quantile| millis(took.quantile(quantile));
        (took.total() > 0).then(|| Self {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
        })
    }
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Number, from 0.
    pub number: u32,
    /// Class.
    pub class: Class,
    /// Shape.
    pub shape: Shape,
    /// Node that was struck.
    pub node: String,
    /// Owner of the exchange before.
    pub owner: String,
    /// Meta leader before.
    pub leader: String,
    /// False when the cluster had not done what there was to do before the strike was healed.
    pub failed_over: bool,
    /// Longest time without a good reply that began before the node was healed: from the last good reply before to the
    /// first good one after. For G5: from the start of the first process to the first good reply.
    pub gap_ms: f64,
    /// Longest latency of an answered request over the whole trial, from its intended moment.
    pub slowest_ms: f64,
    /// The latencies of all its answered requests; none for G5, which has no load.
    pub latency: Option<Latency>,
    /// What they are taken from.
    #[serde(skip)]
    pub(super) took: Histogram,
    /// Processor time that nodes, handlers and requesters together used for each request that was sent, in microseconds; none where the
    /// system does not tell, and for G5.
    pub cpu_us: Option<f64>,
    /// Longest time without a good reply that began after the healing.
    pub return_gap_ms: f64,
    /// From the strike until all nodes were seen up again. For G5: until all nodes of the cluster saw each other.
    pub healed_ms: f64,
    /// What the failover was made of.
    pub phases: Phases,
    /// How often a node became owner of the exchange.
    pub moves: u32,
    /// How often a node became meta leader in a term in which it was not.
    pub elections: u32,
    /// From the strike until the rate of good replies was half of that before, and stayed so; none when it never was,
    /// and where links were not slow.
    pub half_rate_ms: Option<f64>,
    /// The rate of good replies from the strike until the healing, in percent of that before; none where links are neither
    /// slow nor lossy.
    pub rate_kept_percent: Option<f64>,
    /// Requests that never ended.
    pub lost: u64,
    /// Requests that handlers got twice.
    pub doubled: u64,
    /// Requests handled under an epoch that was over for the handler, and replies that were not to their request.
    pub stale: u64,
    /// How the requests of the trial ended.
    pub outcomes: Outcomes,
    /// How those of the load beside ended.
    pub beside: Option<Outcomes>,
    /// The same from a client of the node that was struck, where that node lives on alone.
    pub inside: Option<Inside>,
    /// What the nodes told.
    pub events: Vec<Moment>,
}

/// What a client of the struck node went through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inside {
    /// Longest time without a good reply that began before the node was healed.
    pub gap_ms: f64,
    /// How its requests ended.
    pub outcomes: Outcomes,
}

impl Inside {
    pub(super) fn new(times: &Times, seen: &Seen) -> Self {
        Self {
            gap_ms: length(longest(&seen.good, times.struck, times.healing)),
            outcomes: seen.outcomes.clone(),
        }
    }
}

impl Trial {
    pub(super) fn new(turn: Turn, sighted: Sighted, times: Times, seen: &Seen) -> Self {
        let mut took = Histogram::default();
        for good in &seen.good {
            took.count(good.ended.duration_since(good.intended));
        }
        let gap = longest(&seen.good, times.struck, times.healing);
        // Other strikes are healed before a rate could be told.
        let slow = turn.class == Class::G4;
        let lasting = slow || turn.class == Class::G4l;
        let mut phases = sighted.account.phases;
        phases.reply_ms = gap.map(|(_, first)| millis(first.saturating_duration_since(times.struck)));
        let other = |outcomes: Option<&Outcomes>| outcomes.map_or(0, lost);
        let inside = sighted.inside.as_ref().map(|seen| &seen.outcomes);
        let others_lost = other(sighted.beside.as_ref()) + other(inside);
        let beside = sighted.beside;
        Self {
            number: turn.number,
            class: turn.class,
            shape: turn.shape,
            node: sighted.struck,
            owner: sighted.owner,
            leader: sighted.leader,
            failed_over: sighted.over,
            gap_ms: length(gap),
            slowest_ms: millis(took.largest()),
            latency: Latency::of(&took),
            took,
            cpu_us: sighted.cpu_us,
            return_gap_ms: length(longest(&seen.good, times.healing, times.ended)),
            healed_ms: millis(times.healed.duration_since(times.struck)),
            phases,
            moves: sighted.account.moves,
            elections: sighted.account.elections,
            half_rate_ms: slow.then(|| half_rate(&seen.good, &times)).flatten().map(millis),
            rate_kept_percent: lasting.then(|| rate_kept(&seen.good, &times)),
            lost: lost(&seen.outcomes) + others_lost,
            doubled: sighted.doubled,
            stale: sighted.stale + seen.wrong,
            outcomes: seen.outcomes.clone(),
            beside,
            inside: sighted.inside.as_ref().map(|seen| Inside::new(&times, seen)),
            events: sighted.account.moments,
        }
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:>3}  {:<17} {:<2} gap {:>8.1} ms  slowest {:>8.1} ms  at the return {:>7.1} ms  healed {:>5.1} s ",
            self.number,
            label(self.class, self.shape),
            self.node,
            self.gap_ms,
            self.slowest_ms,
            self.return_gap_ms,
            self.healed_ms / 1000.0,
        );
        for (phase, at) in self.phases.named() {
            if let Some(at) = at {
                let _ = write!(line, " {phase} {at:.0}");
            }
        }
        if let Some(kept) = self.rate_kept_percent {
            let (elections, moves) = (self.elections, self.moves);
            let _ = write!(
                line,
                "  elections {elections}, hand-overs {moves}, rate kept {kept:.1} %"
            );
        }
        let _ = write!(line, "  {}", losses(&self.outcomes));
        let odd = [
            ("WITHOUT END", self.lost),
            ("HANDLED TWICE", self.doubled),
            ("STALE", self.stale),
        ];
        for (name, count) in odd.into_iter().filter(|(_, count)| *count > 0) {
            let _ = write!(line, ", {count} {name}");
        }
        if let Some(inside) = &self.inside {
            let _ = write!(
                line,
                "; inside gap {:.1} ms, {}",
                inside.gap_ms,
                losses(&inside.outcomes)
            );
        }
        if !self.failed_over {
            line.push_str(", NO FAILOVER");
        }
        line
    }
}

/// `G3 incoming`.
pub(super) fn label(class: Class, shape: Shape) -> String {
    format!("{} {}", class.as_str(), shape.as_str())
        .trim_end()
        .to_owned()
}

/// The longest silence between two good replies that ended after `from` and began before `to`.
fn longest(good: &[Good], from: Instant, to: Instant) -> Option<(Instant, Instant)> {
    let pairs = good.windows(2).map(|pair| (pair[0].ended, pair[1].ended));
    let touching = pairs.filter(|(last, first)| *first > from && *last < to);
    touching.max_by_key(|(last, first)| first.duration_since(*last))
}

fn length(gap: Option<(Instant, Instant)>) -> f64 {
    millis(
        gap.map(|(last, first)| first.duration_since(last))
            .unwrap_or_default(),
    )
}

/// Until the first window from which on every window up to the healing has half the rate of before.
fn half_rate(good: &[Good], times: &Times) -> Option<Duration> {
    let rate = |from, to| rate(good, from, to);
    let before = rate(times.before, times.struck);
    let windows = times.healing.duration_since(times.struck).as_millis() / WINDOW.as_millis();
    let start = |index: u32| times.struck + index * WINDOW;
    let windows = u32::try_from(windows).unwrap_or_default();
    let low = |index: &u32| rate(start(*index), start(index + 1)) < before / 2.0;
    let back = (0..windows).rev().find(low).map_or(0, |last_low| last_low + 1);
    (back < windows).then(|| back * WINDOW)
}

fn rate_kept(good: &[Good], times: &Times) -> f64 {
    let before = rate(good, times.before, times.struck);
    let kept = rate(good, times.struck, times.healing) / before;
    (kept * 1000.0).round() / 10.0
}

/// Good replies a second.
fn rate(good: &[Good], from: Instant, to: Instant) -> f64 {
    let replies = good.iter().filter(|good| good.ended >= from && good.ended < to);
    replies.count() as f64 / to.duration_since(from).as_secs_f64()
}

/// Sent, and never heard of again.
fn lost(outcomes: &Outcomes) -> u64 {
    let ended = outcomes.replied + outcomes.failed() + outcomes.held_back;
    outcomes.sent.saturating_sub(ended)
}

pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

pub(super) fn losses(outcomes: &Outcomes) -> String {
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
