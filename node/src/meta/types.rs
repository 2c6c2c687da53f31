//! The types Raft runs on. The runtime is a parameter, so that the same log, state machine and network also run
//! on openraft's deterministic one. What does not live here: any behaviour.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use openraft::impls::{BasicNode, BoxedErrorSource, InlineBatch, ProgressResponder, leader_id_std};
use openraft::{AsyncRuntime, EntryPayload, OptionalSend, RaftTypeConfig};
use serde::{Deserialize, Serialize};
use squall_kernel::registry::{Command, Outcome};

/// Raft's types on the runtime `R`.
pub struct Types<R>(PhantomData<fn() -> R>);

/// Raft's types on tokio, as a live node runs them.
pub type Live = Types<openraft_rt_tokio::TokioRuntime>;

/// One leader a term, as in the Raft paper: a vote names term and candidate.
pub type LeaderId = leader_id_std::LeaderId<u64, u64>;
/// Term under which an entry was proposed.
pub type LeaderTerm = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
/// Vote.
pub type Vote = openraft::impls::Vote<LeaderId>;
/// Log id.
pub type LogId = openraft::LogId<LeaderTerm>;
/// What an entry carries.
pub type Payload = EntryPayload<Proposal, u64, BasicNode>;
/// Log entry.
pub type Entry = openraft::Entry<LeaderTerm, Payload>;
/// Members, as of a log entry.
pub type Members = openraft::StoredMembership<LeaderTerm, u64, BasicNode>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::SnapshotMeta<LeaderTerm, u64, BasicNode>;

/// A command on its way through the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Command);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<R: AsyncRuntime> RaftTypeConfig for Types<R> {
    type D = Proposal;
    type R = Outcome;
    type NodeId = u64;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = R;
    type Responder<T>
        = ProgressResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

// Written out, because a derive would ask all of this of the runtime too.
impl<R> fmt::Debug for Types<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}
impl<R> Clone for Types<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Types<R> {}
impl<R> Default for Types<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<R> PartialEq for Types<R> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<R> Eq for Types<R> {}
impl<R> PartialOrd for Types<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<R> Ord for Types<R> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
