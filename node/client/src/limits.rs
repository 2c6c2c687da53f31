//! Every bound and time of the client, with the reason for its number.

use std::time::Duration;

use squall_kernel::limits::{HANDLERS_PER_EXCHANGE_MAX, NODES_MAX};

/// Frames that wait to be written: some milliseconds of a busy connection; whoever has more waits.
pub(crate) const OUTBOUND_QUEUE: usize = 4096;
/// Frames taken from the queue at once.
pub(crate) const BATCH_FRAMES: usize = 256;
/// A writer that has written nothing for so long is woken by one request alone, as a rule, and writes it at once. To let others speak
/// first costs some microseconds where there are none.
pub(crate) const ALONE_AFTER: Duration = Duration::from_micros(50);
/// Room of the write buffer: a batch of usual payloads; a larger one lets it grow.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;
/// Payloads up to this size are copied into the batch; a larger one is written by itself, uncopied.
pub(crate) const COPY_BYTES_MAX: usize = 16 * 1024;
/// Room made before each read.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Deliveries a handler takes at once unless it says otherwise: one runs, the rest wait here. As many as requesters
/// usually have under way; what is beyond it is rejected as overload.
pub const CREDIT_DEFAULT: u32 = 1024;
/// Most deliveries a handler takes at once.
pub const CREDIT_MAX: u32 = 4096;
/// Most events that wait for one subscription here.
pub(crate) const SUBSCRIPTION_CREDIT_MAX: u32 = 65_536;
/// Notices that wait beside the deliveries; when there are more, the handler attaches again for a fresh snapshot.
pub(crate) const NOTICE_QUEUE: usize = 256;
/// Replies to one request under `default`: one from each handler, and the end.
pub(crate) const REPLIES_QUEUE: usize = HANDLERS_PER_EXCHANGE_MAX + 1;
/// Addresses that may be given: one for each node a cluster can have.
pub(crate) const ADDRESSES_MAX: usize = NODES_MAX;
/// Names of exchanges remembered; beyond it the cache starts anew.
pub(crate) const NAMES_MAX: usize = 4096;

/// Names of nodes remembered, those that left included; beyond it only the members' are kept.
pub(crate) const NODE_NAMES_MAX: usize = 4 * NODES_MAX;

/// First wait after all addresses failed.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// Longest wait between two rounds over all addresses.
pub(crate) const BACKOFF_LAST: Duration = Duration::from_secs(2);
/// A connection that stood this long was a good one: the next failure starts the backoff anew.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(1);
/// The node ends a request at its deadline; its word for it needs this long to arrive.
pub(crate) const OUTCOME_GRACE: Duration = Duration::from_millis(250);
/// How often the members are asked for.
pub(crate) const MEMBERS_EVERY: Duration = Duration::from_secs(5);
/// How long open requests and deliveries may still end on a connection whose node leaves.
pub(crate) const LEAVING_GRACE: Duration = Duration::from_secs(1);
/// Between two looks whether anything is still open on it: what is new waits for the next connection meanwhile.
pub(crate) const LEAVING_LOOK: Duration = Duration::from_millis(2);
/// How long a goodbye may wait for the queue to be written.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How long a notice waits for the names of the nodes in it.
pub(crate) const NAMES_WITHIN: Duration = Duration::from_millis(500);
/// How often a leader's lease is asked for until the node has said how often its cluster needs it: a third of the
/// shortest promise.
pub(crate) const LEASE_EVERY: Duration = Duration::from_millis(40);
/// Wait before a refused call is made again.
pub(crate) const REFUSED_RETRY: Duration = Duration::from_millis(50);
/// Longest wait before a refused attachment is tried again.
pub(crate) const REFUSED_RETRY_LAST: Duration = Duration::from_millis(500);

const _: () = assert!(COPY_BYTES_MAX < BATCH_BYTES);
const _: () = assert!(CREDIT_DEFAULT <= CREDIT_MAX);

/// How soon a worker's word about a task is said again when nobody answers.
pub(crate) const SETTLE_AGAIN: Duration = Duration::from_millis(500);
/// How soon it is said again when an owner could not take it.
pub(crate) const SETTLE_REFUSED: Duration = Duration::from_millis(100);
/// How long a worker's word is said at most.
pub(crate) const SETTLE_FOR: Duration = Duration::from_secs(60);
