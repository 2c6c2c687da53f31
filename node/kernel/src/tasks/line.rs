//! The order in which tasks come: which may be leased now, which later, whose lease or deadline ends next. All of it follows
//! from the store; [`Line::set`] brings it up to date for one task.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;

use bytes::Bytes;

use super::number::{Priority, TaskId};
use super::pool::Pool;
use super::store::Task;
use crate::time::Instant;

/// Priority first, then the order in which they were submitted.
type Rank = (Reverse<Priority>, TaskId);

/// Where a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// May be leased.
    Ready,
    /// May be leased later.
    Later(Instant),
    /// The scheduler has been asked who gets it.
    Asked(Instant),
    /// In a worker's hand; the time of a lease runs from when its worker is told.
    Out(Option<Instant>),
    /// Behind another task of its key.
    Behind,
}

#[derive(Debug, Clone)]
struct Place {
    tag: Bytes,
    rank: Rank,
    spot: Spot,
    deadline: Option<Instant>,
    key: Option<Bytes>,
}

/// The line of tasks.
#[derive(Debug, Clone)]
pub(super) struct Line {
    ordered: bool,
    places: BTreeMap<TaskId, Place>,
    /// By service tag.
    ready: BTreeMap<Bytes, BTreeSet<Rank>>,
    later: BTreeSet<(Instant, TaskId)>,
    asked: BTreeSet<(Instant, TaskId)>,
    /// Tasks that no worker has in hand, whatever they wait for.
    waiting: BTreeSet<(Priority, TaskId)>,
    leases: BTreeSet<(Instant, TaskId)>,
    deadlines: BTreeSet<(Instant, TaskId)>,
    /// Open tasks of each key, where they go one after the other.
    keys: BTreeMap<Bytes, BTreeSet<TaskId>>,
}

impl Line {
    pub(super) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            places: BTreeMap::new(),
            ready: BTreeMap::new(),
            later: BTreeSet::new(),
            asked: BTreeSet::new(),
            waiting: BTreeSet::new(),
            leases: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Puts a task where it belongs by now, or takes it out. Returns the task that is the first of its key by that, and
    /// has to be set too.
    pub(super) fn set(&mut self, now: Instant, id: TaskId, task: Option<&Task>) -> Option<TaskId> {
        let key = self.take_out(id);
        let Some(task) = task else {
            return key.and_then(|key| self.leave_key(&key, id));
        };
        let key = (self.ordered && !task.spec.key.is_empty()).then(|| task.spec.key.clone());
        let place = Place {
            tag: task.spec.service_tag.clone(),
            rank: (Reverse(task.spec.priority), id),
            spot: self.spot(now, id, task, key.as_ref()),
            deadline: task.deadline,
            key,
        };
        self.put_in(id, place);
        None
    }

    fn spot(&mut self, now: Instant, id: TaskId, task: &Task, key: Option<&Bytes>) -> Spot {
        if let Some(key) = key {
            let behind = self.keys.entry(key.clone()).or_default();
            behind.insert(id);
            if behind.first() != Some(&id) {
                return Spot::Behind;
            }
        }
        match task.holder {
            Some(holder) => Spot::Out(holder.told.then_some(holder.until)),
            None if task.not_before > now => Spot::Later(task.not_before),
            None => Spot::Ready,
        }
    }

    fn leave_key(&mut self, key: &Bytes, id: TaskId) -> Option<TaskId> {
        let of_key = self.keys.get_mut(key)?;
        let was_first = of_key.first() == Some(&id);
        of_key.remove(&id);
        let first = of_key.first().copied();
        if first.is_none() {
            self.keys.remove(key);
        }
        first.filter(|_| was_first)
    }

    fn put_in(&mut self, id: TaskId, place: Place) {
        if !matches!(place.spot, Spot::Out(_)) {
            self.waiting.insert((place.rank.0.0, id));
        }
        match place.spot {
            Spot::Ready => {
                self.ready
                    .entry(place.tag.clone())
                    .or_default()
                    .insert(place.rank);
            }
            Spot::Later(at) => {
                self.later.insert((at, id));
            }
            Spot::Asked(until) => {
                self.asked.insert((until, id));
            }
            Spot::Out(Some(until)) => {
                self.leases.insert((until, id));
            }
            Spot::Out(None) | Spot::Behind => {}
        }
        if let Some(at) = place.deadline {
            self.deadlines.insert((at, id));
        }
        self.places.insert(id, place);
    }

    fn take_out(&mut self, id: TaskId) -> Option<Bytes> {
        let place = self.places.remove(&id)?;
        self.waiting.remove(&(place.rank.0.0, id));
        match place.spot {
            Spot::Ready => {
                if let Some(ready) = self.ready.get_mut(&place.tag) {
                    ready.remove(&place.rank);
                    if ready.is_empty() {
                        self.ready.remove(&place.tag);
                    }
                }
            }
            Spot::Later(at) => {
                self.later.remove(&(at, id));
            }
            Spot::Asked(until) => {
                self.asked.remove(&(until, id));
            }
            Spot::Out(Some(until)) => {
                self.leases.remove(&(until, id));
            }
            Spot::Out(None) | Spot::Behind => {}
        }
        if let Some(at) = place.deadline {
            self.deadlines.remove(&(at, id));
        }
        place.key
    }

    fn relocate(&mut self, id: TaskId, spot: Spot) {
        if let Some(mut place) = self.places.get(&id).cloned() {
            self.take_out(id);
            place.spot = spot;
            self.put_in(id, place);
        }
    }

    /// The first task that may be leased, among those of groups in which a worker has room. Looks through groups that have
    /// tasks or through those that have room, whichever are fewer.
    pub(super) fn first_ready(&self, pool: &Pool) -> Option<TaskId> {
        let first = |tag: &Bytes| self.ready.get(tag)?.first().copied();
        let rank: Option<Rank> = if self.ready.len() <= pool.groups_with_room().len() {
            let tags = self.ready.keys();
            tags.filter(|tag| pool.has_room(tag)).filter_map(first).min()
        } else {
            pool.groups_with_room().filter_map(first).min()
        };
        rank.map(|(_, id)| id)
    }

    /// The task that makes room for one of that priority: of those that nobody has in hand the oldest of the lowest priority.
    pub(super) fn first_to_go(&self, priority: Priority) -> Option<TaskId> {
        let (lowest, id) = self.waiting.first().copied()?;
        (lowest <= priority).then_some(id)
    }

    /// Tasks whose time has come may be leased.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, id));
            self.relocate(id, Spot::Ready);
        }
    }

    /// The scheduler is asked about a task, and has until then.
    pub(super) fn ask(&mut self, id: TaskId, until: Instant) {
        self.relocate(id, Spot::Asked(until));
    }

    /// A task waits until then, as the scheduler wants it.
    pub(super) fn pause(&mut self, id: TaskId, until: Instant) {
        self.relocate(id, Spot::Later(until));
    }

    /// Where an open task waits.
    pub(super) fn spot_of(&self, id: TaskId) -> Option<Spot> {
        self.places.get(&id).map(|place| place.spot)
    }

    /// Tasks about which the scheduler is asked.
    pub(super) fn asks(&self) -> usize {
        self.asked.len()
    }

    /// True while the scheduler is asked about a task.
    pub(super) fn is_asked(&self, id: TaskId) -> bool {
        self.places
            .get(&id)
            .is_some_and(|place| matches!(place.spot, Spot::Asked(_)))
    }

    /// A task about which the scheduler did not answer in time.
    pub(super) fn unanswered(&self, now: Instant) -> Option<TaskId> {
        due(&self.asked, now)
    }

    /// A task whose lease is over.
    pub(super) fn lease_over(&self, now: Instant) -> Option<TaskId> {
        due(&self.leases, now)
    }

    /// A task whose deadline has passed.
    pub(super) fn deadline_over(&self, now: Instant) -> Option<TaskId> {
        due(&self.deadlines, now)
    }

    /// When the next of all these times comes.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [&self.later, &self.asked, &self.leases, &self.deadlines]
            .into_iter()
            .filter_map(|times| times.first().map(|(at, _)| *at))
            .min()
    }
}

fn due(times: &BTreeSet<(Instant, TaskId)>, now: Instant) -> Option<TaskId> {
    times.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
}
