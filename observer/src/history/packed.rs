//! What came, one after the other, in little room: as a recording has it, in blocks that are compressed one by one, a few at
//! a time, so that no moment that is wanted waits for all of a large picture.
//!
//! What does not live here: what is kept, and for how long.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use prost::Message as _;
use squall_proto::v1;

use crate::feed::{RowsUpdate, Update};
use crate::recording::coding;
use crate::units::Moment;

/// Something that came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kept {
    /// As it came.
    Update(Update),
    /// The processes of a second: they say nothing of the connection.
    Processes(RowsUpdate),
}

/// Bytes of a block before it is packed: what is packed at once takes about a millisecond.
const BLOCK: usize = 64 * 1024;
/// Blocks packed whenever something comes. As much again can come before any waits.
const AT_ONCE: usize = 2;

/// What processes tell takes two fifths of its room then, for half a millisecond a block.
const LEVEL: u32 = 3;

const UPDATE: u8 = 0;
const PROCESSES: u8 = 1;

/// The updates, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    blocks: Vec<Block>,
    /// Blocks before this one are packed.
    packed: usize,
    /// The block that is being filled.
    open: Vec<u8>,
    /// Time of what its first byte belongs to.
    open_from: Moment,
    bytes: usize,
    came: usize,
}

#[derive(Debug, Clone)]
struct Block {
    /// Time of what its first byte belongs to: nothing in it, or behind it, is older.
    from: Moment,
    raw: bool,
    bytes: Arc<[u8]>,
}

impl Packed {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.open.len()
    }

    /// Bytes that came, before they were packed.
    pub(super) fn came(&self) -> usize {
        self.came + self.open.len()
    }

    /// Puts something at the end. Times do not go back.
    pub(super) fn push(&mut self, at: Moment, kept: Kept) {
        let (kind, update) = match kept {
            Kept::Update(update) => (UPDATE, update),
            Kept::Processes(rows) => (PROCESSES, Update::Rows(rows)),
        };
        // Details are not recorded, and not kept.
        let Some(message) = coding::encode(at, update) else {
            return;
        };
        if self.open.is_empty() {
            self.open_from = at;
        }
        self.open.push(kind);
        // A vector takes what it is given.
        let _fits = message.encode_length_delimited(&mut self.open);
        while self.open.len() >= BLOCK {
            let rest = self.open.split_off(BLOCK);
            let full = std::mem::replace(&mut self.open, rest);
            self.came += full.len();
            self.bytes += full.len();
            self.blocks.push(Block {
                from: self.open_from,
                raw: true,
                bytes: full.into(),
            });
            self.open_from = at;
        }
        self.pack(AT_ONCE);
    }

    /// Packs some of the blocks that wait for it.
    fn pack(&mut self, most: usize) {
        for block in self.blocks[self.packed..].iter_mut().take(most) {
            self.packed += 1;
            if let Some(packed) = deflated(&block.bytes).filter(|p| p.len() < block.bytes.len()) {
                self.bytes -= block.bytes.len() - packed.len();
                (block.raw, block.bytes) = (false, packed.into());
            }
        }
    }

    /// All of it up to a moment, in order.
    pub(super) fn until(&self, wanted: Moment) -> Vec<(Moment, Kept)> {
        let mut bytes = Vec::new();
        for block in self.blocks.iter().take_while(|block| block.from <= wanted) {
            if block.raw {
                bytes.extend_from_slice(&block.bytes);
            } else if DeflateDecoder::new(&*block.bytes)
                .read_to_end(&mut bytes)
                .is_err()
            {
                // Not what was packed: what is behind it cannot be read either.
                break;
            }
        }
        if self.blocks.iter().all(|block| block.from <= wanted) {
            bytes.extend_from_slice(&self.open);
        }
        let all = std::iter::from_fn({
            let mut rest = bytes.as_slice();
            move || next(&mut rest)
        });
        all.take_while(|(at, _)| *at <= wanted).collect()
    }
}

/// The next of what was put in; none at the end, which may be in the midst of one.
fn next(rest: &mut &[u8]) -> Option<(Moment, Kept)> {
    let (kind, body) = rest.split_first()?;
    *rest = body;
    let recorded = v1::Recorded::decode_length_delimited(&mut *rest).ok()?;
    let (at, update) = coding::decode(recorded)?;
    let kept = match update {
        Update::Rows(rows) if *kind == PROCESSES => Kept::Processes(rows),
        update => Kept::Update(update),
    };
    Some((at, kept))
}

fn deflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::new(LEVEL));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(second: u64, count: u64) -> Kept {
        let row = |n| v1::Row {
            row: Some(v1::row::Row::Process(v1::ProcessRow {
                pid: format!("<a.{n}>"),
                name: "orders".to_owned(),
                enqueued: second * 31 + n,
                ..Default::default()
            })),
        };
        Kept::Processes(RowsUpdate {
            node: "a".to_owned(),
            rows: (0..count).map(row).collect(),
            taken_unix_ms: second * 1000,
            ..Default::default()
        })
    }

    fn link() -> Kept {
        Kept::Update(Update::Connection {
            node: "a".to_owned(),
            state: crate::feed::Link::Live,
        })
    }

    #[test]
    fn what_was_put_in_comes_out_up_to_any_moment() {
        let mut packed = Packed::default();
        let mut all = Vec::new();
        for second in 1..=60 {
            for kept in [link(), processes(second, 300)] {
                packed.push(Moment(second * 1000), kept.clone());
                all.push((Moment(second * 1000), kept));
            }
        }
        assert!(packed.blocks.len() > 5, "several blocks");
        for wanted in [0, 999, 1000, 7_500, 31_000, 60_000, 90_000] {
            let expected: Vec<_> = all.iter().filter(|(at, _)| at.0 <= wanted).cloned().collect();
            assert!(packed.until(Moment(wanted)) == expected, "until {wanted}");
        }
    }

    #[test]
    fn it_takes_less_room_than_came() {
        let mut packed = Packed::default();
        for second in 1..=60 {
            packed.push(Moment(second * 1000), processes(second, 1000));
        }
        assert!(
            packed.bytes() * 2 < packed.came(),
            "{} of {}",
            packed.bytes(),
            packed.came()
        );
    }

    #[test]
    fn a_large_picture_is_packed_as_more_comes() {
        let mut packed = Packed::default();
        packed.push(Moment(1), processes(1, 50_000));
        assert!(packed.packed < packed.blocks.len(), "not all at once");
        let large = packed.bytes();
        while packed.packed < packed.blocks.len() {
            packed.push(Moment(2), link());
        }
        assert!(packed.bytes() < large / 2);
        assert!(packed.until(Moment(1)) == vec![(Moment(1), processes(1, 50_000))]);
    }
}
