//! Steps fresh machines through a journal and compares their effects with those recorded.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use squall_kernel::core::{CoreConfig, CoreEffect, CoreInput, NodeCore};
use squall_kernel::exchange::{Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput};
use squall_kernel::time::Instant;

use super::MachineKind;
use super::gap::Numbers;

/// A machine of the kernel, as a replay needs it.
pub trait Machine: Sized + 'static {
    /// Its name in the journal.
    const KIND: MachineKind;
    /// What it starts from.
    type Start: DeserializeOwned;
    /// What happens to it.
    type Input: DeserializeOwned;
    /// What it wants done.
    type Effect: DeserializeOwned + PartialEq + Debug;

    /// A fresh one.
    fn start(now: Instant, from: Self::Start) -> Self;
    /// Steps it.
    fn step(&mut self, now: Instant, input: &Self::Input) -> Vec<Self::Effect>;
}

impl Machine for Exchange {
    const KIND: MachineKind = MachineKind::Exchange;
    type Start = ExchangeConfig;
    type Input = ExchangeInput;
    type Effect = ExchangeEffect;

    fn start(now: Instant, from: ExchangeConfig) -> Self {
        Self::new(now, from)
    }

    fn step(&mut self, now: Instant, input: &ExchangeInput) -> Vec<ExchangeEffect> {
        let mut effects = Vec::new();
        Self::step(self, now, input, &mut effects);
        effects
    }
}

impl Machine for NodeCore {
    const KIND: MachineKind = MachineKind::Core;
    type Start = CoreConfig;
    type Input = CoreInput;
    type Effect = CoreEffect;

    fn start(now: Instant, from: CoreConfig) -> Self {
        Self::new(now, &from)
    }

    fn step(&mut self, now: Instant, input: &CoreInput) -> Vec<CoreEffect> {
        let mut effects = Vec::new();
        Self::step(self, now, input, &mut effects);
        effects
    }
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayReport {
    /// Lines read.
    pub lines: usize,
    /// Machines started.
    pub machines: usize,
    /// Steps that gave the recorded effects.
    pub steps: usize,
    /// Why the recording ended early, when it says so.
    pub broken: Option<String>,
    /// True when the last line is cut off, as after a kill.
    pub torn: bool,
    /// The first step that gave other effects; the replay ends there.
    pub difference: Option<Difference>,
}

/// A step that gave other effects than recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Line, from 1.
    pub line: usize,
    /// Machine.
    pub machine: String,
    /// Effects recorded.
    pub recorded: String,
    /// Effects of the replay.
    pub replayed: String,
}

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Reading failed.
    #[error("cannot read the journal: {0}")]
    Io(#[from] io::Error),
    /// A line is not one of a journal.
    #[error("line {line} is not a journal's: {why}")]
    Garbled {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Lines are missing, or do not belong where they stand.
    #[error("the journal has a gap at line {line}: {}", super::gap::words(.expected, .found))]
    Gap {
        /// Line, from 1, at which it shows.
        line: usize,
        /// Number that belongs there.
        expected: u64,
        /// Number that stands there; 0 for none.
        found: u64,
    },
    /// A machine stepped that had not started.
    #[error("line {line} steps {machine}, which has not started")]
    NotStarted {
        /// Line, from 1.
        line: usize,
        /// Machine.
        machine: String,
    },
}

/// What every line has; the rest is read by the machine it is for, straight from the text: a detour through a general
/// JSON value would lose 128-bit numbers.
#[derive(Deserialize)]
struct Head {
    n: Option<u64>,
    header: Option<IgnoredAny>,
    fact: Option<IgnoredAny>,
    machine: Option<MachineKind>,
    id: Option<String>,
    now: Option<Instant>,
    start: Option<IgnoredAny>,
    step: Option<IgnoredAny>,
    broken: Option<String>,
}

#[derive(Deserialize)]
struct StartLine<S> {
    start: S,
}

#[derive(Deserialize)]
struct StepLine<I, E> {
    step: Step<I, E>,
}

#[derive(Deserialize)]
struct Step<I, E> {
    input: I,
    effects: Vec<E>,
}

/// Both sides of a step that gave other effects.
type Unequal = (String, String);

trait Stepper {
    fn step(&mut self, now: Instant, line: &str) -> Result<Option<Unequal>, serde_json::Error>;
}

struct Stepped<M>(M);

impl<M: Machine> Stepper for Stepped<M> {
    fn step(&mut self, now: Instant, line: &str) -> Result<Option<Unequal>, serde_json::Error> {
        let StepLine { step } = serde_json::from_str::<StepLine<M::Input, M::Effect>>(line)?;
        let replayed = self.0.step(now, &step.input);
        let unequal = step.effects != replayed;
        Ok(unequal.then(|| (format!("{:?}", step.effects), format!("{replayed:?}"))))
    }
}

type Machines = BTreeMap<(MachineKind, String), Box<dyn Stepper>>;
type Starter = fn(Instant, &str) -> Result<Box<dyn Stepper>, serde_json::Error>;

/// A replay of journals with certain machines.
pub struct Replay {
    starters: BTreeMap<MachineKind, Starter>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            starters: BTreeMap::new(),
        }
        .with::<Exchange>()
        .with::<NodeCore>()
    }
}

impl Replay {
    /// Also replays that machine.
    #[must_use]
    pub fn with<M: Machine>(mut self) -> Self {
        let start: Starter = |now, line| {
            let StartLine { start } = serde_json::from_str::<StartLine<M::Start>>(line)?;
            Ok(Box::new(Stepped(M::start(now, start))))
        };
        self.starters.insert(M::KIND, start);
        self
    }

    /// Replays a journal up to its end or the first difference.
    ///
    /// # Errors
    /// [`ReplayError`] when it is not a journal, or cannot be read.
    pub fn run(&self, journal: impl BufRead) -> Result<ReplayReport, ReplayError> {
        let mut report = ReplayReport::default();
        let mut machines = BTreeMap::new();
        let mut numbers = Numbers::default();
        let mut lines = journal.lines().peekable();
        while let Some(text) = lines.next() {
            let text = text?;
            report.lines += 1;
            match self.line(&text, &mut numbers, &mut machines, &mut report) {
                Err(ReplayError::Garbled { .. }) if lines.peek().is_none() => report.torn = true,
                done => done?,
            }
            if report.difference.is_some() || report.broken.is_some() {
                break;
            }
        }
        Ok(report)
    }

    fn line(
        &self,
        text: &str,
        numbers: &mut Numbers,
        machines: &mut Machines,
        report: &mut ReplayReport,
    ) -> Result<(), ReplayError> {
        let line = report.lines;
        let head: Head = serde_json::from_str(text).map_err(|error| garbled(line, &error))?;
        numbers.next(line, head.n)?;
        let (machine, id, now, starts) = match head {
            Head {
                broken: Some(why), ..
            } => {
                report.broken = Some(why);
                return Ok(());
            }
            Head { header: Some(_), .. } | Head { fact: Some(_), .. } => return Ok(()),
            Head {
                machine: Some(machine),
                id: Some(id),
                now: Some(now),
                start,
                step,
                ..
            } if start.is_some() != step.is_some() => (machine, id, now, start.is_some()),
            _ => {
                return Err(ReplayError::Garbled {
                    line,
                    why: "neither a header, a fact, a start nor a step".into(),
                });
            }
        };
        if starts {
            let starter = self.starters.get(&machine).ok_or_else(|| ReplayError::Garbled {
                line,
                why: format!("no machine '{machine}' is known"),
            })?;
            machines.insert(
                (machine, id),
                starter(now, text).map_err(|error| garbled(line, &error))?,
            );
            report.machines += 1;
            return Ok(());
        }
        let name = format!("{machine} {id}");
        let Some(stepper) = machines.get_mut(&(machine, id)) else {
            return Err(ReplayError::NotStarted { line, machine: name });
        };
        match stepper.step(now, text).map_err(|error| garbled(line, &error))? {
            None => report.steps += 1,
            Some((recorded, replayed)) => {
                report.difference = Some(Difference {
                    line,
                    machine: name,
                    recorded,
                    replayed,
                });
            }
        }
        Ok(())
    }
}

fn garbled(line: usize, error: &serde_json::Error) -> ReplayError {
    ReplayError::Garbled {
        line,
        why: error.to_string(),
    }
}
