//! The live recorder: the history of a run of real nodes, from the journals that they kept, for the same checkers that
//! read simulated runs. All nodes must have run on one machine since it last started: their clocks fit together by its
//! monotonic clock.
//!
//! What does not live here: keeping journals (`squall_node::journal`), and judging (`invariant`). A journal knows of the
//! faults on its node's links, and neither of kills nor of pauses nor of a heal: whoever caused those tells of them with
//! [`Marks`].

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::MessageId;
use squall_kernel::time::Instant;
use squall_node::journal::{Entry, Header, ReplayError, read};

use crate::history::Event;

mod assembly;
mod follow;
mod marks;
mod settling;
mod teller;

pub use follow::Follow;
pub use marks::{Acting, Marks};

use assembly::{Assembly, move_ends};
use teller::Teller;

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A journal cannot be opened.
    #[error("{}: {source}", .path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It is not a journal.
    #[error("{}: {source}", .path.display())]
    Garbled {
        /// File.
        path: PathBuf,
        /// What is wrong.
        source: ReplayError,
    },
    /// Nobody can tell whose journal it is.
    #[error("{}: it does not begin with a header that names its node", .path.display())]
    NoHeader {
        /// File.
        path: PathBuf,
    },
    /// The node ran on and did not record it: what is missing cannot be judged.
    #[error("{}: the recording ended before the run did: {why}", .path.display())]
    Broken {
        /// File.
        path: PathBuf,
        /// What the journal says.
        why: String,
    },
}

/// What happened to the nodes that kept these journals, one journal for each run of a node, in order of time. Times count
/// from the start of the first one.
///
/// A node that left no word of its end was killed after the last line of its journal.
///
/// # Errors
/// [`RecordError`] names the journal that cannot be used.
pub fn history_of(journals: &[impl AsRef<Path>]) -> Result<Vec<Event>, RecordError> {
    history_with(journals, &Marks::default())
}

/// The same, with what was marked while they ran; behind every heal, where the nodes had settled.
///
/// # Errors
/// [`RecordError`] names the journal that cannot be used.
pub fn history_with(journals: &[impl AsRef<Path>], marks: &Marks) -> Result<Vec<Event>, RecordError> {
    let mut told = Vec::new();
    for path in journals {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| RecordError::Io {
            path: path.to_owned(),
            source,
        })?;
        told.push(tell(path, BufReader::new(file))?);
    }
    Ok(put_together(told, marks))
}

/// Several histories in true time as one, in order of time; events at the same time keep the order given.
#[must_use]
pub fn merge(histories: impl IntoIterator<Item = Vec<Event>>) -> Vec<Event> {
    let mut all: Vec<Event> = histories.into_iter().flatten().collect();
    all.sort_by_key(|event| event.at);
    all
}

/// One journal's events, on its node's own clock and with the numbers of tries where those of requests belong.
#[derive(Debug)]
struct Told {
    header: Header,
    events: Vec<Event>,
    tries: Vec<Try>,
}

/// A try of a request: what is told of it elsewhere goes by its own number.
#[derive(Debug, Clone, Copy)]
struct Try {
    at: Instant,
    number: RequestKey,
    request: MessageId,
}

fn tell(path: &Path, journal: impl BufRead) -> Result<Told, RecordError> {
    let mut teller: Option<Teller> = None;
    let mut stray = false;
    let end = read(journal, |entry| match (entry, &mut teller) {
        (Entry::Header(header), None) => teller = Some(Teller::new(header)),
        (Entry::Header(_), Some(_)) | (_, None) => stray = true,
        (entry, Some(teller)) => teller.entry(entry),
    });
    let end = end.map_err(|source| RecordError::Garbled {
        path: path.to_owned(),
        source,
    })?;
    if let Some(why) = end.broken {
        return Err(RecordError::Broken {
            path: path.to_owned(),
            why,
        });
    }
    match teller {
        Some(teller) if !stray => Ok(teller.finish()),
        _ => Err(RecordError::NoHeader {
            path: path.to_owned(),
        }),
    }
}

/// Moves all to one clock, and gives every try the number of its request.
fn put_together(told: Vec<Told>, marks: &Marks) -> Vec<Event> {
    let zero = told
        .iter()
        .map(|one| one.header.started)
        .min()
        .unwrap_or_default();
    let mut assembly = Assembly::unbounded();
    let mut histories = vec![marks.since(zero)];
    for one in told {
        let offset = one.header.started.since(zero);
        assembly.know(&one.tries);
        let moved = one.events.into_iter().map(|mut event| {
            event.at = event.at + offset;
            move_ends(&mut event.what, |until| until + offset);
            event
        });
        histories.push(moved.collect());
    }
    let merged = merge(histories).into_iter();
    merged.flat_map(|event| assembly.pass(event)).collect()
}

#[cfg(test)]
#[path = "record/live_test.rs"]
mod live_tests;
#[cfg(test)]
#[path = "record/publishes_test.rs"]
mod publishes_tests;
#[cfg(test)]
#[path = "record/tasks_test.rs"]
mod tasks_tests;
#[cfg(test)]
#[path = "record/record_test.rs"]
mod tests;
