//! What travels in frames about tasks, beside the task itself: a submit's terms, what a worker says, what it is told.
//!
//! What does not live here: what becomes of them (`tasks`).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::{TAG_BYTES_MAX, UNIQUE_BYTES_MAX};
use crate::reason::LeaseEnd;
use crate::tasks::{Copies, LeaseNo, Retry, SettleResult, TaskId};
use crate::time::Span;

/// What a worker tells of itself when it attaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Tasks it takes in hand at once.
    pub credit: u32,
    /// Those it has in hand; no more than its credit.
    pub in_hand: Vec<(TaskId, LeaseNo)>,
}

/// The terms of a submit: they travel in the connection tag of its frame.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// Before that time has passed it is not given out.
    pub delay: Span,
    /// When that time has passed it is given up; none for what the exchange says.
    pub deadline: Option<Span>,
    /// How often it is tried at most; 0 for what the exchange says.
    pub attempts: u32,
    /// A second submit with the same text is the same task; empty for none, at most [`UNIQUE_BYTES_MAX`] bytes.
    pub unique: Bytes,
}

/// The terms do not fit a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message id has at most {UNIQUE_BYTES_MAX} bytes")]
pub struct NotTerms;

impl Terms {
    /// The terms as a tag.
    ///
    /// # Errors
    /// [`NotTerms`] when the unique text is too long.
    pub fn to_tag(&self) -> Result<Bytes, NotTerms> {
        if self.unique.len() > UNIQUE_BYTES_MAX {
            return Err(NotTerms);
        }
        let bytes = postcard::to_allocvec(self).expect("plain data");
        debug_assert!(bytes.len() <= TAG_BYTES_MAX, "a unique text and four numbers");
        Ok(bytes.into())
    }
}

/// What a submitter is told: the payload of the reply to a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The task's number.
    pub task: TaskId,
    /// In how many places it is.
    pub copies: Copies,
    /// It was there before, by its unique text.
    pub duplicate: bool,
}

/// What a worker says of a task: the payload of a `Settle` frame to the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// It is completed.
    Confirm,
    /// It is not.
    GiveBack {
        /// Why, for people.
        said: String,
        /// When it may be tried again.
        retry: Retry,
    },
    /// It takes longer.
    Extend {
        /// From now on so long.
        by: Span,
    },
}

/// What the owner says of a task to its worker: the payload of a `Settle` frame from the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettleWord {
    /// What became of the worker's word.
    Result(SettleResult),
    /// The lease has ended without a word of the worker.
    Ended(LeaseEnd),
}

impl SettleWord {
    /// True when the task is not in the worker's hand any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !matches!(
            self,
            Self::Result(SettleResult::Extended { .. } | SettleResult::Refused(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_terms_fit_a_tag() {
        let terms = Terms {
            delay: Span(u64::MAX),
            deadline: Some(Span(u64::MAX)),
            attempts: u32::MAX,
            unique: Bytes::from(alloc::vec![7; UNIQUE_BYTES_MAX]),
        };
        let tag = terms.to_tag().unwrap();
        assert!(tag.len() <= TAG_BYTES_MAX, "{} bytes", tag.len());
        assert_eq!(crate::message::parse::<Terms>(&tag), Ok(terms));
        let longer = Terms {
            unique: Bytes::from(alloc::vec![7; UNIQUE_BYTES_MAX + 1]),
            ..Terms::default()
        };
        assert_eq!(longer.to_tag(), Err(NotTerms));
    }

    #[test]
    fn a_task_is_in_hand_until_its_owner_says_otherwise() {
        let length = Span::from_ms(1);
        assert!(!SettleWord::Result(SettleResult::Extended { length }).is_over());
        assert!(!SettleWord::Result(SettleResult::Refused(crate::reason::NoReply::NoQuorum)).is_over());
        assert!(SettleWord::Result(SettleResult::Confirmed).is_over());
        assert!(SettleWord::Ended(LeaseEnd::TimedOut).is_over());
    }
}
