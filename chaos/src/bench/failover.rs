//! How long an exchange does not answer when something happens to a node, by classes: a supervised cluster of three, an
//! open loop of requests from a node that stays, a strike, the failover, and back to a whole cluster. What does not live
//! here: the load (`open`, `background`), looking at the cluster (`sight`, `watch`), one trial (`trial`, `found`), the
//! figures (`report`, `summary`).

use std::path::{Path, PathBuf};

use squall_kernel::profile::Profile;

use super::{BenchError, Machine, free_base, temporary};
use crate::client::{ChaosKey, KEY_FILE};
use crate::record::Marks;
use crate::supervisor::{Supervisor, SupervisorOptions};

mod background;
mod check;
mod class;
mod found;
mod goal;
mod ledger;
mod open;
pub(crate) mod phases;
mod report;
pub(super) mod scene;
pub(crate) mod sight;
mod spread;
mod strike;
mod summary;
mod trial;
pub(crate) mod watch;

pub use class::{Class, Shape};
pub use goal::Goal;
pub use phases::{Moment, PhaseFigures, Phases};
pub use report::{Inside, Latency, Trial};
pub use spread::Bucket;
pub use summary::{Checked, ClassFigures, Failover, Lasting};

use class::Turn;

/// Nodes of the cluster.
const NODES: usize = 3;

/// How many trials of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Programme {
    /// So many of each class; the classes take turns.
    Trials {
        /// Classes.
        classes: Vec<Class>,
        /// Trials of each.
        each: u32,
    },
    /// So many kills of owners in all, every second of one that is meta leader too.
    Kills(u32),
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct FailoverOptions {
    /// The squall program.
    pub program: PathBuf,
    /// The trials.
    pub programme: Programme,
    /// Requests a second.
    pub rate: u32,
    /// Times of the cluster.
    pub profile: Profile,
    /// Whether there is a load on another exchange beside.
    pub loaded: bool,
    /// Whether nodes take the seen end of a process for a proof of its death.
    pub proof_of_death: bool,
    /// Whether nodes keep journals, over which the invariants are checked at the end.
    pub check: bool,
}

impl FailoverOptions {
    /// Every quick class 20 times, 500 requests a second.
    #[must_use]
    pub fn new(program: PathBuf, profile: Profile) -> Self {
        Self {
            program,
            programme: Programme::Trials {
                classes: Class::quick(),
                each: 20,
            },
            rate: 500,
            profile,
            loaded: false,
            proof_of_death: true,
            check: false,
        }
    }

    fn turns(&self) -> Vec<Turn> {
        match &self.programme {
            Programme::Trials { classes, each } => class::plan(classes, *each),
            Programme::Kills(kills) => class::plan_kills(*kills),
        }
    }
}

/// Strikes, and tells of each trial as soon as it is healed. When `stop` comes first, there is no result. Returns when no
/// process and no file is left.
///
/// # Errors
/// [`BenchError`]; nothing is left then either.
pub async fn run(
    options: &FailoverOptions,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(&Trial),
) -> Result<Option<Failover>, BenchError> {
    let machine = Machine::here();
    let turns = options.turns();
    let (fresh, common): (Vec<Turn>, Vec<Turn>) = turns.into_iter().partition(|turn| turn.class == Class::G5);
    let mut stop = std::pin::pin!(stop);
    let (mut trials, mut invariants) = (Vec::new(), Vec::new());
    if !common.is_empty() {
        let Some(done) = in_one_cluster(options, &common, stop.as_mut(), &mut tell).await? else {
            return Ok(None);
        };
        (trials, invariants) = done;
    }
    for turn in fresh {
        let pair = tokio::select! {
            biased;
            () = stop.as_mut() => return Ok(None),
            pair = found::run(options, turn) => pair?,
        };
        pair.iter().for_each(&mut tell);
        trials.extend(pair);
    }
    Ok(Some(Failover::new(machine, options, trials, invariants)))
}

/// The trials that share a cluster, and what the checkers say of it.
async fn in_one_cluster(
    options: &FailoverOptions,
    turns: &[Turn],
    stop: impl Future<Output = ()>,
    tell: impl FnMut(&Trial),
) -> Result<Option<(Vec<Trial>, Vec<Checked>)>, BenchError> {
    let dir = temporary()?;
    let supervisor = Supervisor::start(supervised(options, dir.path(), options.check)?).await?;
    let outcome = tokio::select! {
        biased;
        () = stop => Ok(None),
        trials = all(options, turns, &supervisor, dir.path(), tell) => trials.map(Some),
    };
    let journals = supervisor.journals().await;
    supervisor.end().await;
    let Some((trials, marks)) = outcome? else {
        return Ok(None);
    };
    let invariants = if options.check {
        check::check(journals, marks).await?
    } else {
        Vec::new()
    };
    // What cannot be removed is in the system's directory for that.
    drop(dir);
    Ok(Some((trials, invariants)))
}

async fn all(
    options: &FailoverOptions,
    turns: &[Turn],
    supervisor: &Supervisor,
    dir: &Path,
    mut tell: impl FnMut(&Trial),
) -> Result<(Vec<Trial>, Marks), BenchError> {
    let places = supervisor.places();
    let mut stage = trial::Stage {
        places,
        cookie: read_cookie(dir).await?,
        hand: strike::Hand {
            supervisor,
            places,
            key: ChaosKey::read(&dir.join(KEY_FILE)).ok(),
        },
        watch: watch::Watch::start(places),
        rate: options.rate,
        loaded: options.loaded,
        marks: Marks::default(),
    };
    let mut trials = Vec::new();
    for turn in turns {
        let trial = trial::run(&mut stage, *turn).await?;
        tell(&trial);
        trials.push(trial);
    }
    Ok((trials, stage.marks))
}

fn supervised(
    options: &FailoverOptions,
    dir: &Path,
    journals: bool,
) -> Result<SupervisorOptions, BenchError> {
    let proof = if options.proof_of_death { "on" } else { "off" };
    Ok(SupervisorOptions {
        base_port: free_base(NODES)?,
        chaos: true,
        profile: options.profile,
        journals,
        extra_args: vec!["--proof-of-death".into(), proof.into()],
        ..SupervisorOptions::new(options.program.clone(), NODES, dir.to_owned())
    })
}

pub(super) async fn read_cookie(dir: &Path) -> Result<Vec<u8>, BenchError> {
    let cookie = tokio::fs::read(dir.join("cookie")).await;
    let cookie = cookie.map_err(super::io_error("cookie file"))?;
    Ok(cookie.trim_ascii_end().to_vec())
}
