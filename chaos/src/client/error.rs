//! Why an order of the fault client was not carried out, in words, and as the command line's exit code.

use crate::fault::Unresolved;

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChaosError {
    /// The cluster has no such node.
    #[error("unknown node {node:?}; known are {}", .known.join(", "))]
    UnknownNode {
        /// Name given.
        node: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// Nobody is there whom the order means.
    #[error("{0}")]
    Nobody(#[from] Unresolved),
    /// A link needs two ends.
    #[error("{0} to {0} is no link: name two different nodes")]
    SameNode(String),
    /// The order makes no sense, as the cluster says.
    #[error("{0}")]
    Usage(String),
    /// A member that somebody else started: no process of the supervisor's.
    #[error(
        "node {node:?} is a member of this cluster, but it was not started by its supervisor, which can act on {} only; \
         act on its process on the machine where it runs", .supervised.join(", ")
    )]
    NotSupervised {
        /// Name given.
        node: String,
        /// Those that the supervisor started.
        supervised: Vec<String>,
    },
    /// Processes can be killed by their supervisor only.
    #[error(
        "no supervisor: this cluster was not started by `squall up`, so its processes cannot be acted on"
    )]
    NoSupervisor,
    /// Refused, with the reason.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers.
    #[error("{who} cannot be reached: {why}")]
    Unavailable {
        /// Node, supervisor or addresses.
        who: String,
        /// What went wrong.
        why: String,
    },
}

impl ChaosError {
    /// The command line's exit code: 1 refused, 2 usage, 5 unavailable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownNode { .. } | Self::Nobody(_) | Self::SameNode(_) | Self::Usage(_) => 2,
            Self::NoSupervisor | Self::NotSupervised { .. } | Self::Refused(_) => 1,
            Self::Unavailable { .. } => 5,
        }
    }

    pub(super) fn of(who: &str, status: &tonic::Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            tonic::Code::NotFound | tonic::Code::InvalidArgument => Self::Usage(text),
            tonic::Code::FailedPrecondition
            | tonic::Code::ResourceExhausted
            | tonic::Code::PermissionDenied
            | tonic::Code::Unauthenticated => Self::Refused(text),
            tonic::Code::Unimplemented => Self::Refused(format!(
                "node {who} takes no faults: it was started without --chaos"
            )),
            _ => Self::Unavailable {
                who: who.to_owned(),
                why: text,
            },
        }
    }
}
