//! What a journal holds besides the machines: who recorded it and on what clock; what happened at the edges of the data
//! plane, where a request begins, takes effect and ends; what becomes of tasks and publishes; and what the registry's log, the faults and
//! the bounded places of the node do. Not needed for a replay; needed to judge a live run.

use serde::{Deserialize, Serialize};
use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::id::{
    Boot, ClusterId, Counter, Epoch, ExchangeId, Incarnation, LeaderEpoch, MessageId, NodeId, Pid, Revision,
};
use squall_kernel::message::System;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Command;
use squall_kernel::time::Instant;

mod publish;
mod task;

pub use publish::PublishEvent;
pub use task::{QueueFrom, TaskEvent};

/// Layout of the header and of facts; a higher one was written by a later Squall.
pub const FORMAT: u32 = 6;

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
        /// What binds it to this handler, under the sticky strategies. Not told before format 5.
        #[serde(default)]
        signature: Option<Signature>,
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
    /// A system message of the owner was news to a handler attached here.
    Heard {
        /// Exchange.
        exchange: ExchangeId,
        /// Handler.
        handler: Pid,
        /// The owner's epoch.
        epoch: Epoch,
        /// The owner's counter in it.
        counter: Counter,
        /// What it says.
        what: System,
    },
    /// A command of the registry's log was applied here, and that made this revision.
    Applied {
        /// Cluster, as after the command.
        cluster: ClusterId,
        /// Revision.
        revision: Revision,
        /// The command.
        command: Box<Command>,
    },
    /// A registry write was acknowledged to whoever asked for it here.
    Acknowledged {
        /// Its revision.
        revision: Revision,
        /// The command.
        command: Box<Command>,
    },
    /// Something happened to a task of an exchange, or to its queue.
    Task {
        /// Exchange.
        exchange: ExchangeId,
        /// What.
        what: TaskEvent,
    },
    /// Something happened to a publish, or to a subscriber.
    Publish {
        /// Exchange.
        exchange: ExchangeId,
        /// What; publishes by the numbers of their tries, but where they begin and are confirmed.
        what: PublishEvent,
    },
    /// A handler attached here is detached.
    Detached {
        /// Handler.
        handler: Pid,
    },
    /// A fault on this node's links was set; one with the same id was replaced.
    Fault {
        /// Id, unique in this run of the node.
        id: String,
        /// In words.
        text: String,
        /// When it ends by itself, as much time as has really passed since the node's start: no fault touches that.
        ends: Instant,
    },
    /// It acts no more.
    FaultOver {
        /// Id.
        id: String,
    },
    /// So many things are in a bounded place.
    Holds {
        /// Name of the place.
        place: String,
        /// How many now.
        count: u64,
        /// Its bound.
        bound: u64,
    },
    /// The node acts as owner no more, and is about to say so to all others.
    Goodbye,
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
