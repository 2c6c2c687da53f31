//! What native clients and their nodes say to each other beside requests, deliveries and replies.
//!
//! What does not live here: serving it (the shell's sessions), and the same things in gRPC (`squall-proto`).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Call, ProposeResult, SystemMessage};
use crate::id::{ExchangeId, ExchangeName, LeaderEpoch, Pid};
use crate::reason::{ClientFault, DetachReason, SentAway};
use crate::registry::{Command, Introduction};
use crate::time::{Instant, Span};

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
        /// Patterns; at most [`PATTERNS_PER_SUBSCRIBER_MAX`](crate::limits::PATTERNS_PER_SUBSCRIBER_MAX).
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
        /// Why, in words.
        reason: String,
        /// What was wrong with it; none where nothing was, and it may be taken at another time.
        fault: Option<ClientFault>,
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
        /// Its exchange is no more; else what it asked for was refused.
        deleted: bool,
    },
}
