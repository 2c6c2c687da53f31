//! The cluster of a run: its nodes, their journals, and a fault client for it. What does not live here: clients (`clients`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use squall_client::Operator;
use squall_kernel::id::NodeId;
use squall_proto::v1::{Child, ChildState};
use tempfile::TempDir;

use super::{RunError, RunOptions};
use crate::bench::failover::sight;
use crate::client::ChaosClient;
use crate::layout::{self, Place};
use crate::supervisor::{Supervisor, SupervisorOptions, TEMPORARY_PREFIX};

/// Ports of runs begin here: below those that the system gives out, apart from those of benchmarks and end-to-end tests.
const PORTS_FROM: u16 = 28_000;
/// Ports between two runs that begin at the same time.
const PORTS_EACH: u16 = 40;

/// A cluster that runs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cookie: Vec<u8>,
    pub(super) chaos: Arc<ChaosClient>,
    pub(super) operator: Operator,
    pub(super) ids: BTreeMap<String, NodeId>,
    supervisor: Supervisor,
    // After the nodes: it is their directory.
    _dir: Option<TempDir>,
}

impl Stage {
    pub(super) async fn start(options: &RunOptions) -> Result<Self, RunError> {
        let nodes = options.scenario.nodes;
        let temporary = match &options.keep {
            Some(_) => None,
            None => {
                let dir = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir();
                Some(dir.map_err(io_error("temporary directory"))?)
            }
        };
        let dir = temporary.as_ref().map(TempDir::path).or(options.keep.as_deref());
        let dir = dir.expect("one of them is there").to_owned();
        let spread = u16::try_from(std::process::id() % 100).expect("a remainder by 100 fits");
        let base =
            layout::free_base(nodes, PORTS_FROM + spread * PORTS_EACH).ok_or(RunError::NoPorts(nodes))?;
        let supervisor = Supervisor::start(SupervisorOptions {
            base_port: base,
            chaos: true,
            journals: true,
            temporary: temporary.is_some(),
            profile: options.profile.unwrap_or(options.scenario.profile),
            ..SupervisorOptions::new(options.program.clone(), nodes, dir.clone())
        })
        .await?;
        match Self::settled(&supervisor, &dir).await {
            Ok((cookie, ids, operator)) => {
                let grpc = addresses(supervisor.places());
                let by = format!("scenario {}", options.scenario.name);
                Ok(Self {
                    cookie,
                    chaos: Arc::new(ChaosClient::new(grpc, by)),
                    operator,
                    ids,
                    supervisor,
                    _dir: temporary,
                })
            }
            Err(error) => {
                supervisor.end().await;
                Err(error)
            }
        }
    }

    async fn settled(
        supervisor: &Supervisor,
        dir: &Path,
    ) -> Result<(Vec<u8>, BTreeMap<String, NodeId>, Operator), RunError> {
        let cookie = tokio::fs::read(dir.join("cookie")).await;
        let cookie = cookie.map_err(io_error("cookie file"))?.trim_ascii_end().to_vec();
        let whole = sight::whole(supervisor.places(), None).await;
        let whole = whole.map_err(|why| RunError::Late {
            what: why.to_string(),
            seconds: sight::WHOLE_WITHIN.as_secs(),
        })?;
        let operator = Operator::new(addresses(supervisor.places()))?;
        Ok((cookie, whole.ids, operator))
    }

    pub(super) fn places(&self) -> &[Place] {
        self.supervisor.places()
    }

    /// The nodes' processes, and of each run of a node its journal, and whether it is over.
    pub(super) async fn processes(&self) -> Processes {
        let children = self.supervisor.children().await;
        let mut journals = Vec::new();
        for child in &children {
            let runs = child.state() != ChildState::Dead;
            for run in 1..=child.starts {
                let over = run < child.starts || !runs;
                journals.extend(self.supervisor.journal(&child.name, run).map(|path| (path, over)));
            }
        }
        Processes { children, journals }
    }

    /// Ends the cluster. Returns when nothing of it is left.
    pub(super) async fn end(self) {
        self.supervisor.end().await;
    }
}

/// What runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes {
    pub(super) children: Vec<Child>,
    pub(super) journals: Vec<(PathBuf, bool)>,
}

fn addresses(places: &[Place]) -> Vec<String> {
    places.iter().map(|place| place.grpc.to_string()).collect()
}

pub(super) fn io_error(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::Io { what, source }
}
