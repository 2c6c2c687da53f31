//! Bounds of the supervisor, the guard and the fault client, with the reason for each number.

use std::time::Duration;

pub use squall_kernel::fault::{TTL_DEFAULT, TTL_MAX};
use squall_kernel::time::Span;

/// Nodes get this long to end by themselves after SIGTERM; they have state to hand over.
pub const END_GRACE: Span = Span::from_ms(3_000);
/// Nodes get this long when their supervisor died: with it, everything is gone within two seconds.
pub const ORPHAN_GRACE: Duration = Duration::from_millis(700);
/// The guard answers a line within this time, or counts as lost; it has nothing else to do.
pub const GUARD_ANSWER: Duration = Duration::from_secs(2);
/// First pause before a child that ended by itself is started again; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Span = Span::from_ms(200);
/// Longest such pause.
pub const BACKOFF_MAX: Span = Span::from_ms(10_000);
/// A child that ran this long was not broken from the start: its next failure counts as the first.
pub const STEADY: Span = Span::from_ms(10_000);
/// Commands that wait for the supervisor; more callers wait in turn.
pub const COMMANDS_MAX: usize = 64;
/// Events kept for a slow reader of the supervisor's events.
pub const EVENTS_MAX: usize = 256;
/// A node's log file is set aside at its next start when it is larger.
pub const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The end of a log file that is searched for a node's last words.
pub const LAST_WORDS_BYTES: u64 = 4096;
/// Unix socket paths are shorter than `sun_path`, which has 108 bytes on Linux and 104 elsewhere.
pub const SOCKET_PATH_BYTES_MAX: usize = 103;
/// A live node on a local or near network accepts a connection within this time.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
/// A live node answers a fault call within this time; a dead one is reported after it.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Whoever asks all nodes how they see their cluster waits so long for others when one has answered.
pub const OTHERS_WITHIN: Duration = Duration::from_millis(200);
/// The supervisor answers an action when it is done: a SIGKILL of a process in disk IO takes a while.
pub const ACT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `halt` looks until nothing remains before it says what does.
pub const HALT_VERIFY: Duration = Duration::from_secs(5);
/// Time between two such looks.
pub const HALT_LOOK: Duration = Duration::from_millis(100);
/// How long a new supervisor waits for the end of one before it in the same directory.
pub const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Time between two tries.
pub const LOCK_LOOK: Duration = Duration::from_millis(20);
/// Calls at a time on one connection of the supervisor's socket.
pub const SOCKET_CALLS_MAX: usize = 16;
/// Grants that a checker remembers: more than the exchanges and epochs of any run that fits into a test.
pub const GRANTS_REMEMBERED: usize = 65_536;
/// Handlers whose highest epochs a checker remembers.
pub const HANDLERS_REMEMBERED: usize = 65_536;
/// Requests that a checker remembers, open ones and ended ones: some seconds of a busy live run, in a hundred MiB or so.
pub const REQUESTS_REMEMBERED: usize = 65_536;
/// Copies of publishes whose confirm is awaited, in all: ten seconds of 500 subscribers and 200 publishes a second, in some 30 MiB.
pub const COPIES_REMEMBERED: usize = 16 * REQUESTS_REMEMBERED;
/// Patterns that a checker remembers of what a node asked for, of one exchange: each frame to it is compared with all of them.
pub const PATTERNS_REMEMBERED: usize = 1_024;
/// Tasks that a checker remembers.
pub const TASKS_REMEMBERED: usize = 65_536;
/// Views of owners that a checker remembers to compare those of handlers with.
pub const VIEWS_REMEMBERED: usize = 16_384;
/// Periods without a change of handlers, each in one group, over which turns are counted at a time.
pub const TURNS_REMEMBERED: usize = 4_096;
/// Registry revisions whose contents a checker remembers.
pub const REVISIONS_REMEMBERED: usize = 65_536;
/// Faults that a checker follows at a time.
pub const FAULTS_REMEMBERED: usize = 4_096;
/// A file of the corpus: a plan is some kilobytes.
pub const CORPUS_BYTES_MAX: u64 = 1024 * 1024;
/// How long after its end a fault may still be seen: a node under load finds its timers late by tens of milliseconds.
pub const FAULT_GRACE: Span = Span::from_ms(500);

const _: () = assert!(BACKOFF_MIN.0 < BACKOFF_MAX.0);
const _: () = assert!(ORPHAN_GRACE.as_millis() < 2_000);
const _: () = assert!(CALL_TIMEOUT.as_millis() >= CONNECT_TIMEOUT.as_millis());
/// What a node may have told its judge that it has not read yet: a second or so of a busy node.
pub const PIPE_BYTES: usize = 1024 * 1024;
/// Broken invariants that the nodes have not been told of yet: more than there are, and each is told of once.
pub const BREACHES_MAX: usize = 64;
/// Between two questions to the judge of a cluster that runs already.
pub const VERDICTS_EVERY: Duration = Duration::from_millis(250);
/// Between two questions of a console to the judge.
pub const BAR_EVERY: Duration = Duration::from_secs(1);
