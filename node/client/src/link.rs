//! The connection as the rest of the client sees it: up, to whom, or down.

use std::sync::Arc;

use squall_kernel::id::ClusterId;
use squall_kernel::registry::Introduction;

use crate::error::ConnectError;

/// Number of a connection of this client, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Generation(pub(crate) u64);

/// Whom the client is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) generation: Generation,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) node: Introduction,
}

/// The connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// None; why, once every address was tried since the last one.
    Down(Option<ConnectError>),
    /// It stands.
    Up(Arc<Peer>),
    /// The client is closed: there will never be one again.
    Closed,
}

impl Link {
    /// Whom the client is connected to, while it is.
    pub(crate) fn peer(&self) -> Option<&Arc<Peer>> {
        match self {
            Self::Up(peer) => Some(peer),
            Self::Down(_) | Self::Closed => None,
        }
    }
}
