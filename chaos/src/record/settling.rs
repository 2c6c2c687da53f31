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
#[derive(Debug, Default)]
pub(super) struct Settler {
    seen: SameRevision,
    due: Option<Instant>,
    last: Option<Instant>,
}

impl Settler {
    /// Takes the next event; gives it, behind a `Settled` where one belongs before it.
    pub(super) fn pass(&mut self, event: Event) -> (Option<Event>, Event) {
        let settled = self.settled(&event);
        match event.what {
            What::Healed => self.due = Some(event.at + SETTLE_WITHIN),
            // The run is being ended: there is nothing to wait for any more.
            What::Ended { graceful: true } => self.due = None,
            _ => {}
        }
        // Only how things stand is wanted of it, not its verdict.
        let _judged_later = self.seen.see(&event);
        self.last = Some(event.at);
        (settled, event)
    }

    fn settled(&mut self, event: &Event) -> Option<Event> {
        let by = self.due?;
        let last = self.last.unwrap_or(event.at);
        // Events at one time are one moment.
        let good = event.at > last && self.seen.is_good(last);
        let over = event.at > by || matches!(event.what, What::Fault { .. });
        if !good && !over {
            return None;
        }
        self.due = None;
        Some(at(if good { last } else { event.at.min(by) }))
    }
}

fn at(at: Instant) -> Event {
    let (node, what) = (NodeId(0), What::Settled);
    Event { at, node, what }
}
