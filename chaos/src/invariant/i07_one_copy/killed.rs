//! Nodes that were killed: what such a run did last may not be told by anybody. Its history ends with the last line that was
//! written, and it ran on for a moment.

use std::collections::BTreeMap;

use squall_kernel::id::NodeId;

/// The latest killed run of each node.
#[derive(Debug, Default)]
pub(super) struct Killed {
    /// Events seen: moments are counted in those.
    seen: u64,
    /// When the next run began; none while there is none.
    followed: BTreeMap<NodeId, Option<u64>>,
}

impl Killed {
    /// One more event happens.
    pub(super) fn goes_on(&mut self) {
        self.seen += 1;
    }

    /// The moment of the event that happens.
    pub(super) fn now(&self) -> u64 {
        self.seen
    }

    pub(super) fn killed(&mut self, node: NodeId) {
        self.followed.insert(node, None);
    }

    pub(super) fn started(&mut self, node: NodeId) {
        if let Some(followed @ None) = self.followed.get_mut(&node) {
            *followed = Some(self.seen);
        }
    }

    /// True when its last run was killed and none has followed.
    pub(super) fn is_down(&self, node: NodeId) -> bool {
        self.followed.get(&node) == Some(&None)
    }

    /// True when what that node did since then may not be told: a run of it that was killed may have lasted until then.
    pub(super) fn hides(&self, node: NodeId, since: u64) -> bool {
        self.followed
            .get(&node)
            .is_some_and(|followed| followed.is_none_or(|at| at > since))
    }

    /// True when that is so of any node.
    pub(super) fn hides_any(&self, since: u64) -> bool {
        self.followed.keys().any(|node| self.hides(*node, since))
    }
}
