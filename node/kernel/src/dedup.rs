//! The window in which a publish with the same id from the same publisher is taken once (B10).
//!
//! Bounded by time and by count. An id is remembered from its first arrival; a duplicate does not lengthen that. When the
//! window is full the oldest id of the publisher with the most ids makes room: whoever floods forgets its own.
//!
//! What does not live here: where ids come from (the request tag of a publish).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::Pid;
use crate::limits;
use crate::planted::{self, Bug};
use crate::time::{Instant, Span};

/// Whether it was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No: take it.
    First,
    /// Yes: confirm it again, and do not take it.
    Duplicate,
}

/// The window of one exchange, at its owner.
#[derive(Debug, Clone)]
pub struct DedupWindow {
    span: Span,
    max: usize,
    arrivals: u64,
    order: BTreeMap<Place, Remembered>,
    publishers: BTreeMap<Pid, Ids>,
    /// Publishers by how many ids they have here.
    by_count: BTreeSet<(usize, Pid)>,
    crowded_out: u64,
}

#[derive(Debug, Clone, Default)]
struct Ids {
    places: BTreeMap<Arc<[u8]>, Place>,
    order: BTreeSet<Place>,
}

#[derive(Debug, Clone)]
struct Remembered {
    publisher: Pid,
    id: Arc<[u8]>,
}

/// Until when an id is remembered, and a number to tell those apart that end together.
type Place = (Instant, u64);

/// A window, or part of one, on its way to the exchange's next owner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DedupState {
    /// Ids in the order they end.
    pub ids: Vec<MovedId>,
}

/// One id on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedId {
    /// How long it is still remembered: clocks are not compared between nodes.
    pub left: Span,
    /// Who gave it.
    pub publisher: Pid,
    /// The id.
    pub id: Vec<u8>,
}

impl DedupWindow {
    /// Remembers ids for `span`, and [`limits::DEDUP_IDS_MAX`] of them at most.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self::with_bound(span, limits::DEDUP_IDS_MAX)
    }

    /// For how long an id is remembered.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    fn with_bound(span: Span, max: usize) -> Self {
        Self {
            span,
            max,
            arrivals: 0,
            order: BTreeMap::new(),
            publishers: BTreeMap::new(),
            by_count: BTreeSet::new(),
            crowded_out: 0,
        }
    }

    /// Ids remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True when none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Ids that made room before their time: while this grows, the window is shorter than asked for.
    #[must_use]
    pub const fn crowded_out(&self) -> u64 {
        self.crowded_out
    }

    /// Asks for an id, and remembers it when it is new. An empty id is nobody's and always new.
    pub fn seen(&mut self, now: Instant, publisher: Pid, id: &[u8]) -> Seen {
        if self.known(now, publisher, id) {
            return Seen::Duplicate;
        }
        self.note(now, publisher, id);
        Seen::First
    }

    /// True when an id was noted within the window. An empty one never was.
    pub fn known(&mut self, now: Instant, publisher: Pid, id: &[u8]) -> bool {
        self.expire(now);
        self.knows(publisher, id)
    }

    /// Remembers an id, unless it is known or empty.
    pub fn note(&mut self, now: Instant, publisher: Pid, id: &[u8]) {
        if !id.is_empty() && !self.known(now, publisher, id) {
            self.remember(now + self.span, publisher, id);
        }
    }

    /// Forgets an id: nobody has what was taken under it, and it may come again.
    pub fn take_back(&mut self, publisher: Pid, id: &[u8]) {
        if let Some(place) = self.place_of(publisher, id) {
            self.forget(place);
        }
    }

    /// What is remembered, in parts of at most `ids_max` ids, to travel in a move.
    ///
    /// # Panics
    /// When `ids_max` is zero.
    #[must_use]
    pub fn state(&self, now: Instant, ids_max: usize) -> Vec<DedupState> {
        if planted::is(Bug::LoseIdsInMove) {
            return Vec::new();
        }
        let live: Vec<MovedId> = self
            .order
            .iter()
            .filter(|((until, _), _)| *until > now)
            .map(|((until, _), it)| MovedId {
                left: until.since(now),
                publisher: it.publisher,
                id: it.id.to_vec(),
            })
            .collect();
        live.chunks(ids_max)
            .map(|part| DedupState { ids: part.to_vec() })
            .collect()
    }

    /// Adds what an earlier owner remembered. An id that is known here from before, as from a move that was cancelled, is
    /// remembered for the longer of the two times. Ids above the bound of a tag are left out: no publish can carry them.
    pub fn absorb(&mut self, now: Instant, state: &DedupState) {
        for moved in state.ids.iter().filter(|it| it.id.len() <= limits::TAG_BYTES_MAX) {
            let until = now + moved.left;
            match self.place_of(moved.publisher, &moved.id) {
                Some(place) if place.0 >= until => continue,
                Some(place) => self.forget(place),
                None => {}
            }
            self.remember(until, moved.publisher, &moved.id);
        }
    }

    fn knows(&self, publisher: Pid, id: &[u8]) -> bool {
        self.place_of(publisher, id).is_some()
    }

    fn place_of(&self, publisher: Pid, id: &[u8]) -> Option<Place> {
        self.publishers.get(&publisher)?.places.get(id).copied()
    }

    fn remember(&mut self, until: Instant, publisher: Pid, id: &[u8]) {
        if self.order.len() >= self.max {
            self.make_room();
        }
        let place = (until, self.arrivals);
        self.arrivals += 1;
        let id: Arc<[u8]> = Arc::from(id);
        let ids = self.publishers.entry(publisher).or_default();
        self.by_count.remove(&(ids.order.len(), publisher));
        ids.places.insert(Arc::clone(&id), place);
        ids.order.insert(place);
        self.by_count.insert((ids.order.len(), publisher));
        self.order.insert(place, Remembered { publisher, id });
    }

    fn make_room(&mut self) {
        let oldest = self
            .by_count
            .last()
            .and_then(|(_, publisher)| self.publishers.get(publisher))
            .and_then(|ids| ids.order.first().copied());
        if let Some(place) = oldest {
            self.forget(place);
            self.crowded_out += 1;
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(((until, number), _)) = self.order.first_key_value() {
            let (until, number) = (*until, *number);
            if until > now {
                return;
            }
            self.forget((until, number));
        }
    }

    fn forget(&mut self, place: Place) {
        let Some(it) = self.order.remove(&place) else {
            return;
        };
        let Some(ids) = self.publishers.get_mut(&it.publisher) else {
            return;
        };
        self.by_count.remove(&(ids.order.len(), it.publisher));
        ids.places.remove(&it.id);
        ids.order.remove(&place);
        if ids.order.is_empty() {
            self.publishers.remove(&it.publisher);
        } else {
            self.by_count.insert((ids.order.len(), it.publisher));
        }
    }
}

#[cfg(test)]
#[path = "dedup_test.rs"]
mod tests;
