//! Changes of the Raft group's members that the leader makes: by the rule, and for an operator.
//!
//! What does not live here: who should vote (`squall_kernel::voters`), and who brings an operator's wish to the leader
//! (`control`).

use std::collections::{BTreeMap, BTreeSet};

use openraft::impls::BasicNode;
use openraft::{AsyncRuntime, ChangeMembers, RaftMetrics};
use squall_kernel::id::{NodeId, NodeName};
use squall_kernel::membership::{MemberChange, MemberRefused};
use squall_kernel::registry::{Command, Outcome, Refused};
use squall_kernel::voters::{Adjustment, Group, Roll, adjust, demote, promote, remove};

use super::change::{Change, Changes};
use super::error::ChangeError;
use super::types::Types;

/// A learner this close to the leader's log has caught up: it is there before its promotion is committed.
const CAUGHT_UP_ENTRIES: u64 = 64;

/// What became of an operator's wish, when it was not hindered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// Done; these vote now.
    Done(BTreeSet<NodeId>),
    /// It was so already; these vote.
    Unchanged(BTreeSet<NodeId>),
    /// Refused; nothing changed, but for a vote taken before a removal was refused.
    Refused(MemberRefused),
}

impl<R: AsyncRuntime> Changes<R> {
    /// Makes the one change that the rule [`adjust`] asks for, if any, and finishes a change that a deposed leader had
    /// left half done.
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn keep_voters(&self, roll: &Roll) -> Result<Option<Change>, ChangeError> {
        let metrics = self.metrics();
        let configs = metrics.membership_config.get_joint_config();
        if configs.len() > 1 {
            let last = configs.last().cloned().unwrap_or_default();
            return self.finish_joint(last).await.map(Some);
        }
        if let Some(to) = heir(&metrics, roll) {
            self.transfer_leader(to).await?;
            return Ok(Some(Change::HandedOver(to)));
        }
        let group = group_of(&metrics, roll);
        match adjust(&group, roll) {
            None => Ok(None),
            Some(Adjustment::Voters(next)) => {
                self.set_voters(&metrics, &next).await?;
                Ok(Some(told(&group, next)))
            }
            Some(Adjustment::Learner { node, address }) => self.add_learner(node, &address).await,
            Some(Adjustment::Forget(gone)) => {
                self.forget(&gone).await?;
                Ok(Some(Change::Forgotten(gone)))
            }
        }
    }

    /// The same where nothing is known but who is heard: the registry has all members, and none leaves.
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn adjust_voters(&self, live: &BTreeSet<NodeId>) -> Result<Option<Change>, ChangeError> {
        let members = self.metrics().membership_config;
        let heard = members.nodes().map(|(id, node)| {
            let id = NodeId(*id);
            (id, node.addr.clone(), live.contains(&id))
        });
        let roll = Roll::of_heard(heard);
        self.keep_voters(&roll).await
    }

    /// Does what an operator asks for, unless the rules of the voters forbid it.
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn change_member(&self, roll: &Roll, change: &MemberChange) -> Result<Granted, ChangeError> {
        let metrics = self.metrics();
        if metrics.membership_config.get_joint_config().len() > 1 {
            return Ok(Granted::Refused(MemberRefused::Busy));
        }
        let group = group_of(&metrics, roll);
        let next = match change {
            MemberChange::Promote(name) => promote(&group, roll, name),
            MemberChange::Demote(name) => demote(&group, roll, name),
            MemberChange::Remove(name) => remove(&group, roll, name),
        };
        let next = match next {
            Ok(next) => next,
            Err(refused) => return Ok(Granted::Refused(refused)),
        };
        let changes = next != group.voters;
        if changes {
            self.set_voters(&metrics, &next).await?;
        }
        match change {
            MemberChange::Remove(name) => self.forget_member(roll, name, next).await,
            _ if changes => Ok(Granted::Done(next)),
            _ => Ok(Granted::Unchanged(next)),
        }
    }

    /// First the registry, which refuses when the node has come back meanwhile; what is left of it in Raft then is a
    /// learner without a record, which the rule forgets if this node cannot.
    async fn forget_member(
        &self,
        roll: &Roll,
        name: &NodeName,
        voters: BTreeSet<NodeId>,
    ) -> Result<Granted, ChangeError> {
        let id = roll.named(name).map(|(id, _)| id);
        let removed = self.propose(Command::RemoveNode { node: name.clone() }).await?;
        match removed.outcome {
            Outcome::Refused(Refused::NodeUp(name)) => {
                return Ok(Granted::Refused(MemberRefused::Up(name)));
            }
            Outcome::Refused(refused) => {
                tracing::debug!(%refused, "the node was gone already");
            }
            Outcome::Done | Outcome::Unchanged => {}
        }
        if let Some(id) = id
            && let Err(error) = self.forget(&BTreeSet::from([id])).await
        {
            tracing::info!(node = %name, %error, "the removed node stays a learner until the next look");
        }
        Ok(Granted::Done(voters))
    }

    async fn finish_joint(&self, last: BTreeSet<u64>) -> Result<Change, ChangeError> {
        let voters = last.iter().copied().map(NodeId).collect();
        self.change_members(ChangeMembers::ReplaceAllVoters(last), None)
            .await?;
        Ok(Change::Finished(voters))
    }

    /// From the members that were looked at, and no others: what was decided for them may be wrong for those.
    async fn set_voters(
        &self,
        metrics: &RaftMetrics<Types<R>>,
        voters: &BTreeSet<NodeId>,
    ) -> Result<(), ChangeError> {
        let ids = voters.iter().map(|id| id.0).collect();
        let seen = *metrics.membership_config.log_id();
        self.change_members(ChangeMembers::ReplaceAllVoters(ids), Some(seen))
            .await
    }

    async fn forget(&self, nodes: &BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let members = self.metrics().membership_config;
        let known = nodes
            .iter()
            .map(|id| id.0)
            .filter(|id| members.get_node(id).is_some());
        let known: BTreeSet<u64> = known.collect();
        if known.is_empty() {
            return Ok(());
        }
        self.change_members(ChangeMembers::RemoveNodes(known), None).await
    }
}

/// Who is to lead in place of a leader that has no vote: Raft would keep it, as a learner that leads.
fn heir<R: AsyncRuntime>(metrics: &RaftMetrics<Types<R>>, roll: &Roll) -> Option<NodeId> {
    let members = &metrics.membership_config;
    let replication = metrics.replication.as_ref()?;
    if members.voter_ids().any(|id| id == metrics.id) {
        return None;
    }
    let live = roll.live();
    let voters = members.voter_ids().filter(|id| live.contains(&NodeId(*id)));
    let best = voters.max_by_key(|id| replication.get(id).copied().flatten());
    best.map(NodeId)
}

fn told(group: &Group, next: BTreeSet<NodeId>) -> Change {
    if next.is_superset(&group.voters) {
        Change::Promoted(next.difference(&group.voters).copied().collect())
    } else {
        Change::Voters(next)
    }
}

fn group_of<R: AsyncRuntime>(metrics: &RaftMetrics<Types<R>>, roll: &Roll) -> Group {
    let members = &metrics.membership_config;
    let address = |(id, node): (&u64, &BasicNode)| (NodeId(*id), node.addr.clone());
    Group {
        leader: NodeId(metrics.id),
        voters: members.voter_ids().map(NodeId).collect(),
        addresses: members.nodes().map(address).collect::<BTreeMap<_, _>>(),
        ready: caught_up(metrics, &roll.live()),
    }
}

/// Live learners whose log is as good as the leader's. Empty on a node that does not lead.
fn caught_up<R: AsyncRuntime>(metrics: &RaftMetrics<Types<R>>, live: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let Some(replication) = &metrics.replication else {
        return BTreeSet::new();
    };
    let needed = metrics
        .last_log_index
        .unwrap_or(0)
        .saturating_sub(CAUGHT_UP_ENTRIES);
    let learners = metrics.membership_config.membership().learner_ids();
    learners
        .filter(|id| {
            replication
                .get(id)
                .copied()
                .flatten()
                .is_some_and(|matched| matched.index >= needed)
        })
        .map(NodeId)
        .filter(|id| live.contains(id))
        .collect()
}
