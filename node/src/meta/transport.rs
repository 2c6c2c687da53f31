//! The seam to the mesh: how Raft's questions reach another node.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use squall_kernel::id::NodeId;

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No link to that node; Raft backs off before it tries again.
    #[error("no link to node {node:x}", node = .0.0)]
    Unreachable(NodeId),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The link broke before the answer came; Raft tries again at once.
    #[error("the link broke: {0}")]
    Broken(String),
}

/// Carries a question to a node and its answer back. The mesh does this over its control lanes.
///
/// Questions to one node may overtake each other and may be lost; Raft bears both. The receiver hands each one to
/// [`super::Meta::handle_rpc`] in a task of its own, because an answer may wait for a disk.
pub trait RaftTransport: Send + Sync + 'static {
    /// Asks `to` and waits for the answer, for at most `timeout`.
    fn call(
        &self,
        to: NodeId,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, TransportError>>;
}
