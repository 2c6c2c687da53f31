//! Names, ids and counts: one newtype each. What does not live here: how they are made up; the shell
//! draws random ids and reads clocks.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

macro_rules! count {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

count! {
    /// A node's id, which is its id in the Raft group: random, never 0, bound to its data directory.
    NodeId(u64)
}
count! {
    /// One run of a node: higher after every restart, also after a wipe (milliseconds of the wall clock at
    /// the start, or one more than the last one stored).
    Incarnation(u64)
}
count! {
    /// How often a data directory was started, from 1. Part of every pid, so that a restarted node
    /// never gives a pid out twice.
    Boot(u32)
}
count! {
    /// Epoch of an exchange's ownership: strictly increasing, committed by quorum.
    Epoch(u64)
}
count! {
    /// Epoch of the leader among an exchange's handlers: strictly increasing over the life of the exchange.
    LeaderEpoch(u64)
}
count! {
    /// Period for which voters may promise a node its exchanges; ended by declaring the node lost.
    Tenure(u64)
}
count! {
    /// Version of the registry: the index of the last log entry applied.
    Revision(u64)
}
count! {
    /// An exchange's number on the wire, given by the registry, never reused.
    ExchangeId(u32)
}
count! {
    /// The owner's counter of membership messages within one epoch.
    Counter(u64)
}
count! {
    /// Number of a message, unique among those of the node (and incarnation) it comes from.
    MessageId(u64)
}
count! {
    /// Number of a frame on one lane of a link, from 1.
    LinkSeq(u64)
}
count! {
    /// Raft term.
    Term(u64)
}

/// A cluster's id, drawn at its founding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// Reads what [`fmt::Display`] writes: 32 hexadecimal digits.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits
            .then(|| u128::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A process: the node it lives on and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid {
    /// Node.
    pub node: NodeId,
    /// Number on that node: the boot count in the upper half, a counter in the lower.
    pub serial: u64,
}

impl Pid {
    /// The `n`th process of a node's `boot`th run.
    #[must_use]
    pub fn new(node: NodeId, boot: Boot, n: u32) -> Self {
        Self {
            node,
            serial: (u64::from(boot.0) << 32) | u64::from(n),
        }
    }

    /// The run of its node that gave it out.
    #[must_use]
    pub fn boot(&self) -> Boot {
        Boot(u32::try_from(self.serial >> 32).expect("the upper half of 64 bits is 32"))
    }

    /// The pid as people read it: `<a.17>` in a node's first life, `<a.2:17>` in its second.
    #[must_use]
    pub fn text(&self, node_name: &str) -> String {
        let (boot, n) = (self.serial >> 32, self.serial & 0xffff_ffff);
        if boot <= 1 {
            alloc::format!("<{node_name}.{n}>")
        } else {
            alloc::format!("<{node_name}.{boot}:{n}>")
        }
    }
}

/// Without a name at hand: the node's id in hexadecimal.
impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<{:x}.{}:{}>",
            self.node.0,
            self.serial >> 32,
            self.serial & 0xffff_ffff
        )
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters.
    #[error("the {what} needs at least one character")]
    Empty {
        /// Kind of name.
        what: &'static str,
    },
    /// Too many bytes.
    #[error("the {what} has at most {max} bytes, this one has {len}")]
    TooLong {
        /// Kind of name.
        what: &'static str,
        /// Length given, in bytes.
        len: usize,
        /// Bound, in bytes.
        max: usize,
    },
    /// A character outside letters, digits, '.', '_', '-'.
    #[error("the {what} has letters, digits, '.', '_' and '-' only, not {found:?}")]
    BadCharacter {
        /// Kind of name.
        what: &'static str,
        /// First offending character.
        found: char,
    },
}

fn checked(what: &'static str, text: &str, max: usize) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong {
            what,
            len: text.len(),
            max,
        });
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(found) => Err(NameError::BadCharacter { what, found }),
        None => Ok(Arc::from(text)),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and characters.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with `text`.
            pub fn new(text: &str) -> Result<Self, NameError> {
                checked($what, text, $max).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl core::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        /// Shared, not copied.
        impl From<&$name> for Arc<str> {
            fn from(name: &$name) -> Self {
                Self::clone(&name.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                String::from(&*name.0)
            }
        }
    };
}

name! {
    /// A node's name.
    NodeName, "node name", limits::NODE_NAME_BYTES_MAX
}
name! {
    /// An exchange's name.
    ExchangeName, "exchange name", limits::EXCHANGE_NAME_BYTES_MAX
}
name! {
    /// Name of a zone: nodes of one are near each other.
    ZoneName, "zone name", limits::ZONE_NAME_BYTES_MAX
}
name! {
    /// Name of a function that nodes are started with.
    FunctionName, "function name", limits::FUNCTION_NAME_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_hurt_a_terminal_or_a_path() {
        assert!(ExchangeName::new("orders.eu-1_a").is_ok());
        assert_eq!(
            ExchangeName::new(""),
            Err(NameError::Empty {
                what: "exchange name"
            })
        );
        assert_eq!(
            NodeName::new("a/b"),
            Err(NameError::BadCharacter {
                what: "node name",
                found: '/'
            })
        );
        assert!(matches!(
            NodeName::new(&"x".repeat(65)),
            Err(NameError::TooLong { len: 65, max: 64, .. })
        ));
    }

    #[test]
    fn a_pid_of_a_second_life_is_another_one() {
        let node = NodeId(7);
        let (first, second) = (Pid::new(node, Boot(1), 17), Pid::new(node, Boot(2), 17));
        assert_ne!(first, second);
        assert_eq!(
            (first.text("a"), second.text("a")),
            ("<a.17>".into(), "<a.2:17>".into())
        );
    }
}
