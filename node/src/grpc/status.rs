//! The one place where errors become gRPC statuses. What does not live here: the checks that find them.

use squall_kernel::fault::FaultError;
use squall_kernel::membership::MemberRefused;
use squall_kernel::registry::Refused;
use tonic::{Code, Status};

use crate::introspect::NoDetail;

/// Why a call of the control services failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A field holds what it must not.
    #[error("{field}: {reason}")]
    Invalid {
        /// Name of the field in the request.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry refused the change.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// A change of the voters was refused.
    #[error("{0}")]
    Member(#[from] MemberRefused),
    /// Refused before anybody was asked, with what to do instead.
    #[error("{0}")]
    Unsafe(String),
    /// There is no room for one more, and what to do.
    #[error("{0}")]
    NoRoom(String),
    /// No such thing.
    #[error("there is no {what} '{name}'")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// Name asked for.
        name: String,
    },
    /// It was there, and is no more.
    #[error("{0}")]
    Ended(String),
    /// Certainly not carried out: no majority of the voters is heard by the node that was asked.
    #[error("unavailable: {}", squall_client::error::NO_QUORUM)]
    NoQuorum,
    /// Certainly not carried out: there is no meta leader, or nobody reaches it.
    #[error("not carried out: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// It may or may not have been carried out.
    #[error("it may or may not have been carried out: {reason}")]
    Unknown {
        /// Why.
        reason: String,
    },
    /// No answer in time; it may or may not have been carried out.
    #[error("no answer within {seconds} s; it may or may not have been carried out")]
    Late {
        /// How long was waited.
        seconds: u64,
    },
    /// The fault table refused a fault.
    #[error("{0}")]
    Fault(#[from] FaultError),
    /// It was halted, and takes no new faults yet.
    #[error("halted by {by}{}: no new faults until `squall chaos unlock --reason …`", because(.reason))]
    Locked {
        /// Who locked.
        by: String,
        /// Why.
        reason: String,
    },
    /// Whoever asks has not shown the chaos key.
    #[error(
        "this node takes faults only from whoever has its chaos key: name its file with --chaos-key-file"
    )]
    NoKey,
    /// The node takes no faults.
    #[error("this node takes no faults: it was started without --chaos")]
    NoChaos,
    /// There is nothing to change.
    #[error("node '{node}' sends its traces nowhere: it was started without --otlp")]
    NoTraces {
        /// The node.
        node: String,
    },
    /// Streams are at their bound.
    #[error("{max} watchers are connected already")]
    TooManyWatchers {
        /// The bound.
        max: usize,
    },
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}

impl CallError {
    const fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::Refused(Refused::Differs { .. } | Refused::NameTaken(_) | Refused::FoundedAlready(_)) => {
                Code::AlreadyExists
            }
            Self::Refused(
                Refused::UnknownExchange(_) | Refused::UnknownNode(_) | Refused::UnknownNodeName(_),
            )
            | Self::Member(MemberRefused::UnknownNode(_))
            | Self::NotFound { .. }
            | Self::Ended(_) => Code::NotFound,
            Self::Refused(Refused::Full { .. })
            | Self::Fault(FaultError::Full { .. })
            | Self::NoRoom(_)
            | Self::TooManyWatchers { .. } => Code::ResourceExhausted,
            Self::Refused(_)
            | Self::Member(_)
            | Self::Unsafe(_)
            | Self::Locked { .. }
            | Self::NoTraces { .. } => Code::FailedPrecondition,
            Self::NoQuorum | Self::Unavailable { .. } => Code::Unavailable,
            Self::Unknown { .. } => Code::Unknown,
            Self::Late { .. } => Code::DeadlineExceeded,
            Self::Fault(_) => Code::InvalidArgument,
            Self::NoKey => Code::Unauthenticated,
            Self::NoChaos => Code::Unimplemented,
        }
    }
}

impl From<NoDetail> for CallError {
    fn from(none: NoDetail) -> Self {
        let (what, name) = match none {
            NoDetail::Exchange(name) => ("exchange", name),
            NoDetail::Process(pid) => ("process", pid),
        };
        Self::NotFound { what, name }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_status_and_keeps_its_words() {
        let status = Status::from(CallError::Refused(Refused::UnknownExchange("orders".into())));
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "there is no exchange 'orders'")
        );
        let status = Status::from(CallError::Invalid {
            field: "strategy",
            reason: "empty".into(),
        });
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "strategy: empty")
        );
        assert_eq!(Status::from(CallError::NoChaos).code(), Code::Unimplemented);
        assert_eq!(
            Status::from(CallError::Refused(Refused::NotFounded)).code(),
            Code::FailedPrecondition
        );
    }
}
