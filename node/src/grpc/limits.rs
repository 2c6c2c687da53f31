//! Bounds of the gRPC server, each with the reason for its number: tonic has none of its own.

use std::time::Duration;

use squall_kernel::limits;

/// Largest message taken in: a payload and its fields, as on the mesh.
pub const MESSAGE_BYTES_MAX: usize = limits::FRAME_BYTES_MAX;
/// Largest batch of a session's actions, and largest request without a session: four of the largest frames. So much is read
/// that a payload above its own bound is refused by its id, and that several legal ones travel together; what is beyond is
/// no client's mistake by a byte, and must not fill the memory of a node.
pub const SESSION_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Largest message of the control services: names and texts only.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// Connections at once; further ones are closed.
pub const CONNECTIONS_MAX: usize = 256;
/// Streams of one connection at once.
pub const STREAMS_MAX: u32 = 256;
/// Calls of one connection that wait for their answer at once; further ones are refused.
pub const CALLS_MAX: usize = 256;
/// Watch and event streams of the node at once: each costs a look at all rows four times a second.
pub const WATCHERS_MAX: usize = 64;
/// Detail streams of the node at once: each makes its process keep what it keeps for nobody else.
pub const DETAILS_MAX: usize = 32;
/// Tasks of one page when nothing else is asked for.
pub const TASKS_PAGE_DEFAULT: u32 = 100;
/// Tasks of one page at most: so many keys, tags and words of workers fit a message, and the queue stands still while they
/// are copied, for less than a millisecond.
pub const TASKS_PAGE_MAX: u32 = 1000;
/// Bindings of one page when nothing else is asked for.
pub const BINDINGS_PAGE_DEFAULT: u32 = 100;
/// Bindings of one page at most: the exchange's process puts them together between two messages.
pub const BINDINGS_PAGE_MAX: u32 = 1000;
/// Header list of a call.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Longest call: a request may wait as long as its own timeout, and somewhat for the way.
pub const CALL_TIME_MAX: Duration = Duration::from_millis(limits::REQUEST_TIMEOUT_MS_MAX as u64 + 10_000);
/// A change of the registry: longer than the proposer looks for a leader that takes it.
pub const CHANGE_TIME_MAX: Duration = Duration::from_secs(8);
/// How long the node waits to see its own registry show a change that is committed.
pub const APPLY_TIME_MAX: Duration = Duration::from_secs(1);
/// A connection that is silent for so long is asked for a sign of life…
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// …and closed when none comes.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection whose other end takes nothing for so long is closed: over HTTP/1 nothing else asks for a sign of life.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(30);
/// An empty batch of events is sent after that long, as a sign of life.
pub const EVENTS_SILENCE_MAX: Duration = Duration::from_secs(1);
/// How long open calls may go on when the node stops.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(1);
/// Connections handed over and not taken up.
pub const INCOMING_MAX: usize = 64;

const _: () = assert!(CONTROL_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(CALLS_MAX <= STREAMS_MAX as usize);
