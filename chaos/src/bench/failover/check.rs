//! The invariants over the journals of a whole run. What does not live here: the invariants (`crate::invariant`), and
//! reading journals (`crate::record`).

use std::path::PathBuf;

use super::summary::Checked;
use crate::bench::BenchError;
use crate::invariant::{self, Verdict};
use crate::record::{self, Marks};

/// Reads all journals, adds what the benchmark did itself, and asks every checker. Takes a while and much memory: off the runtime's threads.
pub(super) async fn check(journals: Vec<PathBuf>, marks: Marks) -> Result<Vec<Checked>, BenchError> {
    let judged = tokio::task::spawn_blocking(move || judge(&journals, &marks)).await;
    judged.map_err(|why| BenchError::Unsound(format!("the journals were not judged: {why}")))?
}

fn judge(journals: &[PathBuf], marks: &Marks) -> Result<Vec<Checked>, BenchError> {
    let history = record::history_with(journals, marks);
    let history = history.map_err(|why| BenchError::Unsound(format!("journal: {why}")))?;
    let judge = |mut checker: Box<dyn invariant::Invariant>| {
        let breach = history.iter().find_map(|event| checker.see(event).err());
        let verdict = breach.map_or_else(|| checker.end(), Verdict::Fail);
        Checked {
            id: checker.id().to_string(),
            verdict: verdict.to_string(),
        }
    };
    Ok(invariant::all().into_iter().map(judge).collect())
}
