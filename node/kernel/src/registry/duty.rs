//! What a live node may be given: weak and draining nodes own nothing, and nodes that are down can be forgotten.
//!
//! What does not live here: who finds a node weak, and voters (they are Raft's members, not the registry's).

use super::{Duty, Pattern, Refused, Registry};
use crate::id::{NodeId, NodeName, Tenure};

impl Registry {
    /// As a loss, but the node lives on: its tenure ends and its exchanges leave; those with tasks move. Refused when nobody could take them:
    /// a weak owner that may become well is better than none.
    pub(super) fn node_weak(&mut self, node: NodeId, tenure: Tenure) -> Result<bool, Refused> {
        let others = self.nodes.values().any(|n| n.id != node && n.may_own());
        let record = self.current(node, tenure)?;
        if !record.is_up() || record.duty == Duty::Weak {
            return Ok(false);
        }
        if !others {
            return Err(Refused::NobodyElse(record.name.clone()));
        }
        record.tenure.0 += 1;
        // One that hands over goes on doing so: what it could not hand over any more is taken from it.
        if record.duty == Duty::Full {
            record.duty = Duty::Weak;
        }
        self.cancel_moves_to(node);
        self.move_tasks_of(node);
        let others = self.owned_by(node).filter(|e| e.pattern != Pattern::Task);
        let others = others.map(|e| e.id).collect();
        self.leave_exchanges(others);
        Ok(true)
    }

    pub(super) fn node_fit(&mut self, node: NodeId, tenure: Tenure) -> Result<bool, Refused> {
        let record = self.current(node, tenure)?;
        if !record.is_up() || record.duty != Duty::Weak {
            return Ok(false);
        }
        record.duty = Duty::Full;
        self.adopt_orphans();
        Ok(true)
    }

    pub(super) fn drain(&mut self, name: &NodeName, leave: bool) -> Result<bool, Refused> {
        let node = self.named(name)?;
        let others = self.nodes.values().any(|n| n.id != node && n.may_own());
        let owns = self.owned_by(node).next().is_some();
        let Some(record) = self.nodes.get_mut(&node) else {
            return Err(Refused::UnknownNode(node));
        };
        if !record.is_up() {
            return Err(Refused::NodeDown(name.clone()));
        }
        if owns && !others {
            return Err(Refused::NobodyElse(name.clone()));
        }
        let leave = leave || record.duty == Duty::Draining { leave: true };
        let wanted = Duty::Draining { leave };
        let changes = record.duty != wanted;
        record.duty = wanted;
        self.cancel_moves_to(node);
        Ok(changes)
    }

    pub(super) fn remove_node(&mut self, name: &NodeName) -> Result<bool, Refused> {
        let node = self.named(name)?;
        if self.nodes.get(&node).is_some_and(super::NodeRecord::is_up) {
            return Err(Refused::NodeUp(name.clone()));
        }
        self.forget_node(node);
        Ok(true)
    }

    /// Whatever its data directory comes back as, its tenures are not used again.
    pub(super) fn forget_node(&mut self, node: NodeId) {
        if let Some(removed) = self.nodes.remove(&node) {
            self.tenures_used = self.tenures_used.max(removed.tenure);
            self.forget_proxy(node);
        }
    }

    fn named(&self, name: &NodeName) -> Result<NodeId, Refused> {
        self.node_named(name.as_str())
            .map(|n| n.id)
            .ok_or_else(|| Refused::UnknownNodeName(name.as_str().into()))
    }
}
