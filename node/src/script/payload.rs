//! The constant `payload` of a script: shared and never copied, also when it is taken apart and put together again.

use std::iter;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rhai::{Engine, EvalAltResult, INT, ImmutableString, Position};

use super::budget::spend;
use super::language::TEXT_BYTES_MAX;

/// Largest payload that a script sees or makes. Larger ones it only knows the length of.
pub const PAYLOAD_SEEN_MAX: usize = 64 * 1024;
/// Pieces that one is put together from.
const PIECES_MAX: usize = 16;

type Made<T> = Result<T, Box<EvalAltResult>>;

/// A payload, in pieces.
#[derive(Debug, Clone)]
pub(super) struct Payload(Arc<[Bytes]>);

impl Payload {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(iter::once(bytes).collect())
    }

    pub(super) fn of_text(text: &str) -> Self {
        Self::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// In one piece.
    pub(super) fn join(&self) -> Bytes {
        if let [only] = &*self.0 {
            return only.clone();
        }
        let mut all = BytesMut::with_capacity(self.len());
        for piece in &*self.0 {
            all.extend_from_slice(piece);
        }
        all.freeze()
    }

    fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flat_map(|piece| piece.iter().copied())
    }

    /// The byte at that place.
    fn at(&self, place: usize) -> Option<u8> {
        let mut left = place;
        for piece in &*self.0 {
            if let Some(byte) = piece.get(left) {
                return Some(*byte);
            }
            left -= piece.len();
        }
        None
    }

    /// What lies there, as far as there is something.
    fn part(&self, start: usize, len: usize) -> Self {
        let (mut skip, mut left) = (start, len);
        let pieces = self.0.iter().map(|piece| {
            let from = skip.min(piece.len());
            let to = piece.len().min(from.saturating_add(left));
            skip -= from;
            left -= to - from;
            piece.slice(from..to)
        });
        Self(pieces.collect())
    }

    fn and(&self, other: &Self) -> Made<Self> {
        let pieces = self.0.iter().chain(&*other.0).filter(|piece| !piece.is_empty());
        let made = Self(pieces.cloned().collect());
        if made.0.len() > PIECES_MAX {
            return Err(format!("a payload is put together from at most {PIECES_MAX} pieces").into());
        }
        if made.len() > PAYLOAD_SEEN_MAX {
            return Err(format!("a script makes payloads of at most {PAYLOAD_SEEN_MAX} bytes").into());
        }
        Ok(made)
    }

    fn text(&self) -> Made<ImmutableString> {
        if self.len() > TEXT_BYTES_MAX {
            let why =
                format!("a text has at most {TEXT_BYTES_MAX} bytes: take a part(start, len) of the payload");
            return Err(why.into());
        }
        // What is no text costs more to look through.
        spend(self.len() * 4);
        Ok(String::from_utf8_lossy(&self.join()).into_owned().into())
    }

    fn starts_with(&self, text: &str) -> bool {
        spend(text.len() * 4);
        self.len() >= text.len() && self.bytes().zip(text.bytes()).all(|(a, b)| a == b)
    }
}

fn size(len: usize) -> INT {
    INT::try_from(len).expect("bounded by PAYLOAD_SEEN_MAX")
}

/// A place or a length in a payload; what is negative is nothing.
fn place(given: INT) -> usize {
    usize::try_from(given).unwrap_or(0)
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Payload>("payload")
        .register_fn("len", |payload: &mut Payload| size(payload.len()))
        .register_get("len", |payload: &mut Payload| size(payload.len()))
        .register_indexer_get(|payload: &mut Payload, at: INT| {
            let found = usize::try_from(at).ok().and_then(|place| payload.at(place));
            found.map(INT::from).ok_or_else(|| -> Box<EvalAltResult> {
                EvalAltResult::ErrorArrayBounds(payload.len(), at, Position::NONE).into()
            })
        })
        .register_fn("part", |payload: &mut Payload, start: INT, len: INT| {
            payload.part(place(start), place(len))
        })
        .register_fn("as_string", |payload: &mut Payload| payload.text())
        .register_fn("starts_with", |payload: &mut Payload, text: ImmutableString| {
            payload.starts_with(&text)
        })
        .register_fn("+", |a: Payload, b: Payload| a.and(&b))
        .register_fn("+", |a: Payload, b: ImmutableString| a.and(&Payload::of_text(&b)))
        .register_fn("+", |a: ImmutableString, b: Payload| Payload::of_text(&a).and(&b));
}
