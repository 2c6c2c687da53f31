//! Native frames: a fixed binary header, four short tags, an opaque payload. Bytes in, frames out; no IO.
//!
//! Layout (little endian): length of what follows (u32) · CRC32C of what follows it (u32) · kind, flags, status
//! (u8 each) · lengths of the request tag, connection tag, service tag and key (u8 each) · a zero byte · link sequence
//! (u64) · exchange (u32) · time left in ms (u32) · exchange epoch · leader epoch · message id · origin node ·
//! destination serial · source node · source serial (u64 each) · trace id (16 bytes) · span id (8 bytes) · index, count
//! (u32 each) · signature (u64) · credit (u32) · tags · payload. Flags: bit 0 says that the trace is sampled, bit 1
//! that the exchange stands in front of another one, the four upper bits are the priority.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::id::{Epoch, ExchangeId, ExchangeName, LeaderEpoch, LinkSeq, MessageId, NodeId, Pid};
use crate::limits;

mod kind;

pub use kind::{Kind, Status};

pub use crate::order::Priority;

/// Bytes before the tags, the length field included.
pub const HEADER_BYTES: usize = 132;
const LENGTH_BYTES: usize = 4;
const FLAGS_AT: usize = 9;
const TRACE_AT: usize = 88;
const SAMPLED: u8 = 1;
const AHEAD: u8 = 2;
const PRIORITY_SHIFT: u8 = 4;

/// W3C trace context of a message; all zero without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceContext {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Id of the parent span.
    pub span_id: [u8; 8],
    /// Sampled flag.
    pub sampled: bool,
}

impl TraceContext {
    /// True when there is one.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.trace_id != [0; 16]
    }

    /// That of the encoded frame at the front of `bytes`, where it is sampled, and how many bytes the frame has in all. None
    /// where there is no whole header. Nothing is checked: for frames that this node has encoded itself.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<(usize, Option<Self>)> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let len = header
            .first_chunk::<LENGTH_BYTES>()
            .map(|len| u32::from_le_bytes(*len) as usize)?;
        let at = |from: usize| header.get(from..);
        let sampled = header[FLAGS_AT] & SAMPLED != 0;
        let trace = Self {
            trace_id: *at(TRACE_AT)?.first_chunk()?,
            span_id: *at(TRACE_AT + 16)?.first_chunk()?,
            sampled,
        };
        Some((LENGTH_BYTES + len, sampled.then_some(trace)))
    }
}

/// The tags and the key, each at most [`limits::TAG_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    /// Correlates a reply with its request (A28). Publish: the publisher's own id of it (B10).
    pub request: Bytes,
    /// Which attachment of a handler or subscriber (A26). Publish: who publishes, where the id is to be the same across
    /// connections.
    pub connection: Bytes,
    /// Group of handlers (A27). Of a request that is ahead of another exchange: that one's name; it is for any group.
    pub service: Bytes,
    /// Routing key of a publish; what a sticky exchange keeps together; empty for none.
    pub key: Bytes,
}

impl Tags {
    /// All of them, in the order of the wire.
    #[must_use]
    pub const fn all(&self) -> [&Bytes; 4] {
        [&self.request, &self.connection, &self.service, &self.key]
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What a reply says.
    pub status: Status,
    /// Exchange.
    pub exchange: ExchangeId,
    /// Epoch of the exchange under which it was sent; 0 where the sender does not know one.
    pub epoch: Epoch,
    /// Epoch of the leader it is meant for; 0 without one.
    pub leader_epoch: LeaderEpoch,
    /// Id of the message, unique at `origin`.
    pub message: MessageId,
    /// Node of the requester, or 0 on a client's connection.
    pub origin: NodeId,
    /// Serial of the process it goes to, on the receiving node; 0 where the kind needs none.
    pub to: u64,
    /// Process it comes from.
    pub from: Pid,
    /// Milliseconds until the request's deadline; 0 where there is none.
    pub left_ms: u32,
    /// Request from a client: 1 when it answers questions (`Ask`). Request, Deliver, Reply: number of this copy under the
    /// strategy `default`, from 1. Chunk, Ask, Tell: number of this part within its request, from 1. Task frames: number
    /// of the attempt, from 1. Event, and a reply to it: place of this node among those that confirm
    /// (`publishing::Place`). 0 where there is none.
    pub index: u32,
    /// Request, Deliver, Reply: copies under `default`, 0 or 1 elsewhere. Chunk: chunks in all, on the last one; 0
    /// before. Task frames: attempts allowed. Event, and a reply to it: how often
    /// that place was divided.
    pub count: u32,
    /// Deliver: the signature by which it was routed. Task frames: number of the lease. Publish, Event: what is to be
    /// confirmed (`publishing`). 0 for none.
    pub signature: u64,
    /// Request, Deliver: chunks that the requester takes, 0 for a response in one piece. Credit: chunks it takes beyond
    /// those. Publish, and Event between nodes: milliseconds that it is good for, 0 for the exchange's default. Event to a
    /// client: bytes of further tags in front of its payload.
    pub credit: u32,
    /// How urgent it is.
    pub priority: Priority,
    /// Request, Deliver: it stands in front of another exchange, as a middleware; that one's name is the service tag.
    pub ahead: bool,
    /// Trace context.
    pub trace: TraceContext,
    /// Tags.
    pub tags: Tags,
    /// Payload: never looked into.
    pub payload: Bytes,
}

/// Why bytes are not a frame. Each closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field is too small for a header.
    #[error("a frame of {len} bytes is shorter than its header")]
    Short {
        /// Length given.
        len: usize,
    },
    /// The length field is above the bound; nothing was allocated.
    #[error("a frame of {len} bytes is above the bound of {max}")]
    Oversized {
        /// Length given.
        len: usize,
        /// Bound in force.
        max: usize,
    },
    /// The checksum differs.
    #[error("checksum {found:08x} instead of {expected:08x}")]
    Checksum {
        /// Checksum in the frame.
        expected: u32,
        /// Checksum computed.
        found: u32,
    },
    /// Unknown kind, status, priority or tag lengths.
    #[error("unknown frame kind, status or priority, or tags longer than the frame")]
    Malformed,
}

impl Frame {
    /// An empty frame of that kind: fill in what it needs.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            status: Status::Reply,
            exchange: ExchangeId(0),
            epoch: Epoch(0),
            leader_epoch: LeaderEpoch(0),
            message: MessageId(0),
            origin: NodeId(0),
            to: 0,
            from: Pid {
                node: NodeId(0),
                serial: 0,
            },
            left_ms: 0,
            index: 0,
            count: 0,
            signature: 0,
            credit: 0,
            priority: Priority::default(),
            ahead: false,
            trace: TraceContext::default(),
            tags: Tags::default(),
            payload: Bytes::new(),
        }
    }

    /// Request, Deliver: the exchange that the request is for, where this one's stands in front of it.
    #[must_use]
    pub fn ahead_of(&self) -> Option<ExchangeName> {
        let name = core::str::from_utf8(&self.tags.service).ok();
        name.filter(|_| self.ahead)
            .and_then(|name| ExchangeName::new(name).ok())
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEADER_BYTES + self.tags.all().map(Bytes::len).iter().sum::<usize>() + self.payload.len()
    }

    /// Writes header and tags to `out` and returns nothing of the payload: the caller writes `self.payload` right
    /// after it, copied or not. The checksum covers both.
    ///
    /// # Panics
    /// When a tag or the whole frame is above its bound: whoever takes in payloads and tags checks them.
    pub fn encode_head(&self, seq: LinkSeq, out: &mut BytesMut) {
        let len = self.wire_len();
        assert!(len <= limits::FRAME_BYTES_MAX, "a frame of {len} bytes");
        let start = out.len();
        out.reserve(len - self.payload.len());
        out.put_u32_le(u32::try_from(len - LENGTH_BYTES).expect("bounded above"));
        out.put_u32_le(0);
        self.put_fields(seq, out);
        for tag in self.tags.all() {
            out.put_slice(tag);
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start + 8..]), &self.payload);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Writes the whole frame to `out`.
    pub fn encode(&self, seq: LinkSeq, out: &mut BytesMut) {
        self.encode_head(seq, out);
        out.put_slice(&self.payload);
    }

    fn put_fields(&self, seq: LinkSeq, out: &mut BytesMut) {
        let len = |tag: &Bytes| u8::try_from(tag.len()).expect("a tag is at most 255 bytes");
        out.put_u8(self.kind as u8);
        let sampled = if self.trace.sampled { SAMPLED } else { 0 };
        let ahead = if self.ahead { AHEAD } else { 0 };
        out.put_u8(sampled | ahead | self.priority.number() << PRIORITY_SHIFT);
        out.put_u8(self.status.to_byte());
        for tag in self.tags.all() {
            out.put_u8(len(tag));
        }
        out.put_u8(0);
        out.put_u64_le(seq.0);
        out.put_u32_le(self.exchange.0);
        out.put_u32_le(self.left_ms);
        for word in [
            self.epoch.0,
            self.leader_epoch.0,
            self.message.0,
            self.origin.0,
            self.to,
            self.from.node.0,
            self.from.serial,
        ] {
            out.put_u64_le(word);
        }
        out.put_slice(&self.trace.trace_id);
        out.put_slice(&self.trace.span_id);
        out.put_u32_le(self.index);
        out.put_u32_le(self.count);
        out.put_u64_le(self.signature);
        out.put_u32_le(self.credit);
    }

    /// Takes one frame from the front of `input`; `None` when it is not complete yet. The payload shares the buffer,
    /// nothing is copied.
    ///
    /// # Errors
    /// [`FrameError`]: the stream cannot be trusted from here on.
    pub fn decode(input: &mut BytesMut, max: usize) -> Result<Option<(LinkSeq, Self)>, FrameError> {
        let Some(len) = input
            .first_chunk::<LENGTH_BYTES>()
            .map(|b| u32::from_le_bytes(*b) as usize)
        else {
            return Ok(None);
        };
        if len + LENGTH_BYTES > max {
            return Err(FrameError::Oversized {
                len: len + LENGTH_BYTES,
                max,
            });
        }
        if len + LENGTH_BYTES < HEADER_BYTES {
            return Err(FrameError::Short {
                len: len + LENGTH_BYTES,
            });
        }
        if input.len() < len + LENGTH_BYTES {
            input.reserve(len + LENGTH_BYTES - input.len());
            return Ok(None);
        }
        input.advance(LENGTH_BYTES);
        Self::parse(input.split_to(len).freeze()).map(Some)
    }

    fn parse(mut body: Bytes) -> Result<(LinkSeq, Self), FrameError> {
        let expected = body.get_u32_le();
        let found = crc32c::crc32c(&body);
        if expected != found {
            return Err(FrameError::Checksum { expected, found });
        }
        let kind = Kind::of(body.get_u8()).ok_or(FrameError::Malformed)?;
        let flags = body.get_u8();
        let status = Status::of(body.get_u8()).ok_or(FrameError::Malformed)?;
        let tag_lens = [body.get_u8(), body.get_u8(), body.get_u8(), body.get_u8()].map(usize::from);
        let _zero = body.get_u8();
        let seq = LinkSeq(body.get_u64_le());
        let mut frame = Self {
            status,
            priority: Priority::new(flags >> PRIORITY_SHIFT).map_err(|_| FrameError::Malformed)?,
            ahead: flags & AHEAD != 0,
            ..Self::new(kind)
        };
        frame.exchange = ExchangeId(body.get_u32_le());
        frame.left_ms = body.get_u32_le();
        frame.epoch = Epoch(body.get_u64_le());
        frame.leader_epoch = LeaderEpoch(body.get_u64_le());
        frame.message = MessageId(body.get_u64_le());
        frame.origin = NodeId(body.get_u64_le());
        frame.to = body.get_u64_le();
        frame.from = Pid {
            node: NodeId(body.get_u64_le()),
            serial: body.get_u64_le(),
        };
        body.copy_to_slice(&mut frame.trace.trace_id);
        body.copy_to_slice(&mut frame.trace.span_id);
        frame.trace.sampled = flags & SAMPLED != 0;
        frame.index = body.get_u32_le();
        frame.count = body.get_u32_le();
        frame.signature = body.get_u64_le();
        frame.credit = body.get_u32_le();
        if tag_lens.iter().sum::<usize>() > body.len() {
            return Err(FrameError::Malformed);
        }
        let [request, connection, service, key] = tag_lens.map(|len| body.split_to(len));
        frame.tags = Tags {
            request,
            connection,
            service,
            key,
        };
        frame.payload = body;
        Ok((seq, frame))
    }
}

#[cfg(test)]
#[path = "frame_test.rs"]
mod tests;
