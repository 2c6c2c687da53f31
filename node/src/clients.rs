//! Joins the mesh's client connections to sessions: frames in, frames out, both bounded.

use std::sync::Arc;

use squall_kernel::frame::Frame;
use tokio::sync::mpsc;

use crate::control::Proposals;
use crate::data::DataPlane;
use crate::grpc::Proposer;
use crate::limits::SESSION_BATCH_MAX;
use crate::mesh::{ClientConn, FrameReader, FrameWriter, LinkLost};
use crate::session::{NativeConnection, NativeSessions};

/// Frames between a connection and its session, each way: what a slow one may hold up before the other waits.
const FRAMES_MAX: usize = 1024;

/// Serves every client that the listener hands over, on the data runtime.
pub(crate) async fn serve(mut clients: mpsc::Receiver<ClientConn>, sessions: Arc<NativeSessions<Proposals>>) {
    while let Some(client) = clients.recv().await {
        let ClientConn {
            name,
            addr,
            reader,
            writer,
            place,
        } = client;
        tracing::debug!(%name, %addr, "client connected");
        let (frames_in, frames) = mpsc::channel(FRAMES_MAX);
        let (out, frames_out) = mpsc::channel(FRAMES_MAX);
        let last_word = out.clone();
        let session = sessions.serve(NativeConnection { name, frames, out });
        let reading = tokio::spawn(read(reader, frames_in, Arc::clone(&sessions), last_word));
        let writing = tokio::spawn(write(writer, frames_out));
        tokio::spawn(async move {
            // However the session ended, its connection ends with it and gives its place back.
            let _ = session.await;
            reading.abort();
            let _ = writing.await;
            drop(place);
        });
    }
}

/// Reads until the end, or until what comes is no frame: its client is told so before its session ends.
pub(crate) async fn read<R: tokio::io::AsyncRead + Unpin, P: Proposer>(
    mut reader: FrameReader<R>,
    frames: mpsc::Sender<Frame>,
    sessions: Arc<NativeSessions<P>>,
    out: mpsc::Sender<Frame>,
) {
    loop {
        match reader.next().await {
            Ok(Some((_, frame))) => {
                if frames.send(frame).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "client connection ended");
                if let Some(told) = sessions.not_a_frame(&error) {
                    // A client that takes nothing is not told either.
                    let _not_taken = out.try_send(told);
                }
                return;
            }
        }
    }
}

async fn write(writer: FrameWriter, mut frames: mpsc::Receiver<Frame>) {
    let mut batch = Vec::with_capacity(SESSION_BATCH_MAX);
    while frames.recv_many(&mut batch, SESSION_BATCH_MAX).await > 0 {
        for frame in batch.drain(..) {
            if writer.send(&frame).is_err() {
                return;
            }
        }
    }
}

/// The data plane takes the frames of data lanes.
impl crate::mesh::FrameSink for DataPlane {
    fn frame(&self, from: squall_kernel::id::NodeId, frame: Frame) {
        Self::frame(self, from, frame);
    }

    fn undeliverable(&self, lost: LinkLost) {
        Self::undeliverable(self, lost.to, lost.unwritten);
        Self::fate_unknown(self, lost.to, lost.written);
    }
}
