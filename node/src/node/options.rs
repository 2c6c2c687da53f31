//! What a node starts from.
//!
//! What does not live here: where it comes from (the command line), and where it goes (`planes`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use squall_kernel::founding::Founding;
use squall_kernel::id::{NodeName, ZoneName};
use squall_kernel::profile::Profile;

use crate::death::Proofs;
use crate::functions;
use crate::metrics::Push;
use crate::telemetry::SpanSink;

/// What a node starts from.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Name.
    pub name: NodeName,
    /// Address of the mesh; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Address of the gRPC services; port 0 lets the system choose.
    pub grpc: SocketAddr,
    /// Addresses of other nodes, host:port.
    pub join: Vec<String>,
    /// Secret of the cluster.
    pub cookie: Vec<u8>,
    /// What to do with an empty data directory.
    pub founding: Founding,
    /// Times for a cluster founded by this node.
    pub profile: Profile,
    /// Take faults.
    pub chaos: bool,
    /// Take them only from whoever shows this.
    pub chaos_key: Option<Vec<u8>>,
    /// Unix socket of the supervisor; empty without one.
    pub supervisor: String,
    /// Listen beyond loopback without encryption.
    pub insecure: bool,
    /// File for the inputs and effects of the kernel; `%n` in its name stands for the node's name, `%i` for the
    /// incarnation.
    pub journal: Option<PathBuf>,
    /// Where spans go, and which messages are traced: what [`Telemetry::sink`](crate::telemetry::Telemetry::sink) gives.
    pub spans: SpanSink,
    /// Where metrics are pushed to, if anywhere.
    pub push: Option<Push>,
    /// Workers of the data runtime; 0 lets the node choose.
    pub data_workers: usize,
    /// What proves that another node has ended.
    pub proofs: Proofs,
    /// Functions by which exchanges may route: those that need one live only on nodes that have it.
    pub functions: functions::Registry,
    /// Zone of the node.
    pub zone: Option<ZoneName>,
}

impl NodeOptions {
    /// A cluster of its own on loopback, at ports that the system chooses: no faults, no traces, no journal, times for a local
    /// network.
    #[must_use]
    pub fn alone(name: NodeName, cookie: impl Into<Vec<u8>>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            name,
            listen: any,
            grpc: any,
            join: Vec::new(),
            cookie: cookie.into(),
            founding: Founding::Bootstrap,
            profile: Profile::Lan,
            chaos: false,
            chaos_key: None,
            supervisor: String::new(),
            insecure: false,
            journal: None,
            spans: SpanSink::default(),
            push: None,
            data_workers: 0,
            proofs: Proofs::default(),
            functions: functions::Registry::default(),
            zone: None,
        }
    }

    /// The same in the cluster of the nodes at these addresses, if there are any.
    #[must_use]
    pub fn joining(mut self, addresses: impl IntoIterator<Item = String>) -> Self {
        self.join = addresses.into_iter().collect();
        if !self.join.is_empty() {
            self.founding = Founding::Wait;
        }
        self
    }
}
