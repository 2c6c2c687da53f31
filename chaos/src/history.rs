//! The history of a run: what happened, where, and when, as one list of events in true time. Simulated runs and live runs
//! write the same events, and the same checkers read them (`invariant`).
//!
//! What does not live here: judging (`invariant`), and how events are collected (`sim`, and the live recorder).

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{
    ClusterId, Counter, Epoch, ExchangeId, Incarnation, LeaderEpoch, NodeId, Pid, Revision, Term,
};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;

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
    /// It no longer owns it.
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
    /// A registry write was acknowledged to whoever asked for it.
    Acknowledged {
        /// Its revision.
        revision: Revision,
        /// Hash of the command.
        digest: u64,
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
    /// A handler attached through this node believes that it leads, until then.
    Leads {
        /// Exchange.
        exchange: ExchangeId,
        /// The handler.
        handler: Pid,
        /// Epoch of the leadership.
        leader_epoch: LeaderEpoch,
        /// End of the belief, in true time.
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

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:x} {}", self.at, self.node.0, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { incarnation } => write!(f, "started incarnation {incarnation}"),
            Self::Ended { graceful: true } => f.write_str("left"),
            Self::Ended { graceful: false } => f.write_str("killed"),
            Self::Paused => f.write_str("paused"),
            Self::Resumed => f.write_str("resumed"),
            Self::Lease { until } => write!(f, "lease until {until}"),
            Self::Own { exchange, epoch } => write!(f, "owns #{exchange} epoch {epoch}"),
            Self::Disown { exchange, epoch } => write!(f, "disowns #{exchange} epoch {epoch}"),
            Self::Applied { revision, digest, .. } => {
                write!(f, "applied revision {revision} digest {digest:016x}")
            }
            Self::Acknowledged { revision, digest } => {
                write!(f, "acknowledged revision {revision} command {digest:016x}")
            }
            Self::MetaLeader { term, leads: true } => write!(f, "leads the registry in term {term}"),
            Self::MetaLeader { term, leads: false } => write!(f, "no longer leads the registry, term {term}"),
            Self::Granted {
                exchange,
                epoch,
                owner,
            } => write!(f, "granted #{exchange} epoch {epoch} to {owner}"),
            Self::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            } => {
                write!(
                    f,
                    "{handler} leads #{exchange} leader epoch {leader_epoch} until {until}"
                )
            }
            Self::Begun {
                request, exchange, ..
            } => write!(f, "request {request} to #{exchange}"),
            Self::Routed {
                request,
                exchange,
                epoch,
                handler,
            } => {
                write!(f, "routed {request} of #{exchange} epoch {epoch} to {handler}")
            }
            Self::Handled {
                request,
                exchange,
                handler,
                epoch,
                leader_epoch,
            } => {
                write!(
                    f,
                    "{handler} handled {request} of #{exchange} epoch {epoch} leader epoch {leader_epoch}"
                )
            }
            Self::Fenced {
                exchange,
                handler,
                epoch,
                seen,
            } => {
                write!(f, "{handler} of #{exchange} fenced epoch {epoch}, seen {seen}")
            }
            Self::Outcome {
                request,
                outcome,
                more,
                ..
            } => {
                write!(
                    f,
                    "request {request}: {outcome}{}",
                    if *more { ", more follow" } else { "" }
                )
            }
            Self::Late { request } => write!(f, "late answer to {request} dropped"),
            Self::OwnerView {
                exchange,
                version: (epoch, counter),
                view,
            } => {
                write!(f, "owner's view of #{exchange} at {epoch}/{counter}: {view}")
            }
            Self::HandlerView {
                exchange,
                handler,
                version: (epoch, counter),
                view,
            } => {
                write!(f, "{handler}'s view of #{exchange} at {epoch}/{counter}: {view}")
            }
            Self::Holds { place, count, bound } => write!(f, "{place} holds {count} of {bound}"),
            Self::Fault { id, text, ends_by } => write!(f, "fault {id} until {ends_by}: {text}"),
            Self::FaultOver { id } => write!(f, "fault {id} is over"),
            Self::Healed => f.write_str("healed"),
            Self::Settled => f.write_str("settled"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { handler } => write!(f, "reply of {handler}"),
            Self::Declined { handler } => write!(f, "declined by {handler}"),
            Self::None(reason) => f.write_str(reason.0.as_str()),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader {
            Some((pid, epoch)) => write!(f, "leader {pid} epoch {epoch}, {} serve", self.servers.len()),
            None => write!(f, "no leader, {} serve", self.servers.len()),
        }
    }
}
