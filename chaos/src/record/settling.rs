//! Where a live run had settled after a heal. A simulator stops when it sees that nothing is on its way; nobody sees that
//! in a live run while it goes on, but its history shows it.

use squall_kernel::id::NodeId;
use squall_kernel::time::{Instant, Span};

use crate::history::{Event, What};
use crate::invariant::{Invariant as _, SameRevision};

/// How long a live cluster may take after a heal: elections, promises and round trips of the slowest profile, on a machine
/// that has other things to do.
pub(super) const SETTLE_WITHIN: Span = Span::from_ms(20_000);

/// Puts `Settled` behind every `Healed` of a history: where all was good for the first time, or else where it had to be,
/// which is [`SETTLE_WITHIN`] later or when the next fault begins.
pub(super) fn settle(history: Vec<Event>) -> Vec<Event> {
    let mut seen = SameRevision::default();
    let mut settled = Vec::with_capacity(history.len());
    let mut due: Option<Instant> = None;
    for event in history {
        if let Some(by) = due {
            let last = settled.last().map_or(event.at, |last: &Event| last.at);
            // Events at one time are one moment.
            let good = event.at > last && seen.is_good(last);
            let over = event.at > by || matches!(event.what, What::Fault { .. });
            if good || over {
                settled.push(at(if good { last } else { event.at.min(by) }));
                due = None;
            }
        }
        match event.what {
            What::Healed => due = Some(event.at + SETTLE_WITHIN),
            // The run is being ended: there is nothing to wait for any more.
            What::Ended { graceful: true } => due = None,
            _ => {}
        }
        // Only how things stand is wanted of it, not its verdict.
        let _judged_later = seen.see(&event);
        settled.push(event);
    }
    settled
}

fn at(at: Instant) -> Event {
    let (node, what) = (NodeId(0), What::Settled);
    Event { at, node, what }
}
