//! What a journal holds besides the machines: who recorded it and on what clock, and what happened at the edges of the
//! data plane, where a request begins, takes effect and ends. Not needed for a replay; needed to judge a live run.

use serde::{Deserialize, Serialize};
use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Boot, Epoch, ExchangeId, Incarnation, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;

/// Layout of the header and of facts; a higher one was written by a later Squall.
pub const FORMAT: u32 = 1;

/// Who recorded a journal, and on what clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// Node.
    pub node: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// Which run of its data directory.
    pub boot: Boot,
    /// The node's time 0 on the machine's monotonic clock: so the clocks of all processes on one machine fit together.
    pub started: Instant,
}

/// Something that happened, told by the part of the node where it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A request entered the cluster here. It has this number for as long as it lives, and another for every try.
    Begun {
        /// Its number.
        request: MessageId,
        /// Exchange.
        exchange: ExchangeId,
        /// True under the strategy `default`.
        many: bool,
    },
    /// A try of it was sent.
    Tried {
        /// Its number.
        request: MessageId,
        /// The try's.
        message: MessageId,
    },
    /// The requester was given an outcome.
    Outcome {
        /// The request's number.
        request: MessageId,
        /// Exchange.
        exchange: ExchangeId,
        /// How.
        ending: Ending,
        /// True when more outcomes follow.
        more: bool,
    },
    /// An answer came for a try that is over.
    Late {
        /// The try's number.
        message: MessageId,
    },
    /// A delivery passed the fence of a handler attached here, and goes to its mailbox.
    Passed {
        /// The try.
        request: RequestKey,
        /// Exchange.
        exchange: ExchangeId,
        /// Handler.
        handler: Pid,
        /// Epoch under which it came.
        epoch: Epoch,
        /// Leader epoch under which it came; 0 where there is none.
        leader_epoch: LeaderEpoch,
    },
    /// That one did not fit into the mailbox, so it took no effect.
    GivenBack {
        /// The try.
        request: RequestKey,
        /// Handler.
        handler: Pid,
    },
    /// A delivery did not pass.
    Fenced {
        /// Exchange.
        exchange: ExchangeId,
        /// Handler.
        handler: Pid,
        /// Epoch under which it came.
        epoch: Epoch,
        /// Highest epoch seen there.
        seen: Epoch,
    },
    /// A handler attached here may count on its leadership until then.
    Leads {
        /// Exchange.
        exchange: ExchangeId,
        /// Handler.
        handler: Pid,
        /// Epoch of the leadership.
        leader_epoch: LeaderEpoch,
        /// End, on this node's clock; one that has passed when it leads no longer.
        until: Instant,
    },
    /// The node ends in order.
    Left,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// A reply.
    Reply(Pid),
    /// Declined.
    Declined(Pid),
    /// Neither.
    None(NoReply),
}
