//! Bytes as faults leave them: changed, in slices, cut short. Pure but for the writing.
//!
//! What does not live here: which faults act (`squall_kernel::fault`), and when bytes go (`writer`).

use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::stream::write_parts;

/// Bytes of all parts.
pub(super) fn len(parts: &VecDeque<Bytes>) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

/// Changes one bit: that which `number`, taken by how many there are, stands for. The parts may be shared with what is kept for
/// the next connection: the changed one is copied.
pub(super) fn corrupt(parts: &mut VecDeque<Bytes>, number: u64) {
    let bits = len(parts) * 8;
    let Some(bit) = number.checked_rem(bits) else {
        return;
    };
    let mut before = 0;
    for part in parts {
        let here = part.len() as u64 * 8;
        if bit < before + here {
            let (at, mask) = ((bit - before) / 8, 1 << (bit % 8));
            let mut copy = BytesMut::from(&part[..]);
            // A place within a part fits.
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| copy.get_mut(at)) {
                *byte ^= mask;
            }
            *part = copy.freeze();
            return;
        }
        before += here;
    }
}

/// Leaves so many bytes, wherever that is in a frame.
pub(super) fn truncate(parts: &mut VecDeque<Bytes>, mut bytes: u64) {
    for part in parts.iter_mut() {
        let keep = usize::try_from(bytes).unwrap_or(usize::MAX).min(part.len());
        part.truncate(keep);
        bytes -= keep as u64;
    }
    parts.retain(|part| !part.is_empty());
}

/// Writes all parts: at once, or at most so many bytes at a time.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    io: &mut W,
    mut parts: VecDeque<Bytes>,
    slice: Option<u32>,
) -> io::Result<()> {
    let Some(most) = slice else {
        return write_parts(io, &mut parts).await;
    };
    for part in parts {
        for piece in part.chunks((most as usize).max(1)) {
            io.write_all(piece).await?;
            // Each by itself: the others of this runtime have their turn, and no two are put together.
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(all: &[&'static [u8]]) -> VecDeque<Bytes> {
        all.iter().map(|part| Bytes::from_static(part)).collect()
    }

    fn whole(parts: &VecDeque<Bytes>) -> Vec<u8> {
        parts.iter().flat_map(|part| part.to_vec()).collect()
    }

    #[test]
    fn one_bit_is_changed_wherever_it_is() {
        for number in 0..48 {
            let mut changed = parts(&[b"ab", b"", b"cdef"]);
            let before = whole(&changed);
            corrupt(&mut changed, number + 48 * 7);
            let bits = whole(&changed)
                .iter()
                .zip(&before)
                .map(|(now, then)| (now ^ then).count_ones())
                .sum::<u32>();
            assert_eq!((bits, changed.len()), (1, 3), "bit {number}");
        }
        let mut nothing = parts(&[]);
        corrupt(&mut nothing, 5);
        assert!(nothing.is_empty());
    }

    #[test]
    fn what_is_cut_short_ends_within_a_part() {
        for (bytes, left) in [(0, &b""[..]), (1, b"a"), (2, b"ab"), (4, b"abcd"), (9, b"abcdef")] {
            let mut cut = parts(&[b"ab", b"cdef"]);
            truncate(&mut cut, bytes);
            assert_eq!(whole(&cut), left);
        }
    }

    #[tokio::test]
    async fn slices_carry_all_of_it() {
        for slice in [None, Some(1), Some(4), Some(100)] {
            let mut out = Vec::new();
            write(&mut out, parts(&[b"ab", b"", b"cdefgh"]), slice)
                .await
                .unwrap();
            assert_eq!(out, b"abcdefgh", "{slice:?}");
        }
    }
}
