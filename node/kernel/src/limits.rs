//! Every bound of the kernel and the wire, with the reason for its number and const asserts between
//! those that depend on each other.

use crate::time::Span;

/// Names appear in tables and paths; 64 bytes still fit a column.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// As RabbitMQ and AMQP short strings: a length fits one byte.
pub const EXCHANGE_NAME_BYTES_MAX: usize = 255;
/// Bytes of the name of a zone.
pub const ZONE_NAME_BYTES_MAX: usize = 64;
/// As long as a node's: both stand in the same tables.
pub const FUNCTION_NAME_BYTES_MAX: usize = 64;
/// Functions that one node is started with: they travel with its introduction.
pub const FUNCTIONS_PER_NODE_MAX: usize = 64;
/// A script that is longer than a few pages is a program, and belongs into a service.
pub const SCRIPT_BYTES_MAX: usize = 16 * 1024;
/// All scripts together: they are a part of every snapshot of the registry.
pub const SCRIPTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Signatures bound to handlers, in one exchange, and remembered of one handler. Full, it refuses new ones: to forget one
/// would break the promise that it keeps its handler.
pub const BINDINGS_MAX: usize = 65_536;
/// Candidates shown of one explained decision beside whoever is picked: what a person reads through, and 64 decisions of them
/// fit a frame.
pub const CANDIDATES_SHOWN_MAX: usize = 16;
/// Changes of bindings that operators wait for at once, in one exchange: a person makes some, a program that rebinds
/// thousands waits for each.
pub const BINDING_CHANGES_MAX: usize = 64;
/// Words to handlers' nodes about bindings that are not answered, in one exchange: two for each change, and as many of changes
/// that ended in doubt. At the bound no further change begins.
pub const BINDING_WORDS_MAX: usize = 4 * BINDING_CHANGES_MAX;
/// Exchanges named in one roll: some dozens of kilobytes.
pub const ROLL_MAX: usize = 4096;
/// A tag's length is one byte on the wire.
pub const TAG_BYTES_MAX: usize = 255;
/// A reason or error text that crosses the wire.
pub const REASON_BYTES_MAX: usize = 1024;
/// Largest frame, header included. Larger payloads belong into chunks: a frame is held whole in memory at
/// each hop and blocks its lane while it is written.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest payload: what remains of the frame beside header, tags and a reason.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;
/// Largest chunk of a response, question or answer to one.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Chunks of one response under way: two of the largest frames in all, whatever the requester asks for.
pub const CHUNK_CREDIT_MAX: u32 = 64;
/// Questions that a handler asks back within one request: more are a session of their own.
pub const QUESTIONS_MAX: u32 = 64;
/// Chunk of a registry snapshot: short enough that a heartbeat behind it is not late.
pub const SNAPSHOT_CHUNK_BYTES: usize = 64 * 1024;
/// Largest registry snapshot that is sent: 100 000 exchanges of 600 bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Nodes in one cluster: the full mesh grows with the square (features A95: 40 to 140 in the field).
pub const NODES_MAX: usize = 64;
/// Exchanges in one cluster.
pub const EXCHANGES_MAX: usize = 100_000;
/// Handlers attached to one exchange.
pub const HANDLERS_PER_EXCHANGE_MAX: usize = 10_000;
/// Names in a failover list: no longer than the cluster.
pub const FAILOVER_LIST_MAX: usize = NODES_MAX;
/// Epochs that a recovery leaves out: an epoch grows by one or two with a failover, and no lost majority did a million
/// of them unseen.
pub const RECOVERY_EPOCHS: u64 = 1 << 20;
/// Exchange numbers that a recovery leaves out; 65 535 recoveries fit.
pub const RECOVERY_EXCHANGES: u32 = 1 << 16;
/// Voters are 1, 3 or 5: more only slows the quorum down.
pub const VOTERS_MAX: usize = 5;
/// Exchanges that move at the same time by themselves: each holds its requests back for some milliseconds.
pub const MOVES_AT_ONCE_MAX: usize = 16;
/// Requests that a node keeps open for its own requesters.
pub const OPEN_REQUESTS_MAX: usize = 262_144;
/// Recent routes an owner remembers, to tell requesters of those that a dead node held.
pub const RECENT_ROUTES_MAX: usize = 4096;
/// Exchanges in front of one.
pub const MIDDLEWARE_MAX: usize = 8;
/// Mailbox of a process unless it asks for another.
pub const MAILBOX_BOUND: usize = 4096;
/// Payload of a task: with what belongs to it, it travels to the backup in one message.
pub const TASK_PAYLOAD_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - 4096;
/// A submitter's own id of a task: it travels in a tag, beside four numbers.
pub const UNIQUE_BYTES_MAX: usize = 200;
/// Open tasks of one exchange.
pub const TASKS_MAX: usize = 100_000;
/// Bytes of one exchange's open tasks: they are held in memory by two nodes, and travel whole to a new backup.
pub const TASK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Submits that one queue holds back until there is room; their bytes are bounded by [`TASK_BYTES_MAX`].
pub const SUBMITS_HELD_MAX: usize = 1024;
/// Dead letters that an exchange keeps; the oldest make room.
pub const DEAD_LETTERS_MAX: usize = 1000;
/// Bytes of the dead letters that an exchange keeps.
pub const DEAD_LETTER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Finished tasks that an exchange remembers, to know late completions and second submits for what they are: six seconds
/// at 10 000 tasks a second.
pub const FINISHED_TASKS_MAX: usize = 65_536;
/// Changes of a task queue that its backup has not acknowledged; above that it turns tasks away.
pub const TASK_CHANGES_PENDING_MAX: usize = 16_384;
/// Entries on their way to a backup.
pub const TASK_ENTRIES_IN_FLIGHT_MAX: u64 = 1024;
/// Bytes on their way to a backup, a single larger entry apart.
pub const TASK_BYTES_IN_FLIGHT_MAX: usize = 1024 * 1024;
/// Entries in one batch to a backup.
pub const TASK_BATCH_MAX: u64 = 256;
/// Tasks for which a scheduler is asked at the same time.
pub const SCHEDULE_ASKS_MAX: usize = 1024;
/// Workers named to a scheduler with one question.
pub const SCHEDULE_CANDIDATES_MAX: usize = 32;
/// Leases and deadlines that end in one step: some milliseconds' work.
pub const TASK_ENDS_AT_ONCE_MAX: usize = 4096;
/// Dead letters passed on in one step.
pub const FORWARDS_AT_ONCE_MAX: usize = 64;
/// What a worker says on giving a task back, in bytes.
pub const GIVE_BACK_TEXT_BYTES_MAX: usize = 256;
/// Restarts of a handler that are remembered, so the most its policy may allow.
pub const RESTARTS_MAX: u32 = 1000;
/// Longest wait before a task that was given back is tried again, and longest prolongation of a lease.
pub const TASK_WAIT_MAX: Span = Span::from_ms(3_600_000);
/// How long a scheduler has to name a worker.
pub const SCHEDULE_WAIT: Span = Span::from_ms(250);
/// How long a worker gets no task that had no room for one, or was not reached: so long its queue counts it as full.
pub const UNSEEN_PAUSE: Span = Span::from_ms(100);
/// Wait before a scheduler that gives a task to nobody is asked again.
pub const SCHEDULE_PAUSE: Span = Span::from_ms(250);
/// Wait before entries that the backup did not acknowledge are sent again.
pub const TASK_RESEND: Span = Span::from_ms(500);
/// Wait before a dead letter that was not taken elsewhere is passed on again.
pub const FORWARD_RESEND: Span = Span::from_ms(2_000);
/// Samples in a failure detector's window.
pub const PHI_WINDOW: usize = 64;
/// Exchanges that send a request on, one to the next: more are a circle.
pub const REDIRECTS_MAX: u8 = 8;
/// Middleware that one request goes through at most, all exchanges that it is sent on to taken together: two exchanges with
/// eight each that have one each in front of themselves.
pub const MIDDLEWARE_STEPS_MAX: u8 = 32;
/// A routing key travels as a tag; megabytes of key are refused before anything is copied.
pub const KEY_BYTES_MAX: usize = TAG_BYTES_MAX;
/// Wildcards in one pattern: each may double the ways through a key.
pub const KEY_WILDCARDS_MAX: usize = 16;
/// Different patterns that one exchange has at one node, of its subscribers and of the nodes it serves.
pub const PATTERNS_PER_EXCHANGE_MAX: usize = 100_000;
/// Segments of all patterns with wildcards in one trie, those that patterns share counted once: some 50 to 140 MB.
pub const PATTERN_PLACES_MAX: usize = 500_000;
/// Those of them that one hostile key could reach all at once: a match then takes some milliseconds with 128 segments, a
/// microsecond with five.
pub const PATTERN_BUSY_PLACES_MAX: usize = 16_384;
/// Subscriptions (connection tag and pattern) of one subscriber.
pub const PATTERNS_PER_SUBSCRIBER_MAX: usize = 1024;
/// Subscribers of one exchange on one node: ten times what the largest figure asks for (A34).
pub const SUBSCRIBERS_PER_NODE_MAX: usize = 100_000;
/// Subscriptions of one exchange on one node, of some 100 bytes each.
pub const SUBSCRIPTIONS_PER_NODE_MAX: usize = 1_000_000;
/// Patterns in one announcement of interest: a megabyte at most, so that a heartbeat behind it is not late.
pub const INTEREST_PATTERNS_MAX: usize = 4096;
/// Latest events that a node remembers, so that none arrives twice while its subscriptions go over to another proxy.
pub const ARRIVALS_MAX: usize = 4096;
/// Ids in a de-duplication window, of at most 255 bytes each.
pub const DEDUP_IDS_MAX: usize = 65_536;
/// Messages that may overtake a waiting one of lower priority in a row.
pub const OVERTAKEN_MAX: u32 = 64;
/// Longest deadline of a request, in milliseconds: one hour.
pub const REQUEST_TIMEOUT_MS_MAX: u32 = 3_600_000;

/// First wait before an unconfirmed attachment is sent again; doubles.
pub const ATTACH_FIRST: Span = Span::from_ms(10);
/// Longest wait before an unconfirmed attachment is sent again.
pub const ATTACH_CAP: Span = Span::from_ms(250);

/// How long the nodes that a change of a binding needs may take. As long as requests are tried again that wait for it.
pub const BINDING_WAIT: Span = Span::from_ms(2000);
/// After that long a word about a binding that is not answered is said again.
pub const BINDING_WORD_AGAIN: Span = Span::from_ms(500);

/// Clocks of two machines run at rates that differ by less than this, in parts per million; quartz is within
/// 100, the rest is for virtual machines.
pub const DRIFT_PPM: u64 = 10_000;

const _: () = assert!(PAYLOAD_BYTES_MAX + REASON_BYTES_MAX + 4 * TAG_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MAX * CHUNK_CREDIT_MAX as usize <= 2 * FRAME_BYTES_MAX);
const _: () = assert!(SNAPSHOT_CHUNK_BYTES * 2 < FRAME_BYTES_MAX);
const _: () = assert!(SCRIPTS_BYTES_MAX * 4 <= SNAPSHOT_BYTES_MAX);
// A signature takes up to ten bytes in a message, and every handler is named once.
const _: () = assert!(BINDINGS_MAX * 10 + HANDLERS_PER_EXCHANGE_MAX * 300 < PAYLOAD_BYTES_MAX);
const _: () = assert!(VOTERS_MAX <= NODES_MAX);
const _: () = assert!(DRIFT_PPM < 100_000);
// An announcement of the longest patterns fits a frame.
const _: () = assert!(INTEREST_PATTERNS_MAX * (KEY_BYTES_MAX + 2) < PAYLOAD_BYTES_MAX);
// A place for each pattern at least, and numbers of 32 bits for all of them.
const _: () =
    assert!(PATTERNS_PER_EXCHANGE_MAX < PATTERN_PLACES_MAX && PATTERN_PLACES_MAX < u32::MAX as usize);
const _: () = assert!(SUBSCRIPTIONS_PER_NODE_MAX < u32::MAX as usize);
// The nodes that are interested in a pattern are the bits of one word.
const _: () = assert!(NODES_MAX <= u64::BITS as usize);
const _: () = assert!(TASK_BATCH_MAX <= TASK_ENTRIES_IN_FLIGHT_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX + REASON_BYTES_MAX + 3 * TAG_BYTES_MAX + 1024 < FRAME_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX <= DEAD_LETTER_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX <= TASK_BYTES_MAX);
