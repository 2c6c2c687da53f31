//! What passes between a requester and its handler beside the request and its reply.

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_kernel::id::Pid;

/// One thing that happened in a talk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TalkEvent {
    /// The requester, here, takes so many chunks more.
    Takes {
        /// How many.
        credit: u32,
    },
    /// The handler's node, here, let a chunk through to the requester.
    Said {
        /// Handler.
        handler: Pid,
        /// Number, from 1.
        index: u32,
        /// It is only the mark that says that there are no more.
        mark: bool,
    },
    /// The requester, here, was given a chunk, or was told that there are no more.
    Given {
        /// Handler.
        handler: Pid,
        /// Number, from 1.
        index: u32,
        /// Chunks in all, on the last one; 0 before.
        count: u32,
        /// The number that the handler wrote into it; none in the mark that says that there are no more.
        wrote: Option<u32>,
    },
    /// The requester, here, was given a question.
    Asked {
        /// Handler.
        handler: Pid,
        /// Number, from 1.
        number: u32,
    },
    /// The handler, here, was given the answer.
    Answered {
        /// Handler.
        handler: Pid,
        /// Number of the question.
        number: u32,
        /// The number that the requester wrote into it.
        wrote: u32,
    },
}

impl fmt::Display for TalkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Takes { credit } => write!(f, "takes {credit} chunks more"),
            Self::Said { handler, index, mark } => {
                let what = if *mark { "the end after chunk" } else { "chunk" };
                let number = if *mark { index - 1 } else { *index };
                write!(f, "{handler} sent {what} {number}")
            }
            Self::Given {
                handler,
                index,
                count: 0,
                ..
            } => write!(f, "chunk {index} of {handler}"),
            Self::Given {
                handler,
                index,
                wrote: Some(_),
                ..
            } => write!(f, "chunk {index} of {handler}, the last one"),
            Self::Given { handler, index, .. } => write!(f, "the end of {handler} as number {index}"),
            Self::Asked { handler, number } => write!(f, "question {number} of {handler}"),
            Self::Answered { handler, number, .. } => {
                write!(f, "{handler} has the answer to question {number}")
            }
        }
    }
}
