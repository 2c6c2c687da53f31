//! What was written to a file and is held back until it is synced: in the order in which it was written, and read as if it
//! were in the file.
//!
//! What does not live here: the file, and when anything is held back.

use std::collections::VecDeque;
use std::io;

/// A disk writes so many bytes whole or not at all.
const SECTOR: usize = 512;

/// One change of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Bytes from that place on.
    Write(u64, Vec<u8>),
    /// Another length.
    Len(u64),
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Write(_, data) => data.len(),
            Self::Len(_) => 0,
        }
    }

    /// The parts of it that reach the disk one after the other: two where it is larger than a sector.
    fn pieces(self) -> Vec<Self> {
        match self {
            Self::Write(offset, mut data) if data.len() > SECTOR => {
                let half = (data.len() / 2).next_multiple_of(SECTOR);
                let rest = data.split_off(half);
                let behind = offset + half as u64;
                vec![Self::Write(offset, data), Self::Write(behind, rest)]
            }
            other => vec![other],
        }
    }
}

/// Changes that are held back, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Unsynced {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes held back.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, change: Change) {
        self.bytes += change.bytes();
        self.changes.push_back(change);
    }

    /// The oldest one.
    pub(super) fn pop(&mut self) -> Option<Change> {
        let change = self.changes.pop_front()?;
        self.bytes -= change.bytes();
        Some(change)
    }

    /// It could not be written: it is the oldest again.
    pub(super) fn put_back(&mut self, change: Change) {
        self.bytes += change.bytes();
        self.changes.push_front(change);
    }

    /// All of them, in the pieces in which they reach the disk.
    pub(super) fn pieces(&mut self) -> Vec<Change> {
        self.bytes = 0;
        let changes = std::mem::take(&mut self.changes);
        changes.into_iter().flat_map(Change::pieces).collect()
    }

    /// Length of a file that has so many bytes on the disk.
    pub(super) fn len(&self, on_disk: u64) -> u64 {
        self.changes.iter().fold(on_disk, |len, change| match change {
            Change::Write(offset, data) => len.max(offset + data.len() as u64),
            Change::Len(len) => *len,
        })
    }

    /// Reads from `offset` on what the file has once all is written; `read` gives what is on the disk.
    pub(super) fn read(
        &self,
        on_disk: u64,
        offset: u64,
        out: &mut [u8],
        read: impl FnOnce(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if offset + out.len() as u64 > self.len(on_disk) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = within(on_disk, offset, out.len());
        read(offset, &mut out[..there])?;
        out[there..].fill(0);
        for change in &self.changes {
            match change {
                Change::Write(at, data) => overlay(out, offset, *at, data),
                Change::Len(len) => {
                    let kept = within(*len, offset, out.len());
                    out[kept..].fill(0);
                }
            }
        }
        Ok(())
    }
}

/// How many of so many bytes from `offset` on are before `end`.
fn within(end: u64, offset: u64, len: usize) -> usize {
    let before = end.saturating_sub(offset);
    usize::try_from(before).map_or(len, |before| before.min(len))
}

/// Puts bytes from `at` on over those of `out`, which begins at `offset`.
fn overlay(out: &mut [u8], offset: u64, at: u64, data: &[u8]) {
    let from = at.max(offset);
    let skipped = |start: u64| usize::try_from(from - start).unwrap_or(usize::MAX);
    let (into, of) = (skipped(offset), skipped(at));
    if let (Some(into), Some(of)) = (out.get_mut(into..), data.get(of..)) {
        let len = into.len().min(of.len());
        into[..len].copy_from_slice(&of[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(held: &Unsynced, disk: &[u8], offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut out = vec![0; len];
        held.read(disk.len() as u64, offset, &mut out, |at, out| {
            let at = usize::try_from(at).unwrap().min(disk.len());
            out.copy_from_slice(&disk[at..at + out.len()]);
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn what_is_held_back_is_read_in_the_order_in_which_it_was_written() {
        let mut held = Unsynced::default();
        held.push(Change::Write(2, vec![1; 4]));
        held.push(Change::Write(4, vec![2; 4]));
        let disk = [9; 6];
        assert_eq!(held.len(6), 8);
        assert_eq!(read(&held, &disk, 0, 8).unwrap(), [9, 9, 1, 1, 2, 2, 2, 2]);
        assert_eq!(read(&held, &disk, 5, 3).unwrap(), [2, 2, 2]);
        assert_eq!(
            read(&held, &disk, 7, 2).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        held.push(Change::Len(3));
        held.push(Change::Len(6));
        assert_eq!(
            read(&held, &disk, 1, 5).unwrap(),
            [9, 1, 0, 0, 0],
            "cut off, and made longer"
        );
        assert_eq!(held.bytes(), 8);
        assert_eq!(held.pop(), Some(Change::Write(2, vec![1; 4])));
        assert_eq!(held.bytes(), 4);
    }

    #[test]
    fn what_is_larger_than_a_sector_goes_in_two_pieces() {
        let mut held = Unsynced::default();
        held.push(Change::Write(0, vec![1; 320]));
        held.push(Change::Write(4096, vec![2; 4096]));
        held.push(Change::Len(16_384));
        let pieces = held.pieces();
        assert!(held.is_empty());
        assert_eq!(
            pieces,
            [
                Change::Write(0, vec![1; 320]),
                Change::Write(4096, vec![2; 2048]),
                Change::Write(6144, vec![2; 2048]),
                Change::Len(16_384),
            ]
        );
    }
}
