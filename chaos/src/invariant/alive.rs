//! Which nodes run, and to which cluster each belongs: what several checkers need.

use std::collections::BTreeMap;

use squall_kernel::id::{ClusterId, NodeId};

use crate::history::{Event, What};

#[derive(Debug, Clone, Copy, Default)]
struct Life {
    runs: bool,
    paused: bool,
    cluster: Option<ClusterId>,
}

/// The nodes as the events tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Alive {
    nodes: BTreeMap<NodeId, Life>,
}

impl Alive {
    pub(super) fn see(&mut self, event: &Event) {
        let life = match &event.what {
            What::Started { .. }
            | What::Ended { .. }
            | What::Paused
            | What::Resumed
            | What::Applied { .. }
            | What::Command { .. } => self.nodes.entry(event.node).or_default(),
            _ => return,
        };
        match &event.what {
            What::Started { .. } => (life.runs, life.paused) = (true, false),
            What::Ended { .. } => life.runs = false,
            What::Paused => life.paused = true,
            What::Resumed => life.paused = false,
            What::Applied { cluster, .. } | What::Command { cluster, .. } => life.cluster = Some(*cluster),
            _ => {}
        }
    }

    /// The cluster of a node, as it last said; none before it said so.
    pub(super) fn cluster(&self, node: NodeId) -> Option<ClusterId> {
        self.nodes.get(&node).and_then(|life| life.cluster)
    }

    /// Nodes that run and do not stand still.
    pub(super) fn running(&self) -> impl Iterator<Item = NodeId> {
        self.nodes
            .iter()
            .filter(|(_, life)| life.runs && !life.paused)
            .map(|(node, _)| *node)
    }
}
