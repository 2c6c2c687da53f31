//! What whoever drove a live run did and saw, on the machine's clock: the part of its history that no journal has. What
//! does not live here: the faults on links, which the nodes tell themselves.

use squall_kernel::id::NodeId;
use squall_kernel::time::{Instant, Span};
use squall_node::clock::machine_now;

use crate::history::{Event, What};

/// Collects marks, in order of time.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Times, and ends of faults, on the machine's clock.
    events: Vec<Event>,
    faults: u64,
}

/// A fault that was told of, until it is over.
#[derive(Debug)]
#[must_use = "a fault that is never over is a breach"]
pub struct Acting {
    node: NodeId,
    id: u64,
}

impl Marks {
    /// Something took place now at that node.
    pub fn tell(&mut self, node: NodeId, what: What) {
        let at = machine_now();
        self.events.push(Event { at, node, what });
    }

    /// A fault begins now at that node, and lasts no longer than `ttl`.
    pub fn fault(&mut self, node: NodeId, text: &str, ttl: Span) -> Acting {
        self.faults += 1;
        // Counted from the top: those of journals are hashes, which no count reaches.
        let id = u64::MAX - self.faults;
        let (text, ends_by) = (text.to_owned(), machine_now() + ttl);
        self.tell(node, What::Fault { id, text, ends_by });
        Acting { node, id }
    }

    /// It is over.
    pub fn over(&mut self, Acting { node, id }: Acting) {
        self.tell(node, What::FaultOver { id });
    }

    /// All faults are over and mended, as far as can be seen from outside, and no request is under way: from here on
    /// things must become good again.
    pub fn healed(&mut self) {
        self.tell(NodeId(0), What::Healed);
    }

    /// The marks as events, counted from `zero`.
    pub(super) fn since(&self, zero: Instant) -> Vec<Event> {
        let mut events = self.events.clone();
        for event in &mut events {
            event.at = counted(event.at, zero);
            if let What::Fault { ends_by, .. } = &mut event.what {
                *ends_by = counted(*ends_by, zero);
            }
        }
        events
    }
}

fn counted(at: Instant, zero: Instant) -> Instant {
    Instant(0) + at.since(zero)
}
