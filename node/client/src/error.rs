//! How operations fail, one enum each. Those of requests are the outcomes of the design.

use std::fmt;

use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::NameError;
use squall_kernel::limits::{
    CHUNK_CREDIT_MAX, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX, REQUEST_TIMEOUT_MS_MAX, RESTARTS_MAX,
    TAG_BYTES_MAX,
};
use squall_kernel::reason::{ClientFault, DetachReason, NoReply, Refusal};
use squall_kernel::registry::Refused;

use crate::limits::{ADDRESSES_MAX, CREDIT_MAX};

/// What is said where a change cannot be agreed on, and what to do then.
pub const NO_QUORUM: &str = "no quorum: the node that was asked hears no majority of the voters, so nothing was changed. \
    `squall node list` names the voters: start those that are down; if they are lost for good, `squall node recover \
    --from-survivor` is the way back (docs/recovery.md)";

/// Arguments that no node would take; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The payload is too large.
    #[error("a payload has at most {PAYLOAD_BYTES_MAX} bytes, this one has {len}")]
    Payload {
        /// Its length in bytes.
        len: usize,
    },
    /// A tag is too long.
    #[error("a {what} has at most {TAG_BYTES_MAX} bytes, this one has {len}")]
    Tag {
        /// Which tag.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A message id is too long.
    #[error(transparent)]
    MessageId(#[from] squall_kernel::message::NotTerms),
    /// The timeout is zero or too long.
    #[error("a timeout lies between 1 ms and {REQUEST_TIMEOUT_MS_MAX} ms, this one is {ms} ms")]
    Timeout {
        /// Its milliseconds.
        ms: u128,
    },
    /// The credit for chunks is zero or too high.
    #[error("a credit for chunks lies between 1 and {CHUNK_CREDIT_MAX}, this one is {credit}")]
    Chunks {
        /// As given.
        credit: u32,
    },
    /// A restart policy allows too many.
    #[error("a handler is restarted {RESTARTS_MAX} times within a time at most, not {restarts}")]
    Restarts {
        /// As given.
        restarts: u32,
    },
    /// The credit is zero or too high.
    #[error("a credit lies between 1 and {CREDIT_MAX}, this one is {credit}")]
    Credit {
        /// As given.
        credit: u32,
    },
}

/// How a request ended without a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The deadline passed; the request may have been carried out.
    #[error("timeout: no answer in time, the request may have been carried out")]
    Timeout,
    /// No handler is attached, or none in the wanted group.
    #[error("no responders: no handler is attached")]
    NoResponders,
    /// A handler declined it.
    #[error("declined: {0}")]
    Declined(String),
    /// Overloaded: turned away before delivery.
    #[error("rejected: overloaded")]
    Rejected,
    /// Certainly not delivered.
    #[error("{0}")]
    Unavailable(NoReply),
    /// The handler panicked over it, or said that it failed; what it had done by then is done.
    #[error("failed: {0}")]
    Failed(String),
    /// A middleware of the exchange cannot be asked, which is named: the exchange certainly did not get the request.
    #[error("no middleware: {0}")]
    NoMiddleware(String),
    /// Delivered, fate unknown.
    #[error("interrupted: it was sent, and whether it was carried out is not known")]
    Interrupted,
    /// Never sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl From<NoReply> for RequestError {
    fn from(reason: NoReply) -> Self {
        match reason {
            NoReply::Timeout => Self::Timeout,
            NoReply::NoResponders => Self::NoResponders,
            NoReply::Rejected => Self::Rejected,
            NoReply::Interrupted => Self::Interrupted,
            NoReply::Failed => Self::Failed("the handler panicked".into()),
            NoReply::NoMiddleware => Self::NoMiddleware("it is not known which".into()),
            unavailable => Self::Unavailable(unavailable),
        }
    }
}

impl RequestError {
    /// What a `Reply` frame that is no reply says.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        match frame.status {
            Status::Reply => None,
            Status::Declined => Some(Self::Declined(words(frame))),
            // A node never sends these to a requester.
            Status::Redirect | Status::Pass | Status::Rewrite => {
                Some(Self::Declined("an answer of an unknown kind".into()))
            }
            Status::None(NoReply::Failed) => Some(Self::Failed(words(frame))),
            Status::None(NoReply::NoMiddleware) => Some(Self::NoMiddleware(words(frame))),
            Status::None(reason) => Some(reason.into()),
        }
    }
}

fn words(frame: &Frame) -> String {
    let reason = &frame.payload[..frame.payload.len().min(REASON_BYTES_MAX)];
    String::from_utf8_lossy(reason).into_owned()
}

/// An address that did not answer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The address.
    pub addr: String,
    /// Why it failed.
    pub why: String,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No address was given.
    #[error("no address to connect to")]
    NoAddress,
    /// More addresses than a cluster has nodes.
    #[error("{0} addresses given, at most {ADDRESSES_MAX} are taken")]
    TooManyAddresses(usize),
    /// A node refused, and would refuse again.
    #[error("{addr} refused the connection: {refusal}{}", Detail(detail))]
    Refused {
        /// The address.
        addr: String,
        /// Why.
        refusal: Refusal,
        /// In words, with names.
        detail: String,
    },
    /// Nobody answered in time.
    #[error("no node answers: {}", List(.0))]
    Unreachable(Vec<Tried>),
}

struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0)
        }
    }
}

struct List<'a>(&'a [Tried]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, tried) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", tried.addr, tried.why)?;
        }
        Ok(())
    }
}

/// Why a registry command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The registry refused; nothing changed.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The node did not take it to the registry for what it is, in words: a script that does not compile.
    #[error("{0}")]
    Malformed(String),
    /// Certainly not carried out.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It may or may not be carried out.
    #[error("fate unknown: {0}")]
    Unknown(String),
    /// Never sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Why a handler was not attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// It ended before it stood.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// Never sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Why an attachment, or a subscription, is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Refused for what it is, in words: the exchange has another pattern, its controller does not let it, a bound is met.
    #[error("{0}")]
    Refused(String),
    /// Nothing is wrong with it, but there is no such exchange, or the node takes nothing now, for longer than it was to
    /// wait.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// No node was reached for as long as the first attachment was to wait.
    #[error("unavailable: no node answers")]
    Unreachable,
    /// The node ended it.
    #[error("detached: {0}")]
    Detached(DetachReason),
    /// The client was closed, or the attachment dropped.
    #[error("closed")]
    Closed,
}

impl Ended {
    /// A node's refusal.
    pub(crate) fn refused(reason: String, fault: Option<ClientFault>) -> Self {
        match fault {
            None | Some(ClientFault::NotThere) => Self::Unavailable(reason),
            Some(_) => Self::Refused(reason),
        }
    }
}
