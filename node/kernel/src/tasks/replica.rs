//! The second copy of a task queue, at its backup: applies what the owner sends, and becomes the next owner's queue.
//!
//! It lives as long as the registry names this node as the backup of the exchange; whoever keeps it drops it when the
//! registry names another one, or none, and then nobody was told anything that only a later copy knows.

use super::change::{Answer, Batch, Change, Figures};
use super::number::{CopyId, EntryNo, StreamNo};
use super::store::Store;
use crate::id::Epoch;
use crate::time::Instant;

/// A copy that is being filled, or is whole and kept up to date.
#[derive(Debug, Clone)]
struct Copy {
    id: CopyId,
    has: EntryNo,
    whole: bool,
    store: Store,
    /// The owner's figures as the copy began.
    told: Figures,
}

/// The second copy at the backup.
#[derive(Debug, Clone, Default)]
pub struct TaskReplica {
    /// Epoch of the latest owner that was heard.
    epoch: Epoch,
    /// The running stream.
    current: Option<Copy>,
    /// The copy before, until the running one is whole: the owner said that it is as good.
    before: Option<Copy>,
}

/// What a replica leaves to the next owner.
#[derive(Debug)]
pub(super) struct Legacy {
    pub(super) store: Store,
    /// Acknowledged tasks that are not in it.
    pub(super) lost: u64,
}

impl TaskReplica {
    /// A replica that has nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the old owner keeps after a move: a copy of everything anybody was told of.
    pub(super) fn of_owner(id: CopyId, store: Store) -> Self {
        let told = store.figures;
        let copy = Copy {
            id,
            has: EntryNo(0),
            whole: true,
            store,
            told,
        };
        Self {
            epoch: id.epoch,
            current: Some(copy),
            before: None,
        }
    }

    /// Applies a batch; the answer goes back to its sender.
    pub fn take(&mut self, now: Instant, batch: &Batch) -> Answer {
        if batch.epoch < self.epoch {
            return Answer::Fenced { seen: self.epoch };
        }
        self.epoch = batch.epoch;
        let id = CopyId {
            epoch: batch.epoch,
            stream: batch.stream,
        };
        self.begin_if_new(id, batch);
        match &mut self.current {
            Some(copy) if copy.id == id => {
                let answer = copy.take(now, batch);
                if copy.whole {
                    self.before = None;
                }
                answer
            }
            // An earlier stream: its sender is past it.
            Some(copy) if copy.id > id => Answer::Has {
                copy: copy.id,
                entry: copy.has,
            },
            _ => Answer::Misses {
                copy: id,
                entry: EntryNo(0),
            },
        }
    }

    /// A new stream takes the place of the running one. What the running one had is kept only where it is whole, and the
    /// owner knows it for as good.
    fn begin_if_new(&mut self, id: CopyId, batch: &Batch) {
        let Some(Change::Begin { keeps, figures, .. }) = batch.entries.first() else {
            return;
        };
        let newer = self.current.as_ref().is_none_or(|copy| copy.id < id);
        if !newer || batch.first != EntryNo(1) {
            return;
        }
        let kept = |copy: &Copy| copy.whole && Some(copy.id) == *keeps;
        self.before = self
            .current
            .take()
            .into_iter()
            .chain(self.before.take())
            .find(kept);
        self.current = Some(Copy {
            id,
            has: EntryNo(0),
            whole: false,
            store: Store::default(),
            told: *figures,
        });
    }

    /// True when it has everything anybody was told of.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.before.is_some() || self.current.as_ref().is_some_and(|copy| copy.whole)
    }

    /// Open tasks in it.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.current.as_ref().map_or(0, |copy| copy.store.len())
    }

    /// The queue's figures as far as they were told.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        let copy = self.current.as_ref()?;
        Some(if copy.whole { copy.store.figures } else { copy.told })
    }

    /// Up to which entry of which copy it has everything.
    #[must_use]
    pub fn position(&self) -> Option<(CopyId, EntryNo)> {
        self.current.as_ref().map(|copy| (copy.id, copy.has))
    }

    /// The best copy there is, and what is missing in it.
    pub(super) fn into_legacy(self) -> Option<Legacy> {
        let current = self.current.filter(|copy| copy.whole || self.before.is_none());
        let copy = current.or(self.before)?;
        let lost = if copy.whole {
            0
        } else {
            copy.told.open().saturating_sub(copy.store.len() as u64)
        };
        Some(Legacy {
            store: copy.store,
            lost,
        })
    }
}

impl Copy {
    fn take(&mut self, now: Instant, batch: &Batch) -> Answer {
        if batch.first.0 == 0 || batch.first.0 > self.has.0 + 1 {
            return Answer::Misses {
                copy: self.id,
                entry: self.has,
            };
        }
        let known = usize::try_from(self.has.0 + 1 - batch.first.0).unwrap_or(usize::MAX);
        for change in batch.entries.iter().skip(known) {
            self.store.apply(now, change);
            self.has.0 += 1;
            self.whole |= matches!(change, Change::Whole);
        }
        Answer::Has {
            copy: self.id,
            entry: self.has,
        }
    }
}

/// The stream number under which an owner leaves its own copy behind: after all streams it has sent.
pub(super) const OWN_COPY: StreamNo = StreamNo(u64::MAX);
