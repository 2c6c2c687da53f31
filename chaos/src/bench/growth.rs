//! How the cost of a request grows with nodes, exchanges, processes, payload and handlers: each cell a closed loop with a
//! hundred requests in flight, fewer where they are large, in a scene of its own in this process. And how the cost of making
//! very many exchanges and handlers grows. What does not live here: the scenes (`scene`), the loops (`asking`), the making
//! (`making`), the judgement (`judge`), the drawing (`plot`).

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use squall_kernel::frame::HEADER_BYTES;

use super::req_resp::figures;
use super::req_resp::tally::Tally;
use super::usage::resident_bytes;
use super::{BenchError, Machine, SCHEMA};

mod asking;
pub mod judge;
mod making;
mod plot;
mod scene;

use judge::Growth;
use scene::{Scene, Shape};

/// Requests in flight in each cell.
pub const IN_FLIGHT: usize = 100;
/// Bytes of payloads in flight: what one lane between nodes holds (32 MiB) less some for what is acknowledged a little later than it
/// is answered. Nodes turn away what is beyond, so the largest payloads are fewer at a time.
const BYTES_IN_FLIGHT_MAX: u64 = 25 * 1024 * 1024;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Nodes of the cluster: from three on, requesters, exchange and handlers are on three of them.
    Nodes,
    /// Exchanges, each with one handler, asked in turn.
    Exchanges,
    /// Idle processes at the same node: subscribers of another exchange.
    Processes,
    /// Bytes of request and reply, over three nodes.
    Payload,
    /// Handlers of the exchange, asked in turn.
    Handlers,
    /// Exchanges that are declared at once: no requests, but declarations.
    Declaring,
    /// Handlers that are attached to one exchange at once: no requests, but attachments.
    Attaching,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nodes,
        Self::Exchanges,
        Self::Processes,
        Self::Payload,
        Self::Handlers,
        Self::Declaring,
        Self::Attaching,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Exchanges => "exchanges",
            Self::Processes => "processes",
            Self::Payload => "payload",
            Self::Handlers => "handlers",
            Self::Declaring => "declaring",
            Self::Attaching => "attaching",
        }
    }

    /// What the figures of a cell are of.
    #[must_use]
    pub const fn of_what(self) -> &'static str {
        match self {
            Self::Declaring => "all declarations",
            Self::Attaching => "all attachments",
            _ => "a request",
        }
    }

    /// How much there is of it, cell by cell.
    #[must_use]
    pub const fn steps(self) -> &'static [u64] {
        match self {
            Self::Nodes => &[1, 3, 5, 9],
            Self::Exchanges => &[1, 10, 100, 1_000, 10_000],
            Self::Processes => &[1, 10, 100, 1_000, 10_000, 100_000],
            Self::Payload => &[0, 64, 1 << 10, 16 << 10, 256 << 10, 1 << 20],
            Self::Handlers => &[1, 10, 100, 1_000],
            Self::Declaring => &[100, 1_000, 10_000],
            Self::Attaching => &[100, 1_000, 10_000],
        }
    }

    /// The size by which a cell is compared with the others; none where it takes another way, as a request within one node
    /// does. Payloads travel in frames, and one of nothing has a size, too.
    fn size(self, at: u64) -> Option<f64> {
        match self {
            Self::Nodes if at < 3 => None,
            Self::Payload => Some((at + HEADER_BYTES as u64) as f64),
            _ => Some(at as f64),
        }
    }

    /// Processor time by which a cell is compared with the others: that of a request, or of all that was made.
    fn cost(self, cell: &Cell) -> f64 {
        match self {
            Self::Declaring | Self::Attaching => cell.cpu_us * cell.at as f64,
            _ => cell.cpu_us,
        }
    }
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrowthOptions {
    /// Dimensions, in this order.
    pub dimensions: Vec<Dimension>,
    /// Cells above this are left out.
    pub most: u64,
    /// How long each cell is measured.
    pub measured: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
}

/// One measurement. Every request of it was answered, with a payload like its own, and had exactly one outcome. Where exchanges
/// or handlers are made, requests are declarations or attachments: each was committed, or confirmed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// What grows.
    pub dimension: Dimension,
    /// How much there is of it; for payloads, bytes.
    pub at: u64,
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
    /// Processor time for each, requesters, nodes and handlers together.
    pub cpu_us: f64,
    /// Resident memory of the process when it was measured, in bytes; cells before it may have left some behind.
    pub resident_bytes: u64,
}

/// How the processor time of a request grows with a dimension.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What grows.
    pub dimension: Dimension,
    /// How fast; none with fewer than two cells to compare.
    pub growth: Option<Growth>,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grown {
    /// Version of this form.
    pub version: u32,
    /// What they were taken on.
    pub machine: Machine,
    /// The measurements.
    pub cells: Vec<Cell>,
    /// What they come to, one for each dimension measured.
    pub verdicts: Vec<Verdict>,
}

/// Measures, and tells each cell as soon as it is there.
///
/// # Errors
/// [`BenchError`], also when a request was not answered exactly once.
pub async fn run(options: &GrowthOptions, mut tell: impl FnMut(&Cell)) -> Result<Grown, BenchError> {
    let machine = Machine::here();
    let (mut cells, mut verdicts) = (Vec::new(), Vec::new());
    for &dimension in &options.dimensions {
        let first = cells.len();
        for &at in dimension.steps().iter().filter(|at| **at <= options.most) {
            let cell = measure(dimension, at, options).await?;
            tell(&cell);
            cells.push(cell);
        }
        verdicts.push(verdict(dimension, &cells[first..]));
    }
    Ok(Grown {
        version: SCHEMA,
        machine,
        cells,
        verdicts,
    })
}

async fn measure(dimension: Dimension, at: u64, options: &GrowthOptions) -> Result<Cell, BenchError> {
    let made = match dimension {
        Dimension::Declaring => making::declare(at).await?,
        Dimension::Attaching => making::attach(at).await?,
        _ => return measure_requests(dimension, at, options).await,
    };
    cell(
        (dimension, at, made.at_once),
        &made.tally,
        made.processor,
        made.took,
    )
}

async fn measure_requests(
    dimension: Dimension,
    at: u64,
    options: &GrowthOptions,
) -> Result<Cell, BenchError> {
    let shape = Shape::of(dimension, at);
    let in_flight = in_flight(shape.payload as u64);
    let scene = Scene::begin(shape).await?;
    let times = (options.warm_up, options.measured);
    let asked = asking::ask(&scene, in_flight, shape.payload, times).await;
    let (tally, processor) = asked?;
    let cell = cell((dimension, at, in_flight), &tally, processor, options.measured);
    scene.end().await;
    cell
}

fn in_flight(payload: u64) -> usize {
    let most = BYTES_IN_FLIGHT_MAX / payload.max(1);
    usize::try_from(most).map_or(IN_FLIGHT, |most| most.min(IN_FLIGHT))
}

fn cell(
    (dimension, at, in_flight): (Dimension, u64, usize),
    tally: &Tally,
    processor: Duration,
    measured: Duration,
) -> Result<Cell, BenchError> {
    let figures = figures(tally, measured, "requests").map_err(|what| {
        let dimension = dimension.as_str();
        BenchError::Unsound(format!("{dimension}, {at}: {what}"))
    })?;
    Ok(Cell {
        dimension,
        at,
        in_flight,
        requests: figures.requests,
        rate: figures.rate,
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
        p999_us: figures.p999_us,
        cpu_us: (processor.as_secs_f64() * 1e9 / figures.requests as f64).round() / 1e3,
        resident_bytes: resident_bytes(),
    })
}

fn verdict(dimension: Dimension, cells: &[Cell]) -> Verdict {
    let point = |cell: &Cell| Some((dimension.size(cell.at)?, dimension.cost(cell)));
    let points: Vec<(f64, f64)> = cells.iter().filter_map(point).collect();
    Verdict {
        dimension,
        growth: judge::growth(&points),
    }
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    let mut text = format!(
        "{:<10} {:>8} {:>9} {:>12} {:>12}",
        "dimension", "at", "in flight", "requests", "requests/s"
    );
    let _ = write!(
        text,
        " {:>10} {:>10} {:>10} {:>10} {:>8}",
        "p50 µs", "p99 µs", "p99.9 µs", "cpu µs/r.", "MB"
    );
    text
}

impl Cell {
    /// One line of that table.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:<10} {:>8} {:>9} {:>12} {:>12.0} {:>10.1} {:>10.1} {:>10.1} {:>10.2} {:>8.0}",
            self.dimension.as_str(),
            self.at,
            self.in_flight,
            self.requests,
            self.rate,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.cpu_us,
            self.resident_bytes as f64 / 1e6
        )
    }
}

impl Verdict {
    /// One line in words.
    #[must_use]
    pub fn line(&self) -> String {
        let dimension = self.dimension.as_str();
        let Some(growth) = self.growth else {
            return format!("{dimension}: too few cells to compare");
        };
        let judged = if growth.worse_than_linear {
            "WORSE THAN LINEAR"
        } else {
            "not worse than linear"
        };
        format!(
            "{dimension}: processor time of {} grows with its {:.2}th power overall, {:.2}th where it is the \
             steepest (up to {}): {judged}",
            self.dimension.of_what(),
            growth.overall,
            growth.steepest,
            growth.steepest_at
        )
    }
}

impl Grown {
    /// The verdicts, one in a line.
    #[must_use]
    pub fn verdict_lines(&self) -> String {
        self.verdicts
            .iter()
            .map(|verdict| verdict.line() + "\n")
            .collect()
    }

    /// The figures as a picture: one panel for each dimension, both axes logarithmic.
    #[must_use]
    pub fn svg(&self) -> String {
        plot::svg(self)
    }
}

#[cfg(test)]
#[path = "growth/growth_test.rs"]
mod tests;
