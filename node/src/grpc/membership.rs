//! The seam to the Raft group's members: who brings an operator's change of the voters to the meta leader.
//!
//! What does not live here: who may vote, and how the change is made (the meta plane).

use futures::future::BoxFuture;
use squall_kernel::id::NodeName;
use squall_kernel::membership::{MemberChange, MemberResult};

/// Brings a change of the voters to the meta leader, wherever it is, and its result back.
pub trait Membership: Send + Sync + 'static {
    /// Asks for the change, and again for a few seconds while it certainly was not made, as during an election.
    /// `NotLeader` and `Failed` say that it was not in the end either.
    fn change(&self, change: MemberChange) -> BoxFuture<'_, MemberResult>;

    /// Gives a node the vote.
    fn promote(&self, node: NodeName) -> BoxFuture<'_, MemberResult> {
        self.change(MemberChange::Promote(node))
    }

    /// Takes a node's vote; it stays a learner.
    fn demote(&self, node: NodeName) -> BoxFuture<'_, MemberResult> {
        self.change(MemberChange::Demote(node))
    }

    /// Forgets a node that is down: its vote, its place in the log, its record in the registry.
    fn remove(&self, node: NodeName) -> BoxFuture<'_, MemberResult> {
        self.change(MemberChange::Remove(node))
    }
}
