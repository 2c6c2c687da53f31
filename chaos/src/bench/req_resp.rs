//! Requests answered per second, closed loop: requester → exchange → one of five round-robin handlers → requester, with
//! four bytes of payload, in three arrangements. What does not live here: the processes (`place`), the loops (`closed`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use squall_node::telemetry::Share;

use super::{BenchError, Machine, SCHEMA};

mod closed;
pub mod host;
pub(super) mod place;

use closed::Tally;
use place::Place;

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
    /// Requester, exchange and handlers embedded in three nodes, each a process of its own.
    ThreeNodes,
    /// Requester and handlers are clients of one node, three processes in all.
    Clients,
}

impl Where {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::ThreeNodes, Self::Clients];

    /// The arrangement's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::ThreeNodes => "three_nodes",
            Self::Clients => "clients",
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
    /// Requests in flight, in this order.
    pub in_flight: Vec<usize>,
    /// How long each is measured.
    pub measured: Duration,
    /// How long each runs before that.
    pub warm_up: Duration,
    /// Whether nodes send traces; of arrangements in one process only one can.
    pub traces: Option<Traces>,
}

impl ReqRespOptions {
    /// Everything, each measured for so long after a fifth of it as a warm-up.
    #[must_use]
    pub fn new(program: PathBuf, measured: Duration) -> Self {
        Self {
            program,
            places: Where::ALL.to_vec(),
            in_flight: IN_FLIGHT.to_vec(),
            measured,
            warm_up: measured / 5,
            traces: None,
        }
    }
}

/// One measurement. Every request of it was answered, with its own payload, and had exactly one outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Arrangement.
    #[serde(rename = "where")]
    pub place: Where,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests answered within the measured time.
    pub requests: u64,
    /// The same per second.
    pub rate: f64,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
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
        for &in_flight in &options.in_flight {
            let tally = place.ask(in_flight, options.warm_up, options.measured).await?;
            let row = row(at, in_flight, &tally, options.measured)?;
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

fn row(place: Where, in_flight: usize, tally: &Tally, measured: Duration) -> Result<Row, BenchError> {
    let unsound = |what: String| {
        let place = place.as_str();
        BenchError::Unsound(format!("{place}, {in_flight} in flight: {what}"))
    };
    if let Some(failure) = &tally.failure {
        let (failed, asked) = (tally.failed, tally.asked);
        return Err(unsound(format!("{failed} of {asked} requests failed: {failure}")));
    }
    let requests = tally.took.total();
    if requests == 0 {
        return Err(unsound("no request was answered in the measured time".into()));
    }
    let micros = |quantile| (tally.took.quantile(quantile).as_nanos() as f64 / 100.0).round() / 10.0;
    Ok(Row {
        place,
        in_flight,
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
    let mut text = format!(
        "{:<12} {:>9} {:>12} {:>12}",
        "where", "in flight", "requests", "requests/s"
    );
    let _ = write!(text, " {:>10} {:>10} {:>10}", "p50 µs", "p99 µs", "p99.9 µs");
    text
}

impl Row {
    /// One line of that table.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:<12} {:>9} {:>12} {:>12.0} {:>10.1} {:>10.1} {:>10.1}",
            self.place.as_str(),
            self.in_flight,
            self.requests,
            self.rate,
            self.p50_us,
            self.p99_us,
            self.p999_us
        )
    }
}

#[cfg(test)]
#[path = "req_resp/req_resp_test.rs"]
mod tests;
