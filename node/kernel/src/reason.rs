//! Closed lists of reasons. `as_str` is the log field, the metric label and the observer's word.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::planted::{self, Bug};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All reasons, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a request ended without a reply, without the fault of its handler.
    NoReply {
        /// The deadline passed; the request may have been carried out.
        Timeout = "timeout",
        /// No handler is attached, or none in the wanted group.
        NoResponders = "no responders",
        /// Overloaded: turned away before delivery.
        Rejected = "rejected: overloaded",
        /// The exchange has no owner now.
        NoOwner = "unavailable: no owner",
        /// The owner has no quorum behind it.
        NoQuorum = "unavailable: no quorum",
        /// The leader is not appointed yet.
        NoLeader = "unavailable: no leader",
        /// The owner has just started; its handlers are still attaching again.
        Settling = "unavailable: owner just started",
        /// The owner is another node by now.
        Moved = "unavailable: moved",
        /// No exchange of that name.
        UnknownExchange = "unavailable: unknown exchange",
        /// The link to the owner is down; or a sticky key is being taken from a handler whose node has not answered yet. Nothing
        /// was sent.
        Unreachable = "unavailable: unreachable",
        /// Delivered, fate unknown: the node or handler that had it is gone.
        Interrupted = "interrupted",
        /// The frame came under an epoch that is over.
        Fenced = "unavailable: fenced",
        /// No node that is up has the exchange's function.
        NoFunction = "unavailable: no node has its function",
        /// A publish that no owner took: the subscribers on the publisher's own node got it, and nobody else.
        Degraded = "degraded: only this node's subscribers",
        /// A middleware of the exchange cannot be asked: the exchange itself certainly did not get the request. Which one,
        /// and why, is told in words.
        NoMiddleware = "no middleware",
        /// The handler panicked over it; what it had done by then is done. The panic's words come along.
        Failed = "failed",
    }
}

impl NoReply {
    /// True when the request certainly was not delivered, and may be later: the only ones that Squall sends again by
    /// itself.
    #[must_use]
    pub fn may_be_sent_again(self) -> bool {
        use NoReply::{
            Fenced, Interrupted, Moved, NoFunction, NoLeader, NoOwner, NoQuorum, Settling, Unreachable,
        };
        matches!(
            self,
            Moved | Fenced | NoFunction | NoOwner | NoLeader | Settling | Unreachable | NoQuorum
        ) || (planted::is(Bug::RetryInterrupted) && matches!(self, Interrupted))
    }
}

reasons! {
    /// Why an owner stopped acting.
    StepDown {
        /// A majority's promises ran out.
        LeaseEnded = "lease ended",
        /// The registry gave the exchange to another node, or a new epoch.
        Superseded = "superseded",
        /// The exchange was deleted.
        Deleted = "deleted",
        /// The node leaves.
        Leaving = "leaving",
    }
}

reasons! {
    /// Why the registry declared a node lost.
    Lost {
        /// Silent until all promises to it had run out.
        Silent = "silent",
        /// Said goodbye.
        Goodbye = "goodbye",
        /// Started anew from the same data directory.
        Restarted = "restarted",
        /// Its own end was seen.
        Died = "died",
        /// Its cluster was recovered without it.
        Recovered = "given up in a recovery",
    }
}

reasons! {
    /// What was wrong with a chunk, its credit, a question or an answer: told to whoever sent it, and to nobody else.
    TalkFault {
        /// A chunk before this one is missing.
        Gap = "a chunk before this one is missing",
        /// That chunk was sent before.
        Repeated = "that chunk was sent before",
        /// More chunks than the requester takes now.
        BeyondCredit = "more chunks than the requester takes",
        /// A chunk after the last one.
        AfterLast = "a chunk after the last one",
        /// The last chunk says how many there are: its own number.
        WrongCount = "the count of the last chunk is not its number",
        /// The request is answered, and chunks are missing.
        Incomplete = "answered without the last chunk",
        /// A part is above the bound.
        TooLarge = "a chunk, question or answer above the bound of its size",
        /// More credit than may be under way, or none.
        CreditAbuse = "credit above its bound, or none",
        /// One question at a time.
        QuestionOpen = "another question is open",
        /// Questions are numbered from 1.
        QuestionOrder = "not the number of the next question",
        /// More questions than one request may bring.
        TooManyQuestions = "more questions than a request may bring",
        /// The requester does not answer questions.
        NoQuestions = "the requester takes no questions",
        /// An answer to a question that is not open.
        NoSuchQuestion = "no such question is open",
        /// It comes from an epoch that is over, or not from the handler that has the request.
        Fenced = "fenced: another handler or a later epoch has the request",
        /// The request is unknown, or has ended.
        Over = "the request is unknown or has ended",
    }
}

reasons! {
    /// Why a handler was detached.
    DetachReason {
        /// It asked for it.
        Asked = "asked",
        /// Its node was lost.
        NodeLost = "node lost",
        /// Its client is gone.
        ClientGone = "client gone",
        /// It panicked more often than its policy allows.
        Panicked = "panicked",
        /// It has done what it was for.
        Done = "done",
        /// Its exchange was deleted.
        ExchangeDeleted = "exchange deleted",
    }
}

reasons! {
    /// Why a task ended without a completion.
    DeadReason {
        /// Its attempts are used up.
        Attempts = "attempts used up",
        /// Its deadline passed.
        Expired = "expired",
        /// A worker gave it up for good.
        GivenUp = "given up by its worker",
        /// The queue was full, and a later one came in.
        MadeRoom = "made room for a later one",
    }
}

reasons! {
    /// Why the lease of a task ended without a completion.
    LeaseEnd {
        /// Its time was up.
        TimedOut = "lease timed out",
        /// The worker gave the task back.
        GivenBack = "given back",
        /// The worker detached.
        Detached = "worker detached",
        /// The worker's node was lost.
        NodeLost = "worker's node lost",
        /// After a failover no worker had it in hand.
        Unclaimed = "in nobody's hand",
        /// The task's deadline passed.
        Expired = "task expired",
        /// The worker had no room for it, or was not reached.
        Unseen = "never seen",
    }
}

reasons! {
    /// Why a node tells its clients to go elsewhere.
    SentAway {
        /// The node leaves.
        Leaving = "leaving",
        /// The node has been without a majority for so long that another one serves better.
        NoQuorum = "no quorum",
    }
}

reasons! {
    /// Why a connection was refused.
    Refusal {
        /// Another protocol version.
        Version = "unknown protocol version",
        /// Another cluster.
        Cluster = "other cluster",
        /// The cookies differ.
        Cookie = "wrong cookie",
        /// A live node has that name.
        NameTaken = "name taken by a live node",
        /// It is this node itself.
        Myself = "connected to itself",
        /// An older run of the same node.
        OldIncarnation = "older incarnation",
        /// Not a frame of ours.
        Garbage = "not a squall frame",
        /// The handshake took too long.
        Slow = "handshake too slow",
        /// Connections are at their bound.
        TooMany = "too many connections",
    }
}

reasons! {
    /// What was wrong with what a client sent, as its node counts it. The client itself is told in more words.
    ClientFault {
        /// A key, pattern, tag or name above its bound.
        TooLong = "key, pattern, tag or name too long",
        /// A payload, frame or message above its bound.
        TooLarge = "payload or frame too large",
        /// A key, pattern, name or number that is none.
        Malformed = "malformed key, pattern, name or number",
        /// More of something than a client, an exchange or a node may have.
        TooMany = "too many handlers, subscribers, patterns or requests",
        /// An exchange, handler or subscriber that is not there, or is there already.
        NotThere = "no such exchange, handler or subscriber",
        /// The exchange's pattern knows no such thing.
        WrongPattern = "not with an exchange of that pattern",
        /// The exchange's controller does not let it.
        Denied = "refused by a controller",
        /// Bytes, or an action, that no client sends.
        Garbage = "not of the protocol",
    }
}

reasons! {
    /// Why a subscription was refused: which bound of `limits` it met.
    SubscribeRefusal {
        /// Subscribers of the exchange on this node.
        Subscribers = "too many subscribers on this node",
        /// Subscriptions of this subscriber.
        OfSubscriber = "too many subscriptions of one subscriber",
        /// Subscriptions of the exchange on this node.
        OfNode = "too many subscriptions on this node",
        /// Different patterns of the exchange.
        PatternsOfExchange = "too many patterns of one exchange",
        /// Segments of its patterns with wildcards.
        SegmentsOfExchange = "too many segments in patterns of one exchange",
        /// Segments of its patterns that are behind several wildcards.
        WildcardsOfExchange = "too many segments behind several wildcards in patterns of one exchange",
        /// The connection tag is too long.
        ConnectionTag = "connection tag too long",
        /// More nodes than a cluster has.
        Nodes = "too many nodes",
    }
}
