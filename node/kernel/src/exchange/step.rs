//! What goes into an exchange and what comes out of it, as plain data.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Choice, Noted, Signature, Wish, WishAnswer};
use crate::frame::Frame;
use crate::id::{Counter, Epoch, ExchangeId, ExchangeName, LeaderEpoch, MessageId, NodeId, Pid, Revision};
use crate::message::{MoveState, System};
use crate::reason::{DetachReason, NoReply};
use crate::registry::{LeaderRecord, Strategy};
use crate::time::{Instant, Span};

/// A request's identity: the requester's node and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// Node of the requester.
    pub origin: NodeId,
    /// Number at that node.
    pub message: MessageId,
}

/// What an exchange starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeConfig {
    /// Number.
    pub id: ExchangeId,
    /// Strategy.
    pub strategy: Strategy,
    /// Epoch of this ownership.
    pub epoch: Epoch,
    /// Leader the registry holds.
    pub leader: Option<LeaderRecord>,
    /// The run of the node that this leader lived on has ended: it will not attach again.
    pub leader_gone: bool,
    /// After a failover, how long handlers have to attach again before the exchange takes the rest for gone.
    pub settle: Span,
    /// Nodes that are up when it begins after a failover: until each has told of all its handlers, one may have a
    /// signature that is not known here. Empty when nobody owned it before.
    pub awaited: Vec<NodeId>,
    /// Length of a promise: no lease granted by an earlier owner holds longer than that.
    pub promise: Span,
}

/// What happens to an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeInput {
    /// A handler attaches, or asks for a fresh snapshot by attaching again.
    Attach {
        /// Handler.
        handler: Pid,
        /// Group.
        service_tag: String,
        /// Signatures that were delivered to it, by any owner.
        bound: Vec<Signature>,
        /// Its node was held for lost at that revision, and waits to hear that it is taken in again.
        returned: Option<Revision>,
    },
    /// A node has told of all its handlers.
    Roll {
        /// Node.
        node: NodeId,
    },
    /// A handler detaches.
    Detach {
        /// Handler.
        handler: Pid,
        /// Why.
        reason: DetachReason,
    },
    /// The registry declared a node lost.
    NodeLost {
        /// Node.
        node: NodeId,
    },
    /// The registry's leader for this exchange.
    LeaderCommitted {
        /// Leader, if there is one.
        leader: Option<LeaderRecord>,
    },
    /// A request to route.
    Request {
        /// Its identity.
        request: RequestKey,
        /// Epoch under which the requester sent it.
        epoch: Epoch,
        /// Wanted group; empty means all handlers.
        service_tag: Bytes,
        /// Its key; empty for none.
        key: Bytes,
        /// What the exchange's function chose.
        choice: Choice,
        /// When it times out.
        deadline: Instant,
        /// Until when the owner may act.
        lease_until: Instant,
    },
    /// An operator wants a binding changed.
    Wish {
        /// Number of the question: its answer carries it.
        asked: u64,
        /// Signature, within its group.
        signature: Signature,
        /// What is wanted.
        wish: Wish,
        /// Until when the owner may act.
        lease_until: Instant,
    },
    /// A handler's node answers a [`Word`](ExchangeEffect::Word).
    Noted {
        /// Handler.
        handler: Pid,
        /// Signature.
        signature: Signature,
        /// Number of the word.
        number: u64,
        /// What the node made of it.
        noted: Noted,
    },
    /// It moves: nothing is accepted any more, and what is known travels to the next owner.
    Leave {
        /// Next owner.
        to: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// First input of the next owner: what the one before knew.
    Resume {
        /// That.
        state: MoveState,
    },
    /// The leader's node asks how long it may count on its leadership.
    LeaseAsk {
        /// Handler that believes to lead.
        handler: Pid,
        /// Epoch of its leadership.
        leader_epoch: LeaderEpoch,
        /// The asker's clock.
        asked_at: Instant,
        /// Until when the owner may act.
        lease_until: Instant,
    },
    /// Time has passed.
    Tick,
}

/// What an exchange wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeEffect {
    /// Deliver the request to a handler.
    Deliver {
        /// Request.
        request: RequestKey,
        /// Handler.
        handler: Pid,
        /// Epoch of the leader it goes to; 0 where the strategy has none.
        leader_epoch: LeaderEpoch,
        /// Number of this copy, from 1.
        index: u32,
        /// Copies delivered.
        count: u32,
        /// Signature by which it was routed, where the strategy is sticky.
        signature: Option<Signature>,
    },
    /// The request goes on at another exchange.
    Redirect {
        /// Request.
        request: RequestKey,
        /// Where.
        to: ExchangeName,
    },
    /// Decline the request.
    Decline {
        /// Request.
        request: RequestKey,
        /// Why, in words.
        reason: String,
    },
    /// Tell a handler's node to forget signatures that it claimed.
    Unbind {
        /// Handler.
        handler: Pid,
        /// They are bound to others, or there is no room.
        signatures: Vec<Signature>,
    },
    /// Tell a handler's node that the handler is taken in again after its node was held for lost, behind the deliveries that
    /// were sent to that handler before.
    TakenIn {
        /// Handler.
        handler: Pid,
        /// The loss that its attachment told of.
        returned: Revision,
        /// The signatures it has.
        signatures: Vec<Signature>,
    },
    /// Tell a handler's node that a signature is the handler's, or is not any more, behind the deliveries that were sent to
    /// that handler before; the node answers.
    Word {
        /// Handler.
        handler: Pid,
        /// Signature.
        signature: Signature,
        /// It is the handler's.
        keep: bool,
        /// Number of the word.
        number: u64,
    },
    /// Answer an operator's wish.
    Answer {
        /// Number of the question.
        asked: u64,
        /// What became of it.
        answer: WishAnswer,
    },
    /// End the request without delivering it.
    Refuse {
        /// Request.
        request: RequestKey,
        /// Why.
        reason: NoReply,
    },
    /// Tell the requester that a handler that had its request is gone. It ignores this if the handler had replied.
    Interrupt {
        /// Request.
        request: RequestKey,
        /// Number of the copy.
        index: u32,
        /// Copies delivered.
        count: u32,
    },
    /// Propose the leader to the registry.
    Appoint {
        /// Handler, or nobody.
        leader: Option<Pid>,
    },
    /// Send what is known to the next owner.
    Transfer {
        /// Next owner.
        to: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// What is known.
        state: MoveState,
    },
    /// Tell the leader's node for how long it leads, counted from when it asked.
    GrantLease {
        /// The leader.
        handler: Pid,
        /// Epoch of its leadership.
        leader_epoch: LeaderEpoch,
        /// The asker's clock.
        asked_at: Instant,
        /// How long.
        remaining: Span,
    },
    /// Tell one handler.
    Tell {
        /// Handler.
        handler: Pid,
        /// Counter.
        counter: Counter,
        /// Message.
        what: System,
    },
    /// Tell all handlers of this exchange on a node.
    Announce {
        /// Node.
        node: NodeId,
        /// Counter.
        counter: Counter,
        /// Message.
        what: System,
    },
}

impl RequestKey {
    /// That of the request, or of its try, that a frame is about.
    #[must_use]
    pub const fn of(frame: &Frame) -> Self {
        Self {
            origin: frame.origin,
            message: frame.message,
        }
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.message)
    }
}

impl fmt::Display for ExchangeEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver {
                request,
                handler,
                leader_epoch,
                index,
                count,
                signature,
            } => {
                write!(
                    f,
                    "deliver {request} to {handler} leader-epoch {leader_epoch} copy {index}/{count}"
                )?;
                signature.map_or(Ok(()), |signature| write!(f, " signature {signature}"))
            }
            Self::Redirect { request, to } => write!(f, "redirect {request} to {to}"),
            Self::Decline { request, reason } => write!(f, "decline {request}: {reason}"),
            Self::Unbind { handler, signatures } => {
                write!(f, "unbind {} signatures from {handler}", signatures.len())
            }
            Self::TakenIn {
                handler,
                returned,
                signatures,
            } => {
                let signatures = signatures.len();
                write!(
                    f,
                    "take {handler} in, lost at revision {returned}, with {signatures} signatures"
                )
            }
            Self::Word {
                handler,
                signature,
                keep,
                number,
            } => {
                let keep = if *keep { "keep" } else { "forget" };
                write!(f, "word {number} to {handler}: {keep} signature {signature}")
            }
            Self::Answer { asked, answer } => write!(f, "answer {asked}: {answer:?}"),
            Self::Refuse { request, reason } => write!(f, "refuse {request}: {reason}"),
            Self::Interrupt {
                request,
                index,
                count,
            } => write!(f, "interrupt {request} copy {index}/{count}"),
            Self::Appoint { leader: Some(pid) } => write!(f, "appoint {pid}"),
            Self::Appoint { leader: None } => write!(f, "appoint nobody"),
            Self::Transfer { to, epoch, state } => {
                write!(
                    f,
                    "transfer to {to} epoch {epoch}: {} handlers",
                    state.servers.len()
                )
            }
            Self::GrantLease {
                handler,
                leader_epoch,
                remaining,
                ..
            } => write!(f, "lease for {handler} leader epoch {leader_epoch}: {remaining}"),
            Self::Tell { handler, counter, .. } => write!(f, "tell {handler} counter {counter}"),
            Self::Announce { node, counter, .. } => write!(f, "announce to {node} counter {counter}"),
        }
    }
}
