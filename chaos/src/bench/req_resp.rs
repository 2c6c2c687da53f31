//! Requests answered per second and how long they take: requester → exchange → one of five round-robin handlers → requester, with
//! four bytes of payload, in five arrangements, in a closed loop or an open one, and, where that is wanted, beside an observer.
//! What does not live here: the processes (`place`), the loops (`closed`, `open`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use squall_node::telemetry::Share;

use super::load::held_back_line;
use super::{BenchError, Load, Machine, SCHEMA, processor};

pub(super) mod asker;
pub(super) mod closed;
mod ground;
pub mod host;
mod open;
pub(super) mod place;
pub(super) mod session;
mod shown;
pub(super) mod tally;
pub mod watched;

use place::Place;
use tally::Tally;
use watched::Watched;

/// Requests in flight, one row each.
pub const IN_FLIGHT: [usize; 4] = [1, 10, 100, 1000];
/// Handlers of the exchange.
pub const HANDLERS: usize = 5;
/// The exchange.
const EXCHANGE: &str = "bench";

/// Where requester, exchange and handlers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// All in one node, embedded.
    Local,
    /// The requester embedded in one node, the exchange and its handlers in another, each a process of its own.
    Remote,
    /// Requester, exchange and handlers embedded in three nodes, each a process of its own.
    ThreeNodes,
    /// Requester and handlers are clients of one node, three processes in all.
    Clients,
    /// The same through the node's gRPC session, as clients in any language have it.
    Grpc,
}

impl Where {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Local,
        Self::Remote,
        Self::ThreeNodes,
        Self::Clients,
        Self::Grpc,
    ];

    /// The arrangement's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::ThreeNodes => "three_nodes",
            Self::Clients => "clients",
            Self::Grpc => "grpc",
        }
    }
}

/// Where traces go, and of how many requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// Address of the collector.
    pub endpoint: String,
    /// Share of requests that are traced.
    pub share: Share,
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct ReqRespOptions {
    /// The squall program, for the processes that are not this one.
    pub program: PathBuf,
    /// Arrangements, in this order.
    pub places: Vec<Where>,
    /// Loads, in this order.
    pub loads: Vec<Load>,
    /// How long each is measured.
    pub measured: Duration,
    /// How long each runs before that.
    pub warm_up: Duration,
    /// Whether nodes send traces; of arrangements in one process only one can.
    pub traces: Option<Traces>,
    /// Whether each row is measured beside an observer, too.
    pub watched: bool,
}

impl ReqRespOptions {
    /// Everything, each measured for so long after a fifth of it as a warm-up.
    #[must_use]
    pub fn new(program: PathBuf, measured: Duration) -> Self {
        Self {
            program,
            places: Where::ALL.to_vec(),
            loads: IN_FLIGHT.map(Load::Closed).to_vec(),
            measured,
            warm_up: measured / 5,
            traces: None,
            watched: false,
        }
    }
}

/// One measurement. Every request of it was answered, with its own payload, and had exactly one outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Arrangement.
    #[serde(rename = "where")]
    pub place: Where,
    /// When requests were sent.
    #[serde(flatten)]
    pub load: Load,
    /// Requests answered within the measured time; in an open loop those that were to be sent within it.
    pub requests: u64,
    /// The same per second.
    pub rate: f64,
    /// Requests of an open loop that were not sent within the measured time, because 4096 were open.
    pub held_back: u64,
    /// Half of them took no longer, in microseconds, as all latencies.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time, user and system, that all processes of the arrangement used for each request, in microseconds; none where
    /// the system does not tell.
    pub cpu_us: Option<f64>,
    /// What it is beside an observer; none where that was not asked for.
    pub watched: Option<Watched>,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReqResp {
    /// Version of this form.
    pub version: u32,
    /// What they were taken on.
    pub machine: Machine,
    /// The measurements.
    pub rows: Vec<Row>,
}

/// Measures, and tells each row as soon as it is there. Dropping the future ends all processes it started.
///
/// # Errors
/// [`BenchError`], also when a request was not answered exactly once.
pub async fn run(options: &ReqRespOptions, mut tell: impl FnMut(&Row)) -> Result<ReqResp, BenchError> {
    let machine = Machine::here();
    let mut rows = Vec::new();
    for &at in &options.places {
        let place = Place::begin(at, options).await?;
        for &load in &options.loads {
            let row = if options.watched {
                watched::in_turn(&place, load, options).await?
            } else {
                measure(&place, load, options).await?
            };
            tell(&row);
            rows.push(row);
        }
        place.end().await;
    }
    Ok(ReqResp {
        version: SCHEMA,
        machine,
        rows,
    })
}

/// One measurement in an arrangement that stands.
pub(super) async fn measure(place: &Place, load: Load, options: &ReqRespOptions) -> Result<Row, BenchError> {
    let before = place.processor();
    let tally = place.ask(load, (options.warm_up, options.measured)).await?;
    let cpu_us = processor::each_us(before, place.processor(), tally.asked);
    let row = row(place.at(), load, &tally, options.measured)?;
    Ok(Row { cpu_us, ..row })
}

fn row(place: Where, load: Load, tally: &Tally, measured: Duration) -> Result<Row, BenchError> {
    let Figures {
        requests,
        rate,
        p50_us,
        p99_us,
        p999_us,
    } = figures(tally, measured, "requests")
        .map_err(|what| BenchError::Unsound(format!("{}, {}: {what}", place.as_str(), load.words())))?;
    Ok(Row {
        place,
        load,
        requests,
        rate,
        held_back: tally.held_back,
        p50_us,
        p99_us,
        p999_us,
        cpu_us: None,
        watched: None,
    })
}

/// What a tally comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) rate: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

/// The figures of a sound tally; else what was wrong.
pub(super) fn figures(tally: &Tally, measured: Duration, things: &str) -> Result<Figures, String> {
    if let Some(failure) = &tally.failure {
        let (failed, asked) = (tally.failed, tally.asked);
        return Err(format!("{failed} of {asked} {things} failed: {failure}"));
    }
    let requests = tally.took.total();
    if requests == 0 {
        return Err(format!("no {things} ended in the measured time"));
    }
    let micros = |quantile| (tally.took.quantile(quantile).as_nanos() as f64 / 100.0).round() / 10.0;
    Ok(Figures {
        requests,
        rate: (requests as f64 / measured.as_secs_f64()).round(),
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
    })
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    let mut text = format!("{:<12} {:>9} {:>12}", "where", "in flight", "requests/s");
    let _ = write!(text, " {:>10} {:>10} {:>10}", "p50 µs", "p99 µs", "p99.9 µs");
    let _ = write!(text, " {:>10}", "cpu µs/req");
    text
}

/// A figure that may be unknown.
pub(super) fn known(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".into(), |figure| format!("{figure:.2}"))
}

impl Row {
    /// One line of that table; what was held back, and the comparison with an observer, in a line of their own.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:<12} {:>9} {:>12.0} {:>10.1} {:>10.1} {:>10.1} {:>10}",
            self.place.as_str(),
            self.load,
            self.rate,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            known(self.cpu_us),
        );
        line.push_str(&held_back_line(self.held_back));
        if let Some(watched) = &self.watched {
            let _ = write!(line, "\n  {}", watched.words());
        }
        line
    }
}

#[cfg(test)]
#[path = "req_resp/req_resp_test.rs"]
mod tests;
