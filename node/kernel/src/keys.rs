//! Routing keys of publishes, the patterns that subscribers give, and which pattern matches which key.
//!
//! A key is text in segments with a '.' between them. In a pattern a segment may be a wildcard: `*` stands for exactly
//! one segment, `#` for any number of them, none included (AMQP 0-9-1, section 3.1.3.3).
//!
//! What does not live here: who subscribed (`subscriptions`) and where the bytes come from (`frame`).

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

mod text;
mod trie;

pub use trie::{KeyTrie, TrieFull, Walk};

const SEPARATOR: char = '.';
const ONE: &str = "*";
const ANY: &str = "#";

/// Which of the two a text was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The key of a publish.
    Key,
    /// What a subscriber wants.
    Pattern,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Key => "key",
            Self::Pattern => "pattern",
        })
    }
}

/// Why bytes are not a key or not a pattern. Places are in bytes, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No bytes.
    #[error("a {what} needs at least one segment")]
    Empty {
        /// What it was meant to be.
        what: What,
    },
    /// Too many bytes; nothing of them was looked at.
    #[error("a {what} has at most {max} bytes, this one has {len}")]
    TooLong {
        /// What it was meant to be.
        what: What,
        /// Bytes given.
        len: usize,
        /// Bound, in bytes.
        max: usize,
    },
    /// Not UTF-8.
    #[error("a {what} is UTF-8 text, this one is not from byte {at} on")]
    NotUtf8 {
        /// What it was meant to be.
        what: What,
        /// First byte that is not.
        at: usize,
    },
    /// Two dots in a row, or one at the start or the end.
    #[error("a {what} has no empty segment, this one has one at byte {at}")]
    EmptySegment {
        /// What it was meant to be.
        what: What,
        /// Where the segment would begin.
        at: usize,
    },
    /// A control character.
    #[error("a {what} has no control characters, this one has {found:?} at byte {at}")]
    Control {
        /// What it was meant to be.
        what: What,
        /// The character.
        found: char,
        /// Where.
        at: usize,
    },
    /// A wildcard in the key of a publish.
    #[error("{found:?} at byte {at}: wildcards are for subscribers, a publish has a plain key")]
    Wildcard {
        /// The wildcard.
        found: char,
        /// Where.
        at: usize,
    },
    /// A wildcard beside other characters.
    #[error("{found:?} at byte {at}: a wildcard stands alone between dots")]
    PartialWildcard {
        /// The wildcard.
        found: char,
        /// Where.
        at: usize,
    },
    /// Too many wildcards.
    #[error("a pattern has at most {max} wildcards, this one has {count}")]
    TooManyWildcards {
        /// Wildcards given.
        count: usize,
        /// Bound.
        max: usize,
    },
}

/// The key of a publish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Checks a text and copies it.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong, and where.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        check(What::Key, text.as_bytes())?;
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Checks bytes, of a frame say, and keeps them without a copy.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong, and where.
    pub fn take(bytes: Bytes) -> Result<Self, KeyError> {
        check(What::Key, &bytes)?;
        Ok(Self(bytes))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("checked when the key was made")
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Segments, of which there is at least one.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.0.split(|byte| *byte == SEPARATOR as u8)
    }
}

impl From<Key> for Bytes {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// What a subscriber wants: a plain key, or one with wildcards.
///
/// Patterns that mean the same are the same: a run of wildcards is kept as its `*`, then one `#` if it had any (`#.*.#`
/// becomes `*.#`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPattern(Arc<str>);

/// One segment of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternSegment<'a> {
    Exact(&'a [u8]),
    /// `*`
    One,
    /// `#`
    Any,
}

impl KeyPattern {
    /// Checks a text.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong, and where.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        Self::take(text.as_bytes())
    }

    /// Checks bytes.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong, and where.
    pub fn take(bytes: &[u8]) -> Result<Self, KeyError> {
        let text = check(What::Pattern, bytes)?;
        let wildcards = text.split(SEPARATOR).filter(|s| matches!(*s, ONE | ANY)).count();
        if wildcards > limits::KEY_WILDCARDS_MAX {
            return Err(KeyError::TooManyWildcards {
                count: wildcards,
                max: limits::KEY_WILDCARDS_MAX,
            });
        }
        Ok(Self(if wildcards < 2 {
            Arc::from(text)
        } else {
            Arc::from(canonical(text))
        }))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when it has no wildcard, and so matches one key only.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '#'])
    }

    /// True when the key is one of those the pattern stands for.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        let (mut pattern, mut key) = (self.segments(), key.segments());
        // After the latest `#`, and what it has not swallowed yet: an earlier one never has to take more.
        let mut retry = None;
        loop {
            let (before, found) = (key.clone(), key.next());
            match (pattern.next(), found) {
                (Some(PatternSegment::Any), _) => {
                    key = before;
                    retry = Some((pattern.clone(), key.clone()));
                    continue;
                }
                (Some(PatternSegment::One), Some(_)) => continue,
                (Some(PatternSegment::Exact(wanted)), Some(found)) if wanted == found => continue,
                (None, None) => return true,
                _ => {}
            }
            let Some((after, rest)) = &mut retry else {
                return false;
            };
            if rest.next().is_none() {
                return false;
            }
            (pattern, key) = (after.clone(), rest.clone());
        }
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = PatternSegment<'_>> + Clone {
        self.0.split(SEPARATOR).map(|segment| match segment {
            ONE => PatternSegment::One,
            ANY => PatternSegment::Any,
            exact => PatternSegment::Exact(exact.as_bytes()),
        })
    }
}

/// The length comes first: of a megabyte nothing is read or copied.
fn check(what: What, bytes: &[u8]) -> Result<&str, KeyError> {
    let (len, max) = (bytes.len(), limits::KEY_BYTES_MAX);
    if len <= max && is_plain(bytes) {
        return Ok(core::str::from_utf8(bytes).expect("printable ASCII"));
    }
    check_in_full(what, bytes)
}

fn check_in_full(what: What, bytes: &[u8]) -> Result<&str, KeyError> {
    let (len, max) = (bytes.len(), limits::KEY_BYTES_MAX);
    if len == 0 {
        return Err(KeyError::Empty { what });
    }
    if len > max {
        return Err(KeyError::TooLong { what, len, max });
    }
    let text = core::str::from_utf8(bytes).map_err(|error| KeyError::NotUtf8 {
        what,
        at: error.valid_up_to(),
    })?;
    let mut at = 0;
    for segment in text.split(SEPARATOR) {
        check_segment(what, segment, at)?;
        at += segment.len() + SEPARATOR.len_utf8();
    }
    Ok(text)
}

/// What nearly all keys are, seen in one pass: printable ASCII without wildcards and without empty segments.
fn is_plain(bytes: &[u8]) -> bool {
    let mut before = SEPARATOR as u8;
    for byte in bytes {
        let fine = match byte {
            b'.' => before != SEPARATOR as u8,
            b'*' | b'#' => false,
            b' '..=b'~' => true,
            _ => false,
        };
        if !fine {
            return false;
        }
        before = *byte;
    }
    before != SEPARATOR as u8
}

fn check_segment(what: What, segment: &str, start: usize) -> Result<(), KeyError> {
    if segment.is_empty() {
        return Err(KeyError::EmptySegment { what, at: start });
    }
    for (offset, found) in segment.char_indices() {
        let at = start + offset;
        let wildcard = matches!(found, '*' | '#');
        if found.is_control() {
            return Err(KeyError::Control { what, found, at });
        } else if wildcard && what == What::Key {
            return Err(KeyError::Wildcard { found, at });
        } else if wildcard && segment.len() > 1 {
            return Err(KeyError::PartialWildcard { found, at });
        }
    }
    Ok(())
}

/// Each run of wildcards as its `*`, then one `#` if it had any.
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut push = |segment: &str| {
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        out.push_str(segment);
    };
    let mut any = false;
    for segment in text.split(SEPARATOR) {
        any |= segment == ANY;
        if any && !matches!(segment, ONE | ANY) {
            push(ANY);
            any = false;
        }
        if segment != ANY {
            push(segment);
        }
    }
    if any {
        push(ANY);
    }
    out
}

macro_rules! as_text {
    ($name:ident, $expecting:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = KeyError;
            fn from_str(text: &str) -> Result<Self, KeyError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        /// Checked before it is copied.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

as_text!(Key, "a routing key");
as_text!(KeyPattern, "a pattern of routing keys");

#[cfg(test)]
#[path = "keys_test.rs"]
mod tests;
