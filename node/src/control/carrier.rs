//! Raft's questions over the mesh's control lanes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use squall_kernel::id::{Boot, NodeId};
use squall_kernel::message::{Call, PeerMessage};
use tokio::time::timeout;

use super::calls::Calls;
use crate::mesh::Mesh;
use crate::meta::{RaftTransport, TransportError};

/// Carries Raft's questions over the mesh.
#[derive(Clone)]
pub(crate) struct Carrier {
    mesh: Arc<Mesh>,
    calls: Arc<Calls<Bytes>>,
}

impl Carrier {
    pub(crate) fn new(boot: Boot, mesh: Arc<Mesh>) -> Self {
        Self {
            mesh,
            calls: Arc::new(Calls::of_run(boot)),
        }
    }

    /// Takes an answer from the mesh.
    pub(crate) fn answered(&self, call: Call, body: Vec<u8>) {
        self.calls.answer(call, Bytes::from(body));
    }
}

impl RaftTransport for Carrier {
    fn call(
        &self,
        to: NodeId,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Bytes, TransportError>> {
        async move {
            let mut waiting = self.calls.open();
            let message = PeerMessage::Raft {
                call: waiting.call,
                body: request.into(),
            };
            self.mesh
                .send_control(to, &message)
                .map_err(|_| TransportError::Unreachable(to))?;
            match timeout(limit, &mut waiting.answer).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(TransportError::Broken("the question was dropped".into())),
                Err(_) => Err(TransportError::Timeout(limit)),
            }
        }
        .boxed()
    }
}
