//! How long an exchange does not answer when the process of its owner is killed: a supervised cluster of three, an open
//! loop of requests from a node that survives, `kill -9` again and again. What does not live here: the load (`open`),
//! looking at the cluster (`sight`), one kill (`trial`), the figures (`report`).

use std::path::PathBuf;
use std::time::Duration;

use squall_kernel::profile::Profile;

use super::{BenchError, Machine, free_base, temporary};
use crate::client::ChaosClient;
use crate::supervisor::{Supervisor, SupervisorOptions};

mod open;
mod report;
mod sight;
mod trial;

pub use report::{Class, ClassFigures, Failover, Kill};

/// Nodes of the cluster.
const NODES: usize = 3;

/// What to measure.
#[derive(Debug, Clone)]
pub struct FailoverOptions {
    /// The squall program.
    pub program: PathBuf,
    /// Kills in all; the classes take turns.
    pub kills: u32,
    /// Requests a second.
    pub rate: u32,
    /// Times of the cluster.
    pub profile: Profile,
}

/// Kills, and tells of each as soon as it is healed. When `stop` comes first, there is no result. Returns when no process
/// and no file is left.
///
/// # Errors
/// [`BenchError`]; nothing is left then either.
pub async fn run(
    options: &FailoverOptions,
    stop: impl Future<Output = ()>,
    tell: impl FnMut(&Kill),
) -> Result<Option<Failover>, BenchError> {
    let machine = Machine::here();
    let dir = temporary()?;
    let supervised = SupervisorOptions {
        base_port: free_base(NODES)?,
        chaos: true,
        profile: options.profile,
        ..SupervisorOptions::new(options.program.clone(), NODES, dir.path().to_owned())
    };
    let supervisor = Supervisor::start(supervised).await?;
    let cookie = dir.path().join("cookie");
    let outcome = tokio::select! {
        biased;
        () = stop => Ok(None),
        kills = all(options, &supervisor, &cookie, tell) => kills.map(Some),
    };
    supervisor.end().await;
    // What cannot be removed is in the system's directory for that.
    drop(dir);
    Ok(outcome?.map(|kills| Failover::new(machine, options, kills)))
}

async fn all(
    options: &FailoverOptions,
    supervisor: &Supervisor,
    cookie: &std::path::Path,
    mut tell: impl FnMut(&Kill),
) -> Result<Vec<Kill>, BenchError> {
    let cookie = tokio::fs::read(cookie)
        .await
        .map_err(super::io_error("cookie file"))?;
    let addresses = supervisor.places().iter().map(|place| place.grpc.to_string());
    let stage = trial::Stage {
        places: supervisor.places(),
        cookie: cookie.trim_ascii_end().to_vec(),
        chaos: ChaosClient::new(addresses.collect(), "bench".into()),
        rate: options.rate,
        down_for: down_for(options.profile),
    };
    let mut kills = Vec::new();
    for number in 0..options.kills {
        let wanted = if number % 2 == 0 { Class::G1 } else { Class::G1m };
        let kill = trial::run(&stage, number, wanted).await?;
        tell(&kill);
        kills.push(kill);
    }
    Ok(kills)
}

/// The killed node stays away until the failover is over in any case, so that its return is no part of it.
fn down_for(profile: Profile) -> Duration {
    match profile {
        Profile::Lan => Duration::from_secs(2),
        Profile::Wan => Duration::from_secs(8),
        Profile::Slow => Duration::from_secs(15),
    }
}
