//! The one `Handler` trait, for handlers embedded in a node and for remote ones alike, and what is delivered to them.

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::TraceContext;
use squall_kernel::id::{Counter, Epoch, ExchangeName, LeaderEpoch};

use crate::leadership::{Context, LeadershipChange};
use crate::talk::Talk;

/// A request as its handler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Exchange.
    pub exchange: ExchangeName,
    /// Payload.
    pub payload: Bytes,
    /// Request tag, as the requester gave it (A28).
    pub request_tag: Bytes,
    /// Connection tag of the attachment the request came through (A26).
    pub connection_tag: Bytes,
    /// Key of the request; empty for none.
    pub key: Bytes,
    /// Identity of the request.
    pub request: RequestKey,
    /// Epoch of the exchange.
    pub epoch: Epoch,
    /// Epoch of the leader; 0 where the strategy has none. Use it as a fencing token for outside resources.
    pub leader_epoch: LeaderEpoch,
    /// Trace context: the parent for spans of the handler.
    pub trace: TraceContext,
    /// The way back to the requester: see [`Delivery::chunks`] and [`Delivery::ask`].
    pub talk: Talk,
}

/// What a handler answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A reply.
    Reply(Bytes),
    /// Declined, with a reason of at most 1024 bytes.
    Decline(String),
}

/// Leadership and membership as told to a handler: `$leader`, `$slave_up`, `$slave_down` (A10–A16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Exchange.
    pub exchange: ExchangeName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The owner's counter within that epoch.
    pub counter: Counter,
    /// What happened.
    pub what: NoticeKind,
}

/// What a [`Notice`] says. Pids are in text form, `<node.serial>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// `$leader`.
    Leader {
        /// The leader's pid, if there is one.
        leader: Option<String>,
        /// Its epoch.
        leader_epoch: LeaderEpoch,
        /// True when the receiving handler is the leader.
        you: bool,
        /// All handlers.
        servers: Vec<ServerInfo>,
    },
    /// `$slave_up`.
    SlaveUp(ServerInfo),
    /// `$slave_down`.
    SlaveDown {
        /// Its pid.
        pid: String,
        /// Why.
        reason: String,
    },
}

/// A handler of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Pid.
    pub pid: String,
    /// Node it is attached through.
    pub node: String,
    /// Service tag.
    pub service_tag: String,
}

/// Answers requests. One call at a time per handler; attach several handlers for concurrency. A panic is caught and
/// counted: the request ends as `interrupted`, the handler goes on by its restart policy, the node lives.
pub trait Handler: Send + 'static {
    /// Takes its context, before anything else: to be kept by a handler that leads, and given to tasks of its own. The
    /// default takes no interest.
    fn attached(&mut self, context: Context) {
        drop(context);
    }

    /// Answers a request.
    fn handle(&mut self, delivery: Delivery) -> impl Future<Output = Answer> + Send;

    /// Takes a notice. The default takes no interest.
    fn notice(&mut self, notice: Notice) {
        drop(notice);
    }

    /// Takes a change of its leadership. The default takes no interest.
    fn leadership(&mut self, change: LeadershipChange) {
        let _ = change;
    }
}
