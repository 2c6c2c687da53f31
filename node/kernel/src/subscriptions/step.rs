//! What goes into the subscriptions of an exchange at one node and what comes out of them, as plain data.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{Counter, Epoch, Incarnation, NodeId, Pid};
use crate::keys::KeyPattern;
use crate::reason::SubscribeRefusal;

/// Orders what one node announces: by its run, then by the exchange's epoch, then by its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// The announcer's run.
    pub incarnation: Incarnation,
    /// Epoch of the exchange, as the announcer knows it.
    pub epoch: Epoch,
    /// Its counter of announcements for this exchange.
    pub counter: Counter,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.incarnation, self.epoch, self.counter)
    }
}

/// What a node wants of an exchange: each pattern once, however many subscribers it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interest {
    /// All of it, in parts of at most [`crate::limits::INTEREST_PATTERNS_MAX`] patterns with counters in a row. What is
    /// known and not among them ends with the last part.
    Snapshot {
        /// First part.
        first: bool,
        /// Last part, which may be the first.
        last: bool,
        /// Patterns of this part.
        patterns: Vec<KeyPattern>,
    },
    /// What changed since the counter before.
    Delta {
        /// Patterns that it did not want then.
        add: Vec<KeyPattern>,
        /// Patterns that it wanted then.
        remove: Vec<KeyPattern>,
    },
    /// Nothing any more: it gets its publishes from elsewhere.
    Leave,
}

/// What one node wants, or part of it, on its way from the old owner of an exchange to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedInterest {
    /// Node.
    pub node: NodeId,
    /// Its run.
    pub incarnation: Incarnation,
    /// At most [`crate::limits::INTEREST_PATTERNS_MAX`] patterns.
    pub patterns: Vec<KeyPattern>,
}

/// Where a node gets the exchange's publishes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upstream {
    /// Nowhere: it is the owner, and all publishes pass through it.
    Root,
    /// Nowhere for now: no owner and no proxy can be reached. Local publishes go on.
    Nowhere,
    /// That node, a proxy or the owner.
    At(NodeId),
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionInput {
    /// A local process subscribes; once more with the same tag and pattern changes nothing.
    Subscribe {
        /// Subscriber.
        subscriber: Pid,
        /// Which of its attachments (A26): given back with each publish that matches.
        connection: Bytes,
        /// What it wants.
        pattern: KeyPattern,
    },
    /// A local process ends a subscription.
    Unsubscribe {
        /// Subscriber.
        subscriber: Pid,
        /// Attachment.
        connection: Bytes,
        /// What it wants no more; none for all of the attachment.
        pattern: Option<KeyPattern>,
    },
    /// A local process is gone, and its subscriptions with it.
    SubscriberGone {
        /// Subscriber.
        subscriber: Pid,
    },
    /// A node that gets its publishes from here says what it wants.
    Downstream {
        /// The node.
        node: NodeId,
        /// Where this stands among its announcements.
        stamp: Stamp,
        /// What it wants.
        interest: Interest,
    },
    /// The registry declared a run of a node lost.
    NodeLost {
        /// Node.
        node: NodeId,
        /// The run; interest of a later one stays.
        incarnation: Incarnation,
    },
    /// The exchange has another epoch, or publishes come from elsewhere from now on.
    Upstream {
        /// Epoch of the exchange, as the registry has it.
        epoch: Epoch,
        /// Where publishes come from.
        upstream: Upstream,
    },
    /// The next owner is told all that is known here, and this node stops owning the exchange, unless the move is cancelled.
    HandedOff,
    /// The link to a node was made anew, and what was on its way may be lost.
    Relinked {
        /// Node.
        node: NodeId,
    },
    /// The node above knows nothing of this one any more: it was lost, or this one was held for lost.
    Forgotten,
    /// A node asks for a snapshot of what this one wants.
    SnapshotAsked {
        /// Asker.
        by: NodeId,
    },
    /// A node has taken announcements up to that one in, and so has everything above it.
    Confirmed {
        /// Node.
        by: NodeId,
        /// The latest.
        stamp: Stamp,
    },
    /// The node above did not take these patterns in.
    Refused {
        /// Node.
        by: NodeId,
        /// Why.
        reason: SubscribeRefusal,
        /// Patterns.
        patterns: Vec<KeyPattern>,
    },
    /// What the owner before knew. It stands until the nodes announce it themselves.
    Resume {
        /// The epoch that begins with it.
        epoch: Epoch,
        /// That.
        state: Vec<MovedInterest>,
    },
    /// All nodes have had the time to announce themselves: what was only resumed ends.
    Settled,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionEffect {
    /// Publishes that match from now on reach the subscriber.
    Ready {
        /// Subscriber.
        subscriber: Pid,
        /// Attachment.
        connection: Bytes,
        /// What it wanted.
        pattern: KeyPattern,
    },
    /// A subscription was refused, or taken away because a node above refused it.
    Refuse {
        /// Subscriber.
        subscriber: Pid,
        /// Attachment.
        connection: Bytes,
        /// What it wanted.
        pattern: KeyPattern,
        /// Why.
        reason: SubscribeRefusal,
    },
    /// Tell the node above what this one wants.
    Announce {
        /// Node.
        to: NodeId,
        /// Where this stands.
        stamp: Stamp,
        /// What this one wants.
        interest: Interest,
    },
    /// Tell a node that its announcements up to that one are taken in, here and above.
    Confirm {
        /// Node.
        to: NodeId,
        /// The latest.
        stamp: Stamp,
    },
    /// Tell a node that these patterns were not taken in.
    RefuseInterest {
        /// Node.
        to: NodeId,
        /// Why.
        reason: SubscribeRefusal,
        /// Patterns.
        patterns: Vec<KeyPattern>,
    },
    /// Ask a node for a snapshot: an announcement of it is missing.
    AskSnapshot {
        /// Node.
        of: NodeId,
    },
    /// Tell a node that its epoch is over; it announces anew once its registry has moved.
    Fenced {
        /// Node.
        to: NodeId,
        /// Highest epoch seen.
        seen: Epoch,
    },
}

impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot {
                first,
                last,
                patterns,
            } => {
                let part = match (first, last) {
                    (true, true) => "snapshot",
                    (true, false) => "snapshot first part",
                    (false, true) => "snapshot last part",
                    (false, false) => "snapshot next part",
                };
                write!(f, "{part} of {} patterns", patterns.len())
            }
            Self::Delta { add, remove } => write!(f, "delta +{} -{}", add.len(), remove.len()),
            Self::Leave => f.write_str("leave"),
        }
    }
}

impl fmt::Display for SubscriptionEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready {
                subscriber, pattern, ..
            } => write!(f, "ready {subscriber} {pattern}"),
            Self::Refuse {
                subscriber,
                pattern,
                reason,
                ..
            } => {
                write!(f, "refuse {subscriber} {pattern}: {reason}")
            }
            Self::Announce { to, stamp, interest } => write!(f, "announce {stamp} to {to}: {interest}"),
            Self::Confirm { to, stamp } => write!(f, "confirm {stamp} to {to}"),
            Self::RefuseInterest { to, reason, patterns } => {
                write!(f, "refuse {} patterns of {to}: {reason}", patterns.len())
            }
            Self::AskSnapshot { of } => write!(f, "ask {of} for a snapshot"),
            Self::Fenced { to, seen } => write!(f, "fenced {to}: epoch {seen} seen"),
        }
    }
}
