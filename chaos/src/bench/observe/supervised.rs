//! Three nodes as processes of their own, which can be killed.

use squall_kernel::time::Span;
use tempfile::TempDir;

use super::ObserveOptions;
use crate::bench::failover::{read_cookie, sight};
use crate::bench::{BenchError, free_base, temporary};
use crate::layout::Place;
use crate::supervisor::{Deed, Order, Supervisor, SupervisorOptions};

const NODES: usize = 3;
/// A deed that is not undone ends with the cluster.
const TTL_MS: u64 = 90_000;

/// The cluster; it ends with [`Nodes::end`].
pub(super) struct Nodes {
    pub(super) cookie: Vec<u8>,
    supervisor: Supervisor,
    // After the nodes: it is their directory.
    _dir: TempDir,
}

impl Nodes {
    pub(super) async fn start(options: &ObserveOptions) -> Result<Self, BenchError> {
        let dir = temporary()?;
        let supervisor = Supervisor::start(SupervisorOptions {
            base_port: free_base(NODES)?,
            chaos: true,
            ..SupervisorOptions::new(options.program.clone(), NODES, dir.path().to_owned())
        })
        .await?;
        let nodes = Self {
            cookie: read_cookie(dir.path()).await?,
            supervisor,
            _dir: dir,
        };
        if let Err(error) = sight::whole(nodes.places(), None).await {
            nodes.end().await;
            return Err(error);
        }
        Ok(nodes)
    }

    pub(super) fn places(&self) -> &[Place] {
        self.supervisor.places()
    }

    /// Addresses of the gRPC services.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.places().iter().map(|place| place.grpc.to_string()).collect()
    }

    pub(super) async fn kill(&self, place: &Place) -> Result<(), BenchError> {
        self.act(place, Deed::Kill { stay_down: true }).await
    }

    pub(super) async fn restart(&self, place: &Place) -> Result<(), BenchError> {
        self.act(place, Deed::Restart).await
    }

    async fn act(&self, place: &Place, deed: Deed) -> Result<(), BenchError> {
        let order = Order {
            node: place.name.to_string(),
            deed,
            ttl: Span::from_ms(TTL_MS),
            expect: None,
        };
        let acted = self.supervisor.act(order, "bench").await;
        acted.map_err(|refused| BenchError::Unsound(format!("node {}: {refused}", place.name)))
    }

    pub(super) async fn end(self) {
        self.supervisor.end().await;
    }
}
