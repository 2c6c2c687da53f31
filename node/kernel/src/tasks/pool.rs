//! Workers: who is attached, who has what in hand, who has room.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::moving::WorkerRecord;
use super::number::TaskId;
use super::scheduling::Candidate;
use crate::id::{NodeId, Pid};
use crate::limits;
use crate::time::Instant;

#[derive(Debug, Clone)]
struct Worker {
    service_tag: Bytes,
    credit: u32,
    /// When it got its last task, as a number that grows.
    turn: u64,
}

/// Workers and what they have in hand. A worker that is not attached may have tasks in hand too: after a failover.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    workers: BTreeMap<Pid, Worker>,
    hands: BTreeMap<Pid, BTreeSet<TaskId>>,
    /// Those with room by group, all of them under the empty tag: least in hand first, then longest without a new task.
    free: BTreeMap<Bytes, BTreeSet<(usize, u64, Pid)>>,
    turn: u64,
    /// How many tasks more all of them take.
    room: usize,
    /// Those that get nothing for a while, whatever their credit, and until when.
    paused: BTreeMap<Pid, Instant>,
}

impl Pool {
    /// False when there are too many.
    pub(super) fn attach(&mut self, worker: Pid, service_tag: &Bytes, credit: u32) -> bool {
        if !self.workers.contains_key(&worker) && self.workers.len() >= limits::HANDLERS_PER_EXCHANGE_MAX {
            return false;
        }
        self.unlist(worker);
        self.paused.remove(&worker);
        let turn = self.workers.get(&worker).map_or(0, |w| w.turn);
        let record = Worker {
            service_tag: service_tag.clone(),
            credit,
            turn,
        };
        self.workers.insert(worker, record);
        self.list(worker);
        true
    }

    pub(super) fn detach(&mut self, worker: Pid) {
        self.unlist(worker);
        self.paused.remove(&worker);
        self.workers.remove(&worker);
    }

    pub(super) fn is_attached(&self, worker: Pid) -> bool {
        self.workers.contains_key(&worker)
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn of_node(&self, node: NodeId) -> Vec<Pid> {
        self.workers.range(all_of(node)).map(|(pid, _)| *pid).collect()
    }

    /// Tasks in a worker's hand.
    pub(super) fn in_hand(&self, worker: Pid) -> Vec<TaskId> {
        let hand = self.hands.get(&worker);
        hand.map_or_else(Vec::new, |tasks| tasks.iter().copied().collect())
    }

    /// Tasks in the hands of a node's workers, attached or not.
    pub(super) fn in_hands_of(&self, node: NodeId) -> Vec<(Pid, TaskId)> {
        self.hands
            .range(all_of(node))
            .flat_map(|(pid, tasks)| tasks.iter().map(|task| (*pid, *task)))
            .collect()
    }

    pub(super) fn take(&mut self, worker: Pid, task: TaskId) {
        self.unlist(worker);
        self.hands.entry(worker).or_default().insert(task);
        self.turn += 1;
        if let Some(record) = self.workers.get_mut(&worker) {
            record.turn = self.turn;
        }
        self.list(worker);
    }

    pub(super) fn put_down(&mut self, worker: Pid, task: TaskId) {
        self.unlist(worker);
        if let Some(hand) = self.hands.get_mut(&worker) {
            hand.remove(&task);
            if hand.is_empty() {
                self.hands.remove(&worker);
            }
        }
        self.list(worker);
    }

    /// An attached worker gets nothing until then.
    pub(super) fn pause(&mut self, worker: Pid, until: Instant) {
        if self.workers.contains_key(&worker) {
            self.unlist(worker);
            self.paused.insert(worker, until);
        }
    }

    /// Ends the pauses that are over.
    pub(super) fn wake(&mut self, now: Instant) {
        let over = self.paused.iter().filter(|(_, until)| **until <= now);
        let over: Vec<Pid> = over.map(|(worker, _)| *worker).collect();
        for worker in over {
            self.paused.remove(&worker);
            self.list(worker);
        }
    }

    /// When the next pause ends.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.paused.values().min().copied()
    }

    /// Somebody in that group has room.
    pub(super) fn has_room(&self, tag: &Bytes) -> bool {
        self.free.contains_key(tag)
    }

    /// Groups in which somebody has room.
    pub(super) fn groups_with_room(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.free.keys()
    }

    /// Nodes of those who have something in hand and are not attached.
    pub(super) fn awaited(&self) -> BTreeSet<NodeId> {
        let awaited = self.hands.keys().filter(|pid| !self.is_attached(**pid));
        awaited.map(|pid| pid.node).collect()
    }

    /// How many tasks more all workers take.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Workers of a group with room, in the order in which they should get tasks.
    pub(super) fn free(&self, tag: &Bytes) -> impl Iterator<Item = Pid> {
        self.free.get(tag).into_iter().flatten().map(|(_, _, pid)| *pid)
    }

    /// A worker as a scheduler sees it.
    pub(super) fn candidate(&self, worker: Pid) -> Candidate {
        let count = u32::try_from(self.count(worker)).unwrap_or(u32::MAX);
        Candidate {
            worker,
            in_hand: count,
            credit: self.workers.get(&worker).map_or(0, |w| w.credit),
        }
    }

    /// That worker is in the group and has room.
    pub(super) fn is_free(&self, worker: Pid, tag: &Bytes) -> bool {
        self.listed(worker).is_some_and(|record| {
            (tag.is_empty() || record.service_tag == *tag) && self.count(worker) < record.credit as usize
        })
    }

    pub(super) fn records(&self) -> Vec<WorkerRecord> {
        let record = |(pid, worker): (&Pid, &Worker)| WorkerRecord {
            worker: *pid,
            service_tag: worker.service_tag.clone(),
            credit: worker.credit,
        };
        self.workers.iter().map(record).collect()
    }

    /// A worker that may get something, if it has room.
    fn listed(&self, worker: Pid) -> Option<&Worker> {
        let paused = self.paused.contains_key(&worker);
        self.workers.get(&worker).filter(|_| !paused)
    }

    fn count(&self, worker: Pid) -> usize {
        self.hands.get(&worker).map_or(0, BTreeSet::len)
    }

    fn unlist(&mut self, worker: Pid) {
        let Some(record) = self.listed(worker).cloned() else {
            return;
        };
        let count = self.count(worker);
        let rank = (count, record.turn, worker);
        self.room -= (record.credit as usize).saturating_sub(count);
        for tag in [Bytes::new(), record.service_tag.clone()] {
            if let Some(free) = self.free.get_mut(&tag) {
                free.remove(&rank);
                if free.is_empty() {
                    self.free.remove(&tag);
                }
            }
        }
    }

    fn list(&mut self, worker: Pid) {
        let Some(record) = self.listed(worker).cloned() else {
            return;
        };
        let count = self.count(worker);
        if count >= record.credit as usize {
            return;
        }
        self.room += record.credit as usize - count;
        for tag in [Bytes::new(), record.service_tag.clone()] {
            self.free
                .entry(tag)
                .or_default()
                .insert((count, record.turn, worker));
        }
    }
}

fn all_of(node: NodeId) -> core::ops::RangeInclusive<Pid> {
    Pid { node, serial: 0 }..=Pid {
        node,
        serial: u64::MAX,
    }
}
