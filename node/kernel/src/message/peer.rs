//! What nodes say to each other on the control lane: one closed list, whoever the message is for.
//!
//! What does not live here: what some of them carry (the files beside this one, and the modules whose types they name).

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Attach, Call, MoveState, ProposeResult, SubscriptionNews, SystemMessage};
use crate::exchange::{Noted, Signature};
use crate::id::{
    ClusterId, Epoch, ExchangeId, Incarnation, LeaderEpoch, NodeId, Pid, Revision, Tenure, Term,
};
use crate::membership::{MemberChange, MemberResult};
use crate::promises::VotersAt;
use crate::reason::DetachReason;
use crate::registry::{Command, Introduction};
use crate::tasks::{Answer, Batch};
use crate::time::{Instant, Span};

/// Between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// I am here.
    Heartbeat {
        /// The sender's clock.
        sent_at: Instant,
        /// The sender's tenure, as its registry has it; 0 while it has none.
        tenure: Tenure,
        /// The sender's revision.
        revision: Revision,
        /// True when the sender acts under a lease.
        leased: bool,
        /// True when a voter told it that promises under this tenure are over.
        ended: bool,
    },
    /// Answer to a heartbeat.
    HeartbeatAck {
        /// `sent_at` of the heartbeat.
        sent_at: Instant,
        /// Tenure of the heartbeat.
        tenure: Tenure,
        /// The answerer, a voter, promises the sender its exchanges for that long; zero for no promise.
        promise: Span,
        /// The entry of the log by which the answerer votes.
        voters: VotersAt,
        /// True when the answerer has ended its promises for this tenure (see `GatherAsk`), or the sender is no member any
        /// more by a registry that is not older than the sender's.
        ended: bool,
    },
    /// The meta leader suspects a node: end your promises to it and tell how long the last one still holds.
    GatherAsk {
        /// The suspect.
        node: NodeId,
        /// Its tenure.
        tenure: Tenure,
        /// The asker's term.
        term: Term,
    },
    /// Answer to `GatherAsk`.
    GatherAnswer {
        /// The suspect.
        node: NodeId,
        /// Its tenure.
        tenure: Tenure,
        /// The asker's term.
        term: Term,
        /// How long the latest promise still holds.
        remaining: Span,
    },
    /// The sender leaves now, of its own will.
    Goodbye {
        /// Its tenure.
        tenure: Tenure,
    },
    /// The sender belongs to that cluster since its greeting on this link, which named none.
    Belongs {
        /// The cluster.
        cluster: ClusterId,
    },
    /// A Raft call, opaque here.
    Raft {
        /// Number.
        call: Call,
        /// Body.
        body: Vec<u8>,
    },
    /// Answer to a Raft call.
    RaftAnswer {
        /// Number.
        call: Call,
        /// Body.
        body: Vec<u8>,
    },
    /// Wants a command in the log; whoever is not the meta leader answers with a hint.
    Propose {
        /// Number.
        call: Call,
        /// Command.
        command: Command,
    },
    /// Wants to become a member (a learner), or tells of a new run.
    Join {
        /// Number.
        call: Call,
        /// Who.
        introduction: Introduction,
    },
    /// Answer to `Propose` and `Join`.
    Proposed {
        /// Number.
        call: Call,
        /// What became of it.
        result: ProposeResult,
    },
    /// Wants a change of the voters; whoever is not the meta leader answers with a hint.
    Members {
        /// Number.
        call: Call,
        /// Change.
        change: MemberChange,
    },
    /// Answer to `Members`.
    MembersChanged {
        /// Number.
        call: Call,
        /// What became of it.
        result: MemberResult,
    },
    /// A handler on the sending node attaches.
    Attach(Attach),
    /// A handler on the sending node detaches.
    Detach {
        /// Exchange.
        exchange: ExchangeId,
        /// Handler.
        handler: Pid,
        /// Why.
        reason: DetachReason,
    },
    /// The receiver of an `Attach` does not own the exchange under that epoch; try again when the registry has moved.
    AttachRefused {
        /// Exchange.
        exchange: ExchangeId,
        /// Handler.
        handler: Pid,
        /// The refuser's epoch.
        seen: Epoch,
    },
    /// The owner named here has all handlers of the sending node: each is confirmed under that epoch.
    Roll {
        /// Exchanges that the receiver owns, with the epoch; at most [`ROLL_MAX`](crate::limits::ROLL_MAX).
        exchanges: Vec<(ExchangeId, Epoch)>,
    },
    /// The receiver of a `Roll` does not own these under those epochs yet: to be told again.
    RollRefused {
        /// Those.
        exchanges: Vec<(ExchangeId, Epoch)>,
    },
    /// Signatures that a handler claimed and does not get.
    Unbound {
        /// Exchange.
        exchange: ExchangeId,
        /// The owner's epoch.
        epoch: Epoch,
        /// Handler.
        handler: Pid,
        /// Signatures to forget.
        signatures: Vec<Signature>,
    },
    /// A handler of a node that was held for lost is taken in again, behind the deliveries that were sent to it before.
    TakenIn {
        /// Exchange.
        exchange: ExchangeId,
        /// The owner's epoch.
        epoch: Epoch,
        /// Handler.
        handler: Pid,
        /// The loss that its attachment told of.
        returned: Revision,
        /// The signatures it has, at most [`BINDINGS_MAX`](crate::limits::BINDINGS_MAX).
        bound: Vec<Signature>,
    },
    /// A system message for handlers on the receiving node.
    System {
        /// Handler it is for; none means all handlers of the exchange on that node.
        to: Option<Pid>,
        /// The message.
        message: SystemMessage,
    },
    /// System messages for handlers on the receiving node, in their order: each for some handlers, or for all of its
    /// exchange.
    Systems {
        /// The messages, all of one exchange; none means all of its handlers on that node.
        messages: Vec<(Option<Vec<Pid>>, SystemMessage)>,
    },
    /// The sender saw the end of that run itself.
    Obituary {
        /// Node.
        node: NodeId,
        /// Run that ended.
        incarnation: Incarnation,
    },
    /// From the old owner to the next one: it has stopped, and this is what it knew.
    MoveState {
        /// Exchange.
        exchange: ExchangeId,
        /// The next owner's epoch.
        epoch: Epoch,
        /// What travels.
        state: MoveState,
    },
    /// A leader's node asks how long the leader may count on its leadership.
    LeaderLeaseAsk {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch of the owner it is addressed to.
        epoch: Epoch,
        /// The leader.
        handler: Pid,
        /// Epoch of its leadership.
        leader_epoch: LeaderEpoch,
        /// The asker's clock.
        asked_at: Instant,
    },
    /// Answer to `LeaderLeaseAsk`; there is none when the handler does not lead.
    LeaderLease {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch of the owner.
        epoch: Epoch,
        /// The leader.
        handler: Pid,
        /// Epoch of its leadership.
        leader_epoch: LeaderEpoch,
        /// `asked_at` of the question: the lease counts from there, so a late answer lengthens nothing.
        asked_at: Instant,
        /// How long it holds, counted from then and to be shortened by what clocks may differ.
        remaining: Span,
    },
    /// About the subscriptions of a publish-subscribe exchange.
    Subscriptions {
        /// Exchange.
        exchange: ExchangeId,
        /// What.
        what: SubscriptionNews,
    },
    /// From the owner of an exchange with tasks to its backup: what has changed.
    TaskBatch {
        /// Exchange.
        exchange: ExchangeId,
        /// Changes.
        batch: Batch,
    },
    /// Answer to `TaskBatch`.
    TaskAnswer {
        /// Exchange.
        exchange: ExchangeId,
        /// What the backup has.
        answer: Answer,
    },
    /// A part of a `MoveState` that is too large for one message. Parts of another sum belong to another attempt.
    MovePart {
        /// Exchange.
        exchange: ExchangeId,
        /// The next owner's epoch.
        epoch: Epoch,
        /// CRC32C of the whole.
        sum: u32,
        /// Which part, from 0.
        part: u32,
        /// Parts in all.
        parts: u32,
        /// The part's bytes.
        bytes: Bytes,
    },
    /// The owner's word that a signature is a handler's, or is not any more, by an operator's wish. It travels with the
    /// deliveries to that handler, in their order, and is answered.
    BindingWord {
        /// Exchange.
        exchange: ExchangeId,
        /// The owner's epoch.
        epoch: Epoch,
        /// Handler.
        handler: Pid,
        /// Signature.
        signature: Signature,
        /// It is the handler's.
        keep: bool,
        /// Number of the word.
        number: u64,
    },
    /// Answer to `BindingWord`.
    BindingNoted {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch of the word.
        epoch: Epoch,
        /// Handler.
        handler: Pid,
        /// Signature.
        signature: Signature,
        /// Number of the word.
        number: u64,
        /// What the node made of it.
        noted: Noted,
    },
}
