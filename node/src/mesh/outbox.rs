//! Frames on their way out, encoded when they are queued: small ones share a chunk, a large payload stays where it
//! lies. What does not live here: locks, sockets, acknowledgements.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use squall_kernel::frame::Frame;
use squall_kernel::id::LinkSeq;
use squall_kernel::limits::FRAME_BYTES_MAX;

use super::limits::{BATCH_CHUNKS_MAX, CHUNK_BYTES, COPY_BYTES_MAX};

/// Encoded frames with consecutive numbers.
#[derive(Debug, Clone)]
struct Chunk {
    first: u64,
    last: u64,
    /// Whole frames; or header and tags of one frame whose payload is `tail`.
    head: Bytes,
    tail: Bytes,
}

impl Chunk {
    fn frames(&self) -> usize {
        usize::try_from(self.last - self.first + 1).expect("a chunk is small")
    }

    fn bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The chunk without its frames up to `seq`.
    fn after(&self, seq: u64) -> Self {
        let mut rest = self.clone();
        while rest.first <= seq {
            let len = rest
                .head
                .first_chunk::<4>()
                .map_or(0, |b| u32::from_le_bytes(*b) as usize);
            rest.head.advance(len + 4);
            rest.first += 1;
        }
        rest
    }

    fn decode(&self, into: &mut Vec<Frame>) {
        let mut bytes = BytesMut::with_capacity(self.bytes());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.tail);
        while let Ok(Some((_, frame))) = Frame::decode(&mut bytes, FRAME_BYTES_MAX) {
            into.push(frame);
        }
    }
}

/// How much was taken for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

/// Frames that were not delivered, apart by whether the peer may have got them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Drained {
    pub(super) written: Vec<Frame>,
    pub(super) unwritten: Vec<Frame>,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    open: BytesMut,
    /// Number of the first frame in `open`.
    open_first: u64,
    /// Number of the next frame.
    next: u64,
    /// Number of the last frame given to the writer.
    taken: u64,
    /// Number of the last frame that the peer has.
    acked: u64,
    frames: usize,
    bytes: usize,
}

impl Outbox {
    /// An empty queue whose next frame is the one after `acked`.
    pub(super) fn after(acked: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            open: BytesMut::new(),
            open_first: acked + 1,
            next: acked + 1,
            taken: acked,
            acked,
            frames: 0,
            bytes: 0,
        }
    }

    pub(super) const fn frames(&self) -> usize {
        self.frames
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Encodes a frame at the end. Its bounds are the caller's to check.
    pub(super) fn push(&mut self, frame: &Frame) {
        let large = frame.payload.len() > COPY_BYTES_MAX;
        if large || self.open.len() >= CHUNK_BYTES {
            self.seal();
        }
        if self.open.is_empty() && self.open.capacity() < frame.wire_len() {
            self.open.reserve(CHUNK_BYTES);
        }
        self.frames += 1;
        self.bytes += frame.wire_len();
        let seq = self.next;
        self.next += 1;
        if large {
            frame.encode_head(LinkSeq(seq), &mut self.open);
            let head = self.open.split().freeze();
            self.chunks.push_back(Chunk {
                first: seq,
                last: seq,
                head,
                tail: frame.payload.clone(),
            });
            self.open_first = self.next;
        } else {
            frame.encode(LinkSeq(seq), &mut self.open);
        }
    }

    fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let head = self.open.split().freeze();
        self.chunks.push_back(Chunk {
            first: self.open_first,
            last: self.next - 1,
            head,
            tail: Bytes::new(),
        });
        self.open_first = self.next;
    }

    /// Appends what was not taken yet to `parts`, at most one batch of it.
    pub(super) fn take(&mut self, parts: &mut VecDeque<Bytes>) -> Option<Batch> {
        if self.taken + 1 == self.next {
            return None;
        }
        self.seal();
        let from = self.chunks.partition_point(|chunk| chunk.last <= self.taken);
        let mut batch = Batch { frames: 0, bytes: 0 };
        for chunk in self.chunks.range(from..).take(BATCH_CHUNKS_MAX) {
            let rest = chunk.after(self.taken);
            batch.frames += rest.frames();
            batch.bytes += rest.bytes();
            self.taken = rest.last;
            parts.extend([rest.head, rest.tail].into_iter().filter(|part| !part.is_empty()));
        }
        Some(batch)
    }

    /// The peer has everything up to `seq`. False when that was never given to the writer.
    pub(super) fn ack(&mut self, seq: u64) -> bool {
        if seq > self.taken {
            return false;
        }
        self.acked = self.acked.max(seq);
        while let Some(chunk) = self.chunks.front().filter(|chunk| chunk.last <= self.acked) {
            self.frames -= chunk.frames();
            self.bytes -= chunk.bytes();
            self.chunks.pop_front();
        }
        true
    }

    /// Everything taken is done with: for a connection without acknowledgements.
    pub(super) fn forget_taken(&mut self) {
        self.ack(self.taken);
    }

    /// A new connection to the same peer, which has everything up to `received`: goes on after that. False when this
    /// queue cannot.
    pub(super) fn resume(&mut self, received: u64) -> bool {
        if received < self.acked || !self.ack(received) {
            return false;
        }
        self.taken = received;
        true
    }

    /// Everything that the peer has not acknowledged; the queue is empty afterwards.
    pub(super) fn drain(&mut self) -> Drained {
        self.seal();
        let mut drained = Drained::default();
        for chunk in self.chunks.drain(..).filter(|chunk| chunk.last > self.acked) {
            let taken = chunk.last <= self.taken;
            chunk.after(self.acked).decode(if taken {
                &mut drained.written
            } else {
                &mut drained.unwritten
            });
        }
        *self = Self::after(self.acked);
        drained
    }
}

#[cfg(test)]
#[path = "outbox_test.rs"]
mod tests;
