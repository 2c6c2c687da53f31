//! The numbers that a task queue counts by, and a task's priority.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Epoch;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// Place of an entry in a stream to a backup, from 1.
    EntryNo
}
number! {
    /// Number of a stream to a backup within one ownership, from 1: each begins with a whole copy.
    StreamNo
}

/// Numbers that begin anew, higher, with every ownership: the epoch in the upper half, a counter in the lower.
macro_rules! epoch_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The ownership that gave it out.
            #[must_use]
            pub const fn epoch(self) -> Epoch {
                Epoch(self.0 >> 32)
            }

            /// The next one under `epoch`: above every one before it, also those of earlier epochs.
            #[must_use]
            pub fn next(self, epoch: Epoch) -> Self {
                Self(self.0.max(epoch.0 << 32) + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.0 >> 32, self.0 & 0xffff_ffff)
            }
        }
    };
}

epoch_number! {
    /// A task of an exchange. Written `epoch.n`; order of numbers is the order in which tasks were submitted.
    TaskId
}
epoch_number! {
    /// A lease: the right of one worker to complete one task. Written `epoch.n`; strictly increasing over the life of an
    /// exchange, so that a completion under an old one never matches.
    LeaseNo
}

/// A task's priority: 0 to 9, the higher first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// A number above 9 is no priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a priority is 0 to 9, not {0}")]
pub struct NoPriority(pub u8);

impl Priority {
    /// Most urgent.
    pub const MAX: Self = Self(9);

    /// # Errors
    /// [`NoPriority`] above 9.
    pub const fn new(number: u8) -> Result<Self, NoPriority> {
        if number <= Self::MAX.0 {
            Ok(Self(number))
        } else {
            Err(NoPriority(number))
        }
    }

    /// 0 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Priority {
    type Error = NoPriority;
    fn try_from(number: u8) -> Result<Self, NoPriority> {
        Self::new(number)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A copy of a queue at a backup: the ownership and the stream that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CopyId {
    /// Epoch of the owner.
    pub epoch: Epoch,
    /// Stream.
    pub stream: StreamNo,
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_within_an_epoch_and_jump_with_the_next_one() {
        let first = LeaseNo::default().next(Epoch(3));
        assert_eq!((first, first.epoch()), (LeaseNo((3 << 32) + 1), Epoch(3)));
        assert_eq!(first.next(Epoch(3)).0, (3 << 32) + 2);
        assert_eq!(first.next(Epoch(5)).0, (5 << 32) + 1);
        assert!(first.next(Epoch(2)) > first, "never back");
        assert_eq!(alloc::format!("{first}"), "3.1");
    }

    #[test]
    fn priorities_end_at_nine() {
        assert_eq!(Priority::new(9), Ok(Priority::MAX));
        assert_eq!(Priority::new(10), Err(NoPriority(10)));
    }
}
