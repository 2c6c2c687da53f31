//! Control messages: what nodes and native clients say to each other beside requests and replies, encoded with
//! postcard into the payload of a `Control` frame.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::dedup::DedupState;
use crate::exchange::{RequestKey, Signature};
use crate::frame::{Frame, Kind};
use crate::id::{
    Boot, ClusterId, Counter, Epoch, ExchangeId, ExchangeName, Incarnation, LeaderEpoch, NodeId, Pid,
    Revision, Tenure, Term,
};
use crate::keys::KeyPattern;
use crate::limits;
use crate::membership::{MemberChange, MemberResult};
use crate::promises::VotersAt;
use crate::reason::{DetachReason, Refusal, SentAway, SubscribeRefusal};
use crate::registry::{Command, Introduction, Outcome};
use crate::subscriptions::{Interest, MovedInterest, Stamp};
use crate::tasks::{Answer, Batch, QueueState};
use crate::time::{Instant, Span};

mod parts;
mod work;

pub use parts::{Parts, Whole};
pub use work::{NotTerms, SettleWord, Settlement, Submitted, Terms, Work};

/// Number of a call, chosen by the caller, given back with the answer.
pub type Call = u64;

/// The number before the first call of a node's run. No run uses a number of an earlier one: an answer that comes after a
/// restart must not be taken for that of another question.
#[must_use]
pub fn calls_begin_after(boot: Boot) -> Call {
    u64::from(boot.0) << 32
}

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
        /// Exchanges that the receiver owns, with the epoch; at most [`limits::ROLL_MAX`].
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
    /// A system message for handlers on the receiving node.
    System {
        /// Handler it is for; none means all handlers of the exchange on that node.
        to: Option<Pid>,
        /// The message.
        message: SystemMessage,
    },
    /// System messages for handlers on the receiving node, in their order: each for one handler, or for all of its
    /// exchange.
    Systems {
        /// The messages; all of one exchange.
        messages: Vec<(Option<Pid>, SystemMessage)>,
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
}

/// What the tables of one exchange's subscriptions say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionNews {
    /// What the sender wants to get.
    Interest {
        /// Where this stands among its announcements.
        stamp: Stamp,
        /// What.
        interest: Interest,
    },
    /// Announcements up to that one are taken in, here and above.
    Confirmed {
        /// The latest.
        stamp: Stamp,
    },
    /// These patterns were not taken in.
    Refused {
        /// Why.
        reason: SubscribeRefusal,
        /// Patterns.
        patterns: Vec<KeyPattern>,
    },
    /// Tell me all that you want.
    Asked,
    /// From the owner: say `Gathered` once you know that revision, and whatever you want is known here, by whatever way.
    Gather {
        /// Revision of the registry in which somebody was lost.
        revision: Revision,
    },
    /// Answer to `Gather`.
    Gathered {
        /// The revision that was asked for.
        revision: Revision,
    },
    /// Answer to `Asked` of a node without a subscriber.
    Nothing,
    /// The announcer's epoch is over.
    Fenced {
        /// Highest epoch seen.
        seen: Epoch,
    },
    /// From the old owner to the next one, in parts: what it knew.
    Moved {
        /// The next owner's epoch.
        epoch: Epoch,
        /// Interest of nodes.
        interest: Vec<MovedInterest>,
        /// Ids of publishes.
        ids: DedupState,
        /// No further part follows.
        last: bool,
    },
}

/// What an exchange's owner knows that the next one needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MoveState {
    /// Handlers in the order they attached.
    pub servers: Vec<Server>,
    /// Per service tag, whose turn it is; the empty tag stands for all.
    pub turns: Vec<(String, Pid)>,
    /// Requests passed on lately, so that those of a lost node can be ended.
    pub routes: Vec<MovedRoute>,
    /// How long leases granted to the leader may still hold.
    pub granted: Span,
    /// To whom they were granted.
    pub holder: Option<Pid>,
    /// Which signatures each handler has.
    pub bindings: Vec<(Pid, Vec<Signature>)>,
    /// Nodes that have not told of all their handlers yet.
    pub awaited: Vec<NodeId>,
    /// The queue of an exchange with tasks.
    pub tasks: Option<QueueState>,
}

/// A request that was passed on, on its way to the next owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRoute {
    /// Request.
    pub request: RequestKey,
    /// Handler that has it.
    pub handler: Pid,
    /// Time until its deadline.
    pub left: Span,
    /// Number of the copy.
    pub index: u32,
    /// Copies delivered.
    pub count: u32,
}

/// A handler's attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Exchange.
    pub exchange: ExchangeId,
    /// Epoch of the owner it is addressed to.
    pub epoch: Epoch,
    /// Handler.
    pub handler: Pid,
    /// Service tag.
    pub service_tag: String,
    /// Connection tag.
    pub connection_tag: String,
    /// Signatures that were delivered to it, at most [`limits::BINDINGS_MAX`].
    pub bound: Vec<Signature>,
    /// Where it takes tasks, and not requests: its credit, and what it has in hand.
    pub work: Option<Work>,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposeResult {
    /// Committed and applied.
    Committed {
        /// What it did.
        outcome: Outcome,
        /// Where it stands.
        revision: Revision,
    },
    /// The asked node is not the meta leader.
    NotLeader {
        /// Who is, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It may or may not be committed.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Certainly not committed.
    Failed {
        /// Why.
        reason: String,
    },
    /// Certainly not committed, and not proposed at all: the asked node has heard no majority of the voters for an
    /// election time.
    NoQuorum,
}

/// A handler as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Pid.
    pub pid: Pid,
    /// Service tag.
    pub service_tag: String,
}

/// Leadership and membership of an exchange, told to its handlers. A gap in (epoch, counter) is repaired by attaching
/// again, which is answered with a `Leader` message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemMessage {
    /// Exchange.
    pub exchange: ExchangeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The owner's counter within that epoch.
    pub counter: Counter,
    /// What happened.
    pub what: System,
}

/// What a system message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum System {
    /// `$leader`: who leads and who serves (A10–A13).
    Leader {
        /// The leader; none where the strategy has none, or before the appointment.
        leader: Option<Pid>,
        /// Its epoch.
        leader_epoch: LeaderEpoch,
        /// All handlers.
        servers: Vec<Server>,
    },
    /// `$slave_up` (A14).
    SlaveUp(Server),
    /// `$slave_down` (A15).
    SlaveDown {
        /// The handler that is gone.
        pid: Pid,
        /// Why.
        reason: DetachReason,
    },
}

impl System {
    /// The handlers of which it says that they serve.
    pub fn serving(&self) -> impl Iterator<Item = Pid> + '_ {
        let servers = match self {
            Self::Leader { servers, .. } => servers.as_slice(),
            Self::SlaveUp(server) => core::slice::from_ref(server),
            Self::SlaveDown { .. } => &[],
        };
        servers.iter().map(|server| server.pid)
    }
}

/// From a native client to its node. Requests travel as `Request` frames, replies to deliveries as `Reply` frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// Asks for an exchange's number.
    Lookup {
        /// Number of the call.
        call: Call,
        /// Exchange.
        name: ExchangeName,
    },
    /// Attaches a handler.
    Attach {
        /// Number of the call.
        call: Call,
        /// Exchange.
        name: ExchangeName,
        /// Service tag.
        service_tag: String,
        /// Connection tag.
        connection_tag: String,
        /// Deliveries the handler takes at once.
        credit: u32,
    },
    /// Attaches a worker to an exchange with tasks.
    Work {
        /// Number of the call.
        call: Call,
        /// Exchange.
        name: ExchangeName,
        /// Service tag.
        service_tag: String,
        /// Tasks it takes in hand at once.
        credit: u32,
    },
    /// Detaches a handler.
    Detach {
        /// Serial of the handler.
        handler: u64,
        /// Why: it asks for it, it panicked too often, or it is done.
        reason: DetachReason,
    },
    /// Declares an exchange, deletes one: any registry command a client may give.
    Propose {
        /// Number of the call.
        call: Call,
        /// Command.
        command: Command,
    },
    /// Asks for the members.
    Members {
        /// Number of the call.
        call: Call,
    },
    /// Sign of life.
    Ping {
        /// Number of the call.
        call: Call,
    },
    /// Asks how long a handler may count on its leadership. Answered by `Leadership` as soon as the node holds a lease
    /// for it, and not at all when the handler does not lead.
    LeadershipAsk {
        /// Serial of the handler.
        handler: u64,
        /// The client's own clock: given back with the answer.
        asked_at: Instant,
    },
    /// Subscribes, or adds to a subscriber of this session.
    Subscribe {
        /// Number of the call.
        call: Call,
        /// Number of the subscriber, chosen by the client: its events carry it.
        subscriber: u64,
        /// Exchange.
        name: ExchangeName,
        /// Given back with each event that one of these patterns matches.
        connection_tag: String,
        /// Patterns; at most [`limits::PATTERNS_PER_SUBSCRIBER_MAX`].
        patterns: Vec<String>,
        /// Events that the client takes before it says that it took some.
        credit: u32,
    },
    /// Ends a subscriber.
    Unsubscribe {
        /// Its number.
        subscriber: u64,
    },
    /// The client takes that many more events.
    Took {
        /// Number of the subscriber.
        subscriber: u64,
        /// Events.
        events: u32,
    },
}

/// From a node to a native client. Deliveries come as `Deliver` frames, outcomes as `Reply` frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeMessage {
    /// Answer to `Lookup`; none when there is no such exchange.
    Found {
        /// Number of the call.
        call: Call,
        /// Its number.
        exchange: Option<ExchangeId>,
    },
    /// Answer to `Attach`.
    Attached {
        /// Number of the call.
        call: Call,
        /// The handler's pid.
        handler: Pid,
        /// The exchange's number.
        exchange: ExchangeId,
    },
    /// A call was refused.
    Refused {
        /// Number of the call.
        call: Call,
        /// Why.
        reason: String,
    },
    /// Answer to `Propose`.
    Proposed {
        /// Number of the call.
        call: Call,
        /// What became of it.
        result: ProposeResult,
    },
    /// Answer to `Members`.
    Members {
        /// Number of the call.
        call: Call,
        /// Who they are: ids and names make pids readable, addresses are for failing over.
        members: Vec<Introduction>,
    },
    /// Answer to `Ping`.
    Pong {
        /// Number of the call.
        call: Call,
    },
    /// A system message for one of the client's handlers.
    System {
        /// Serial of the handler.
        handler: u64,
        /// The message.
        message: SystemMessage,
    },
    /// The node detached a handler.
    Detached {
        /// Serial of the handler.
        handler: u64,
        /// Why.
        reason: DetachReason,
    },
    /// Go elsewhere.
    Leaving {
        /// Why.
        why: SentAway,
    },
    /// Answer to `LeadershipAsk`: what the node holds at that moment.
    Leadership {
        /// Serial of the handler.
        handler: u64,
        /// `asked_at` of the question: the lease counts from there, so an answer that waited lengthens nothing.
        asked_at: Instant,
        /// Epoch of the leadership.
        leader_epoch: LeaderEpoch,
        /// How long it holds, counted from then and to be shortened by what clocks may differ.
        remaining: Span,
        /// How soon to ask again at the latest, so that the lease is renewed before it runs out.
        again: Span,
    },
    /// Answer to `Subscribe`: all publishes from now on that match come, as `Event` frames.
    Subscribed {
        /// Number of the call.
        call: Call,
        /// The subscriber's pid.
        subscriber: Pid,
        /// The exchange's number.
        exchange: ExchangeId,
    },
    /// A subscriber is no more.
    SubscriberEnded {
        /// Its number.
        subscriber: u64,
        /// Why, in words.
        reason: String,
    },
}

/// First messages on every connection, before any frame with a payload of others; see `handshake`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandshakeMessage {
    /// From the dialler.
    Hello(crate::handshake::Hello),
    /// From the listener.
    Welcome(crate::handshake::Welcome),
    /// From the dialler: the proof that it knows the cookie.
    Prove(crate::handshake::Prove),
    /// From the listener: the connection stands.
    Accepted(crate::handshake::Accepted),
    /// From either side, then the connection ends.
    Refused {
        /// Why.
        refusal: Refusal,
        /// In words, with names.
        detail: String,
    },
}

/// Encodes a control message into a frame.
///
/// # Panics
/// When the message is above the frame bound, which its makers prevent.
#[must_use]
pub fn control<T: Serialize>(message: &T) -> Frame {
    let payload = postcard::to_allocvec(message).expect("control messages are plain data");
    assert!(
        payload.len() <= limits::PAYLOAD_BYTES_MAX,
        "a control message of {} bytes",
        payload.len()
    );
    Frame {
        payload: Bytes::from(payload),
        ..Frame::new(Kind::Control)
    }
}

/// The bytes of a control frame are not such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a control message of this protocol version")]
pub struct NotAMessage;

/// Decodes the payload of a control frame.
///
/// # Errors
/// [`NotAMessage`] when the bytes are something else.
pub fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, NotAMessage> {
    postcard::from_bytes(payload).map_err(|_| NotAMessage)
}
