//! Every bound of the observer in one place, with the reason for the number.

/// Nodes watched at once; Squall's full mesh ends at some 60.
pub const NODES_MAX: usize = 128;
/// Longest name kept for display, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest line of words kept for display, in characters.
pub const TEXT_CHARS_MAX: usize = 400;
/// Events kept over all nodes.
pub const EVENTS_MAX: usize = 5_000;
/// Events of one node waiting for the screen; a node's own ring is of this order.
pub const EVENTS_PENDING_MAX: usize = 2_000;
/// Rows of one node: above it a snapshot is refused rather than kept.
pub const ROWS_PER_NODE_MAX: usize = 250_000;
/// Load samples kept per node, one a second: ten minutes.
pub const LOAD_SAMPLES: usize = 600;
/// Marks (failovers, faults) kept for the charts.
pub const MARKS_MAX: usize = 256;
/// How far back a viewer can go: ten minutes.
pub const HISTORY_MS: u64 = 600_000;
/// Bytes that what was seen may take, about; above it the oldest goes first.
pub const HISTORY_BYTES: usize = 96 * 1024 * 1024;
/// How far one step goes back or on.
pub const STEP_MS: i64 = 1_000;
/// Least time between two whole pictures of what was seen.
pub const KEYFRAME_MS: u64 = 10_000;
/// Longest time between two of them: any moment between is made from the one before.
pub const KEYFRAME_MS_MAX: u64 = 60_000;
/// Seconds of the selected process that are kept.
pub const TRAIL_SECONDS: usize = 60;
/// Largest message accepted from a node; snapshots come in chunks of 64 KiB.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Characters that may be typed into a dialog or the filter.
pub const TYPED_CHARS_MAX: usize = 200;
/// Results and commands waiting for the event loop.
pub const LOOP_QUEUE: usize = 64;
/// Smallest screen that is drawn.
pub const WIDTH_MIN: u16 = 60;
/// Smallest screen that is drawn.
pub const HEIGHT_MIN: u16 = 16;

const _: () = assert!(EVENTS_PENDING_MAX <= EVENTS_MAX);
