//! Where faults act or nodes come and go, and where they just did: what may be asked of a cluster only while it is left alone.

use std::collections::BTreeMap;

use squall_kernel::id::NodeId;
use squall_kernel::time::{Instant, Span};

use crate::history::{Event, What};

/// After the end of a fault what it held back still arrives for so long.
const AFTER_A_FAULT: Span = Span::from_ms(500);

/// The faults as the events tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Calm {
    acting: BTreeMap<u64, NodeId>,
    /// When the last fault at a node ended, or a run of it began or ended.
    over: BTreeMap<NodeId, Instant>,
}

impl Calm {
    pub(super) fn see(&mut self, event: &Event) {
        match &event.what {
            What::Fault { id, .. } => {
                self.acting.insert(*id, event.node);
            }
            What::FaultOver { id } => {
                self.acting.remove(id);
                self.over.insert(event.node, event.at);
            }
            What::Started { .. } | What::Ended { .. } => {
                self.over.insert(event.node, event.at);
            }
            _ => {}
        }
    }

    /// True when nothing acts or has just acted anywhere but at that node.
    pub(super) fn but_for(&self, node: NodeId, now: Instant) -> bool {
        let settled = |(other, at): (&NodeId, &Instant)| *other == node || now >= *at + AFTER_A_FAULT;
        self.acting.values().all(|other| *other == node) && self.over.iter().all(settled)
    }
}
