//! What a worker makes of a task: mostly it completes it, sometimes it gives it back, needs more time, is late, or forgets
//! it. Workers that die do so with their handlers' clients (`kill_handler`) and nodes.

use squall_kernel::tasks::Retry;
use squall_kernel::time::Span;

use crate::sim::rng::Rng;

/// A worker's course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Course {
    /// Completes it.
    Confirm,
    /// Gives it back.
    GiveBack(Retry),
    /// Asks for more time, and completes it then.
    Extend {
        /// How much.
        by: Span,
    },
    /// Completes it when its lease is over, by so much, whatever it was told meanwhile.
    Late {
        /// By how much.
        by: Span,
    },
    /// Never says a word.
    Forget,
}

/// What a worker does with a task whose lease is that long.
pub(in crate::sim) fn draw(rng: &mut Rng, lease: Span) -> Course {
    match rng.below(100) {
        0..70 => Course::Confirm,
        70..80 => Course::GiveBack(match rng.below(10) {
            0..4 => Retry::AtOnce,
            4..7 => Retry::After(rng.span(Span(1), Span::from_ms(300))),
            7..9 => Retry::Backoff,
            _ => Retry::Never,
        }),
        80..88 => Course::Extend { by: lease },
        88..97 => Course::Late {
            by: rng.span(Span(1), Span::from_ms(100)),
        },
        _ => Course::Forget,
    }
}
