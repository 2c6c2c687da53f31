//! Frames over byte streams: a reader, vectored writes, and a bounded writer for connections without acknowledgements. What does
//! not live here: lanes, handshakes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use squall_kernel::frame::{Frame, FrameError};
use squall_kernel::id::LinkSeq;
use squall_kernel::limits::FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::lane::SendError;
use super::limits::{LANE_BYTES_MAX, LAST_WORDS_FOR, READ_BYTES, READ_BYTES_FIRST, SLICES_MAX};
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
    /// Bytes it has room for when it reads: more after it was full, less when little comes.
    room: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `io`, after the bytes read already, that takes no frame above `max` bytes.
    pub(crate) fn new(io: R, buffer: BytesMut, max: usize) -> Self {
        Self {
            io,
            buffer,
            max,
            room: READ_BYTES_FIRST,
        }
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
        self.buffer.reserve(self.room);
        let read = self.io.read_buf(&mut self.buffer).await?;
        if read >= self.room {
            self.room = (2 * self.room).min(READ_BYTES);
        } else if read < self.room / 4 {
            self.room = (self.room / 2).max(READ_BYTES_FIRST);
        }
        Ok(read > 0)
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
        write_some_parts(io, parts).await?;
    }
    Ok(())
}

/// Writes some of the parts, if there are any. Losing the future loses nothing.
async fn write_some_parts<W>(io: &mut W, parts: &mut VecDeque<Bytes>) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    if parts.is_empty() {
        return Ok(());
    }
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
    Ok(())
}

/// To be called by a busy writer that was woken: whoever woke it is seldom alone then, and what the others have to say goes out with it,
/// in one call of the system.
pub(super) async fn others_first() {
    tokio::task::yield_now().await;
}

/// Frames on their way to a client, in a bounded queue. Whoever queues them writes them, all that is queued in one call.
#[derive(Debug)]
pub struct FrameWriter<W> {
    io: W,
    outbox: Outbox,
    frames_max: usize,
    /// Taken from the queue, and not written yet.
    parts: VecDeque<Bytes>,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// A writer to `io` with an empty queue, which is full with so many frames.
    pub(crate) fn new(io: W, frames_max: usize) -> Self {
        Self {
            io,
            outbox: Outbox::after(0),
            frames_max,
            parts: VecDeque::new(),
        }
    }

    /// Queues a frame. Whoever does so looks whether it [is full](Self::is_full) now and then.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]: nothing of it is sent.
    pub fn put(&mut self, frame: &Frame) -> Result<(), SendError> {
        let len = frame.wire_len();
        if len > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { len });
        }
        self.outbox.push(frame);
        Ok(())
    }

    /// It holds as many frames as it may, or as many bytes as a lane between nodes may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outbox.frames() >= self.frames_max || self.outbox.bytes() >= LANE_BYTES_MAX
    }

    /// Bytes that are queued, or not written whole.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.outbox.bytes()
    }

    /// Writes all that is queued. Losing the future loses nothing.
    ///
    /// # Errors
    /// The stream's.
    pub async fn write(&mut self) -> io::Result<()> {
        while self.waiting() > 0 {
            self.write_some().await?;
        }
        Ok(())
    }

    /// Writes some of what is queued, with one call of the system. Losing the future loses nothing.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) async fn write_some(&mut self) -> io::Result<()> {
        if self.parts.is_empty() {
            self.outbox.take(&mut self.parts);
        }
        write_some_parts(&mut self.io, &mut self.parts).await?;
        if self.parts.is_empty() {
            self.outbox.forget_taken();
        }
        Ok(())
    }

    /// Writes the rest and closes the connection for writing; gives up when whoever reads takes too long.
    pub(crate) async fn close(mut self) {
        let rest = async {
            // A connection that fails is closed as well.
            if self.write().await.is_ok() {
                let _failed = self.io.shutdown().await;
            }
        };
        let _in_time = tokio::time::timeout(LAST_WORDS_FOR, rest).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use squall_kernel::frame::Kind;
    use squall_kernel::id::MessageId;
    use tokio::io::duplex;

    use super::*;

    fn frame(n: u64, bytes: usize) -> Frame {
        Frame {
            message: MessageId(n),
            payload: vec![7; bytes].into(),
            ..Frame::new(Kind::Request)
        }
    }

    /// Small frames that share a chunk, and payloads that are written from where they lie.
    fn mixed(n: u64) -> Frame {
        frame(n, if n.is_multiple_of(3) { 20_000 } else { 10 })
    }

    #[tokio::test]
    async fn a_write_that_is_given_up_and_begun_again_loses_and_doubles_nothing() {
        let (here, there) = duplex(100);
        let mut writer = FrameWriter::new(here, 64);
        for n in 0..30 {
            writer.put(&mixed(n)).unwrap();
        }
        let mut reader = FrameReader::new(there, BytesMut::new(), FRAME_BYTES_MAX);
        let mut given_up = 0;
        for n in 0..30 {
            let read = loop {
                if let Some((_, read)) = reader.decode().unwrap() {
                    break read;
                }
                // The runtime's budget begins anew: without one a write is given up before it has begun.
                tokio::task::yield_now().await;
                given_up += u32::from(writer.write().now_or_never().is_none());
                assert!(reader.fill().await.unwrap());
            };
            assert_eq!(read, mixed(n));
        }
        assert!(given_up > 30, "{given_up}");
        assert!(writer.write().now_or_never().is_some());
        assert_eq!(writer.waiting(), 0);
    }

    #[tokio::test]
    async fn it_is_full_until_some_of_it_is_written() {
        let (here, there) = duplex(1 << 20);
        let mut writer = FrameWriter::new(here, 2);
        writer.put(&frame(1, 10)).unwrap();
        assert!(!writer.is_full());
        writer.put(&frame(2, 10)).unwrap();
        assert!(writer.is_full());
        let too_large = frame(3, FRAME_BYTES_MAX);
        assert!(matches!(writer.put(&too_large), Err(SendError::TooLarge { .. })));
        writer.write_some().await.unwrap();
        assert!(!writer.is_full() && writer.waiting() == 0);
        writer.close().await;
        let mut reader = FrameReader::new(there, BytesMut::new(), FRAME_BYTES_MAX);
        for n in 1..=2 {
            assert_eq!(reader.next().await.unwrap().unwrap().1, frame(n, 10));
        }
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn last_words_that_nobody_reads_are_given_up() {
        let (here, there) = duplex(16);
        let mut writer = FrameWriter::new(here, 2);
        writer.put(&frame(1, 100)).unwrap();
        writer.close().await;
        drop(there);
    }
}
