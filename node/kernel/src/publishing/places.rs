//! The words of the nodes that get a publish, each from its own place: the owner gives out one for each node that it sends
//! to, and a proxy divides its own among those that it sends to. Whoever waits learns with each word how often the place was
//! divided, and knows when none is missing, in whatever order they come.
//!
//! What does not live here: who says a word, and what it says.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::limits;

/// Owner, proxy, and two more: proxies subscribe at the owner, so that there are more of them in a row only while that
/// changes.
const LEVELS: usize = 4;

/// Words that one publish may have.
const WORDS_MAX: usize = 4 * limits::NODES_MAX;

/// The place of one node's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// At each level, which one: from 1 at the first, from 0 after it.
    path: [u8; LEVELS],
    /// At the first level how many there are, at each further one how many there are more; 0 where it was not divided.
    of: [u8; LEVELS],
}

impl Place {
    /// The places of that many nodes. More than a cluster has are none.
    pub fn all(nodes: usize) -> impl Iterator<Item = Self> {
        let of = u8::try_from(nodes).unwrap_or(0);
        (1..=of).map(move |n| Self {
            path: [n, 0, 0, 0],
            of: [of, 0, 0, 0],
        })
    }

    /// As it travels in a frame's `index` and `count`.
    #[must_use]
    pub const fn numbers(self) -> (u32, u32) {
        (u32::from_le_bytes(self.path), u32::from_le_bytes(self.of))
    }

    /// The place of a frame's `index` and `count`.
    #[must_use]
    pub const fn of(index: u32, count: u32) -> Self {
        Self {
            path: index.to_le_bytes(),
            of: count.to_le_bytes(),
        }
    }

    /// The same place divided among that many nodes; none when it was divided too often, or there are too many.
    #[must_use]
    pub fn divided(self, nodes: usize) -> Option<alloc::vec::Vec<Self>> {
        if nodes <= 1 {
            return Some(alloc::vec![self; nodes]);
        }
        let level = (1..LEVELS).find(|level| self.of[*level] == 0)?;
        let more = u8::try_from(nodes - 1).ok()?;
        let part = |n| {
            let mut part = self;
            part.path[level] = n;
            part.of[level] = more;
            part
        };
        Some((0..=more).map(part).collect())
    }
}

/// Which words have come.
#[derive(Debug, Clone, Default)]
pub struct Places {
    came: BTreeSet<[u8; LEVELS]>,
    /// How often what is before that level was divided.
    more: BTreeMap<(usize, [u8; LEVELS]), u8>,
    first: u8,
}

impl Places {
    /// Takes the word of a place in. False when it had come before, or there is no such place.
    pub fn take(&mut self, place: Place) -> bool {
        let Place { path, of } = place;
        let beyond = (1..LEVELS).any(|level| path[level] > of[level]);
        if path[0] == 0 || path[0] > of[0] || beyond || self.came.len() >= WORDS_MAX {
            return false;
        }
        if !self.came.insert(path) {
            return false;
        }
        self.first = of[0];
        for level in (1..LEVELS).filter(|level| of[*level] > 0) {
            let mut before = [0; LEVELS];
            before[..level].copy_from_slice(&path[..level]);
            self.more.insert((level, before), of[level]);
        }
        true
    }

    /// Words that have come.
    #[must_use]
    pub fn came(&self) -> u32 {
        u32::try_from(self.came.len()).unwrap_or(u32::MAX)
    }

    /// Words that there are, as far as those that came tell: more than came until the last one.
    #[must_use]
    pub fn known(&self) -> u32 {
        self.more.values().map(|n| u32::from(*n)).sum::<u32>() + u32::from(self.first)
    }

    /// True when none is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.came.is_empty() && self.came() >= self.known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn leaves(shape: &[Vec<usize>]) -> Vec<Place> {
        let mut leaves = Vec::new();
        for (place, below) in Place::all(shape.len()).zip(shape) {
            let parts = place.divided(below.len().max(1)).expect("few");
            for (part, under) in parts.into_iter().zip(below.iter().chain(core::iter::repeat(&1))) {
                leaves.extend(part.divided((*under).max(1)).expect("few"));
            }
        }
        leaves
    }

    proptest! {
        /// A33: whichever way publishes go and in whichever order words come back, the last one is known for the last.
        #[test]
        fn the_last_word_is_known_for_the_last(
            shape in prop::collection::vec(prop::collection::vec(1usize..5, 0..5), 1..8),
            order in any::<u64>(),
        ) {
            let mut leaves = leaves(&shape);
            let mut seed = order | 1;
            for n in (1..leaves.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                leaves.swap(n, usize::try_from(seed >> 33).expect("31 bits") % (n + 1));
            }
            let mut places = Places::default();
            for (n, leaf) in leaves.iter().enumerate() {
                prop_assert!(!places.is_whole(), "before {n} of {}", leaves.len());
                let (index, count) = leaf.numbers();
                prop_assert!(places.take(Place::of(index, count)));
                prop_assert!(!places.take(*leaf), "once");
            }
            prop_assert!(places.is_whole());
            prop_assert_eq!(places.known() as usize, leaves.len());
        }
    }

    #[test]
    fn places_that_there_are_not_are_not_taken() {
        let mut places = Places::default();
        for (index, count) in [(0, 3), (4, 3), (0x0101, 1), (0x0201, 0x0101)] {
            assert!(!places.take(Place::of(index, count)), "{index:x} of {count:x}");
        }
        assert!(!places.is_whole());
    }

    #[test]
    fn a_place_is_divided_at_three_levels_at_most() {
        let mut place = Place::all(1).next().expect("one");
        for _ in 1..LEVELS {
            place = place.divided(2).expect("a level is left")[1];
        }
        assert_eq!(place.divided(2), None);
        assert_eq!(place.divided(1), Some(alloc::vec![place]));
    }
}
