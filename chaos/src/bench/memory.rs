//! Resident memory that comes with an idle subscriber, handler, exchange and session: a node in this process is looked at
//! before and after very many of each. All of them stay until the end, so that nothing is put where something else was. What
//! does not live here: how they are made (`crowd`), and the clients at the other end of the sessions (`clients`).

use std::path::PathBuf;

use serde::Serialize;

use super::usage::resident_bytes;
use super::{BenchError, Machine, SCHEMA};

pub mod clients;
mod crowd;

use crowd::Crowd;

/// What an idle subscriber or handler inside a node is to need at most, in bytes.
pub const GOAL_BYTES: f64 = 1024.0;

/// What there is very much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Embedded subscribers of one exchange, with one pattern.
    Subscriber,
    /// Embedded handlers, ten of each exchange; the exchanges are there before.
    Handler,
    /// Sessions of native clients that do nothing.
    Session,
    /// Exchanges without handlers.
    Exchange,
}

impl Kind {
    /// All of them, in the order in which they are measured: what leaves most behind comes last.
    pub const ALL: [Self; 4] = [Self::Subscriber, Self::Handler, Self::Session, Self::Exchange];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::Handler => "handler",
            Self::Session => "session",
            Self::Exchange => "exchange",
        }
    }

    const fn goal_bytes(self) -> Option<f64> {
        match self {
            Self::Subscriber | Self::Handler => Some(GOAL_BYTES),
            Self::Session | Self::Exchange => None,
        }
    }
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryOptions {
    /// The squall program, for the clients.
    pub program: PathBuf,
    /// Kinds.
    pub kinds: Vec<Kind>,
    /// How many subscribers and how many handlers.
    pub count: usize,
    /// How many exchanges: each is an entry in the log of the registry.
    pub exchanges: usize,
    /// How many sessions: each is a connection.
    pub sessions: usize,
}

impl MemoryOptions {
    fn count_of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Subscriber | Kind::Handler => self.count,
            Kind::Session => self.sessions,
            Kind::Exchange => self.exchanges,
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Of what.
    pub kind: Kind,
    /// How many there are.
    pub count: usize,
    /// Resident memory of the node's process before, in bytes.
    pub before_bytes: u64,
    /// After.
    pub after_bytes: u64,
    /// What came with each, in bytes.
    pub bytes_each: f64,
    /// What it is to be at most, in bytes; none where there is no goal.
    pub goal_bytes: Option<f64>,
    /// Whether it is; none without a goal.
    pub met: Option<bool>,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
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
/// [`BenchError`], also when the system does not tell the memory.
pub async fn run(options: &MemoryOptions, mut tell: impl FnMut(&Row)) -> Result<Memory, BenchError> {
    let machine = Machine::here();
    let mut rows = Vec::new();
    let mut crowd = Crowd::new().await?;
    for kind in Kind::ALL.into_iter().filter(|kind| options.kinds.contains(kind)) {
        let count = options.count_of(kind);
        crowd.prepare(kind, count).await?;
        let before = resident_bytes();
        match kind {
            Kind::Subscriber => crowd.subscribers(count).await?,
            Kind::Handler => crowd.handlers(count).await?,
            Kind::Session => crowd.sessions(count, &options.program).await?,
            Kind::Exchange => crowd.exchanges(count).await?,
        }
        let row = row(kind, count, before, resident_bytes())?;
        tell(&row);
        rows.push(row);
    }
    crowd.end().await;
    Ok(Memory {
        version: SCHEMA,
        machine,
        rows,
    })
}

fn row(kind: Kind, count: usize, before_bytes: u64, after_bytes: u64) -> Result<Row, BenchError> {
    if before_bytes == 0 || after_bytes == 0 {
        let what = "the system does not tell the resident memory of a process";
        return Err(BenchError::Unsound(what.into()));
    }
    // The allocator may have given something back meanwhile.
    let came = after_bytes.saturating_sub(before_bytes) as f64;
    let bytes_each = (came / count.max(1) as f64 * 10.0).round() / 10.0;
    let goal_bytes = kind.goal_bytes();
    Ok(Row {
        kind,
        count,
        before_bytes,
        after_bytes,
        bytes_each,
        goal_bytes,
        met: goal_bytes.map(|goal| bytes_each <= goal),
    })
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<10} {:>8} {:>12} {:>12} {:>12} {:>8}",
        "kind", "count", "before MB", "after MB", "bytes each", "goal"
    )
}

impl Row {
    /// One line of that table.
    #[must_use]
    pub fn line(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let goal = self
            .goal_bytes
            .map(|goal| format!("≤ {goal}"))
            .unwrap_or_default();
        let met = match self.met {
            Some(true) => " met",
            Some(false) => " MISSED",
            None => "",
        };
        format!(
            "{:<10} {:>8} {:>12.1} {:>12.1} {:>12.1} {goal:>8}{met}",
            self.kind.as_str(),
            self.count,
            megabytes(self.before_bytes),
            megabytes(self.after_bytes),
            self.bytes_each
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_missed_by_what_came_with_each() {
        let row = |kind, after| row(kind, 1000, 5_000_000, after).unwrap();
        let good = row(Kind::Handler, 6_024_000);
        assert_eq!((good.bytes_each, good.met), (1024.0, Some(true)));
        let large = row(Kind::Subscriber, 6_025_000);
        assert_eq!(large.met, Some(false));
        assert!(large.line().ends_with("≤ 1024 MISSED"), "{}", large.line());
        let session = row(Kind::Session, 4_000_000);
        assert_eq!((session.bytes_each, session.met), (0.0, None));
        assert!(super::row(Kind::Session, 1, 0, 1).is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_small_run_makes_some_of_each_kind_that_needs_no_program() {
        let options = MemoryOptions {
            program: PathBuf::from("squall"),
            kinds: vec![Kind::Exchange, Kind::Subscriber, Kind::Handler],
            count: 200,
            exchanges: 10,
            sessions: 0,
        };
        let mut told = Vec::new();
        let done = run(&options, |row| told.push(row.kind)).await.unwrap();
        assert_eq!(told, [Kind::Subscriber, Kind::Handler, Kind::Exchange]);
        assert!(done.rows.iter().all(|row| row.after_bytes > 0));
        assert_eq!(done.rows[2].count, 10);
    }
}
