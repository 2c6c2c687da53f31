//! The file of a node's journal: its name, its first line, and its end.
//!
//! What does not live here: what is recorded, and how (`journal`).

use std::path::{Path, PathBuf};

use squall_kernel::registry::Introduction;

use super::NodeError;
use crate::clock::Clock;
use crate::journal::{FORMAT, Header, Journal, JournalWriter};

/// Opens the journal and writes its header; none where no file was asked for.
pub(super) fn start(
    path: Option<&Path>,
    me: &Introduction,
    clock: &Clock,
) -> Result<Option<(Journal, JournalWriter)>, NodeError> {
    let Some(path) = path.map(|path| name_of(path, me)) else {
        return Ok(None);
    };
    let failed = |source| NodeError::Journal {
        path: path.clone(),
        source,
    };
    let file = std::fs::File::create(&path).map_err(failed)?;
    let (journal, writer) = Journal::start_writer(file).map_err(failed)?;
    let journal = journal.by(clock.clone());
    journal.header(&header(me, clock));
    Ok(Some((journal, writer)))
}

/// Waits until everything is written.
pub(super) fn finish(writer: Option<JournalWriter>) {
    if let Some(writer) = writer
        && let Err(error) = writer.finish()
    {
        tracing::error!(%error, "the journal is not complete");
    }
}

/// A name with `%n` and `%i` in it gives each run of each node a file of its own.
fn name_of(path: &Path, me: &Introduction) -> PathBuf {
    match path.to_str() {
        Some(text) => {
            let text = text.replace("%n", me.name.as_str());
            text.replace("%i", &me.incarnation.to_string()).into()
        }
        None => path.to_owned(),
    }
}

fn header(me: &Introduction, clock: &Clock) -> Header {
    Header {
        format: FORMAT,
        node: me.id,
        incarnation: me.incarnation,
        boot: me.boot,
        started: clock.started(),
    }
}
