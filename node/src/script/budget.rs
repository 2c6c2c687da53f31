//! What one run of a script may use: operations, which count alike on every machine, and processor time, which is the
//! last bound and is never met by a script within the first.
//!
//! What does not live here: bounds of sizes (`language`).

use std::cell::Cell;
use std::time::Duration;

use rhai::Dynamic;
use rustix::time::{ClockId, clock_gettime};

/// Operations of one run: below a millisecond in most programs, some milliseconds in the worst that are known
/// (`cargo bench -p squall-node --bench functions` has them).
pub const OPERATIONS_MAX: u64 = 10_000;
/// Processor time of one run, after which it is cut. Time during which the thread does not run does not count: a
/// busy machine does not change what scripts answer.
pub const TIME_MAX: Duration = Duration::from_millis(20);
/// Bytes that a function of the language passes over for one operation more.
const BYTES_PER_OPERATION: usize = 64;
/// Operations between two looks at the clock. Most scripts end before the first one.
const LOOK_EVERY: u64 = 64;

thread_local! {
    /// A run stays on its thread.
    static RUN: Cell<Run> = const { Cell::new(Run { spent: 0, first_look: None }) };
}

#[derive(Debug, Clone, Copy)]
struct Run {
    /// Operations beside those that the engine counts.
    spent: u64,
    first_look: Option<Duration>,
}

/// A run begins.
pub(super) fn begin() {
    RUN.set(Run {
        spent: 0,
        first_look: None,
    });
}

/// A function of the language passes over that many bytes.
pub(super) fn spend(bytes: usize) {
    let mut run = RUN.get();
    run.spent += (bytes / BYTES_PER_OPERATION) as u64;
    RUN.set(run);
}

/// Says why the run is cut, if it is; called at every operation with their number.
pub(super) fn look(operations: u64) -> Option<Dynamic> {
    let mut run = RUN.get();
    if operations + run.spent > OPERATIONS_MAX {
        return Some(format!("it needs more than {OPERATIONS_MAX} operations").into());
    }
    if !operations.is_multiple_of(LOOK_EVERY) {
        return None;
    }
    let now = processor_time();
    let Some(first) = run.first_look else {
        run.first_look = Some(now);
        RUN.set(run);
        return None;
    };
    (now.saturating_sub(first) > TIME_MAX).then(|| format!("it needs more than {TIME_MAX:?}").into())
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
