//! Joins the mesh's client connections to sessions, and lanes to the data plane.

use std::sync::Arc;

use squall_kernel::frame::Frame;
use tokio::sync::mpsc;

use crate::control::Proposals;
use crate::data::{DataPlane, Parts};
use crate::mesh::{ClientConn, LinkLost};
use crate::session::{NativeConnection, NativeSessions};

/// Serves every client that the listener hands over, on the data runtime.
pub(crate) async fn serve(mut clients: mpsc::Receiver<ClientConn>, sessions: Arc<NativeSessions<Proposals>>) {
    while let Some(client) = clients.recv().await {
        let ClientConn {
            name,
            addr,
            reader: frames,
            writer: out,
            place,
        } = client;
        tracing::debug!(%name, %addr, "client connected");
        let session = sessions.serve(NativeConnection { name, frames, out });
        tokio::spawn(async move {
            // However the session ended, its connection has ended with it and gives its place back.
            let _ = session.await;
            drop(place);
        });
    }
}

/// The data plane takes the frames of data lanes.
impl crate::mesh::FrameSink for DataPlane {
    fn frame(&self, from: squall_kernel::id::NodeId, frame: Frame) {
        Parts::frame(self, from, frame);
    }

    fn undeliverable(&self, lost: LinkLost) {
        Parts::undeliverable(self, lost.to, lost.unwritten);
        self.fate_unknown(lost.to, lost.written);
    }
}
