//! The demo: a cluster of this machine's own, load on it, and somebody to show it to; then nothing of it is left. What
//! does not live here: the observer, which the caller brings along, and the lines for those without a terminal
//! (`status`).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use squall_kernel::profile::Profile;
use squall_proto::v1 as proto;
use squall_proto::v1::admin_client::AdminClient;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use crate::client::{ChaosClient, reach};
use crate::console::ChaosConsole;
use crate::layout::{self, LayoutError};
use crate::load::{Pool, PoolOptions, Share, Totals};
use crate::supervisor::{StartError, Supervisor, SupervisorOptions, TEMPORARY_PREFIX};

mod status;

pub use status::{ExchangeLine, StatusLine};

/// The exchanges of the demo and their strategies.
const EXCHANGES: [(&str, &str); 2] = [("users", "round-robin"), ("orders", "consensus")];
/// Numbers by exchange.
type Shares = &'static [(&'static str, u32)];
/// Handlers and requests of each load process: five handlers on `users` and three on `orders`, so that each process,
/// and with it each node, has some of both; one process asks.
const SHARES: [(Shares, Shares); 4] = [
    (&[("users", 2), ("orders", 1)], &[]),
    (&[("users", 2), ("orders", 1)], &[]),
    (&[("users", 1), ("orders", 1)], &[]),
    (&[], &[("users", 200), ("orders", 100)]),
];
/// A cluster that is not ready by then on this machine will not be.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks whether it is.
const LOOK: Duration = Duration::from_millis(100);

/// The demo to give.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The squall program.
    pub program: PathBuf,
    /// Number of nodes.
    pub nodes: usize,
    /// First port; another is taken when it, or one that follows from it, is in use.
    pub base_port: u16,
    /// Where traces go.
    pub otlp: Option<String>,
    /// Timer profile.
    pub profile: Profile,
}

impl DemoOptions {
    /// Three nodes of `program` on the default ports.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            nodes: 3,
            base_port: layout::BASE_PORT,
            otlp: None,
            profile: Profile::Lan,
        }
    }
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The cluster could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Every port is taken.
    #[error("no free ports for {0} nodes from {1} on")]
    NoPorts(usize, u16),
    /// The temporary directory could not be made, or the load not be started.
    #[error("{what}: {source}")]
    Io {
        /// What failed.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A node ended before the cluster was ready.
    #[error("node {node} {how}")]
    Died {
        /// Node.
        node: String,
        /// How, in words.
        how: String,
    },
    /// The cluster was not ready in time.
    #[error("the cluster is not ready after {} s: {why}", READY_WITHIN.as_secs())]
    NotReady {
        /// What was missing.
        why: String,
    },
}

/// A demo that runs.
#[derive(Debug)]
pub struct Demo {
    supervisor: Supervisor,
    load: Option<Pool>,
    dir: TempDir,
    options: DemoOptions,
    moved_from: Option<u16>,
}

/// Starts a cluster and load, calls `show` with it, and ends everything when `show` returns or `stop` comes first
/// (then there is no result). Returns when no process and no file is left.
///
/// # Errors
/// [`DemoError`]; nothing is left then either.
pub async fn run<T>(
    options: DemoOptions,
    stop: impl Future<Output = ()>,
    show: impl AsyncFnOnce(&Demo) -> T,
) -> Result<Option<T>, DemoError> {
    let mut demo = Demo::begin(options).await?;
    let outcome = tokio::select! {
        biased;
        () = stop => Ok(None),
        outcome = async {
            demo.settle().await?;
            Ok(Some(show(&demo).await))
        } => outcome,
    };
    demo.end().await;
    outcome
}

impl Demo {
    /// gRPC addresses of the nodes.
    #[must_use]
    pub fn grpc_addresses(&self) -> Vec<String> {
        self.supervisor
            .places()
            .iter()
            .map(|place| place.grpc.to_string())
            .collect()
    }

    /// Mesh addresses of the nodes.
    #[must_use]
    pub fn mesh_addresses(&self) -> Vec<String> {
        self.supervisor
            .places()
            .iter()
            .map(|place| place.mesh.to_string())
            .collect()
    }

    /// The wanted base port when another was taken because it was in use.
    #[must_use]
    pub fn moved_from(&self) -> Option<u16> {
        self.moved_from
    }

    /// First port of the cluster.
    #[must_use]
    pub fn base_port(&self) -> u16 {
        self.options.base_port
    }

    /// A console for the observer.
    #[must_use]
    pub fn console(&self) -> ChaosConsole {
        let client = ChaosClient::new(self.grpc_addresses(), "observer".into());
        ChaosConsole::new(Arc::new(client), None)
    }

    /// What the load has counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.load.as_ref().map(Pool::totals).unwrap_or_default()
    }

    /// Writes what happens, and every second how things are, until nobody reads it.
    ///
    /// # Errors
    /// The output is closed.
    pub async fn tell(&self, mut out: impl io::Write) -> io::Result<()> {
        status::tell(self, &mut out).await
    }

    /// Tells `to` every second how the load fares, in one short line that ends with `besides`, for as long as somebody
    /// listens.
    pub async fn figures(&self, besides: &str, to: &watch::Sender<String>) {
        status::figures(self, besides, to).await;
    }

    async fn begin(mut options: DemoOptions) -> Result<Self, DemoError> {
        let wanted = options.base_port;
        // A count out of range is told as such, not as a lack of ports.
        layout::places(options.nodes, wanted).map_err(StartError::from)?;
        let base = layout::free_base(options.nodes, wanted);
        options.base_port = base.ok_or(DemoError::NoPorts(options.nodes, wanted))?;
        let dir = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir();
        let dir = dir.map_err(|source| DemoError::Io {
            what: "temporary directory",
            source,
        })?;
        let supervised = SupervisorOptions {
            base_port: options.base_port,
            chaos: true,
            judge: true,
            otlp: options.otlp.clone(),
            profile: options.profile,
            temporary: true,
            ..SupervisorOptions::new(options.program.clone(), options.nodes, dir.path().to_owned())
        };
        let supervisor = Supervisor::start(supervised).await?;
        let moved_from = (options.base_port != wanted).then_some(wanted);
        Ok(Self {
            supervisor,
            load: None,
            dir,
            options,
            moved_from,
        })
    }

    /// Waits for the cluster, declares the exchanges, starts the load.
    async fn settle(&mut self) -> Result<(), DemoError> {
        let give_up = Instant::now() + READY_WITHIN;
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let why = match self.founded().await {
                Ok(()) => match self.declare().await {
                    Ok(()) => break,
                    Err(why) => why,
                },
                Err(why) => why,
            };
            self.nobody_died().await?;
            if Instant::now() >= give_up {
                return Err(DemoError::NotReady { why });
            }
        }
        let options = self.pool_options();
        let pool = Pool::start(&options).map_err(|source| DemoError::Io { what: "load", source })?;
        self.load = Some(pool);
        Ok(())
    }

    async fn founded(&self) -> Result<(), String> {
        for place in self.supervisor.places() {
            let hello = reach::hello(&place.grpc.to_string()).await;
            let hello = hello.map_err(|why| format!("node {} does not answer: {why}", place.name))?;
            let (members, wanted) = (hello.members.len(), self.options.nodes);
            if hello.cluster.is_empty() || members < wanted {
                return Err(format!("node {} knows {members} of {wanted} members", place.name));
            }
        }
        Ok(())
    }

    async fn declare(&self) -> Result<(), String> {
        let addr = self.grpc_addresses().into_iter().next().ok_or("no node")?;
        let mut admin = AdminClient::new(reach::node(&addr).await?);
        for (name, strategy) in EXCHANGES {
            let request = proto::DeclareExchangeRequest {
                name: name.to_owned(),
                strategy: strategy.to_owned(),
                ..Default::default()
            };
            let declared = admin.declare_exchange(request).await;
            declared.map_err(|status| format!("exchange {name}: {}", status.message()))?;
        }
        Ok(())
    }

    async fn nobody_died(&self) -> Result<(), DemoError> {
        let children = self.supervisor.children().await;
        match children
            .into_iter()
            .find(|child| child.state() == proto::ChildState::Dead)
        {
            Some(child) => Err(DemoError::Died {
                node: child.name,
                how: child.last_exit,
            }),
            None => Ok(()),
        }
    }

    fn pool_options(&self) -> PoolOptions {
        let shares = |shares: &[(&str, u32)]| {
            let share = |(name, count): &(&str, u32)| -> Share {
                format!("{name}={count}")
                    .parse()
                    .expect("the demo's shares are well formed")
            };
            shares.iter().map(share).collect()
        };
        PoolOptions {
            program: self.options.program.clone(),
            connect: self.mesh_addresses(),
            cookie_file: self.dir.path().join("cookie"),
            log_dir: self.dir.path().to_owned(),
            shares: SHARES
                .iter()
                .map(|(handlers, requests)| (shares(handlers), shares(requests)))
                .collect(),
        }
    }

    async fn end(self) {
        if let Some(load) = self.load {
            load.end().await;
        }
        self.supervisor.end().await;
        let path = self.dir.path().to_owned();
        // The guard removes it too, and may have been faster.
        if let Err(error) = self.dir.close()
            && path.exists()
        {
            tracing::warn!(%error, dir = %path.display(), "the temporary directory is left");
        }
    }
}

impl From<LayoutError> for DemoError {
    fn from(error: LayoutError) -> Self {
        Self::Start(error.into())
    }
}
