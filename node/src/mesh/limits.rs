//! Bounds and times of the mesh, with the reason for each number.

use std::time::Duration;

use squall_kernel::handshake::LANES;
use squall_kernel::limits::{FRAME_BYTES_MAX, NODES_MAX};
use squall_kernel::time::Span;

/// Bytes a lane holds until they are acknowledged: some of the largest frames. Counted are whole frames, with their headers, from
/// when they are queued, each once. What the peer has taken in counts until its acknowledgement is here, be it answered long since:
/// that is [`ACK_BYTES`] at most, and what comes in while an acknowledgement is on its way.
pub(super) const LANE_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;
/// Bytes a link holds until they are acknowledged: those of all its lanes.
pub const LINK_BYTES_MAX: usize = LANES as usize * LANE_BYTES_MAX;
/// Frames a lane holds until they are acknowledged: 10 ms of acknowledgement delay at six million frames a second.
pub(super) const LANE_FRAMES_MAX: usize = 65_536;
/// Bytes of small frames that go into one chunk, which is written and acknowledged together.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// A payload of that size is written from where it lies; smaller ones are copied beside their headers.
pub(super) const COPY_BYTES_MAX: usize = 8 * 1024;
/// Chunks in one batch of the writer: 4 MiB of small frames.
pub(super) const BATCH_CHUNKS_MAX: usize = 64;
/// Slices in one vectored write.
pub(super) const SLICES_MAX: usize = 32;
/// Bytes read at once from a connection that is never empty.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// Bytes read at once from one on which little comes.
pub(super) const READ_BYTES_FIRST: usize = 4 * 1024;
/// A writer that has written nothing for so long is woken by one who waits for an answer, as a rule, and by nobody else: it writes at
/// once. To let others speak first costs some microseconds where there are none.
pub(super) const ALONE_AFTER: Span = Span(50);
/// Frames after which an acknowledgement goes out at once.
pub(super) const ACK_FRAMES: u64 = 512;
/// Bytes after which an acknowledgement goes out at once: the sender holds them, and few large frames are as many bytes as it may.
pub(super) const ACK_BYTES: u64 = 1024 * 1024;
/// Connections open at once, on all ports together.
pub(super) const CONNECTIONS_MAX: usize = 1024;
/// Peers known at once: a whole cluster, and its nodes' earlier selves.
pub(super) const PEERS_MAX: usize = 2 * NODES_MAX;
/// Bytes a refused connection may still send before it is cut off.
pub(super) const DRAIN_BYTES_MAX: usize = 64 * 1024;
/// Time it has for that.
pub(super) const DRAIN_FOR: Duration = Duration::from_millis(200);
/// Time in which a client may still read what was queued before its session ended.
pub(super) const LAST_WORDS_FOR: Duration = Duration::from_secs(2);
/// Pairs of cause and address that are remembered as logged.
pub(super) const LOGGED_MAX: usize = 256;

/// Times of the mesh.
#[derive(Debug, Clone, Copy)]
pub struct MeshTimes {
    /// First wait before a redial; doubles.
    pub backoff_first: Duration,
    /// Longest wait before a redial, and the wait after a refusal.
    pub backoff_cap: Duration,
    /// Time to connect.
    pub connect: Duration,
    /// Time for the handshake, and for the first frame of whoever connects.
    pub handshake: Duration,
    /// A broken link is resumed within that time, or its frames are given up.
    pub grace: Duration,
    /// Longest wait before an acknowledgement.
    pub ack: Duration,
    /// A peer that the registry does not know is forgotten after so long without a connection.
    pub forget: Duration,
}

impl Default for MeshTimes {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(50),
            backoff_cap: Duration::from_secs(2),
            connect: Duration::from_secs(1),
            handshake: Duration::from_secs(2),
            grace: Duration::from_secs(2),
            ack: Duration::from_millis(10),
            forget: Duration::from_secs(30),
        }
    }
}

const _: () = assert!(LANE_BYTES_MAX >= 2 * FRAME_BYTES_MAX);
const _: () = assert!(COPY_BYTES_MAX < CHUNK_BYTES);
const _: () = assert!(ACK_FRAMES < LANE_FRAMES_MAX as u64);
const _: () = assert!(ACK_BYTES * 16 <= LANE_BYTES_MAX as u64);

/// Connections that a fault holds open when they have ended.
pub(crate) const LINGERING_MAX: usize = 64;
