//! Keeping the second copy: the stream of entries to the backup, and the effects that wait until it has them.
//!
//! Changes are counted by their version, from 1 in each ownership. An effect that depends on a change is held until that
//! version is durable: acknowledged by the backup, or made while the registry said that there is no other node. Only
//! [`Copying::release`] gives held effects out.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::change::{Answer, Batch, Change};
use super::effect::{Copies, TaskEffect};
use super::input::Backup;
use super::number::{CopyId, EntryNo, StreamNo};
use super::store::Store;
use crate::id::{Epoch, NodeId};
use crate::limits;
use crate::time::Instant;

/// Which change of this ownership, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Version(u64);

/// An entry that the backup has not acknowledged.
#[derive(Debug, Clone)]
struct Outgoing {
    /// The latest version that the backup has with it.
    version: Version,
    change: Change,
}

/// The second copy, as its owner sees it.
#[derive(Debug, Clone)]
pub(super) struct Copying {
    epoch: Epoch,
    backup: Backup,
    stream: StreamNo,
    version: Version,
    durable: Version,
    /// Everything up to here is at this node only.
    alone: Option<Version>,
    /// From the entry after `acknowledged` on.
    out: VecDeque<Outgoing>,
    acknowledged: EntryNo,
    sent: EntryNo,
    bytes_sent: usize,
    sent_at: Instant,
    /// The backup has a whole copy by this stream.
    whole: bool,
    /// Copies elsewhere that have everything anybody was told of.
    exact: BTreeMap<NodeId, CopyId>,
    held: VecDeque<(Version, TaskEffect)>,
}

impl Copying {
    /// Nothing is durable before the first word on the backup.
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            backup: Backup::Awaited,
            stream: StreamNo(0),
            version: Version(0),
            durable: Version(0),
            alone: Some(Version(0)),
            out: VecDeque::new(),
            acknowledged: EntryNo(0),
            sent: EntryNo(0),
            bytes_sent: 0,
            sent_at: Instant(0),
            whole: false,
            exact: BTreeMap::new(),
            held: VecDeque::new(),
        }
    }

    /// Goes on with what waited at the owner before; all it knew counts as one change.
    pub(super) fn resume(&mut self, waiting: Vec<TaskEffect>, copies: Vec<(NodeId, CopyId)>) {
        self.version = Version(1);
        self.held = waiting.into_iter().map(|effect| (Version(1), effect)).collect();
        self.exact = copies.into_iter().collect();
    }

    pub(super) fn backup(&self) -> Backup {
        self.backup
    }

    /// Takes no more before the backup has caught up.
    pub(super) fn is_full(&self) -> bool {
        let pending = self.version.0 - self.durable.0;
        pending >= limits::TASK_CHANGES_PENDING_MAX as u64
            || self.held.len() >= limits::TASK_CHANGES_PENDING_MAX
    }

    /// Every acknowledged task is at two nodes.
    pub(super) fn is_doubled(&self) -> bool {
        match self.backup {
            Backup::On(node) => self.whole || self.exact.contains_key(&node),
            Backup::Awaited | Backup::Alone => false,
        }
    }

    /// Changes the backup has yet to acknowledge, and effects that wait for it.
    pub(super) fn pending(&self) -> (u64, usize) {
        (self.version.0 - self.durable.0, self.held.len())
    }

    /// A change has been made.
    pub(super) fn push(&mut self, change: Change) {
        self.version.0 += 1;
        match self.backup {
            Backup::Alone => self.durable_alone(),
            Backup::Awaited => {}
            Backup::On(_) => self.out.push_back(Outgoing {
                version: self.version,
                change,
            }),
        }
    }

    /// Holds an effect until all changes made so far are durable.
    pub(super) fn hold(&mut self, effect: TaskEffect) {
        self.held.push_back((self.version, effect));
    }

    /// The next effect that may go.
    pub(super) fn release(&mut self) -> Option<TaskEffect> {
        let (version, _) = self.held.front().filter(|(v, _)| *v <= self.durable)?;
        let single = self.alone.is_some_and(|alone| *version <= alone);
        let (_, mut effect) = self.held.pop_front()?;
        if let TaskEffect::Accepted { copies, .. } = &mut effect {
            *copies = if single { Copies::Single } else { Copies::Two };
        }
        Some(effect)
    }

    /// Effects that wait, and copies elsewhere: for a move.
    pub(super) fn waiting(&self) -> (Vec<TaskEffect>, Vec<(NodeId, CopyId)>) {
        let waiting = self.held.iter().map(|(_, effect)| effect.clone()).collect();
        (waiting, self.exact.iter().map(|(n, c)| (*n, *c)).collect())
    }

    /// The registry names a backup, or none.
    pub(super) fn change_backup(&mut self, now: Instant, backup: Backup, store: &Store) {
        if backup == self.backup {
            return;
        }
        self.backup = backup;
        self.no_stream();
        // A node that the registry does not name drops its copy.
        self.exact.retain(|node, _| backup == Backup::On(*node));
        match backup {
            Backup::On(node) => self.begin(now, node, store),
            Backup::Alone => self.durable_alone(),
            Backup::Awaited => {}
        }
    }

    /// A lost node has no copy any more.
    pub(super) fn node_lost(&mut self, now: Instant, node: NodeId, store: &Store) {
        self.exact.remove(&node);
        if self.backup == Backup::On(node) {
            self.change_backup(now, Backup::Awaited, store);
        }
    }

    fn durable_alone(&mut self) {
        self.durable = self.version;
        self.alone = Some(self.version);
    }

    fn no_stream(&mut self) {
        self.out.clear();
        self.whole = false;
        (self.acknowledged, self.sent, self.bytes_sent) = (EntryNo(0), EntryNo(0), 0);
    }

    /// A new stream, beginning with a whole copy.
    fn begin(&mut self, now: Instant, node: NodeId, store: &Store) {
        self.no_stream();
        self.stream.0 += 1;
        let keeps = self.exact.get(&node).copied();
        self.out = store
            .copy(now, keeps)
            .map(|change| Outgoing {
                version: Version(0),
                change,
            })
            .collect();
        if let Some(last) = self.out.back_mut() {
            last.version = self.version;
        }
    }

    /// Entries that may be sent now.
    pub(super) fn send(&mut self, now: Instant, out: &mut Vec<TaskEffect>) {
        let Backup::On(to) = self.backup else {
            return;
        };
        if self.sent > self.acknowledged && now >= self.sent_at + limits::TASK_RESEND {
            self.rewind(self.acknowledged);
        }
        while let Some(batch) = self.next_batch() {
            self.sent_at = now;
            out.push(TaskEffect::Replicate { to, batch });
        }
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let first = EntryNo(self.sent.0 + 1);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.out.get(self.in_flight()) {
            let size = next.change.bytes();
            let room = entries.len() < limits::TASK_BATCH_MAX as usize
                && (self.in_flight() as u64) < limits::TASK_ENTRIES_IN_FLIGHT_MAX
                && (entries.is_empty() || bytes + size <= limits::SNAPSHOT_CHUNK_BYTES)
                && self.bytes_sent + size <= limits::TASK_BYTES_IN_FLIGHT_MAX;
            // One that is larger than any room goes by itself.
            let lone = self.in_flight() == 0;
            if !room && !lone {
                break;
            }
            entries.push(next.change.clone());
            bytes += size;
            self.bytes_sent += size;
            self.sent.0 += 1;
        }
        (!entries.is_empty()).then_some(Batch {
            epoch: self.epoch,
            stream: self.stream,
            first,
            entries,
        })
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.sent.0 - self.acknowledged.0).expect("bounded by the entries in `out`")
    }

    fn rewind(&mut self, to: EntryNo) {
        self.sent = to;
        self.bytes_sent = 0;
        for outgoing in self.out.iter().take(self.in_flight()) {
            self.bytes_sent += outgoing.change.bytes();
        }
    }

    /// A backup's answer. Only that of the backup named by the registry counts, and only for the running stream.
    pub(super) fn answered(&mut self, now: Instant, from: NodeId, answer: Answer, store: &Store) {
        let (Answer::Has { copy, entry } | Answer::Misses { copy, entry }) = answer else {
            return;
        };
        let running = CopyId {
            epoch: self.epoch,
            stream: self.stream,
        };
        if self.backup != Backup::On(from) || copy != running || entry > self.sent {
            return;
        }
        if entry < self.acknowledged {
            if matches!(answer, Answer::Misses { .. }) {
                // It has lost what it had acknowledged: it has started anew.
                self.exact.remove(&from);
                self.begin(now, from, store);
            }
            return;
        }
        self.acknowledge(from, running, entry);
        if matches!(answer, Answer::Misses { .. }) {
            self.rewind(entry);
        }
    }

    fn acknowledge(&mut self, from: NodeId, copy: CopyId, entry: EntryNo) {
        while self.acknowledged < entry {
            let outgoing = self.out.pop_front().expect("everything sent is kept until here");
            self.acknowledged.0 += 1;
            self.bytes_sent -= outgoing.change.bytes();
            let completes = matches!(outgoing.change, Change::Whole);
            if completes {
                self.whole = true;
                self.alone = None;
            }
            if outgoing.version > self.durable || completes {
                self.durable = self.durable.max(outgoing.version);
                self.exact = BTreeMap::from([(from, copy)]);
            }
        }
    }

    /// When entries have to be sent again; at once when something could go, and did not for want of the right to act.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let held_up = self.held.front().is_some_and(|(v, _)| *v <= self.durable);
        let under_way = self.sent > self.acknowledged;
        if held_up || (!under_way && !self.out.is_empty()) {
            return Some(self.sent_at);
        }
        under_way.then_some(self.sent_at + limits::TASK_RESEND)
    }
}

#[cfg(test)]
#[path = "copying_test.rs"]
mod tests;
