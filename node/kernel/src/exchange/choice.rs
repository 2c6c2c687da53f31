//! Signatures, and what the function of an exchange has chosen for a request.
//!
//! What does not live here: functions and scripts; the shell evaluates them before it steps the exchange.

use alloc::string::String;
use core::fmt;
use core::num::NonZeroU64;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{ExchangeName, Pid};

/// What sticky requests have in common: all that have the same one go to the same handler. Never 0, which stands for
/// none on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature(NonZeroU64);

impl Signature {
    /// That signature; 0 counts as 1.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        match NonZeroU64::new(value) {
            Some(value) => Self(value),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// The signature in a frame; none for 0.
    #[must_use]
    pub fn of_wire(value: u64) -> Option<Self> {
        NonZeroU64::new(value).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0.get()
    }

    /// The signature of a key: FNV-1a of its bytes, the same on every node and in every version.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Self {
        Self::new(fnv(key))
    }

    /// The same signature within a group: requests for different groups go to different handlers, whatever they have in
    /// common. Without a service tag it stays as it is.
    #[must_use]
    pub fn within(self, service_tag: &[u8]) -> Self {
        if service_tag.is_empty() {
            self
        } else {
            Self::new(fnv_from(self.value() ^ OFFSET, service_tag))
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.value())
    }
}

/// What an exchange's function has chosen for a request. A payload that it rewrote is exchanged by the shell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Choice {
    /// Nothing: the exchange has no function.
    #[default]
    None,
    /// The handler bound to that signature, within the request's group (`sticky-fun`).
    Signature(Signature),
    /// That handler.
    Pick(Pid),
    /// A handler of that group, in turn inside it; the empty tag means all.
    Group(Bytes),
    /// Another exchange.
    Redirect(ExchangeName),
    /// Nobody, and why.
    Decline(String),
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a with 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv).
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    fnv_from(OFFSET, bytes)
}

fn fnv_from(start: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_signature_is_never_none_and_differs_by_group() {
        assert_eq!(Signature::new(0).value(), 1);
        let plain = Signature::of_key(b"customer-7");
        assert_eq!(plain.within(b""), plain);
        assert_ne!(plain.within(b"eu"), plain.within(b"us"));
        assert_ne!(plain.within(b"eu"), plain);
    }
}
