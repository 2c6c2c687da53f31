//! The table of open requests, by number, with what is due when. What does not live here: what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::id::{Boot, MessageId};
use squall_kernel::time::Instant;

use super::Open;

/// As in the live router: the boot count stands above the count of a run.
const COUNT_BITS: u32 = 44;

/// The open requests of a node.
#[derive(Debug)]
pub(in crate::sim::host) struct Requests {
    last: u64,
    pub(super) open: BTreeMap<MessageId, Open>,
    pub(super) due: BTreeSet<(Instant, MessageId)>,
    /// First tries of later ones, to name what comes late.
    pub(super) firsts: BTreeMap<MessageId, MessageId>,
}

impl Requests {
    pub(in crate::sim::host) fn new(boot: Boot) -> Self {
        Self {
            last: u64::from(boot.0) << COUNT_BITS,
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            firsts: BTreeMap::new(),
        }
    }

    pub(in crate::sim::host) fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(in crate::sim::host) fn len(&self) -> usize {
        self.open.len()
    }

    pub(in crate::sim::host) fn next_id(&mut self) -> MessageId {
        self.last += 1;
        MessageId(self.last)
    }

    pub(super) fn insert(&mut self, id: MessageId, mut open: Open, due: Instant) {
        open.message = id;
        self.open.insert(id, open);
        self.due.insert((due, id));
    }

    pub(super) fn take(&mut self, id: MessageId) -> Option<Open> {
        self.open.remove(&id)
    }

    pub(super) fn take_all(&mut self, mut wanted: impl FnMut(&mut Open) -> bool) -> Vec<Open> {
        let taken = self
            .open
            .iter_mut()
            .filter_map(|(id, open)| wanted(open).then_some(*id));
        let taken: Vec<MessageId> = taken.collect();
        taken.into_iter().filter_map(|id| self.open.remove(&id)).collect()
    }
}
