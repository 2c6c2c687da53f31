//! Faults of messages of an exchange on their way from its owner. These are true losses, delays and doubles: no link makes up
//! for them.
//!
//! What does not live here: the messages.

use alloc::format;
use core::fmt;

use super::latency::brief;
use super::link::is_time;
use super::loss::Share;
use super::{DELAY_MAX, FaultError, unfit};
use crate::id::ExchangeName;
use crate::keys::{Key, KeyPattern};
use crate::time::Span;

/// Which messages of which exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The exchange.
    pub exchange: ExchangeName,
    /// Those whose key it matches; none for all.
    pub key: Option<KeyPattern>,
    /// So many of those.
    pub share: Share,
}

/// What a fault does to messages that leave their exchange's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageFault {
    /// They are lost: their requester hears nothing before its time is over.
    Drop,
    /// They go so much later; those behind them do not wait.
    Delay {
        /// At most [`DELAY_MAX`].
        by: Span,
    },
    /// They go twice.
    Duplicate,
}

impl Wanted {
    /// True when it takes a message of that exchange with that key; `rng` is the fault's own random number.
    pub(super) fn takes(&self, exchange: &ExchangeName, key: Option<&Key>, rng: u64) -> bool {
        let fits = || {
            let of_key = |pattern: &KeyPattern| key.is_some_and(|key| pattern.matches(key));
            self.key.as_ref().is_none_or(of_key)
        };
        self.exchange == *exchange && self.share.takes(rng) && fits()
    }

    pub(super) fn check(&self, what: &'static str) -> Result<(), FaultError> {
        let asked = self.share;
        match asked == Share::NONE || asked > Share::ALL {
            true => Err(FaultError::Share { what, asked }),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Wanted {
    /// As people write it: `orders 100%`, `news weather.* 10%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.exchange)?;
        if let Some(key) = &self.key {
            write!(f, " {}", key.as_str())?;
        }
        write!(f, " {}", self.share)
    }
}

impl MessageFault {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Delay { .. } => "delay",
            Self::Duplicate => "duplicate",
        }
    }

    pub(super) fn check(&self) -> Result<(), FaultError> {
        match *self {
            Self::Delay { by } => unfit(is_time(by), || {
                format!(
                    "a message goes later by more than nothing and at most {}, not by {}",
                    brief(DELAY_MAX),
                    brief(by)
                )
            }),
            Self::Drop | Self::Duplicate => Ok(()),
        }
    }
}

impl fmt::Display for MessageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("dropped"),
            Self::Delay { by } => write!(f, "delayed by {}", brief(*by)),
            Self::Duplicate => f.write_str("doubled"),
        }
    }
}
