//! How much each node has to serve, for what goes to the one with least to do. Counted once for all that one command, or one look,
//! gives away: counted for each exchange again, the loss of a node with very many would take their number squared.

use alloc::collections::BTreeMap;

use super::{ExchangeRecord, Registry};
use crate::id::NodeId;

/// What nodes have to serve, by a registry. Counted when it is first asked for.
#[derive(Debug, Default)]
pub struct Loads {
    /// Exchanges that a node owns, or is about to by a move.
    owned: Option<BTreeMap<NodeId, usize>>,
    /// Exchanges of whose tasks it has the second copy.
    copies: Option<BTreeMap<NodeId, usize>>,
}

impl Loads {
    /// Exchanges that the node owns, or is about to by a move.
    pub(super) fn owned(&mut self, registry: &Registry, node: NodeId) -> usize {
        let counted = self
            .owned
            .get_or_insert_with(|| count(registry, |e| e.moving.map_or(e.owner, |m| Some(m.to))));
        counted.get(&node).copied().unwrap_or(0)
    }

    /// The same, and exchanges of whose tasks it has the second copy.
    pub(super) fn with_copies(&mut self, registry: &Registry, node: NodeId) -> usize {
        let counted = self.copies.get_or_insert_with(|| count(registry, |e| e.backup));
        let copies = counted.get(&node).copied().unwrap_or(0);
        copies + self.owned(registry, node)
    }

    /// The node owns one more.
    pub(super) fn took(&mut self, node: NodeId) {
        add(&mut self.owned, node);
    }

    /// A second copy is at another node than before.
    pub(super) fn copy_went(&mut self, from: Option<NodeId>, to: Option<NodeId>) {
        if let Some(copies) = from.and_then(|from| self.copies.as_mut()?.get_mut(&from)) {
            *copies = copies.saturating_sub(1);
        }
        if let Some(to) = to {
            add(&mut self.copies, to);
        }
    }
}

fn count(registry: &Registry, of: impl Fn(&ExchangeRecord) -> Option<NodeId>) -> BTreeMap<NodeId, usize> {
    let mut counted = BTreeMap::new();
    for node in registry.exchanges.values().filter_map(of) {
        *counted.entry(node).or_default() += 1;
    }
    counted
}

fn add(counted: &mut Option<BTreeMap<NodeId, usize>>, node: NodeId) {
    if let Some(counted) = counted {
        *counted.entry(node).or_default() += 1;
    }
}
