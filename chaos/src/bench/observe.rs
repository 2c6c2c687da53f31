//! The budgets of the observer, each measured: against a made-up cluster where it is about the program alone, and against real
//! nodes where it is about both. What does not live here: how each is measured, one file a part.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{BenchError, Machine, SCHEMA, screen};

mod changes;
mod cost;
mod crowd;
mod frames;
mod keys;
mod ring;
mod seat;
mod stream;
mod supervised;

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Memory with the ring of ten minutes full.
    Ring,
    /// Frames with very many processes.
    Frames,
    /// Attaching to a node with very many processes.
    Attach,
    /// Bytes a second of seven nodes.
    Stream,
    /// What it costs a node when nobody watches, and when somebody does.
    Cost,
    /// Leaders and nodes that change, up to the screen.
    Changes,
    /// From a key to the terminal, with every node dead.
    Keys,
}

impl Part {
    /// All, in the order in which they are measured: memory first, while this process is small.
    pub const ALL: [Self; 7] = [
        Self::Ring,
        Self::Frames,
        Self::Attach,
        Self::Stream,
        Self::Cost,
        Self::Changes,
        Self::Keys,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Frames => "frames",
            Self::Attach => "attach",
            Self::Stream => "stream",
            Self::Cost => "cost",
            Self::Changes => "changes",
            Self::Keys => "keys",
        }
    }
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct ObserveOptions {
    /// The squall program.
    pub program: PathBuf,
    /// The parts.
    pub parts: Vec<Part>,
    /// Owners killed, and keys pressed for each of them.
    pub trials: u32,
    /// How much there is of everything.
    pub scale: Scale,
}

impl ObserveOptions {
    /// Every part as the budgets name it.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            parts: Part::ALL.to_vec(),
            trials: 10,
            scale: Scale::default(),
        }
    }
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Processes of the node that is attached to, and of the made-up cluster whose frames are drawn.
    pub processes: usize,
    /// Frames drawn of each view.
    pub frames: u32,
    /// Nodes whose stream is counted.
    pub nodes: usize,
    /// Processes of each of them.
    pub each: usize,
    /// How long the stream is counted, and throughput compared.
    pub measured: Duration,
    /// How long the ring is filled, in the observer's time.
    pub seen: Duration,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            processes: 100_000,
            frames: screen::FRAMES,
            nodes: 7,
            each: 10_000,
            measured: Duration::from_secs(10),
            seen: Duration::from_secs(660),
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Part that it belongs to.
    pub part: Part,
    /// What it is.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The budget; none where there is none.
    #[serde(flatten)]
    pub budget: Option<Budget>,
    /// Whether it is kept; none without a budget.
    pub met: Option<bool>,
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Budget {
    fn is_kept(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl Figure {
    fn new(part: Part, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            part,
            what: what.into(),
            value: (value * 1000.0).round() / 1000.0,
            unit,
            budget: None,
            met: None,
        }
    }

    fn at_most(self, most: f64) -> Self {
        self.within(Budget::AtMost(most))
    }

    fn at_least(self, least: f64) -> Self {
        self.within(Budget::AtLeast(least))
    }

    fn within(self, budget: Budget) -> Self {
        let met = Some(budget.is_kept(self.value));
        Self {
            budget: Some(budget),
            met,
            ..self
        }
    }

    /// One line of the table for people.
    #[must_use]
    pub fn line(&self) -> String {
        let value = match self.value {
            value if value.abs() >= 100.0 => format!("{value:.0}"),
            value if value.abs() >= 10.0 => format!("{value:.1}"),
            value => format!("{value:.2}"),
        };
        let mut line = format!(
            "{:<8} {:<56} {value:>10} {:<5}",
            self.part.as_str(),
            self.what,
            self.unit
        );
        match self.budget {
            Some(Budget::AtMost(most)) => {
                let _ = write!(line, " ≤ {most:<8}");
            }
            Some(Budget::AtLeast(least)) => {
                let _ = write!(line, " ≥ {least:<8}");
            }
            None => {}
        }
        line.push_str(match self.met {
            Some(true) => " met",
            Some(false) => " MISSED",
            None => "",
        });
        line.trim_end().to_owned()
    }
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observed {
    /// Version of this form.
    pub version: u32,
    /// What they were measured on.
    pub machine: Machine,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<8} {:<56} {:>10} {:<5} budget",
        "part", "what", "value", "unit"
    )
}

/// Measures, and tells of each figure as soon as it is there.
///
/// # Errors
/// [`BenchError`]; nothing is left running then either.
pub async fn run(options: &ObserveOptions, mut tell: impl FnMut(&Figure)) -> Result<Observed, BenchError> {
    let machine = Machine::here();
    let mut figures = Vec::new();
    for part in Part::ALL {
        if !options.parts.contains(&part) {
            continue;
        }
        let scale = options.scale;
        let new = match part {
            Part::Ring => blocking(move || ring::measure(scale)).await?,
            Part::Frames => blocking(move || frames::measure(scale)).await?,
            Part::Attach => stream::attach(scale).await?,
            Part::Stream => stream::bytes(scale).await?,
            Part::Cost => cost::measure(scale).await?,
            Part::Changes => changes::measure(options).await?,
            Part::Keys => keys::measure(options).await?,
        };
        new.iter().for_each(&mut tell);
        figures.extend(new);
    }
    Ok(Observed {
        version: SCHEMA,
        machine,
        figures,
    })
}

async fn blocking(
    work: impl FnOnce() -> Result<Vec<Figure>, BenchError> + Send + 'static,
) -> Result<Vec<Figure>, BenchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BenchError::Unsound(error.to_string()))?
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Resident memory of this process, in MB; none where the system does not tell.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
#[path = "observe/observe_test.rs"]
mod tests;
