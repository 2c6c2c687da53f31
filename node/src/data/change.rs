//! What is different between two states of the registry, as far as the data plane cares.

use std::sync::Arc;

use squall_kernel::id::{Boot, ExchangeId, NodeId};
use squall_kernel::registry::{ExchangeRecord, NodeRecord, Registry};
use squall_kernel::shared::Changed;

/// A change of the registry.
pub struct Change {
    /// Before.
    pub old: Arc<Registry>,
    /// After.
    pub new: Arc<Registry>,
    /// Nodes whose run has ended, with the run that follows it, if it is registered already.
    pub lost: Vec<(NodeId, Option<Boot>)>,
    /// True when this node's own tenure ended: owners may have dropped its handlers.
    pub own_tenure_ended: bool,
}

impl Change {
    /// What changed, as seen by `own`.
    #[must_use]
    pub fn between(old: Arc<Registry>, new: Arc<Registry>, own: NodeId) -> Self {
        let up = old.nodes.values().filter(|n| n.is_up());
        let lost = up.filter_map(|n| ended(n, new.nodes.get(&n.id))).collect();
        let mut change = Self {
            old,
            new,
            lost,
            own_tenure_ended: false,
        };
        change.own_tenure_ended = change.tenure_ended(own);
        change
    }

    /// The nodes whose run has ended, each with the first run that has not.
    pub fn lost_runs(&self) -> impl Iterator<Item = (NodeId, Boot)> + '_ {
        self.lost.iter().filter_map(|(node, next)| {
            let ended = self.old.nodes.get(node)?.boot;
            Some((*node, next.unwrap_or(Boot(ended.0.saturating_add(1)))))
        })
    }

    /// True when that node's run has ended.
    #[must_use]
    pub fn is_lost(&self, node: NodeId) -> bool {
        self.lost.iter().any(|(lost, _)| *lost == node)
    }

    /// True when that run of that node came to be held for lost, whether or not it has joined again by now: what owners knew of
    /// its handlers has ended with that. By a loss and a join its tenure ends twice; by being weak, or by a join after a loss
    /// that was seen before, it ends once.
    #[must_use]
    pub fn was_lost(&self, node: NodeId, boot: Boot) -> bool {
        let Some(before) = self.old.nodes.get(&node) else {
            return false;
        };
        let goes_on =
            |now: &NodeRecord| (now.is_up() || !before.is_up()) && now.tenure.0 <= before.tenure.0 + 1;
        before.boot == boot && !self.new.nodes.get(&node).is_some_and(goes_on)
    }

    /// Nodes that are up now and were not, or were not there.
    pub fn came_up(&self) -> impl Iterator<Item = NodeId> {
        let was_up = |id: &NodeId| self.old.nodes.get(id).is_some_and(NodeRecord::is_up);
        let up = self
            .new
            .nodes
            .values()
            .filter(move |node| node.is_up() && !was_up(&node.id));
        up.map(|node| node.id)
    }

    /// The exchange now.
    #[must_use]
    pub fn exchange(&self, id: ExchangeId) -> Option<&ExchangeRecord> {
        self.new.exchanges.get(&id)
    }

    /// True when open requests may have to be looked at: a run ended, or an exchange has gone to another owner.
    #[must_use]
    pub fn concerns_requests(&self) -> bool {
        let owner = |record: Option<&ExchangeRecord>| record.and_then(|record| record.owner);
        let went = |changed: Changed<'_, ExchangeId, ExchangeRecord>| {
            changed.now.is_some() && owner(changed.before) != owner(changed.now)
        };
        !self.lost.is_empty() || self.exchanges_changed().any(went)
    }

    /// Who can end a request of that exchange now, of which `keeper` knew where it went; none when that knowledge is lost.
    ///
    /// A move takes it along to the next owner; an owner that lives on and was superseded without one, for it is weak, has
    /// given it up. Where steps in between were not seen, somebody may have had it who is lost, or weak.
    fn keeper(&self, exchange: ExchangeId, keeper: NodeId) -> Option<NodeId> {
        if self.is_lost(keeper) {
            return None;
        }
        let (Some(before), Some(now)) = (
            self.old.exchanges.get(&exchange),
            self.new.exchanges.get(&exchange),
        ) else {
            return Some(keeper);
        };
        let grants = now.epoch.0.saturating_sub(before.epoch.0);
        if grants == 0 || before.owner != Some(keeper) {
            return Some(keeper);
        }
        // A move that was cancelled takes two grants, and its owner goes on with what it had.
        let stayed = grants == 2 && now.owner == Some(keeper) && !self.tenure_ended(keeper);
        let seen = grants == 1 || stayed || (self.lost.is_empty() && !self.any_tenure_ended());
        if now.kept && seen { now.owner } else { None }
    }

    fn tenure_ended(&self, node: NodeId) -> bool {
        let tenure = |registry: &Registry| registry.nodes.get(&node).map(|n| n.tenure);
        tenure(&self.old) != tenure(&self.new)
    }

    fn any_tenure_ended(&self) -> bool {
        self.old.nodes.keys().any(|node| self.tenure_ended(*node))
    }

    /// Follows a request of that exchange that was sent to `owner`, to whoever keeps what is known of it. False when nobody
    /// is left who could end it: neither the owner, which may have had it and not answered yet, nor the one that took it
    /// over from there.
    #[must_use]
    pub fn follow(&self, exchange: ExchangeId, owner: NodeId, keeper: &mut NodeId) -> bool {
        match self.keeper(exchange, *keeper) {
            Some(next) if !self.is_lost(owner) => {
                *keeper = next;
                true
            }
            _ => false,
        }
    }

    /// Exchanges of which anything is another than before, those that are new or deleted among them. What both registries share is
    /// passed over: this is asked at every change.
    pub fn exchanges_changed(&self) -> impl Iterator<Item = Changed<'_, ExchangeId, ExchangeRecord>> {
        self.new.exchanges.changes(&self.old.exchanges)
    }

    /// Exchanges whose owner or epoch is another one than before.
    pub fn owners_changed(&self) -> impl Iterator<Item = &ExchangeRecord> {
        let grant = |record: &ExchangeRecord| (record.owner, record.epoch);
        self.exchanges_changed()
            .filter(move |changed| changed.before.map(grant) != changed.now.map(grant))
            .filter_map(|changed| changed.now)
    }

    /// Some exchange was deleted.
    #[must_use]
    pub fn any_deleted(&self) -> bool {
        self.exchanges_changed().any(|changed| changed.now.is_none())
    }

    /// True when the exchange's owner or epoch is another one than before.
    #[must_use]
    pub fn owner_changed(&self, id: ExchangeId) -> bool {
        let grant = |registry: &Registry| registry.exchanges.get(&id).map(|e| (e.owner, e.epoch));
        grant(&self.old) != grant(&self.new)
    }
}

fn ended(before: &NodeRecord, after: Option<&NodeRecord>) -> Option<(NodeId, Option<Boot>)> {
    match after {
        Some(after) if after.is_up() && after.incarnation == before.incarnation => None,
        Some(after) if after.is_up() => Some((before.id, Some(after.boot))),
        _ => Some((before.id, None)),
    }
}

#[cfg(test)]
#[path = "change_test.rs"]
mod tests;
