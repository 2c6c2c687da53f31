//! Nodes in this process, which talk to each other over loopback as nodes of their own processes do: with connections,
//! checksums, credit. What they share is the program's memory, so a benchmark sees all of it, and one clock. What does not
//! live here: what is done with them.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Command, Outcome, Pattern, Registry, Settings, Strategy};
use squall_node::data::DataPlane;
use squall_node::datadir::DataDir;
use squall_node::node::{Node, NodeOptions};
use tempfile::TempDir;
use tokio::time::{Duration, Instant, interval, timeout};

use super::{BenchError, temporary};

/// What takes longer on this machine will not come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks where nothing tells of a change.
const LOOK: Duration = Duration::from_millis(20);
/// Declarations that wait for the registry at a time.
pub(super) const DECLARED_AT_ONCE: usize = 64;
/// Secret of the nodes, which listen on loopback.
pub(super) const COOKIE: &[u8] = b"bench";

/// The nodes; they end with it. The first one is `n0`.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    // After the nodes: these are their directories.
    _dirs: Vec<TempDir>,
}

/// An exchange to declare.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: ExchangeName,
    pub(super) pattern: Pattern,
    pub(super) settings: Settings,
    /// Which node owns it.
    pub(super) owner: usize,
}

impl Wanted {
    pub(super) fn new(name: &str, pattern: Pattern, owner: usize) -> Self {
        Self {
            name: ExchangeName::new(name).expect("benchmarks name exchanges with words and numbers"),
            pattern,
            settings: Settings::default(),
            owner,
        }
    }
}

impl Cluster {
    /// Starts so many nodes, and waits until each knows all of them.
    pub(super) async fn start(count: usize) -> Result<Self, BenchError> {
        let mut cluster = Self {
            nodes: Vec::new(),
            _dirs: Vec::new(),
        };
        for n in 0..count {
            let join = cluster
                .nodes
                .first()
                .map(|node| node.introduction().mesh_addr.clone());
            let dir = temporary()?;
            let path = dir.path().to_owned();
            let node = tokio::task::spawn_blocking(move || start(n, path, join, count > 1)).await;
            cluster.nodes.push(node.map_err(in_words)??);
            cluster._dirs.push(dir);
        }
        let whole =
            |registry: &Registry| registry.nodes.values().filter(|node| node.is_up()).count() == count;
        cluster.agreed("all nodes are up", whole).await?;
        timeout(PATIENCE, cluster.leased())
            .await
            .map_err(|_| late("every node has a lease"))?;
        Ok(cluster)
    }

    /// Waits until every node may act as an owner: in a new cluster nobody is promised anything for a while.
    async fn leased(&self) {
        let mut look = interval(LOOK);
        for node in &self.nodes {
            let context = &node.data().context;
            while !context.lease.holds(context.clock.now()) {
                look.tick().await;
            }
        }
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn plane(&self, node: usize) -> &Arc<DataPlane> {
        self.nodes[node].data()
    }

    /// Waits until the registry at every node is as wanted.
    pub(super) async fn agreed(
        &self,
        what: &str,
        wanted: impl Fn(&Registry) -> bool,
    ) -> Result<(), BenchError> {
        for node in &self.nodes {
            let mut registry = node.registry();
            let came = timeout(PATIENCE, registry.wait_for(|registry| wanted(registry))).await;
            came.map_err(|_| late(what))?
                .map_err(|_| BenchError::Node("a node ended".into()))?;
        }
        Ok(())
    }

    /// Declares exchanges, and waits until every node knows them, and each its owner; their numbers are in the same order.
    pub(super) async fn declare(&self, wanted: &[Wanted]) -> Result<Vec<ExchangeId>, BenchError> {
        self.declare_timed(wanted).await.map(|(ids, _)| ids)
    }

    /// As [`Cluster::declare`], with how long each took until it was committed.
    pub(super) async fn declare_timed(
        &self,
        wanted: &[Wanted],
    ) -> Result<(Vec<ExchangeId>, Vec<Duration>), BenchError> {
        let committed = stream::iter(wanted)
            .map(|one| self.propose(one))
            .buffer_unordered(DECLARED_AT_ONCE)
            .try_collect::<Vec<Duration>>()
            .await?;
        let owned = |registry: &Registry| {
            wanted.iter().all(|one| {
                let owner = registry.exchange(&one.name).and_then(|record| record.owner);
                owner.and_then(|id| registry.name_of(id)) == Some(&name(one.owner))
            })
        };
        self.agreed("the exchanges have their owners", owned).await?;
        let mut ids = Vec::with_capacity(wanted.len());
        for one in wanted {
            ids.push(self.known(&one.name).await?);
        }
        Ok((ids, committed))
    }

    async fn propose(&self, wanted: &Wanted) -> Result<Duration, BenchError> {
        let begun = Instant::now();
        let command = Command::Declare {
            name: wanted.name.clone(),
            pattern: wanted.pattern,
            strategy: match wanted.pattern {
                Pattern::RequestResponse => Strategy::RoundRobin,
                _ => Strategy::Default,
            },
            function: None,
            settings: wanted.settings.clone(),
            failover: vec![name(wanted.owner)],
            takeover: None,
        };
        match self.nodes[0].proposals().propose(command).await {
            ProposeResult::Committed {
                outcome: Outcome::Done,
                ..
            } => Ok(begun.elapsed()),
            other => {
                let what = format!("an exchange was not declared: {other:?}");
                Err(BenchError::Unsound(what))
            }
        }
    }

    /// The exchange's number, when the data plane of every node has it.
    async fn known(&self, name: &ExchangeName) -> Result<ExchangeId, BenchError> {
        let known = async {
            let mut look = interval(LOOK);
            loop {
                let ids: Option<Vec<_>> = self.nodes.iter().map(|node| node.lookup(name)).collect();
                if let Some(id) = ids.and_then(|ids| ids.first().copied()) {
                    return id;
                }
                look.tick().await;
            }
        };
        let known = timeout(PATIENCE, known).await;
        known.map_err(|_| late("every node knows the exchanges"))
    }

    /// Ends the nodes.
    pub(super) async fn end(self) {
        // A panic of the end was told of by the panic hook.
        let _told = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

pub(super) fn late(what: &str) -> BenchError {
    BenchError::Late {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
    }
}

fn name(n: usize) -> NodeName {
    NodeName::new(&format!("n{n}")).expect("a letter and a number are a name")
}

fn in_words(error: impl std::fmt::Display) -> BenchError {
    BenchError::Node(error.to_string())
}

fn start(n: usize, dir: std::path::PathBuf, join: Option<String>, several: bool) -> Result<Node, BenchError> {
    let dir = DataDir::open(dir).map_err(in_words)?;
    let options = NodeOptions {
        // A busy machine is no reason for nodes here to suspect each other.
        profile: if several { Profile::Slow } else { Profile::Lan },
        // Several share the processors, one has all.
        data_workers: usize::from(several),
        ..NodeOptions::alone(name(n), COOKIE).joining(join)
    };
    Node::start(dir, options).map_err(in_words)
}
