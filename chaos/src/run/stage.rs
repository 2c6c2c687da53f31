//! The cluster of a run: one of its own, or one that runs already. What does not live here: clients (`clients`), and judging
//! (`crate::judge`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use squall_client::Operator;
use squall_kernel::id::NodeName;
use squall_proto::v1 as proto;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::judged::{Judged, breaches};
use super::{On, RunError, RunOptions};
use crate::bench::failover::sight;
use crate::client::{ChaosClient, ChaosError, reach};
use crate::judge::Judge;
use crate::layout::{self, Place};
use crate::limits::VERDICTS_EVERY;
use crate::supervisor::{Supervisor, SupervisorOptions, TEMPORARY_PREFIX};

/// Ports of runs begin here: below those that the system gives out, apart from those of benchmarks and end-to-end tests.
const PORTS_FROM: u16 = 28_000;
/// Ports between two runs that begin at the same time.
const PORTS_EACH: u16 = 40;

/// A cluster that runs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cookie: Option<Vec<u8>>,
    pub(super) chaos: Arc<ChaosClient>,
    pub(super) operator: Operator,
    places: Vec<Place>,
    cluster: Cluster,
}

#[derive(Debug)]
enum Cluster {
    Own {
        supervisor: Supervisor,
        judge: Judge,
        // After the nodes: it is their directory.
        _dir: Option<TempDir>,
    },
    Running {
        /// Of whoever keeps its processes, where somebody does.
        socket: Option<PathBuf>,
        /// What was said before the run; the reason where nobody judges.
        before: Result<proto::VerdictsResponse, String>,
        /// What was said last, and when that was asked.
        last: Mutex<Option<(Instant, proto::VerdictsResponse)>>,
    },
}

/// What there is to see of a cluster.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The nodes' processes, as far as somebody supervises them.
    pub(super) children: Vec<proto::Child>,
    /// What was broken first.
    pub(super) breach: Option<String>,
    /// Somebody judged, and does not any more.
    pub(super) unjudged: bool,
    /// Somebody halted the faults, and said why.
    pub(super) halted: Option<String>,
}

impl Stage {
    pub(super) async fn start(options: &RunOptions) -> Result<Self, RunError> {
        match &options.on {
            On::Own { program, keep } => Self::own(options, program, keep.as_deref()).await,
            On::Running { chaos, cookie } => Self::running(options, chaos, cookie.clone()).await,
        }
    }

    async fn own(options: &RunOptions, program: &Path, keep: Option<&Path>) -> Result<Self, RunError> {
        let nodes = options.scenario.nodes;
        let temporary = match keep {
            Some(_) => None,
            None => {
                let dir = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir();
                Some(dir.map_err(io_error("temporary directory"))?)
            }
        };
        let dir = temporary.as_ref().map(TempDir::path).or(keep);
        let dir = dir.expect("one of them is there").to_owned();
        let spread = u16::try_from(std::process::id() % 100).expect("a remainder by 100 fits");
        let base =
            layout::free_base(nodes, PORTS_FROM + spread * PORTS_EACH).ok_or(RunError::NoPorts(nodes))?;
        let supervisor = Supervisor::start(SupervisorOptions {
            base_port: base,
            chaos: true,
            // A journal in a file breaks off for no load, and the directory goes with the run.
            journals: true,
            judge: true,
            temporary: temporary.is_some(),
            profile: options.profile.unwrap_or(options.scenario.profile),
            ..SupervisorOptions::new(program.to_owned(), nodes, dir.clone())
        })
        .await?;
        match settled(&supervisor, &dir).await {
            Ok((cookie, operator)) => {
                let places = supervisor.places().to_vec();
                let by = format!("scenario {}", options.scenario.name);
                let judge = supervisor.judge().expect("it was asked for").clone();
                Ok(Self {
                    cookie: Some(cookie),
                    chaos: Arc::new(ChaosClient::new(addresses(&places), by)),
                    operator,
                    places,
                    cluster: Cluster::Own {
                        supervisor,
                        judge,
                        _dir: temporary,
                    },
                })
            }
            Err(error) => {
                supervisor.end().await;
                Err(error)
            }
        }
    }

    async fn running(
        options: &RunOptions,
        chaos: &Arc<ChaosClient>,
        cookie: Option<Vec<u8>>,
    ) -> Result<Self, RunError> {
        let cluster = chaos.cluster().await?;
        let mut places = Vec::new();
        for member in cluster
            .members
            .iter()
            .filter(|m| m.state() == proto::NodeState::Up)
        {
            places.push(place(member).await?);
        }
        let (needs, has) = (options.scenario.nodes, places.len());
        if has < needs {
            return Err(RunError::Unfit(format!(
                "the scenario needs {needs} nodes; {has} of the cluster are up"
            )));
        }
        // One that a supervisor keeps has its cookie beside the socket, for whoever may read it.
        let beside = || std::fs::read(cluster.supervisor.as_ref()?.parent()?.join("cookie")).ok();
        let cookie = cookie.or_else(|| beside().map(|cookie| cookie.trim_ascii_end().to_vec()));
        let before = match judged(cluster.supervisor.as_deref()).await {
            Ok(said) => {
                if let Some(breach) = breaches(&said).next() {
                    let why = format!("an invariant is broken already: start the cluster anew\n{breach}");
                    return Err(RunError::Unfit(why));
                }
                Ok(said)
            }
            Err(error) => Err(error.to_string()),
        };
        Ok(Self {
            cookie,
            chaos: Arc::clone(chaos),
            operator: Operator::new(addresses(&places))?,
            places,
            cluster: Cluster::Running {
                socket: cluster.supervisor,
                before,
                last: Mutex::default(),
            },
        })
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// True for a cluster that was there before: what is made in it is removed again.
    pub(super) const fn is_anothers(&self) -> bool {
        matches!(self.cluster, Cluster::Running { .. })
    }

    /// Looks at the processes, and at what the judge says.
    pub(super) async fn look(&self) -> Look {
        match &self.cluster {
            Cluster::Own {
                supervisor, judge, ..
            } => Look {
                children: supervisor.children().await,
                breach: judge.breach().map(|breach| breach.to_string()),
                unjudged: judge.has_failed(),
                halted: None,
            },
            Cluster::Running { socket, before, last } => {
                // A cluster that nobody supervises shows no processes.
                let Some(socket) = socket else {
                    return Look::default();
                };
                let seen = reach::processes(socket).await.unwrap_or_default();
                let mut last = last.lock().await;
                let due = last.as_ref().is_none_or(|(at, _)| at.elapsed() >= VERDICTS_EVERY);
                if due
                    && before.is_ok()
                    && let Ok(said) = reach::verdicts(socket).await
                {
                    *last = Some((Instant::now(), said));
                }
                let said = last.as_ref().map(|(_, said)| said);
                Look {
                    children: seen.children,
                    breach: said.and_then(|said| breaches(said).next()),
                    unjudged: said.is_some_and(|said| !said.failed.is_empty()),
                    halted: seen
                        .lock
                        .map(|lock| format!("halted by {} ({})", lock.by, lock.reason)),
                }
            }
        }
    }

    /// All faults are over, and nothing that was asked is under way.
    pub(super) fn healed(&self) {
        // Of another's cluster nobody here knows what else is asked of it.
        if let Cluster::Own { judge, .. } = &self.cluster {
            judge.healed();
        }
    }

    /// Ends a cluster of its own, and says what was judged. Returns when nothing of it is left.
    pub(super) async fn end(self) -> Judged {
        let nothing = proto::VerdictsResponse::default();
        match self.cluster {
            Cluster::Own {
                supervisor, judge, ..
            } => {
                supervisor.end().await;
                match judge.end().await {
                    Some(standing) => Judged::since(&nothing, &standing.on_wire()),
                    None => Judged::by_nobody("the judge has ended"),
                }
            }
            Cluster::Running { socket, before, .. } => {
                let now = judged(socket.as_deref()).await;
                match before.and_then(|before| Ok((before, now.map_err(|error| error.to_string())?))) {
                    Ok((before, now)) => Judged::since(&before, &now),
                    Err(why) => Judged::by_nobody(&why),
                }
            }
        }
    }
}

async fn judged(socket: Option<&Path>) -> Result<proto::VerdictsResponse, ChaosError> {
    reach::verdicts(socket.ok_or(ChaosError::NoSupervisor)?).await
}

async fn settled(supervisor: &Supervisor, dir: &Path) -> Result<(Vec<u8>, Operator), RunError> {
    let cookie = tokio::fs::read(dir.join("cookie")).await;
    let cookie = cookie.map_err(io_error("cookie file"))?.trim_ascii_end().to_vec();
    let whole = sight::whole(supervisor.places(), None).await;
    whole.map_err(|why| RunError::Late {
        what: why.to_string(),
        seconds: sight::WHOLE_WITHIN.as_secs(),
    })?;
    Ok((cookie, Operator::new(addresses(supervisor.places()))?))
}

/// Where a member listens.
async fn place(member: &proto::Member) -> Result<Place, RunError> {
    let unfit = |why: &dyn std::fmt::Display| RunError::Unfit(format!("node {}: {why}", member.name));
    Ok(Place {
        name: NodeName::new(&member.name).map_err(|why| unfit(&why))?,
        mesh: address(&member.mesh_addr).await.map_err(|why| unfit(&why))?,
        grpc: address(&member.grpc_addr).await.map_err(|why| unfit(&why))?,
    })
}

async fn address(text: &str) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host(text).await;
    let mut found = found.map_err(|error| format!("{text}: {error}"))?;
    found.next().ok_or_else(|| format!("{text} has no address"))
}

fn addresses(places: &[Place]) -> Vec<String> {
    places.iter().map(|place| place.grpc.to_string()).collect()
}

pub(super) fn io_error(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::Io { what, source }
}
