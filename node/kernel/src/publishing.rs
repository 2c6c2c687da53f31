//! What a publisher may ask for, and what subscribers' frames carry beside the payload: confirms, and the tags of several
//! attachments.
//!
//! Words of nodes, however many pass a publish on: `places`.
//!
//! What does not live here: who gets a publish (`subscriptions`), ids that are taken once (`dedup`).

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::limits;

mod places;

pub use places::{Place, Places};

/// Payload of the confirm of a publish whose id was known: it was not published again.
pub const DUPLICATE: &[u8] = b"duplicate";

/// `count` of a delivery whose answer nobody waits for.
pub const ONE_WAY: u32 = u32::MAX;
/// `count` of a delivery whose answer nobody waits for, while its publisher waits for the handler's node to have it.
pub const ONE_WAY_CONFIRMED: u32 = u32::MAX - 1;

/// `index` of a refusal of such a delivery, and of its publish when it is sent again: its owner had passed it on, and nobody
/// has it. So it is taken although its id is known.
pub const GIVEN_BACK: u32 = 1;

/// `index` of a publish that is none: its publisher's node gives up one that came back, so that its id is new again.
pub const GIVEN_UP: u32 = 2;

/// What the confirm of a publish says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Confirm {
    /// Nothing: there is none.
    None,
    /// The owner of the exchange has taken it, and sent it on.
    #[default]
    Accepted,
    /// Every node with a subscriber has it, in the mailbox of each of them.
    Received,
}

impl Confirm {
    /// All of them, in order; the number on the wire is the place.
    pub const ALL: [Self; 3] = [Self::None, Self::Accepted, Self::Received];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Accepted => "accepted",
            Self::Received => "received",
        }
    }

    /// The confirm of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == word)
    }

    /// As it travels in a frame's `signature`.
    #[must_use]
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// The confirm of a frame's `signature`; unknown numbers ask for the most.
    #[must_use]
    pub fn of(number: u64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Accepted,
            _ => Self::Received,
        }
    }
}

/// The tags and the payload of an event on its way to a client, and how many bytes in front are tags: the first tag has
/// its place in the frame, each further one is a byte of length and its bytes. With one tag nothing is copied.
#[must_use]
pub fn join_tags(tags: &[Bytes], payload: &Bytes) -> (Bytes, u32, Bytes) {
    let first = tags.first().cloned().unwrap_or_default();
    let Some(rest) = tags.get(1..).filter(|rest| !rest.is_empty()) else {
        return (first, 0, payload.clone());
    };
    let len: usize = rest.iter().map(|tag| tag.len() + 1).sum();
    let mut out = BytesMut::with_capacity(len + payload.len());
    for tag in rest {
        out.put_u8(u8::try_from(tag.len()).expect("a tag is at most 255 bytes"));
        out.put_slice(tag);
    }
    out.put_slice(payload);
    let len = u32::try_from(len).expect("bounded by the subscriptions of one subscriber");
    (first, len, out.freeze())
}

/// The opposite of [`join_tags`]; none when the lengths do not fit.
#[must_use]
pub fn split_tags(first: Bytes, tags_len: u32, mut payload: Bytes) -> Option<(Vec<Bytes>, Bytes)> {
    let len = tags_len as usize;
    if len > payload.len() {
        return None;
    }
    let mut rest = payload.split_to(len);
    let mut tags = alloc::vec![first];
    while rest.has_remaining() && tags.len() <= limits::PATTERNS_PER_SUBSCRIBER_MAX {
        let tag = usize::from(rest.get_u8());
        if tag > rest.len() {
            return None;
        }
        tags.push(rest.split_to(tag));
    }
    Some((tags, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_survive_the_wire_and_the_command_line() {
        for confirm in Confirm::ALL {
            assert_eq!(Confirm::of(confirm.number()), confirm);
            assert_eq!(Confirm::parse(confirm.as_str()), Some(confirm));
        }
        assert_eq!(Confirm::parse("perhaps"), None);
    }

    #[test]
    fn all_tags_of_an_event_survive_beside_its_payload() {
        let payload = Bytes::from_static(b"rain");
        let tags = ["north", "", "south"].map(|t| Bytes::from_static(t.as_bytes()));
        for n in 1..=tags.len() {
            let (first, len, joined) = join_tags(&tags[..n], &payload);
            assert_eq!(
                split_tags(first, len, joined),
                Some((tags[..n].to_vec(), payload.clone()))
            );
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert_eq!(split_tags(Bytes::new(), 5, Bytes::from_static(b"abc")), None);
        assert_eq!(split_tags(Bytes::new(), 3, Bytes::from_static(b"\x09bc")), None);
    }
}
