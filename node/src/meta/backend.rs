//! What lies under the registry's database: the file itself, which obeys disk faults (`guarded`), and an image of it in
//! memory (`image`); here the header that both look at. What does not live here: what the bytes mean.

use std::ops::Range;

mod guarded;
mod image;
mod unsynced;

pub(super) use guarded::Guarded;
pub(super) use image::Image;

/// redb's header: which of two commits counts, and the layout of the file; no checksum of its own covers that, and a
/// flipped bit there would bring an older commit back.
const HEADER: Range<usize> = 9..32;
/// Where its checksum goes: bytes that redb leaves unused, in the same sector, which is written whole or not at all.
const HEADER_SUM: Range<usize> = 40..44;
const GOD_BYTE: usize = 9;
const PRIMARY_BIT: u8 = 1;
const TWO_PHASE_BIT: u8 = 4;
/// Checksums of the two commit slots.
const SLOT_SUMS: [usize; 2] = [64 + 112, 192 + 112];
const HEADER_LEN: usize = 320;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

/// Checks the header of a file's image.
pub(super) fn header_holds(image: &[u8]) -> bool {
    let sum = |image: &[u8]| Some(crc32c::crc32c(image.get(HEADER)?).to_le_bytes());
    image.len() >= HEADER_LEN && sum(image).as_ref().map(<[u8; 4]>::as_slice) == image.get(HEADER_SUM)
}

/// Where the header ends.
pub(super) const fn header_end() -> u64 {
    HEADER_LEN as u64
}

/// Where its checked part lies.
pub(super) const fn header() -> Place {
    Place {
        offset: HEADER.start as u64,
        len: (HEADER_SUM.end - HEADER.start) as u64,
    }
}

/// Makes redb verify all of an image before it uses any of it, and without a choice: the commit that counts is the
/// only one left. A file committed in two phases it believes unseen, and some flipped bits make it panic.
pub(super) fn distrust(image: &mut [u8]) {
    if let Some(god) = image.get_mut(GOD_BYTE) {
        let other = usize::from(*god & PRIMARY_BIT == 0);
        *god &= !TWO_PHASE_BIT;
        if let Some(sum) = image.get_mut(SLOT_SUMS[other]) {
            *sum ^= 0xff;
        }
    }
}
