//! What an operator wants of a binding, and what becomes of it, as plain data.
//!
//! What does not live here: carrying it out (`operating`), and who asks (the shell).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::Pid;

/// What an operator wants of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// That a handler has it.
    Bind {
        /// Handler.
        handler: Pid,
        /// The group it must be of; empty for any.
        service_tag: Bytes,
        /// Take it from whoever has it.
        rebind: bool,
    },
    /// That nobody has it.
    Unbind,
}

/// What became of a [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WishAnswer {
    /// The handler has it, and its node knows.
    Bound {
        /// False when it had it before.
        changed: bool,
        /// Who had it before, and does not any more.
        from: Option<Pid>,
    },
    /// Nobody has it, and the node of whoever had it knows.
    Unbound {
        /// Who had it.
        from: Pid,
    },
    /// Nobody had it.
    NotBound,
    /// Nothing has changed.
    Refused(NotBindable),
    /// It may or may not have been carried out; the same wish may be said again.
    Unknown(Unsure),
}

/// Why a binding is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotBindable {
    /// The exchange's strategy knows no bindings.
    NotSticky,
    /// The handler is not attached to the exchange, or not any more.
    NotAttached,
    /// The handler is of another group.
    OtherGroup,
    /// Another handler has the signature.
    BoundTo(Pid),
    /// There is no room for another binding.
    Full,
    /// The owner has just started, and waits for handlers that may have the signature.
    Settling,
    /// The exchange is moving.
    Moved,
    /// The owner has no lease.
    NoQuorum,
    /// Another change of the same binding is under way.
    Changing,
    /// The node of that handler has yet to forget the signature after an earlier change.
    InDoubt(Pid),
    /// Too many changes of bindings are under way.
    TooMany,
}

/// Why it is not known whether a binding has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unsure {
    /// The node of that handler did not answer in time.
    Silent(Pid),
    /// The exchange began to move.
    Moved,
}

/// What a handler's node made of the owner's word about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Noted {
    /// It is noted.
    Yes,
    /// There is no such handler at that node.
    Gone,
    /// It is not noted: the word came under an epoch that is over, or the node does not count as up.
    No,
}
