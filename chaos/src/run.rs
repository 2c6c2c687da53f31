//! Scenarios on real nodes: a cluster of their own, work beside the faults, the invariants judged while it goes on, and a
//! verdict. What does not live here: what a scenario says (`crate::scenario`), what a fault comes to (`crate::fault`), the
//! report's pages (`report`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use squall_client::{AttachError, CommandError, ConnectError, OperatorError, SubscribeError};
use squall_kernel::profile::Profile;

use crate::bench::Machine;
use crate::client::{ChaosClient, ChaosError};
use crate::scenario::Scenario;
use crate::supervisor::StartError;

mod clients;
mod deeds;
mod drive;
mod expect;
mod html;
mod judged;
mod ledger;
mod meter;
mod report;
mod save;
pub mod score;
mod stage;
mod summary;
pub mod upkeep;
mod work;

pub use expect::{Finding, Ruling};
pub use html::page;
pub use judged::Judged;
pub use meter::{Bucket, Series};
pub use report::{Deed, Moment, Report};
pub use save::{report_dir, save};
pub use summary::summary;

use stage::Stage;

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where.
    pub on: On,
    /// The experiment.
    pub scenario: Scenario,
    /// Its file's text, for the report.
    pub text: String,
    /// In place of the scenario's timer profile.
    pub profile: Option<Profile>,
    /// Judge what holds on any machine, and not how long things take.
    pub untimed: bool,
}

/// Where a scenario is run.
#[derive(Clone)]
pub enum On {
    /// On a cluster that is started for it.
    Own {
        /// The squall program.
        program: PathBuf,
        /// Where the nodes' data, logs and journals stay, to be looked at afterwards; nowhere without one.
        keep: Option<PathBuf>,
    },
    /// On one that runs already, and goes on afterwards. Give it [`Scenario::beside_others`].
    Running {
        /// Who breaks it.
        chaos: Arc<ChaosClient>,
        /// Its secret; the one beside its supervisor's socket without one.
        cookie: Option<Vec<u8>>,
    },
}

impl fmt::Debug for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { program, keep } => f
                .debug_struct("Own")
                .field("program", program)
                .field("keep", keep)
                .finish(),
            // A secret is not shown.
            Self::Running { chaos, .. } => f
                .debug_struct("Running")
                .field("chaos", chaos)
                .finish_non_exhaustive(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// All that was expected came about, and nothing that must hold was broken.
    Passed,
    /// Something did not.
    Failed,
    /// Somebody ended it.
    Halted,
    /// Nobody can say.
    Unknown,
}

impl Ended {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Halted => "halted",
            Self::Unknown => "unknown",
        }
    }

    /// The command line's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Halted => 3,
            Self::Unknown => 4,
        }
    }
}

/// Progress, as it is told while a scenario runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// What is being done or waited for.
    Stage(String),
    /// A step was done, that long after the beginning.
    Step {
        /// When.
        at: Duration,
        /// What, and what it came to.
        text: String,
    },
    /// How things are.
    Figures {
        /// Since the beginning.
        at: Duration,
        /// In a line.
        text: String,
    },
    /// An invariant was broken.
    Breach(String),
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file or directory.
    #[error("{what}: {source}")]
    Io {
        /// What failed.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No ports for the nodes are free.
    #[error("no free ports for {0} nodes")]
    NoPorts(usize),
    /// The cluster could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something that a run begins with did not come about in time.
    #[error("not within {seconds} s: {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// A fault was not carried out.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    /// A client did not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An exchange was not declared.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A handler did not attach.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A subscriber was not subscribed.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// An operator's order was refused.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The cluster is not one for the scenario.
    #[error("{0}")]
    Unfit(String),
}

/// Runs a scenario; tells of its progress. Returns when no process and no file of its own is left.
/// When `stop` comes first, faults are undone and the run counts as halted.
///
/// # Errors
/// [`RunError`] when there was no run; nothing is left then either.
pub async fn run(
    options: &RunOptions,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(Progress),
) -> Result<Report, RunError> {
    tell(Progress::Stage(match &options.on {
        On::Own { .. } => format!("starting {} nodes", options.scenario.nodes),
        On::Running { .. } => "looking at the cluster".to_owned(),
    }));
    let machine = Machine::here();
    let stage = Stage::start(options).await?;
    let driven = drive::drive(options, &stage, stop, &mut tell).await;
    if let On::Own { .. } = &options.on {
        tell(Progress::Stage("ending the nodes".into()));
    }
    let judged = stage.end().await;
    Ok(Report::new(options, machine, driven?, judged))
}
