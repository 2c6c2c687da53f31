//! Reads a journal entry by entry, for those who judge a run. What does not live here: stepping machines (`replay`).

use std::io::BufRead;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use squall_kernel::core::{CoreEffect, CoreInput};
use squall_kernel::exchange::{ExchangeConfig, ExchangeEffect, ExchangeInput};
use squall_kernel::time::Instant;

use super::fact::{FORMAT, Fact, Header};
use super::gap::Numbers;
use super::{MachineKind, ReplayError};

/// When something took place, counted from the node's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct When {
    /// As the node's clock showed it.
    pub shown: Instant,
    /// As it was: the same, unless a fault makes that clock run at another rate.
    pub passed: Instant,
    /// By how many parts per million that clock runs faster than time itself from there on.
    pub faster_ppm: i32,
}

/// One line of a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Who recorded it; the first line.
    Header(Header),
    /// Something that happened.
    Fact {
        /// When.
        now: When,
        /// What.
        fact: Fact,
    },
    /// The control side stepped.
    Core {
        /// When.
        now: When,
        /// Input.
        input: Box<CoreInput>,
        /// Effects.
        effects: Vec<CoreEffect>,
    },
    /// An exchange began to be owned.
    ExchangeStart {
        /// Its id in the journal.
        id: String,
        /// When.
        now: When,
        /// From what.
        config: ExchangeConfig,
    },
    /// An exchange stepped.
    Exchange {
        /// Its id in the journal.
        id: String,
        /// When.
        now: When,
        /// Input.
        input: ExchangeInput,
        /// Effects.
        effects: Vec<ExchangeEffect>,
    },
}

/// How a journal ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalEnd {
    /// Why the recording ended early, when it says so.
    pub broken: Option<String>,
    /// True when the last line is cut off, as after a kill.
    pub torn: bool,
}

#[derive(Deserialize)]
struct Head {
    n: Option<u64>,
    header: Option<Header>,
    fact: Option<Fact>,
    machine: Option<MachineKind>,
    id: Option<String>,
    now: Option<Instant>,
    passed: Option<Instant>,
    #[serde(default)]
    faster_ppm: i32,
    start: Option<IgnoredAny>,
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

/// Shows every entry of a journal to `each`, in order.
///
/// # Errors
/// [`ReplayError`] when it is not a journal, or cannot be read. A last line that is cut off is no error.
pub fn read(journal: impl BufRead, mut each: impl FnMut(Entry)) -> Result<JournalEnd, ReplayError> {
    let mut end = JournalEnd::default();
    let mut reader = Reader::default();
    let mut lines = journal.lines().peekable();
    while let Some(text) = lines.next() {
        match reader.line(&text?) {
            Ok(Read::Entry(entry)) => each(*entry),
            Ok(Read::CoreStart) => {}
            Ok(Read::Broken(why)) => {
                end.broken = Some(why);
                break;
            }
            Err(ReplayError::Garbled { .. }) if lines.peek().is_none() => end.torn = true,
            Err(error) => return Err(error),
        }
    }
    Ok(end)
}

/// What a line of a journal says.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// An entry.
    Entry(Box<Entry>),
    /// Of no interest: the header says more.
    CoreStart,
    /// Why the recording ends here.
    Broken(String),
}

/// Reads a journal line by line, while it is still being written.
#[derive(Debug, Default)]
pub struct Reader {
    line: usize,
    numbers: Numbers,
}

impl Reader {
    /// Reads the next line, a whole one.
    ///
    /// # Errors
    /// [`ReplayError`] when it is no line of a journal, or not the next one.
    pub fn line(&mut self, text: &str) -> Result<Read, ReplayError> {
        self.line += 1;
        parse(self.line, text, &mut self.numbers)
    }
}

fn parse(line: usize, text: &str, numbers: &mut Numbers) -> Result<Read, ReplayError> {
    let head: Head = json(line, text)?;
    numbers.next(line, head.n)?;
    let garbled = |why: &str| ReplayError::Garbled {
        line,
        why: why.to_owned(),
    };
    let entry = match head {
        Head {
            broken: Some(why), ..
        } => return Ok(Read::Broken(why)),
        Head {
            header: Some(header), ..
        } if header.format > FORMAT => return Err(garbled("written by a later version")),
        Head {
            header: Some(header), ..
        } => Entry::Header(header),
        Head {
            fact: Some(fact),
            now: Some(shown),
            passed,
            faster_ppm,
            ..
        } => {
            let now = when(shown, passed, faster_ppm);
            Entry::Fact { now, fact }
        }
        Head {
            machine: Some(machine),
            id: Some(id),
            now: Some(shown),
            passed,
            faster_ppm,
            start,
            ..
        } => match (machine, start) {
            (MachineKind::Core, Some(_)) => return Ok(Read::CoreStart),
            (MachineKind::Core, None) => {
                let now = when(shown, passed, faster_ppm);
                let StepLine { step } = json(line, text)?;
                let Step { input, effects } = step;
                let input = Box::new(input);
                Entry::Core { now, input, effects }
            }
            (MachineKind::Exchange, Some(_)) => {
                let now = when(shown, passed, faster_ppm);
                let StartLine { start: config } = json(line, text)?;
                Entry::ExchangeStart { id, now, config }
            }
            (MachineKind::Exchange, None) => {
                let now = when(shown, passed, faster_ppm);
                let StepLine { step } = json(line, text)?;
                let Step { input, effects } = step;
                Entry::Exchange {
                    id,
                    now,
                    input,
                    effects,
                }
            }
        },
        _ => return Err(garbled("neither a header, a fact, a start nor a step")),
    };
    Ok(Read::Entry(Box::new(entry)))
}

fn when(shown: Instant, passed: Option<Instant>, faster_ppm: i32) -> When {
    When {
        shown,
        passed: passed.unwrap_or(shown),
        faster_ppm,
    }
}

/// Straight from the text: a detour through a general JSON value would lose 128-bit numbers.
fn json<T: DeserializeOwned>(line: usize, text: &str) -> Result<T, ReplayError> {
    serde_json::from_str(text).map_err(|error| ReplayError::Garbled {
        line,
        why: error.to_string(),
    })
}
