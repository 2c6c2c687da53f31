//! What a leader is asked to change: the registry by commands, and who has a copy of its log.
//!
//! What does not live here: who votes (`members`).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, InitializeError, PreconditionFailed, RaftError};
use openraft::impls::BasicNode;
use openraft::raft::{ClientWriteResponse, Precondition};
use openraft::{AsyncRuntime, ChangeMembers, Instant as _, Raft, RaftMetrics};
use squall_kernel::id::{ClusterId, NodeId, Revision};
use squall_kernel::membership::MemberChange;
use squall_kernel::planted::{self, Bug};
use squall_kernel::profile::{Profile, Times};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Command, Outcome, Refused};
use squall_kernel::voters::{Roll, voters_for};

use super::error::{Attempt, ChangeError, FoundError, ProposeError};
use super::machine::StateMachine;
use super::members::Granted;
use super::types::{LogId, Proposal, Types};
use super::{Founding, Meta, state};

/// A command that a majority has on disk and this node has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// What it did.
    pub outcome: Outcome,
    /// The registry's version with it.
    pub revision: Revision,
}

/// A change of the members that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The node has the registry from now on, without a vote.
    Learner(NodeId),
    /// These learners vote from now on.
    Promoted(BTreeSet<NodeId>),
    /// Voters were replaced or left; these vote.
    Voters(BTreeSet<NodeId>),
    /// This leader has no vote any more: that voter was asked to lead in its place.
    HandedOver(NodeId),
    /// These learners, which the registry does not have, are no members any more.
    Forgotten(BTreeSet<NodeId>),
    /// A change that a deposed leader had left half done is finished; these vote.
    Finished(BTreeSet<NodeId>),
}

type Answer<R> = Result<ClientWriteResponse<Types<R>>, RaftError<Types<R>, ClientWriteError<Types<R>>>>;

/// What a leader is asked to change, on any runtime.
pub struct Changes<R: AsyncRuntime> {
    raft: Raft<Types<R>, StateMachine>,
    times: Times,
}

impl<R: AsyncRuntime> Clone for Changes<R> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            times: self.times,
        }
    }
}

impl<R: AsyncRuntime> Changes<R> {
    /// Changes asked of that Raft, which runs on these times.
    #[must_use]
    pub fn new(raft: Raft<Types<R>, StateMachine>, times: Times) -> Self {
        Self { raft, times }
    }

    /// Founds a cluster with these voters and the addresses of their meshes; returns once this node has noted them
    /// durably. The registry is founded by the first leader, which may be another one of them, with its own
    /// cluster id: `registry()` tells. Every voter may call this with the same voters, in any order, and again
    /// after a crash; a member of a cluster does nothing.
    ///
    /// # Errors
    /// [`FoundError`]; nothing is founded then.
    pub async fn found(&self, voters: BTreeMap<NodeId, String>) -> Result<(), FoundError> {
        if voters.is_empty() || voters_for(voters.len()) != voters.len() {
            return Err(FoundError::VoterCount(voters.len()));
        }
        let nodes: BTreeMap<u64, BasicNode> = voters
            .into_iter()
            .map(|(id, addr)| (id.0, BasicNode { addr }))
            .collect();
        match self.raft.initialize(nodes).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(FoundError::NotAVoter),
            Err(RaftError::Fatal(e)) => Err(FoundError::Stopped(e.to_string())),
        }
    }

    /// Proposes a command and waits until it is committed and applied here. Only a leader can; a node that does not
    /// lead names the one that does.
    ///
    /// # Errors
    /// [`ProposeError`]; for `Timeout` and `Unknown` the command may still take effect.
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        self.propose_if(command, None).await
    }

    /// The same, but only while the voters are those of that entry of the log.
    ///
    /// # Errors
    /// [`ProposeError`]; for `Timeout` and `Unknown` the command may still take effect.
    pub async fn propose_under(&self, command: Command, voters: VotersAt) -> Result<Committed, ProposeError> {
        self.propose_if(command, Some(voters)).await
    }

    async fn propose_if(
        &self,
        command: Command,
        voters: Option<VotersAt>,
    ) -> Result<Committed, ProposeError> {
        // Between looking and handing over to Raft nothing is waited for: at most the next entry gets in between.
        let write = || async {
            let members = self.raft.metrics().borrow_watched().membership_config.clone();
            let now = state::voters_at(&members);
            if voters.is_some_and(|voters| voters != now) {
                return Err(RaftError::APIError(ClientWriteError::PreconditionFailed(
                    PreconditionFailed::LastMembershipLogIdMismatch {
                        expected: None,
                        actual: *members.log_id(),
                    },
                )));
            }
            self.raft.client_write(Proposal(command.clone())).await
        };
        match self.insist(write).await {
            Ok(response) => decided(response.data, Revision(response.log_id.index)),
            Err(ChangeError::Propose(ProposeError::NoQuorum | ProposeError::Timeout(_)))
                if planted::is(Bug::TrustLeaderWithoutQuorum) =>
            {
                Ok(Committed {
                    outcome: Outcome::Done,
                    revision: Revision(self.metrics().last_log_index.unwrap_or(0)),
                })
            }
            Err(ChangeError::Propose(e)) => Err(e),
            Err(ChangeError::InProgress) => Err(ProposeError::VotersChanged),
            Err(other) => Err(ProposeError::Stopped(other.to_string())),
        }
    }

    /// Gives `node` the registry, without a vote; none when it is a member with that address already. Its link
    /// should be up, or the leader backs off first.
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn add_learner(&self, node: NodeId, mesh_addr: &str) -> Result<Option<Change>, ChangeError> {
        let held = self
            .metrics()
            .membership_config
            .get_node(&node.0)
            .map(|n| n.addr.clone());
        if held.as_deref() == Some(mesh_addr) {
            return Ok(None);
        }
        let nodes = BTreeMap::from([(
            node.0,
            BasicNode {
                addr: mesh_addr.to_owned(),
            },
        )]);
        // A known node that moved is renamed in place; its vote and its place in the log belong to the id.
        let change = if held.is_some() {
            ChangeMembers::SetNodes(nodes)
        } else {
            ChangeMembers::AddNodes(nodes)
        };
        self.change_members(change, None).await?;
        Ok(Some(Change::Learner(node)))
    }

    /// Asks a voter to lead in this node's place. Does nothing when this node does not lead; whether the other one
    /// took over, `state()` tells.
    ///
    /// # Errors
    /// [`ProposeError::Stopped`].
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), ProposeError> {
        let asked = self.raft.trigger().transfer_leader(to.0).await;
        asked.map_err(|e| ProposeError::Stopped(e.to_string()))
    }

    /// `seen`: only if these are the members still.
    pub(super) async fn change_members(
        &self,
        change: ChangeMembers<u64, BasicNode>,
        seen: Option<Option<LogId>>,
    ) -> Result<(), ChangeError> {
        let only_if = |seen| Precondition::LastMembershipLogId {
            last_membership_log_id: seen,
        };
        // `true`: a voter that a finished change leaves out stays a learner.
        self.insist(|| {
            self.raft
                .change_membership_if(change.clone(), true, seen.map(only_if))
        })
        .await
        .map(drop)
    }

    pub(super) fn metrics(&self) -> RaftMetrics<Types<R>> {
        self.raft.metrics().borrow_watched().clone()
    }

    /// Writes, again and again while the only trouble is a lease that a new leader does not hold yet.
    async fn insist<F>(
        &self,
        mut write: impl FnMut() -> F,
    ) -> Result<ClientWriteResponse<Types<R>>, ChangeError>
    where
        F: Future<Output = Answer<R>> + Send,
    {
        let times = self.times;
        let begun = R::Instant::now();
        let lease_by = begun + Duration::from_millis(2 * times.election_max.as_ms());
        // Long enough for an election and a slow disk; a leader without a majority would answer never.
        let limit = Duration::from_millis(5 * times.election_max.as_ms());
        loop {
            let answer = R::timeout_at(begun + limit, write()).await;
            match answer
                .map_err(|_| ProposeError::Timeout(limit))?
                .map_err(Attempt::from)
            {
                Ok(response) => return Ok(response),
                Err(Attempt::Failed(e)) => return Err(e),
                Err(Attempt::LeaseExpired) if R::Instant::now() >= lease_by => {
                    return Err(ProposeError::NoQuorum.into());
                }
                Err(Attempt::LeaseExpired) => {
                    R::sleep(Duration::from_millis((times.heartbeat.as_ms() / 5).max(1))).await;
                }
            }
        }
    }
}

impl Meta {
    /// As [`Changes::found`].
    ///
    /// # Errors
    /// [`FoundError`]; nothing is founded then.
    pub async fn found(
        &self,
        cluster: ClusterId,
        profile: Profile,
        voters: BTreeMap<NodeId, String>,
    ) -> Result<(), FoundError> {
        self.inner.founding.send_replace(Founding { cluster, profile });
        self.engine().changes.found(voters).await
    }

    /// As [`Changes::propose`].
    ///
    /// # Errors
    /// [`ProposeError`]; for `Timeout` and `Unknown` the command may still take effect.
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        self.engine().changes.propose(command).await
    }

    /// As [`Changes::propose_under`].
    ///
    /// # Errors
    /// [`ProposeError`]; for `Timeout` and `Unknown` the command may still take effect.
    pub async fn propose_under(&self, command: Command, voters: VotersAt) -> Result<Committed, ProposeError> {
        self.engine().changes.propose_under(command, voters).await
    }

    /// As [`Changes::add_learner`].
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn add_learner(&self, node: NodeId, mesh_addr: &str) -> Result<Option<Change>, ChangeError> {
        self.engine().changes.add_learner(node, mesh_addr).await
    }

    /// As [`Changes::adjust_voters`].
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn adjust_voters(&self, live: &BTreeSet<NodeId>) -> Result<Option<Change>, ChangeError> {
        self.engine().changes.adjust_voters(live).await
    }

    /// As [`Changes::keep_voters`].
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn keep_voters(&self, roll: &Roll) -> Result<Option<Change>, ChangeError> {
        self.engine().changes.keep_voters(roll).await
    }

    /// As [`Changes::change_member`].
    ///
    /// # Errors
    /// [`ChangeError`]; only a leader can.
    pub async fn change_member(&self, roll: &Roll, change: &MemberChange) -> Result<Granted, ChangeError> {
        self.engine().changes.change_member(roll, change).await
    }

    /// As [`Changes::transfer_leader`].
    ///
    /// # Errors
    /// [`ProposeError::Stopped`].
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), ProposeError> {
        self.engine().changes.transfer_leader(to).await
    }
}

/// What the log made of a command. A founder that dies in the act is followed by a leader that founds next: until then it is as if
/// none led.
fn decided(outcome: Outcome, revision: Revision) -> Result<Committed, ProposeError> {
    match outcome {
        Outcome::Refused(Refused::NotFounded) => Err(ProposeError::NotLeader { leader: None }),
        outcome => Ok(Committed { outcome, revision }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_before_the_cluster_is_founded_waits_for_a_leader_that_has() {
        let waits = decided(Outcome::Refused(Refused::NotFounded), Revision(3));
        assert_eq!(waits.unwrap_err(), ProposeError::NotLeader { leader: None });
        let refused = Outcome::Refused(Refused::UnknownExchange("orders".into()));
        for outcome in [Outcome::Done, Outcome::Unchanged, refused] {
            let committed = decided(outcome.clone(), Revision(3)).unwrap();
            assert_eq!((committed.outcome, committed.revision), (outcome, Revision(3)));
        }
    }
}
