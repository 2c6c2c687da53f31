//! A simulated disk under redb: what is written is in doubt until a sync has ended, a sync takes time, and the disk may be
//! slow or full. redb writes at once; the disk counts when each write would have happened, so that a crash in the middle
//! of a commit finds the half of it.
//!
//! What does not live here: when a disk is slow or full (the plan), and who waits for it (`engine`).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use squall_kernel::time::{Instant, Span};

use super::runtime::true_now;
use crate::sim::plan::{Spread, slowed};
use crate::sim::rng::Rng;

/// A disk; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    /// With all that was written, synced or not.
    image: Vec<u8>,
    /// Writes that no ended sync covers, oldest first.
    doubtful: VecDeque<Doubtful>,
    /// Until then it works on what it was given so far.
    busy_until: Instant,
    /// How long a sync takes.
    sync: Spread,
    rng: Rng,
    slower_by: Span,
    full: bool,
    /// It was asked to write while it was full.
    refused: bool,
    /// Its node's run is over: another disk has what was on it.
    gone: bool,
}

#[derive(Debug)]
struct Doubtful {
    /// When the disk was given it.
    at: Instant,
    /// When the sync that covers it ends, if there was one.
    durable_at: Option<Instant>,
    write: Write,
}

/// A change of the image, and how to take it back.
#[derive(Debug)]
struct Write {
    offset: usize,
    old_len: usize,
    new_len: usize,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Disk {
    /// A disk that holds these bytes and syncs in such times.
    pub(super) fn new(image: Vec<u8>, sync: Spread, rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            image,
            doubtful: VecDeque::new(),
            busy_until: Instant(0),
            sync,
            rng,
            slower_by: Span::ZERO,
            full: false,
            refused: false,
            gone: false,
        })))
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on syncs take so much longer.
    pub(super) fn set_slower(&self, by: Span) {
        self.platter().slower_by = by;
    }

    /// From now on nothing can be written, or it can.
    pub(super) fn set_full(&self, full: bool) {
        self.platter().full = full;
    }

    /// True once it was asked to write while it was full.
    pub(super) fn has_refused(&self) -> bool {
        self.platter().refused
    }

    /// Until then it works on what it was given so far.
    pub(super) fn busy_until(&self) -> Instant {
        self.platter().busy_until
    }

    /// A disk with what is found after a power loss at `now`, and whether anything written was lost: each write that was
    /// not synced is there, or not, or half. This disk is gone from then on.
    pub(super) fn after_power_loss(&self, now: Instant) -> (Self, bool) {
        let mut platter = self.platter();
        platter.settle(now);
        platter.gone = true;
        let mut rng = platter.rng.clone();
        let mut image = std::mem::take(&mut platter.image);
        let doubtful = std::mem::take(&mut platter.doubtful);
        doubtful.iter().rev().for_each(|d| d.write.take_back(&mut image));
        let mut lost = false;
        // What was given to the disk behind a sync that had not ended never happened.
        for Doubtful { write, .. } in doubtful.iter().filter(|d| d.at <= now) {
            let kept = match rng.below(3) {
                0 => None,
                1 => Some(write.new.len() / 2),
                _ => Some(write.new.len()),
            };
            lost |= kept.is_none_or(|kept| kept < write.new.len());
            if let Some(kept) = kept {
                write.onto(&mut image, kept);
            }
        }
        let next = Self::new(image, platter.sync, rng);
        next.set_slower(platter.slower_by);
        next.set_full(platter.full);
        (next, lost)
    }

    fn write(&self, offset: usize, new_len: usize, new: &[u8]) -> io::Result<()> {
        let mut platter = self.platter();
        platter.check()?;
        if platter.full {
            platter.refused = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let now = true_now();
        platter.settle(now);
        let old_len = platter.image.len();
        let kept_from = if new.is_empty() {
            new_len.min(old_len)
        } else {
            offset.min(old_len)
        };
        let kept_to = if new.is_empty() {
            old_len
        } else {
            (offset + new.len()).min(old_len)
        };
        let write = Write {
            offset: if new.is_empty() { kept_from } else { offset },
            old_len,
            new_len: if new.is_empty() {
                new_len
            } else {
                old_len.max(offset + new.len())
            },
            old: platter.image[kept_from..kept_to].to_vec(),
            new: new.to_vec(),
        };
        write.onto(&mut platter.image, new.len());
        let at = now.max(platter.busy_until);
        platter.doubtful.push_back(Doubtful {
            at,
            durable_at: None,
            write,
        });
        Ok(())
    }
}

impl Platter {
    fn check(&self) -> io::Result<()> {
        if self.gone {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        }
    }

    /// Forgets how to take back what is durable by now.
    fn settle(&mut self, now: Instant) {
        while self
            .doubtful
            .front()
            .is_some_and(|d| d.durable_at.is_some_and(|at| at <= now))
        {
            self.doubtful.pop_front();
        }
    }
}

impl Write {
    /// The first `count` of its bytes; its length only with all of them.
    fn onto(&self, image: &mut Vec<u8>, count: usize) {
        if self.new.is_empty() {
            image.resize(self.new_len, 0);
            return;
        }
        let end = self.offset + count;
        image.resize(image.len().max(end), 0);
        image[self.offset..end].copy_from_slice(&self.new[..count]);
    }

    fn take_back(&self, image: &mut Vec<u8>) {
        image.resize(self.old_len, 0);
        image[self.offset..self.offset + self.old.len()].copy_from_slice(&self.old);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let platter = self.platter();
        platter.check()?;
        Ok(platter.image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (platter, at) = (self.platter(), place(offset)?);
        platter.check()?;
        let bytes = platter
            .image
            .get(at..at + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write(0, place(len)?, &[])
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.platter();
        let platter = &mut *guard;
        platter.check()?;
        let now = true_now();
        let takes = platter.sync.draw(&mut platter.rng);
        let slower = slowed(now, platter.busy_until, platter.slower_by);
        let ended = now.max(platter.busy_until) + Span(takes.0 + slower.0);
        platter.busy_until = ended;
        for doubtful in platter
            .doubtful
            .iter_mut()
            .rev()
            .take_while(|d| d.durable_at.is_none())
        {
            doubtful.durable_at = Some(ended);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        Self::write(self, place(offset)?, 0, data)
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Spread = Spread {
        least: Span(100),
        more: Span(100),
        slow_per_mille: 0,
        slow: Span::ZERO,
    };

    fn disk() -> Disk {
        Disk::new(vec![], SYNC, Rng::new(1))
    }

    fn found(disk: &Disk) -> Vec<u8> {
        disk.platter().image.clone()
    }

    #[test]
    fn what_an_ended_sync_covers_survives_a_power_loss() {
        let disk = disk();
        StorageBackend::write(&disk, 0, b"kept").unwrap();
        disk.sync_data().unwrap();
        assert_eq!(found(&disk.after_power_loss(disk.busy_until()).0), b"kept");
    }

    #[test]
    fn what_comes_behind_a_sync_under_way_never_happened() {
        let disk = Disk::new(b"old!".to_vec(), SYNC, Rng::new(1));
        disk.sync_data().unwrap();
        StorageBackend::write(&disk, 0, b"new!").unwrap();
        StorageBackend::set_len(&disk, 2).unwrap();
        assert_eq!(found(&disk.after_power_loss(Instant(0)).0), b"old!");
    }

    #[test]
    fn a_write_in_doubt_is_there_or_not_or_half() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let disk = Disk::new(b"aaaa".to_vec(), SYNC, Rng::new(seed));
            StorageBackend::write(&disk, 0, b"bbbb").unwrap();
            seen.insert(found(&disk.after_power_loss(Instant(0)).0));
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[test]
    fn a_full_disk_takes_nothing_and_a_slow_one_is_busy_longer() {
        let disk = disk();
        disk.set_full(true);
        let refused = StorageBackend::write(&disk, 0, b"x").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        disk.set_full(false);
        disk.set_slower(Span::from_ms(10));
        disk.sync_data().unwrap();
        assert!(disk.busy_until() > Instant(10_000));
    }
}
