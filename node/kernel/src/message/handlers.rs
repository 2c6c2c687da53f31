//! What an exchange's owner and its handlers tell each other: attachments, and who leads and serves.
//!
//! What does not live here: deciding any of it (`exchange`), and how far a handler has followed (`view`).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Servers, Work};
use crate::exchange::Signature;
use crate::id::{Counter, Epoch, ExchangeId, LeaderEpoch, Pid, Revision};
use crate::reason::DetachReason;

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
    /// Signatures that were delivered to it, at most [`BINDINGS_MAX`](crate::limits::BINDINGS_MAX).
    pub bound: Vec<Signature>,
    /// Where it takes tasks, and not requests: its credit, and what it has in hand.
    pub work: Option<Work>,
    /// Its node was held for lost at that revision of the registry, and no owner that knows of that has taken it in since.
    pub returned: Option<Revision>,
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
        servers: Servers,
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
        let (whole, one) = match self {
            Self::Leader { servers, .. } => (Some(servers), None),
            Self::SlaveUp(server) => (None, Some(server.pid)),
            Self::SlaveDown { .. } => (None, None),
        };
        whole.into_iter().flat_map(Servers::pids).chain(one)
    }
}
