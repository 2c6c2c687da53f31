//! The history of a run: what happened, where, and when, as one list of events in true time. Simulated runs and live runs
//! write the same events, and the same checkers read them (`invariant`).
//!
//! What does not live here: judging (`invariant`), and how events are collected (`sim`, and the live recorder).

use serde::{Deserialize, Serialize};
use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::id::{
    Boot, ClusterId, Counter, Epoch, ExchangeId, Incarnation, LeaderEpoch, NodeId, Pid, Revision, Term,
};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Strategy;
use squall_kernel::time::Instant;

mod mark;
mod talk;
mod words;

pub use mark::Mark;
pub use squall_node::journal::{PublishEvent, QueueFrom, TaskEvent};
pub use talk::TalkEvent;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// True time, in microseconds since the run began; the same clock for all nodes.
    pub at: Instant,
    /// Where.
    pub node: NodeId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A run of the node began.
    Started {
        /// Which run.
        incarnation: Incarnation,
    },
    /// It ended.
    Ended {
        /// True when it left in order, false when it was killed.
        graceful: bool,
    },
    /// It stands still (SIGSTOP); what it believes, it goes on believing.
    Paused,
    /// It goes on.
    Resumed,
    /// It may act as owner until then, in true time.
    Lease {
        /// End, in true time. Earlier than `at`: no lease.
        until: Instant,
    },
    /// It owns an exchange from now on, while its lease holds.
    Own {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch.
        epoch: Epoch,
    },
    /// It no longer acts as its owner: the registry said so, or it has begun to hand the exchange over.
    Disown {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch that ends.
        epoch: Epoch,
    },
    /// Its registry moved.
    Applied {
        /// Cluster it belongs to.
        cluster: ClusterId,
        /// Revision.
        revision: Revision,
        /// Hash of the whole registry at that revision.
        digest: u64,
    },
    /// It applied a command of the registry's log, and that was the registry's next revision. Before the `Applied` of
    /// that revision.
    Command {
        /// Cluster, as after the command.
        cluster: ClusterId,
        /// Revision.
        revision: Revision,
        /// Hash of the command.
        digest: u64,
    },
    /// A registry write was acknowledged to whoever asked for it.
    Acknowledged {
        /// Its revision.
        revision: Revision,
        /// Hash of the command.
        digest: u64,
    },
    /// Its log cannot go on, and not because its disk is full.
    LogFailed {
        /// Why.
        why: String,
    },
    /// It became, or stopped being, the leader of the registry's log.
    MetaLeader {
        /// Term.
        term: Term,
        /// True when it leads.
        leads: bool,
    },
    /// A grant in the registry: this epoch of the exchange belongs to that owner. Told by each node that applies it.
    Granted {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch.
        epoch: Epoch,
        /// Owner.
        owner: NodeId,
    },
    /// An exchange is declared. Told by each node that applies it.
    Declared {
        /// Exchange.
        exchange: ExchangeId,
        /// Strategy.
        strategy: Strategy,
    },
    /// An exchange is deleted. Told by each node that applies it.
    Deleted {
        /// Exchange.
        exchange: ExchangeId,
    },
    /// The registry says that the run of a node has ended. Told by each node that applies it, which may be late: that node
    /// may be up again.
    Lost {
        /// Which node.
        lost: NodeId,
        /// Runs of it before this one have ended.
        before: Boot,
    },
    /// The registry holds a node for up, which it did not before. Told by each node that applies it.
    Up {
        /// Which node.
        node: NodeId,
    },
    /// A handler attached through this node believes that it leads, until then.
    Leads {
        /// Exchange.
        exchange: ExchangeId,
        /// The handler.
        handler: Pid,
        /// Epoch of the leadership.
        leader_epoch: LeaderEpoch,
        /// End of the belief, in true time. Not after `at`: it believes so no longer.
        until: Instant,
    },
    /// A requester sent a request.
    Begun {
        /// Request.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// True where several replies may come (strategy `default`).
        many: bool,
    },
    /// The owner passed it on.
    Routed {
        /// Request.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// Owner's epoch.
        epoch: Epoch,
        /// Group that was asked for; empty for all handlers.
        service_tag: String,
        /// Chosen handler.
        handler: Pid,
    },
    /// A handler accepted it: the effect took place.
    Handled {
        /// Request.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// The handler.
        handler: Pid,
        /// Epoch under which it came.
        epoch: Epoch,
        /// Leader epoch under which it came; 0 where there is none.
        leader_epoch: LeaderEpoch,
    },
    /// It took no effect after all, and may go to another one.
    GivenBack {
        /// Request.
        request: RequestKey,
        /// The handler that it was counted for.
        handler: Pid,
    },
    /// A request of that signature passed the fence of a handler attached here: its exchange is sticky.
    Kept {
        /// Request.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// Signature.
        signature: Signature,
        /// The handler.
        handler: Pid,
    },
    /// A handler attached here is detached.
    Detached {
        /// The handler.
        handler: Pid,
    },
    /// A resource refused an effect that came under an epoch that is over.
    Fenced {
        /// Exchange.
        exchange: ExchangeId,
        /// The resource.
        handler: Pid,
        /// Epoch under which it came.
        epoch: Epoch,
        /// Highest epoch the resource had seen.
        seen: Epoch,
    },
    /// The requester was given an outcome.
    Outcome {
        /// Request.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// What.
        outcome: Answer,
        /// True when more outcomes of the same request follow (strategy `default`).
        more: bool,
    },
    /// The requester's node sends it again: no try so far was delivered.
    Retried {
        /// Request.
        request: RequestKey,
    },
    /// A message came for a request that had ended: dropped.
    Late {
        /// Request.
        request: RequestKey,
    },
    /// The owner's view of who serves and leads, at this counter.
    OwnerView {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch and counter.
        version: (Epoch, Counter),
        /// The view.
        view: View,
    },
    /// A handler's view after the system messages up to this counter.
    HandlerView {
        /// Exchange.
        exchange: ExchangeId,
        /// The handler.
        handler: Pid,
        /// Epoch and counter.
        version: (Epoch, Counter),
        /// The view.
        view: View,
    },
    /// About what passes between a requester and its handler beside the request and its reply.
    Talk {
        /// Request.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// What.
        what: TalkEvent,
    },
    /// About the tasks of an exchange.
    Task {
        /// Exchange.
        exchange: ExchangeId,
        /// What.
        what: TaskEvent,
    },
    /// About publishes and subscribers of an exchange.
    Publish {
        /// Exchange.
        exchange: ExchangeId,
        /// What.
        what: PublishEvent,
    },
    /// The node holds that many things in a bounded place.
    Holds {
        /// Name of the place.
        place: String,
        /// How many now.
        count: u64,
        /// Its bound.
        bound: u64,
    },
    /// A fault began to act here.
    Fault {
        /// Id, unique in the run.
        id: u64,
        /// In words.
        text: String,
        /// When it must have ended at the latest.
        ends_by: Instant,
    },
    /// It ended.
    FaultOver {
        /// Id.
        id: u64,
    },
    /// Something took place that shows in no other event, but must have happened for a batch of runs to say anything
    /// (`coverage`).
    Mark(Mark),
    /// All faults are over and mended; from here on things must become good again.
    Healed,
    /// Everything has had its time after the heal; the run ends.
    Settled,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Answer {
    /// A reply of that handler.
    Reply {
        /// The handler.
        handler: Pid,
    },
    /// Declined by a handler.
    Declined {
        /// The handler.
        handler: Pid,
    },
    /// None.
    None(Ended),
}

/// `NoReply` as an ordered value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended(pub NoReply);

impl PartialOrd for Ended {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ended {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

/// Who serves and who leads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The leader, if there is one, and its epoch.
    pub leader: Option<(Pid, LeaderEpoch)>,
    /// All handlers, ascending.
    pub servers: Vec<Pid>,
}
