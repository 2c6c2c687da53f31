//! Fan-out: publishes to very many subscribers on several nodes, in a closed loop or an open one. The nodes are in this process,
//! connected over loopback as nodes of their own processes are: one clock times the last delivery, wherever it is. Every delivery is checked:
//! a row is there only when each subscriber got each publish that it wants exactly once, and each node with a subscriber one
//! frame of it. What does not live here: who wants what (`plan`), counting (`ledger`), the nodes (`audience`), the loops
//! (`publishing`).

use std::time::Duration;

use serde::Serialize;

use super::load::held_back_line;
use super::req_resp::tally::Times;
use super::usage::resident_bytes;
use super::{BenchError, Load, Machine, SCHEMA};

mod audience;
pub(super) mod ledger;
pub(super) mod plan;
mod publishing;

use audience::{Audience, Sent};
use plan::Plan;
use publishing::Published;

/// Most publishers at the same time, and publishes of an open loop that are under way: each subscriber keeps a number of each.
pub const PUBLISHERS_MAX: usize = 64;
/// Different patterns, when nothing is said of how many.
pub const PATTERNS_DEFAULT: usize = 1_000;
/// Most different patterns: what an exchange takes of those that begin with `#`.
pub const PATTERNS_MAX: usize = 16_384;

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanoutOptions {
    /// Subscribers in all.
    pub subscribers: usize,
    /// Nodes over which they are spread, all in this process. The first one owns the exchange and publishes.
    pub nodes: usize,
    /// Different patterns with wildcards that they have; 0 for one plain key.
    pub patterns: usize,
    /// Loads, one row each. In a closed loop so many publishers, at most [`PUBLISHERS_MAX`], have one publish under way each.
    pub loads: Vec<Load>,
    /// How long each row is measured.
    pub measured: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Subscribers in all.
    pub subscribers: usize,
    /// Nodes over which they are spread.
    pub nodes: usize,
    /// Different patterns among them.
    pub patterns: usize,
    /// When publishes were made; what is in flight are publishes, one of each publisher.
    #[serde(flatten)]
    pub load: Load,
    /// Publishes that reached all their subscribers within the measured time; in an open loop those that were to be made within it.
    pub publishes: u64,
    /// The same per second.
    pub publishes_per_s: f64,
    /// Publishes of an open loop that were not made within the measured time, because [`PUBLISHERS_MAX`] were under way.
    pub held_back: u64,
    /// Deliveries of these publishes.
    pub deliveries: u64,
    /// The same per second.
    pub deliveries_per_s: f64,
    /// Nodes that each publish was sent to, its owner's own subscribers counted as one: read from what the nodes counted.
    pub frames_per_publish: f64,
    /// All frames between nodes for each publish, confirms included.
    pub wire_frames_per_publish: f64,
    /// From a publish, or from when it was to be made, to its last delivery: half took no longer.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time for each delivery, publisher, nodes and subscribers together.
    pub cpu_ns_per_delivery: f64,
    /// Resident memory of the process with all nodes and subscribers, in bytes.
    pub resident_bytes: u64,
    /// Resident memory that came with a subscriber and its reading task, in bytes, without what the benchmark notes for each.
    pub bytes_per_subscriber: u64,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fanout {
    /// Version of this form.
    pub version: u32,
    /// What they were taken on.
    pub machine: Machine,
    /// The measurements.
    pub rows: Vec<Row>,
}

/// Measures, and tells each row as soon as it is there.
///
/// # Errors
/// [`BenchError`], also when a delivery was missing, came twice, or went the wrong way.
pub async fn run(options: &FanoutOptions, mut tell: impl FnMut(&Row)) -> Result<Fanout, BenchError> {
    let machine = Machine::here();
    let publishers = options.loads.iter().map(|load| match load {
        Load::Closed(publishers) => *publishers,
        Load::Open(_) => PUBLISHERS_MAX,
    });
    let most = publishers.max().unwrap_or(0);
    if most > PUBLISHERS_MAX
        || options.patterns > PATTERNS_MAX
        || options.subscribers == 0
        || options.nodes == 0
    {
        return Err(BenchError::Unsound("options out of bounds".into()));
    }
    let standing = Standing::begin(options.subscribers, options.nodes, options.patterns, most).await?;
    let rows = rows(options, &standing, &mut tell).await;
    standing.end().await;
    Ok(Fanout {
        version: SCHEMA,
        machine,
        rows: rows?,
    })
}

async fn rows(
    options: &FanoutOptions,
    standing: &Standing,
    tell: &mut impl FnMut(&Row),
) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for &load in &options.loads {
        let times = (options.warm_up, options.measured);
        let row = standing.measure(load, times).await?;
        tell(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// Nodes and subscribers, ready to be measured. What runs ends when it is dropped.
pub(super) struct Standing {
    audience: Audience,
    nodes: usize,
}

impl Standing {
    /// So many subscribers over so many nodes, with so many different patterns with wildcards, and at most so many publishers.
    pub(super) async fn begin(
        subscribers: usize,
        nodes: usize,
        patterns: usize,
        publishers: usize,
    ) -> Result<Self, BenchError> {
        let plan = Plan::new(subscribers, nodes, patterns);
        let audience = Audience::gather(plan, nodes, publishers).await?;
        Ok(Self { audience, nodes })
    }

    /// One row: the warm-up, and what is measured.
    pub(super) async fn measure(&self, load: Load, times: Times) -> Result<Row, BenchError> {
        let audience = &self.audience;
        let before = audience.sent();
        let published = publishing::publish(audience, load, times).await?;
        let counted = counted(before, audience.sent());
        let mut row = row(&published, counted, times.1)?;
        (row.subscribers, row.nodes) = (audience.plan.subscribers(), self.nodes);
        (row.patterns, row.load) = (audience.plan.patterns(), load);
        row.bytes_per_subscriber = audience.bytes_each;
        Ok(row)
    }

    pub(super) async fn end(self) {
        self.audience.end().await;
    }
}

fn counted(before: Sent, after: Sent) -> Sent {
    Sent {
        events: after.events - before.events,
        out: after.out - before.out,
        astray: after.astray - before.astray,
    }
}

/// The figures, unless something was not as it must be; who and how many is filled in by the caller.
fn row(published: &Published, sent: Sent, measured: Duration) -> Result<Row, BenchError> {
    let unsound = |what: String| Err(BenchError::Unsound(what));
    let tally = &published.tally;
    if let Some(failure) = &tally.failure {
        return unsound(format!("of {} publishes: {failure}", tally.asked));
    }
    if sent.astray > 0 {
        return unsound(format!("{} messages went astray", sent.astray));
    }
    if sent.events != published.events_due {
        let (found, due) = (sent.events, published.events_due);
        return unsound(format!(
            "{found} frames went to nodes with subscribers, not {due}"
        ));
    }
    let publishes = tally.took.total();
    if publishes == 0 {
        return unsound("no publish reached all its subscribers in the measured time".into());
    }
    let seconds = measured.as_secs_f64();
    let each = |count: u64| rounded(count as f64 / tally.asked as f64, 100.0);
    let micros = |quantile| rounded(tally.took.quantile(quantile).as_secs_f64() * 1e6, 10.0);
    Ok(Row {
        subscribers: 0,
        nodes: 0,
        patterns: 0,
        load: Load::Closed(0),
        publishes,
        publishes_per_s: rounded(publishes as f64 / seconds, 10.0),
        held_back: tally.held_back,
        deliveries: published.deliveries,
        deliveries_per_s: (published.deliveries as f64 / seconds).round(),
        frames_per_publish: each(sent.events + published.own),
        wire_frames_per_publish: each(sent.out.saturating_sub(tally.asked)),
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
        cpu_ns_per_delivery: rounded(
            published.processor.as_secs_f64() * 1e9 / published.deliveries.max(1) as f64,
            10.0,
        ),
        resident_bytes: resident_bytes(),
        bytes_per_subscriber: 0,
    })
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:>11} {:>5} {:>8} {:>10} {:>11} {:>12} {:>9} {:>9} {:>10} {:>10} {:>10} {:>11} {:>9} {:>9}",
        "subscribers",
        "nodes",
        "patterns",
        "publishers",
        "publishes/s",
        "deliveries/s",
        "frames/p.",
        "on wire",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "cpu ns/del.",
        "memory MB",
        "B/subscr."
    )
}

impl Row {
    /// One line of that table.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:>11} {:>5} {:>8} {:>10} {:>11.1} {:>12.0} {:>9.2} {:>9.2} {:>10.0} {:>10.0} {:>10.0} {:>11.1} {:>9.0} {:>9}",
            self.subscribers,
            self.nodes,
            self.patterns,
            self.load,
            self.publishes_per_s,
            self.deliveries_per_s,
            self.frames_per_publish,
            self.wire_frames_per_publish,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.cpu_ns_per_delivery,
            self.resident_bytes as f64 / 1e6,
            self.bytes_per_subscriber
        );
        line.push_str(&held_back_line(self.held_back));
        line
    }
}

#[cfg(test)]
#[path = "fanout/fanout_test.rs"]
mod tests;
