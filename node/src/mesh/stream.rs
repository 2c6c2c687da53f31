//! Frames over byte streams: a reader, vectored writes, and a bounded coalescing writer for connections without
//! acknowledgements. What does not live here: lanes, handshakes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use squall_kernel::frame::{Frame, FrameError};
use squall_kernel::id::LinkSeq;
use squall_kernel::limits::FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::lane::SendError;
use super::limits::{LANE_BYTES_MAX, LANE_FRAMES_MAX, LAST_WORDS_FOR, READ_BYTES, SLICES_MAX};
use super::outbox::Outbox;

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `io`, after the bytes read already, that takes no frame above `max` bytes.
    pub(crate) fn new(io: R, buffer: BytesMut, max: usize) -> Self {
        Self { io, buffer, max }
    }

    /// The next frame that has arrived whole; none when more must be read.
    ///
    /// # Errors
    /// [`FrameError`]: the stream cannot be trusted from here on.
    pub fn decode(&mut self) -> Result<Option<(LinkSeq, Frame)>, FrameError> {
        Frame::decode(&mut self.buffer, self.max)
    }

    /// Reads what is there; waits when nothing is. False at the end of the stream. Losing the future loses nothing.
    ///
    /// # Errors
    /// The stream's.
    pub async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ_BYTES / 8);
        Ok(self.io.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next frame; none at the end of the stream.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<(LinkSeq, Frame)>, ReadError> {
        loop {
            if let Some(frame) = self.decode()? {
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The stream, and what was read but not decoded.
    pub(super) fn into_parts(self) -> (R, BytesMut) {
        (self.io, self.buffer)
    }

    pub(super) fn io(&mut self) -> &mut R {
        &mut self.io
    }
}

/// Writes all parts, as few calls as possible.
pub(super) async fn write_parts<W>(io: &mut W, parts: &mut VecDeque<Bytes>) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    while !parts.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = parts.len().min(SLICES_MAX);
        for (slice, part) in slices.iter_mut().zip(parts.iter()) {
            *slice = IoSlice::new(part);
        }
        let mut written = io.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(part) = parts.front_mut().filter(|_| written > 0) {
            let n = written.min(part.len());
            part.advance(n);
            written -= n;
            if part.is_empty() {
                parts.pop_front();
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Shared {
    outbox: Mutex<Outbox>,
    wake: Notify,
    dropped: Notify,
    closed: AtomicBool,
}

/// Writes frames from a bounded queue, everything queued in one write.
#[derive(Debug)]
pub struct FrameWriter(Arc<Shared>);

impl FrameWriter {
    /// Starts writing to `io` on that runtime. The connection closes for writing when the writer is dropped and all
    /// is written.
    pub(super) fn start<W>(runtime: &Handle, io: W) -> Self
    where
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let outbox = Mutex::new(Outbox::after(0));
        let shared = Arc::new(Shared {
            outbox,
            wake: Notify::new(),
            dropped: Notify::new(),
            closed: AtomicBool::new(false),
        });
        let writer = Self(Arc::clone(&shared));
        runtime.spawn(async move {
            // A connection that fails shows at its reader as well, which ends the session.
            tokio::select! {
                _ended = shared.run(io) => {}
                () = shared.too_long() => {}
            }
            shared.closed.store(true, Relaxed);
        });
        writer
    }

    /// Queues a frame; never waits.
    ///
    /// # Errors
    /// [`SendError`]; nothing of it was sent.
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        let len = frame.wire_len();
        if len > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { len });
        }
        if self.0.closed.load(Relaxed) {
            return Err(SendError::Down);
        }
        {
            let mut outbox = self.0.outbox.lock().expect("no holder of the lock panics");
            if outbox.frames() >= LANE_FRAMES_MAX || outbox.bytes() + len > LANE_BYTES_MAX {
                return Err(SendError::Full);
            }
            outbox.push(frame);
        }
        self.0.wake.notify_one();
        Ok(())
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        self.0.closed.store(true, Relaxed);
        self.0.wake.notify_one();
        self.0.dropped.notify_one();
    }
}

impl Shared {
    async fn run<W: AsyncWrite + Unpin>(&self, mut io: W) -> io::Result<()> {
        let mut parts = VecDeque::new();
        loop {
            if self.take(&mut parts) {
                write_parts(&mut io, &mut parts).await?;
            } else if self.closed.load(Relaxed) {
                return io.shutdown().await;
            } else {
                self.wake.notified().await;
            }
        }
    }

    /// Returns when the writer was dropped and whoever reads has not read the rest for [`LAST_WORDS_FOR`].
    async fn too_long(&self) {
        self.dropped.notified().await;
        tokio::time::sleep(LAST_WORDS_FOR).await;
    }

    fn take(&self, parts: &mut VecDeque<Bytes>) -> bool {
        let mut outbox = self.outbox.lock().expect("no holder of the lock panics");
        let took = outbox.take(parts).is_some();
        outbox.forget_taken();
        took
    }
}
