//! What a node knows of its own Raft, as plain data for the mesh and the observer.

use std::collections::BTreeSet;

use openraft::{AsyncRuntime, Instant as _, RaftMetrics, ServerState};
use squall_kernel::id::{NodeId, Revision, Term};
use squall_kernel::profile::Times;
use squall_kernel::promises::{Electorate, VotersAt};

use super::types::{Members, Types};

/// What this node is to the registry's Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Not a member of any cluster yet.
    Uninitialized,
    /// Has the registry, does not vote.
    Learner,
    /// Votes.
    Voter,
    /// Asks for votes.
    Candidate,
    /// Leads, or still believes so: see [`MetaState::leads`].
    Leader,
    /// Stopped, by shutdown or by a failure of its storage.
    Stopped,
}

impl Role {
    /// The role's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uninitialized => "uninitialized",
            Self::Learner => "learner",
            Self::Voter => "voter",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
        }
    }
}

/// State of a node's Raft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaState {
    /// This node.
    pub id: NodeId,
    /// Its term.
    pub term: Term,
    /// The leader it follows.
    pub leader: Option<NodeId>,
    /// What it is.
    pub role: Role,
    /// Voters, ascending.
    pub voters: Vec<NodeId>,
    /// The same, half by half where a change is under way, with the entry that says so.
    pub electorate: Electorate,
    /// Learners, ascending.
    pub learners: Vec<NodeId>,
    /// Last entry of its log.
    pub last_log: Option<Revision>,
    /// Last entry applied to its registry.
    pub applied: Option<Revision>,
    /// Last entry that its snapshot covers.
    pub snapshot: Option<Revision>,
    /// On a leader: milliseconds since a majority last acknowledged it. Refreshed every heartbeat.
    pub quorum_acked_ms_ago: Option<u64>,
    /// True once it belongs to a cluster.
    pub initialized: bool,
    /// Why it stopped, if it failed.
    pub failure: Option<String>,
}

impl MetaState {
    /// True for a leader that a majority acknowledged lately enough that nobody else can have been elected. A leader
    /// that lost its majority keeps its role until it hears of another one.
    #[must_use]
    pub fn leads(&self, times: &Times) -> bool {
        // A sole voter is its own majority; Raft, which sends it nothing, does not count that as acknowledged.
        let alone = self.voters == [self.id];
        let acked = self
            .quorum_acked_ms_ago
            .is_some_and(|ago| ago < times.election_min.as_ms());
        self.role == Role::Leader && (alone || acked)
    }

    /// Before there is a Raft to tell.
    pub(super) fn before(id: NodeId) -> Self {
        Self {
            id,
            term: Term(0),
            leader: None,
            role: Role::Uninitialized,
            voters: Vec::new(),
            electorate: Electorate::default(),
            learners: Vec::new(),
            last_log: None,
            applied: None,
            snapshot: None,
            quorum_acked_ms_ago: None,
            initialized: false,
            failure: None,
        }
    }

    /// As Raft's metrics tell it now.
    #[must_use]
    pub fn of<R: AsyncRuntime>(metrics: &RaftMetrics<Types<R>>) -> Self {
        let members = metrics.membership_config.membership();
        let initialized = metrics.last_log_index.is_some();
        let failure = metrics.running_state.as_ref().err().map(ToString::to_string);
        let role = match metrics.state {
            _ if failure.is_some() => Role::Stopped,
            ServerState::Shutdown => Role::Stopped,
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Follower => Role::Voter,
            ServerState::Learner if initialized => Role::Learner,
            ServerState::Learner => Role::Uninitialized,
        };
        let acked = metrics.last_quorum_acked.filter(|_| role == Role::Leader);
        Self {
            id: NodeId(metrics.id),
            term: Term(metrics.current_term),
            leader: metrics.current_leader.map(NodeId),
            role,
            voters: members.voter_ids().map(NodeId).collect(),
            electorate: electorate_of(&metrics.membership_config),
            learners: members.learner_ids().map(NodeId).collect(),
            last_log: metrics.last_log_index.map(Revision),
            applied: metrics.last_applied.map(|id| Revision(id.index)),
            snapshot: metrics.snapshot.map(|id| Revision(id.index)),
            quorum_acked_ms_ago: acked.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
            initialized,
            failure,
        }
    }
}

/// The entry of the log that says who the members are.
pub(super) fn voters_at(members: &Members) -> VotersAt {
    members
        .log_id()
        .as_ref()
        .map_or_else(VotersAt::default, |id| VotersAt {
            term: Term(**id.committed_leader_id()),
            revision: Revision(id.index),
        })
}

fn electorate_of(members: &Members) -> Electorate {
    let half = |ids: &BTreeSet<u64>| ids.iter().copied().map(NodeId).collect();
    Electorate {
        at: voters_at(members),
        halves: members.get_joint_config().iter().map(half).collect(),
    }
}
