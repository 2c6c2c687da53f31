//! Bounds and times of the node's data plane, with the reason for each number. The bounds of the kernel and the wire
//! are the kernel's.

use std::time::Duration;

use squall_kernel::limits;
use squall_kernel::time::Span;

/// Items a process takes out of its mailbox before it looks at anything else.
pub const BATCH_MAX: usize = 128;
/// Leaders an owner has proposed and the control plane has not taken up; a lost one is proposed again by the kernel.
pub const APPOINTMENTS_MAX: usize = 1024;
/// Operators' questions about bindings that an exchange's process has not taken up: it takes all of them in its next turn.
pub const BINDING_QUESTIONS_MAX: usize = 256;
/// Unanswered deliveries of a handler that names no number: enough to keep a busy handler fed over a slow link.
pub const CREDIT_DEFAULT: u32 = 256;
/// Largest number of unanswered deliveries a handler may ask for: what its session's mailbox holds.
pub const CREDIT_MAX: u32 = 4096;
/// Open requests of one session.
pub const SESSION_REQUESTS_MAX: usize = 4096;
/// Requests of one session whose responses come in chunks, or whose handlers may ask back: each may hold as many chunks
/// as its credit says.
pub const SESSION_TALKS_MAX: usize = 256;
/// Handlers of one session.
pub const SESSION_HANDLERS_MAX: usize = 1024;
/// Mailbox of a session: all its deliveries or all its outcomes at once, and system messages beside them.
pub const SESSION_MAILBOX: usize = 16_384;
/// Frames or batches on their way to a client's connection.
pub const SESSION_OUT_MAX: usize = 256;
/// Bytes of payload in batches on their way to a gRPC client's connection: one that is larger goes by itself.
pub const SESSION_OUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events in one batch to a gRPC client.
pub const SESSION_BATCH_MAX: usize = 64;
/// Bytes for a client that are written before anything else is done for it.
pub const SESSION_UNWRITTEN_BYTES: usize = 16 * 1024;
/// Turns of a session after which what is to be written is, however little that is: a client whose frames come without end waits for
/// its replies no longer.
pub const SESSION_UNWRITTEN_TURNS: u32 = 4;
/// Turns of a session after which it looks whether its node leaves, whatever else there is to do.
pub const SESSION_SIGNALS_EVERY: u32 = 32;
/// A client that takes nothing for so long is given up.
pub const SESSION_SEND_TIMEOUT: Span = Span::from_ms(10_000);
/// Timeout of a request that names none.
pub const REQUEST_TIMEOUT_DEFAULT: Span = Span::from_ms(5_000);
/// How long a request that certainly was not delivered is tried again: the longest failover a user should have to sit
/// out.
pub const RETRY_FOR: Span = Span::from_ms(2_000);
/// First wait between two tries; doubles.
pub const RETRY_FIRST: Span = Span::from_ms(2);
/// Longest wait between two tries.
pub const RETRY_CAP: Span = Span::from_ms(50);
pub use squall_kernel::limits::ATTACH_CAP;
/// Requests that a full mailbox under `block` holds back for one handler; what is beyond is turned away.
pub const REQUESTS_HELD_MAX: usize = 1024;
/// Events of handlers' panics and exits, and of lost tasks, in the timeline within [`PACED_EVENTS_WINDOW`]; what is beyond
/// is counted.
pub const PACED_EVENTS_MAX: u32 = 10;
/// See [`PACED_EVENTS_MAX`].
pub const PACED_EVENTS_WINDOW: Span = Span::from_ms(10_000);
/// System messages to a node that come within this time travel together.
pub const TELL_EVERY: Span = Span::from_ms(10);
/// For each handler of an exchange it is at least so long. To tell one takes a microsecond or two of its node, and to attach one some
/// tens of them: however many attach at once, they are told a few times.
pub const TELL_EACH: Span = Span(10);
/// Handlers that come or go within that time and are told of one by one. Where there are more, the whole picture is told instead.
pub const TELL_NEWS_MAX: usize = 4096;
/// The same, times the handlers of the node that are told of them: some milliseconds of the node.
pub const TELL_NOTICES_MAX: usize = 16_384;
/// Subscribers of one session.
pub const SESSION_SUBSCRIBERS_MAX: usize = 1024;
/// Bytes of payloads that wait in the mailbox of a subscriber or handler, or for one session: eight of the largest. One
/// always fits. Held back under `block` is as much again.
pub const MAILBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Publishes that a full mailbox under `block` holds back beside what is in it; what is beyond is turned away.
pub const PUBLISHES_HELD_MAX: usize = 1024;
/// How long a new owner of a publish-subscribe exchange waits for the nodes to tell their subscriptions: they are asked
/// at once, so that only nodes that are gone take so long.
pub const SUBSCRIPTIONS_SETTLE: Span = Span::from_ms(1_500);
/// How long a node that gets its publishes from elsewhere lets a proxy go on sending: what was on its way through the proxy
/// is not lost unless its publisher has given up by then.
pub const LEAVE_AFTER: Span = REQUEST_TIMEOUT_DEFAULT;
/// Subscribers of one exchange at one node that wait for what its controller says.
pub const CONTROLLER_ASKED_MAX: u64 = 1024;
/// How often an exchange that is watched in detail shows how it stands: a person reads no faster.
pub const SHOW_EVERY: Span = Span::from_ms(500);
/// Its explained decisions that are kept: some screens full.
pub const DECISIONS_KEPT_MAX: usize = 64;
/// Decisions explained in one [`SHOW_EVERY`]: an explanation looks at every handler, for some 20 ns each. So many cost an exchange
/// with 16 handlers next to nothing, and one with ten thousand about a hundredth of its time.
pub const DECISIONS_A_WINDOW_MAX: u32 = 32;
/// Handlers and groups that it shows: more than a page of a screen, and a frame stays below a hundred kilobytes.
pub const HANDLERS_SHOWN_MAX: usize = 256;
/// Bindings that it shows; pages of all are an operator's question.
pub const BINDINGS_SHOWN_MAX: usize = 32;
/// Bytes that a disk under a fault holds back until they are synced: far more than a commit of the registry. Beyond, the oldest
/// are written.
pub const DISK_HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a torn sync takes longer: long enough to be killed in, short enough for an election to end.
pub const TORN_SYNC_FOR: Duration = Duration::from_millis(40);
/// Messages that faults hold back on their way from owners. Beyond, the oldest go on.
pub const MESSAGES_LATE_MAX: usize = 65_536;
/// Bytes of their payloads, likewise.
pub const MESSAGES_LATE_BYTES_MAX: usize = MAILBOX_BYTES_MAX;
/// Exchanges that go to another owner at once whose failovers become traces: more would fill the queue of spans.
pub const FAILOVERS_TOLD_MAX: usize = 256;
/// Lines of a journal waiting to be written.
pub const JOURNAL_QUEUE: usize = 16_384;

// Publishers try again for as long as a new owner may wait.
const _: () = assert!(SUBSCRIPTIONS_SETTLE.0 < RETRY_FOR.0);
const _: () = assert!(CREDIT_DEFAULT <= CREDIT_MAX);
/// Decisions explained in a window beside those, of requests that are traced: a decision with a trace leads on to it.
pub const TRACED_A_WINDOW_MAX: u32 = 8;
/// Decisions with a trace that are kept although newer ones came: one in a hundred requests is traced.
pub const TRACED_KEPT_MAX: usize = 16;

const _: () = assert!((DECISIONS_A_WINDOW_MAX + TRACED_A_WINDOW_MAX) as usize <= DECISIONS_KEPT_MAX);
const _: () = assert!(TRACED_KEPT_MAX < DECISIONS_KEPT_MAX);
const _: () = assert!(CREDIT_MAX as usize + SESSION_REQUESTS_MAX < SESSION_MAILBOX);
const _: () = assert!(RETRY_FIRST.0 < RETRY_CAP.0 && RETRY_CAP.0 < RETRY_FOR.0);
const _: () = assert!(SESSION_REQUESTS_MAX <= limits::OPEN_REQUESTS_MAX);
const _: () = assert!(
    // The news, and the whole picture with the pids of those who are told it.
    (TELL_NEWS_MAX + limits::HANDLERS_PER_EXCHANGE_MAX) * (limits::TAG_BYTES_MAX + 128)
        < limits::PAYLOAD_BYTES_MAX
);

/// How often a task is tried when neither it nor its exchange says.
pub const TASK_ATTEMPTS_DEFAULT: u32 = 5;
/// How long a worker may keep a task without a word when its exchange does not say.
pub const TASK_LEASE_DEFAULT: Span = Span::from_ms(30_000);
/// First wait of a task that its worker gave back; doubles with every attempt.
pub const TASK_BACKOFF: Span = Span::from_ms(1000);
/// How long after its completion a submit with the same id is still the same task, when its exchange does not say.
pub const TASK_UNIQUE_FOR_DEFAULT: Span = Span::from_ms(300_000);
/// How soon a queue without the right to act is looked at again.
pub const TASK_LOOK_AGAIN: Span = Span::from_ms(100);
