//! The writer: takes what is queued, writes it in one go.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut as _, Bytes, BytesMut};
use squall_kernel::frame::Frame;
use squall_kernel::id::LinkSeq;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::limits::{ALONE_AFTER, BATCH_BYTES, BATCH_FRAMES, COPY_BYTES_MAX, OUTBOUND_QUEUE};
use crate::link::Generation;
use crate::state::{Marking, Outgoing, Shared};

/// Frames on their way out. It outlives connections: what was not taken by one waits for the next.
#[derive(Debug)]
pub(crate) struct Queue {
    receiver: mpsc::Receiver<Outgoing>,
    /// Taken from the channel, not looked at yet.
    batch: Vec<Outgoing>,
    /// Requests that wait for the next connection because the node leaves.
    held: VecDeque<Outgoing>,
    /// When something was written last.
    wrote: Option<Instant>,
}

impl Queue {
    pub(crate) fn new(receiver: mpsc::Receiver<Outgoing>) -> Self {
        Self {
            receiver,
            batch: Vec::with_capacity(BATCH_FRAMES),
            held: VecDeque::new(),
            wrote: None,
        }
    }

    /// Waits until there is something to write. Loses nothing when it is cancelled.
    async fn fill(&mut self) {
        if self.held.len() >= OUTBOUND_QUEUE {
            std::future::pending::<()>().await;
        }
        if !self.batch.is_empty() {
            return;
        }
        if self.receiver.recv_many(&mut self.batch, BATCH_FRAMES).await == 0 {
            // The channel closes with the client, whose keeper stops this writer.
            std::future::pending::<()>().await;
        }
        if self.wrote.is_some_and(|at| at.elapsed() < ALONE_AFTER) {
            // Whoever woke a busy writer is seldom alone: what the others have to say goes out with it, in one call of the system.
            tokio::task::yield_now().await;
        }
        while self.batch.len() < BATCH_FRAMES
            && let Ok(more) = self.receiver.try_recv()
        {
            self.batch.push(more);
        }
    }
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) generation: Generation,
    pub(super) hold: Arc<AtomicBool>,
}

impl Writer {
    /// Writes until it is stopped or writing fails.
    pub(super) async fn run(
        self,
        mut queue: Queue,
        half: OwnedWriteHalf,
        mut stop: oneshot::Receiver<()>,
    ) -> (Queue, Option<io::Error>) {
        let mut out = Out {
            half,
            buffer: BytesMut::with_capacity(BATCH_BYTES),
            seq: LinkSeq(0),
        };
        queue.batch.splice(..0, queue.held.drain(..)).for_each(drop);
        loop {
            let written = tokio::select! {
                _ = &mut stop => return (queue, None),
                written = self.write_batch(&mut queue, &mut out) => written,
            };
            if let Err(error) = written {
                return (queue, Some(error));
            }
        }
    }

    async fn write_batch(&self, queue: &mut Queue, out: &mut Out) -> io::Result<()> {
        queue.fill().await;
        let (large, flushes) = self.put_batch(queue, out);
        out.write(large).await?;
        queue.wrote = Some(Instant::now());
        for done in flushes {
            let _gone = done.send(());
        }
        Ok(())
    }

    /// What is drained here is marked as written, void, or held: a cancelled write loses none of the rest, because nothing is
    /// awaited before the whole batch lies in the buffer. Gives whom to tell when it is written, too.
    fn put_batch(&self, queue: &mut Queue, out: &mut Out) -> (Large, Vec<oneshot::Sender<()>>) {
        let (mut large, mut flushes) = (Large::new(), Vec::new());
        let (now, mut marking) = (Instant::now(), self.shared.marking());
        for outgoing in queue.batch.drain(..) {
            match outgoing {
                Outgoing::Flush(done) => flushes.push(done),
                request @ Outgoing::Request { .. } if self.hold.load(Ordering::Acquire) => {
                    queue.held.push_back(request);
                }
                outgoing => {
                    if let Some(frame) = self.admit(outgoing, now, &mut marking) {
                        out.put(&frame, &mut large);
                    }
                }
            }
        }
        (large, flushes)
    }

    /// The frame to write, unless nobody wants it any more.
    fn admit(&self, outgoing: Outgoing, now: Instant, marking: &mut Marking<'_>) -> Option<Box<Frame>> {
        match outgoing {
            Outgoing::Request { mut frame, deadline } => {
                let left = deadline.saturating_duration_since(now);
                frame.left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
                (frame.left_ms > 0 && marking.written(frame.message)).then_some(frame)
            }
            Outgoing::Bound { generation, frame } => (generation == self.generation).then_some(frame),
            Outgoing::Flush(_) => None,
        }
    }
}

/// Payloads that are written by themselves, each after so many bytes of the buffer.
type Large = Vec<(usize, Bytes)>;

struct Out {
    half: OwnedWriteHalf,
    buffer: BytesMut,
    seq: LinkSeq,
}

impl Out {
    fn put(&mut self, frame: &Frame, large: &mut Large) {
        self.seq.0 += 1;
        frame.encode_head(self.seq, &mut self.buffer);
        if frame.payload.len() <= COPY_BYTES_MAX {
            self.buffer.put_slice(&frame.payload);
        } else {
            large.push((self.buffer.len(), frame.payload.clone()));
        }
    }

    async fn write(&mut self, large: Large) -> io::Result<()> {
        let mut from = 0;
        for (upto, payload) in large {
            self.half.write_all(&self.buffer[from..upto]).await?;
            self.half.write_all(&payload).await?;
            from = upto;
        }
        self.half.write_all(&self.buffer[from..]).await?;
        self.buffer.clear();
        Ok(())
    }
}
