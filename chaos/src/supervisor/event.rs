//! What a supervisor tells of its nodes. What does not live here: making it happen (`actor`).

use std::fmt;

use squall_kernel::id::NodeName;
use squall_kernel::time::Span;

use super::order::OsPid;

/// Something that happened to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its process was started.
    Started {
        /// Node.
        node: NodeName,
        /// Process.
        pid: OsPid,
    },
    /// It could not be started.
    StartFailed {
        /// Node.
        node: NodeName,
        /// Why.
        why: String,
    },
    /// Its process ended.
    Exited {
        /// Node.
        node: NodeName,
        /// In words.
        how: String,
        /// When it is started again.
        restart_in: Option<Span>,
    },
    /// It was paused.
    Paused {
        /// Node.
        node: NodeName,
        /// For how long.
        ttl: Span,
    },
    /// It goes on.
    Resumed {
        /// Node.
        node: NodeName,
    },
    /// The guard is gone; paused nodes were thawed.
    GuardLost,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { node, pid } => write!(f, "{node} started as process {}", pid.0),
            Self::StartFailed { node, why } => write!(f, "{node} cannot be started: {why}"),
            Self::Exited {
                node,
                how,
                restart_in: None,
            } => write!(f, "{node} {how}"),
            Self::Exited {
                node,
                how,
                restart_in: Some(span),
            } => {
                write!(
                    f,
                    "{node} {how}; starts again in {}.{:01} s",
                    span.as_ms() / 1000,
                    span.as_ms() % 1000 / 100
                )
            }
            Self::Paused { node, ttl } => write!(f, "{node} paused for {} ms", ttl.as_ms()),
            Self::Resumed { node } => write!(f, "{node} goes on"),
            Self::GuardLost => write!(f, "the guard process is gone: no node can be paused any more"),
        }
    }
}
