//! Every bound of the observer in one place, with the reason for the number.

/// Nodes watched at once; Squall's full mesh ends at some 60.
pub const NODES_MAX: usize = 128;
/// Longest name kept for display, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest line of words kept for display, in characters.
pub const TEXT_CHARS_MAX: usize = 400;
/// Longest paragraph kept for display, in characters: what a scenario teaches, and an event of a breach, are shown in full.
pub const PARAGRAPH_CHARS_MAX: usize = 2_000;
/// Invariants that a console may judge.
pub const INVARIANTS_MAX: usize = 64;
/// Things that a console may count as having happened or not.
pub const SEEN_MAX: usize = 256;
/// Scenarios that a console may offer.
pub const SCENARIOS_MAX: usize = 256;
/// Steps of one of them.
pub const STEPS_MAX: usize = 256;
/// Lines kept of a run, the newest.
pub const RUN_LINES_MAX: usize = 500;
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
pub const HISTORY_BYTES: usize = 160 * 1024 * 1024;
/// Bytes of what came that may wait to be put away, about; above it what was seen before is forgotten.
pub const KEEPER_BYTES: usize = 64 * 1024 * 1024;
/// Of processes the newest of so long a time is kept.
pub const HISTORY_STEP_MS: u64 = 1_000;
/// How far one step goes back or on.
pub const STEP_MS: i64 = 1_000;
/// Least time between two whole pictures of what was seen.
pub const KEYFRAME_MS: u64 = 10_000;
/// Longest time between two of them: any moment between is made from the one before.
pub const KEYFRAME_MS_MAX: u64 = 60_000;
/// Bytes, before they are packed, after which there is another one: what comes between is gone through to show a moment.
pub const KEYFRAME_BYTES: usize = 16 * 1024 * 1024;
/// Steps that a viewer can go back through rows and pages.
pub const BACK_MAX: usize = 32;
/// Seconds of the selected process that are kept.
pub const TRAIL_SECONDS: usize = 60;
/// Largest message accepted from a node; snapshots come in chunks of 64 KiB.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Characters that may be typed into a dialog or the filter.
pub const TYPED_CHARS_MAX: usize = 200;
/// Results and commands waiting for the event loop.
pub const LOOP_QUEUE: usize = 64;
/// Traces kept.
pub const TRACES_MAX: usize = 2_000;
/// Bytes that all traces may take, about.
pub const TRACES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of traces that are looked through for a text at once: some milliseconds, so that no key waits for all of them.
pub const SEARCH_BYTES: usize = 4 * 1024 * 1024;
/// Spans kept of one trace.
pub const SPANS_PER_TRACE_MAX: usize = 5_000;
/// Bytes that one trace may take, about: one alone does not push all others out.
pub const TRACE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of attributes and events kept of one span.
pub const SPAN_BYTES_MAX: usize = 32 * 1024;
/// Attributes kept of one span, event or process.
pub const ATTRIBUTES_MAX: usize = 64;
/// Events kept of one span.
pub const SPAN_EVENTS_MAX: usize = 32;
/// Largest export that the OTLP receiver takes; exporters send 512 spans at once.
pub const OTLP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections to the OTLP receiver: one a node, and some more.
pub const OTLP_CONNECTIONS_MAX: usize = 256;
/// Exports of one connection taken at once.
pub const OTLP_CALLS_MAX: usize = 4;
/// Spans handed to the screen at once, so that a key never waits for more.
pub const SPANS_AT_ONCE: usize = 512;
/// Parts of so many spans that wait for the screen.
pub const SPANS_QUEUE: usize = 64;
/// Exports that wait to be forwarded.
pub const FORWARD_QUEUE: usize = 256;
/// Bytes that they may take.
pub const FORWARD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest answer of a Jaeger that is read.
pub const JAEGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Services of a Jaeger that are asked for.
pub const JAEGER_SERVICES_MAX: usize = 16;
/// Traces asked of a Jaeger for one service at once.
pub const JAEGER_TRACES_MAX: usize = 100;
/// Smallest screen that is drawn.
pub const WIDTH_MIN: u16 = 60;
/// Smallest screen that is drawn.
pub const HEIGHT_MIN: u16 = 16;

const _: () = assert!(EVENTS_PENDING_MAX <= EVENTS_MAX);
const _: () = assert!(TRACE_BYTES_MAX <= TRACES_BYTES_MAX && SPAN_BYTES_MAX <= TRACE_BYTES_MAX);
const _: () = assert!(JAEGER_TRACES_MAX * JAEGER_SERVICES_MAX <= TRACES_MAX);
