//! Handlers with one service tag, and whose turn it is among them.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::OccupiedEntry;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::Pid;

/// Handlers with one service tag (or all, under the empty tag), in the order they attached.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) members: Vec<Pid>,
    /// Place of the next one in turn.
    cursor: usize,
}

impl Group {
    pub(super) fn take_turn(&mut self) -> Option<Pid> {
        let pid = self.next()?;
        self.cursor = if self.cursor + 1 >= self.members.len() {
            0
        } else {
            self.cursor + 1
        };
        Some(pid)
    }

    /// The member with the least of what `load` measures; among equals the first from whose turn it is, and it is the
    /// turn of the one behind it then.
    pub(super) fn take_least(&mut self, load: impl Fn(Pid) -> usize) -> Option<Pid> {
        let place = self.least(load)?;
        self.cursor = (place + 1) % self.members.len();
        Some(self.members[place])
    }

    /// The place of whom [`take_least`](Self::take_least) would take now.
    pub(super) fn least(&self, load: impl Fn(Pid) -> usize) -> Option<usize> {
        let len = self.members.len();
        let places = (0..len).map(|step| (self.cursor + step) % len);
        places.min_by_key(|place| load(self.members[*place]))
    }

    /// The place of whose turn it is, from 0.
    pub(super) fn place(&self) -> usize {
        if self.cursor < self.members.len() {
            self.cursor
        } else {
            0
        }
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<Pid> {
        self.members
            .get(self.cursor)
            .or_else(|| self.members.first())
            .copied()
    }

    /// Makes it a member's turn; nothing changes for a stranger.
    pub(super) fn turn_to(&mut self, pid: Pid) {
        self.cursor = self.members.iter().position(|p| *p == pid).unwrap_or(self.cursor);
    }

    /// Keeps the turn with whoever would have been next.
    pub(super) fn remove(&mut self, pid: Pid) {
        if let Some(place) = self.members.iter().position(|p| *p == pid) {
            self.members.remove(place);
            if place < self.cursor {
                self.cursor -= 1;
            }
            if self.cursor >= self.members.len() {
                self.cursor = 0;
            }
        }
    }
}

/// The group of that tag. The group of all is the first one, and found without a comparison: processors take long to compare nothing
/// with nothing at an address where nothing is, which is where empty texts are.
pub(super) fn group_mut<'a>(groups: &'a mut BTreeMap<Bytes, Group>, tag: &Bytes) -> Option<&'a mut Group> {
    if !tag.is_empty() {
        return groups.get_mut(tag);
    }
    let first = groups.first_entry().filter(|first| first.key().is_empty());
    first.map(OccupiedEntry::into_mut)
}
