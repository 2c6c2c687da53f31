//! The one `Handler` trait, for handlers embedded in a node and for remote ones alike, and what is delivered to them.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::TraceContext;
use squall_kernel::id::{Counter, Epoch, ExchangeName, LeaderEpoch};
use squall_kernel::limits::REASON_BYTES_MAX;
pub use squall_kernel::supervision::{Restart, Supervision};

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
    /// Exchange that the request is for, where this handler's stands in front of it as middleware (A30): see [`Answer`].
    pub ahead_of: Option<ExchangeName>,
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
///
/// A handler of an exchange that others have as middleware gets their requests before they do, with
/// [`Delivery::ahead_of`] set. It says whether a request goes on:
///
/// ```
/// use squall_client::{Answer, Delivery, Handler};
///
/// /// Lets nobody through without a tag, and sends what is large elsewhere.
/// struct Doorkeeper;
///
/// impl Handler for Doorkeeper {
///     async fn handle(&mut self, delivery: Delivery) -> Answer {
///         if delivery.request_tag.is_empty() {
///             return Answer::Decline("who are you?".into());
///         }
///         if delivery.payload.len() > 100_000 {
///             return Answer::Redirect("bulk".parse().expect("a name"));
///         }
///         if delivery.payload.is_empty() {
///             return Answer::Rewrite("nothing said".into());
///         }
///         Answer::Pass
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A reply. Not for a request that is for another exchange: it would be taken for that one's, so it is declined.
    Reply(Bytes),
    /// Declined, with a reason of at most 1024 bytes.
    Decline(String),
    /// The request goes on to the exchange that it is for, as it is.
    Pass,
    /// The request goes on to the exchange that it is for, with this payload.
    Rewrite(Bytes),
    /// The request goes on at another exchange, and through what stands in front of that one; at most eight times.
    Redirect(ExchangeName),
}

/// What a panic said, in at most 1024 bytes.
#[must_use]
pub fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    cut(text.unwrap_or("without a word").to_owned(), REASON_BYTES_MAX)
}

/// The longest start of `text` that fits.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// Leadership and membership as told to a handler: `$leader`, `$slave_up`, `$slave_down` (A10–A16). Where very many come or go
/// within some hundredths of a second, the whole picture, `$leader`, takes the place of one notice for each.
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
        /// All handlers. Those of one node share the list.
        servers: Arc<[ServerInfo]>,
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
/// counted: the request ends as `failed` with the panic's words, the handler goes on by its restart policy
/// ([`Supervision`]), the node lives.
///
/// ```
/// use std::collections::HashMap;
///
/// use squall_client::{Answer, Delivery, Handler};
///
/// #[derive(Default)]
/// struct Cache(HashMap<Vec<u8>, u64>);
///
/// impl Handler for Cache {
///     async fn handle(&mut self, delivery: Delivery) -> Answer {
///         let times = self.0.entry(delivery.key.to_vec()).or_default();
///         *times += 1;
///         Answer::Reply(times.to_string().into())
///     }
///
///     /// What a panic left half done is not trusted.
///     fn restarted(&mut self) {
///         *self = Self::default();
///     }
/// }
/// ```
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

    /// Is restarted, after a panic or once it was done: puts itself into a state in which it can go on. The default leaves
    /// everything as it is. A panic in here is one more.
    fn restarted(&mut self) {}

    /// True when it has done what it was for: asked after each request. What follows is up to its restart policy. By
    /// default it never has.
    fn is_done(&self) -> bool {
        false
    }

    /// Takes a change of its leadership. The default takes no interest.
    fn leadership(&mut self, change: LeadershipChange) {
        let _ = change;
    }
}
