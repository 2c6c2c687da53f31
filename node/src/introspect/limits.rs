//! Bounds of the introspection stream, each with the reason for its number.

use std::time::Duration;

/// Process rows a watcher gets unless it asks for another number: more than any screen shows.
pub const PROCESS_ROWS_DEFAULT: usize = 1000;
/// Process rows a watcher can ask for at most.
pub const PROCESS_ROWS_MAX: usize = 100_000;
/// Rows in one frame, encoded: a frame never blocks its connection for long.
pub const PART_BYTES_MAX: usize = 64 * 1024;
/// Between two updates unless the watcher asks for another interval.
pub const INTERVAL_DEFAULT: Duration = Duration::from_millis(250);
/// Longest interval a watcher can ask for.
pub const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Shortest time between two updates, whatever rouses the watcher: 50 a second are more than a screen shows.
pub const GAP_MIN: Duration = Duration::from_millis(20);
/// An update without changes is sent after that long, as a sign of life.
pub const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Between two frames of a detail stream: a person reads no faster.
pub const DETAIL_INTERVAL: Duration = Duration::from_millis(500);
/// How soon the second one comes: by then the process of an exchange has shown how it stands.
pub const DETAIL_SECOND: Duration = Duration::from_millis(100);
/// Longest name of an entity that is looked up; no pid is longer.
pub const ENTITY_BYTES_MAX: usize = 512;
/// Envelopes of a mailbox that are shown.
pub const ENVELOPES_MAX: usize = 16;
/// Events kept for those who come late.
pub const EVENTS_MAX: usize = 4096;
/// Events in one batch.
pub const EVENT_BATCH_MAX: usize = 256;
/// An event's text or subject; longer ones are cut.
pub const EVENT_TEXT_BYTES_MAX: usize = 1024;

const _: () = assert!(PROCESS_ROWS_DEFAULT <= PROCESS_ROWS_MAX);
const _: () = assert!(EVENT_BATCH_MAX <= EVENTS_MAX);
const _: () = assert!(DETAIL_SECOND.as_millis() < DETAIL_INTERVAL.as_millis());
const _: () = assert!(EVENT_BATCH_MAX * 2 * EVENT_TEXT_BYTES_MAX < 4 * 1024 * 1024);
