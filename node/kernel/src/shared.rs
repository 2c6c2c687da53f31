//! A sorted map of which a copy shares all that has not changed since: what the whole cluster agrees on is published after every
//! step, and with ten thousand exchanges a step must not cost a copy of all of them, nor a look at each.
//!
//! Keys and values lie in chunks behind reference counts. A copy takes the chunks along; whoever changes one that is shared copies
//! that one. Two copies are compared chunk by chunk, and where both have the same one it is passed over.
//!
//! What does not live here: what is in it (`registry`).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::Index;
use core::slice;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries of a chunk: as many are copied for the change of one, and a copy of the map counts as many times fewer.
const CHUNK: usize = 32;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// See the module. As a map on the wire.
pub struct SharedMap<K, V> {
    /// Sorted, none empty, none above [`CHUNK`].
    chunks: Vec<Chunk<K, V>>,
    /// For each chunk a key that none of its keys is below, and all keys of the chunks before are: a key's chunk is found without a
    /// look into others.
    from: Vec<K>,
    len: usize,
}

/// What became of one key between two maps.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed<'a, K, V> {
    /// Key.
    pub key: &'a K,
    /// Its value before; none where it was not there.
    pub before: Option<&'a V>,
    /// Its value now; none where it is not there any more.
    pub now: Option<&'a V>,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            from: Vec::new(),
            len: 0,
        }
    }
}

impl<K: Clone, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: self.chunks.clone(),
            from: self.from.clone(),
            len: self.len,
        }
    }
}

impl<K, V> SharedMap<K, V> {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries by key.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter {
            chunks: self.chunks.iter(),
            chunk: [].iter(),
            left: self.len,
        }
    }

    /// Keys in their order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Values by key.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// Chunk and place of a key, or where it would be.
    fn place(&self, key: &K) -> Result<(usize, usize), (usize, usize)> {
        let behind = self.from.partition_point(|from| from <= key);
        let chunk = behind.saturating_sub(1);
        let Some(entries) = self.chunks.get(chunk) else {
            return Err((0, 0));
        };
        match entries.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(place) => Ok((chunk, place)),
            Err(place) => Err((chunk, place)),
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let (chunk, place) = self.place(key).ok()?;
        Some(&self.chunks[chunk][place].1)
    }

    /// True when the key is there.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    /// What is different from `before`, by key. Costs as much as there are chunks, and chunks that are not shared.
    pub fn changes<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Changed<'a, K, V>>
    where
        V: PartialEq,
    {
        let mut both = Both {
            now: Cursor::of(self),
            before: Cursor::of(before),
        };
        core::iter::from_fn(move || both.next_changed())
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (chunk, place) = self.place(key).ok()?;
        Some(&mut Arc::make_mut(&mut self.chunks[chunk])[place].1)
    }

    /// All values, to be changed: nothing is shared with a copy any more.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let chunks = self.chunks.iter_mut();
        chunks.flat_map(|chunk| Arc::make_mut(chunk).iter_mut().map(|(_, value)| value))
    }

    /// Puts a value in place; the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = match self.place(&key) {
            Ok((chunk, place)) => {
                let held = &mut Arc::make_mut(&mut self.chunks[chunk])[place].1;
                return Some(core::mem::replace(held, value));
            }
            Err(at) => at,
        };
        self.len += 1;
        let behind_all = self.chunks.last().is_none_or(|last| {
            let is_last = at + 1 == self.chunks.len();
            is_last && place == CHUNK && last.len() == CHUNK
        });
        if behind_all {
            // Counted keys come in their order: chunks of them are full.
            self.from.push(key.clone());
            self.chunks.push(Arc::new(alloc::vec![(key, value)]));
            return None;
        }
        if key < self.from[at] {
            self.from[at] = key.clone();
        }
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        chunk.insert(place, (key, value));
        if chunk.len() > CHUNK {
            let second = chunk.split_off(chunk.len() / 2);
            self.from.insert(at + 1, second[0].0.clone());
            self.chunks.insert(at + 1, Arc::new(second));
        }
        None
    }

    /// Takes a key out; its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (at, place) = self.place(key).ok()?;
        self.len -= 1;
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        let (_, value) = chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(at);
            self.from.remove(at);
        } else {
            // Few long chunks, whatever is taken out.
            let left = chunk.len();
            let next = self.chunks.get(at + 1);
            if let Some(next) = next.filter(|next| left + next.len() <= CHUNK / 2).cloned() {
                Arc::make_mut(&mut self.chunks[at]).extend(next.iter().cloned());
                self.chunks.remove(at + 1);
                self.from.remove(at + 1);
            }
        }
        Some(value)
    }
}

/// Entries of a [`SharedMap`] by key.
#[derive(Debug)]
pub struct Iter<'a, K, V> {
    chunks: slice::Iter<'a, Chunk<K, V>>,
    chunk: slice::Iter<'a, (K, V)>,
    left: usize,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.chunk.next() {
                self.left -= 1;
                return Some((key, value));
            }
            self.chunk = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The value of a key that is there.
///
/// # Panics
/// When it is not.
impl<K: Ord, V> Index<&K> for SharedMap<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key)
            .expect("whoever indexes knows that the key is there")
    }
}

/// A place in a map.
struct Cursor<'a, K, V> {
    chunks: &'a [Chunk<K, V>],
    place: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn of(map: &'a SharedMap<K, V>) -> Self {
        Self {
            chunks: &map.chunks,
            place: 0,
        }
    }

    /// The chunk, where the place is its beginning.
    fn whole(&self) -> Option<&'a Chunk<K, V>> {
        self.chunks.first().filter(|_| self.place == 0)
    }

    fn entry(&self) -> Option<&'a (K, V)> {
        Some(&self.chunks.first()?[self.place])
    }

    fn step(&mut self) {
        self.place += 1;
        if self.chunks.first().is_some_and(|chunk| chunk.len() == self.place) {
            self.step_over();
        }
    }

    fn step_over(&mut self) {
        self.chunks = &self.chunks[1..];
        self.place = 0;
    }
}

/// Two maps, walked side by side.
struct Both<'a, K, V> {
    now: Cursor<'a, K, V>,
    before: Cursor<'a, K, V>,
}

impl<'a, K: Ord, V: PartialEq> Both<'a, K, V> {
    fn next_changed(&mut self) -> Option<Changed<'a, K, V>> {
        loop {
            if let (Some(now), Some(before)) = (self.now.whole(), self.before.whole())
                && Arc::ptr_eq(now, before)
            {
                self.now.step_over();
                self.before.step_over();
                continue;
            }
            let (now, before) = (self.now.entry(), self.before.entry());
            let order = match (now, before) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((now, _)), Some((before, _))) => now.cmp(before),
            };
            let now = now.filter(|_| order.is_le());
            let before = before.filter(|_| order.is_ge());
            if now.is_some() {
                self.now.step();
            }
            if before.is_some() {
                self.before.step();
            }
            let (key, _) = now.or(before)?;
            let (now, before) = (now.map(|(_, value)| value), before.map(|(_, value)| value));
            if now != before {
                return Some(Changed { key, before, now });
            }
        }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Serialize, V: Serialize> Serialize for SharedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K, V> Deserialize<'de> for SharedMap<K, V>
where
    K: Deserialize<'de> + Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);
        impl<'de, K, V> Visitor<'de> for Entries<K, V>
        where
            K: Deserialize<'de> + Ord + Clone,
            V: Deserialize<'de> + Clone,
        {
            type Value = SharedMap<K, V>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut map = SharedMap::default();
                while let Some((key, value)) = entries.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn sound(map: &SharedMap<u16, u8>) {
        assert!(map.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        assert_eq!(
            map.chunks.iter().map(|chunk| chunk.len()).sum::<usize>(),
            map.len()
        );
        assert!(map.keys().is_sorted_by(|a, b| a < b));
        assert_eq!(map.from.len(), map.chunks.len());
        let mut bounds = map.from.iter().zip(&map.chunks);
        assert!(bounds.all(|(from, chunk)| *from <= chunk[0].0));
        let mut ends = map.from.iter().skip(1).zip(&map.chunks);
        assert!(ends.all(|(next, chunk)| chunk.last().unwrap().0 < *next));
    }

    /// A change: a key, and the value it has then.
    fn change() -> impl Strategy<Value = (u16, Option<u8>)> {
        (0..400_u16, proptest::option::weighted(0.7, 0..3_u8))
    }

    fn apply(map: &mut SharedMap<u16, u8>, model: &mut BTreeMap<u16, u8>, (key, value): (u16, Option<u8>)) {
        match value {
            Some(value) if model.contains_key(&key) && value == 2 => {
                *map.get_mut(&key).unwrap() = value;
                model.insert(key, value);
            }
            Some(value) => assert_eq!(map.insert(key, value), model.insert(key, value)),
            None => assert_eq!(map.remove(&key), model.remove(&key)),
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_tells_what_has_changed(
            first in proptest::collection::vec(change(), 0..600),
            then in proptest::collection::vec(change(), 0..60),
        ) {
            let (mut map, mut model) = (SharedMap::default(), BTreeMap::new());
            for one in first {
                apply(&mut map, &mut model, one);
            }
            let (before, model_before) = (map.clone(), model.clone());
            for one in then {
                apply(&mut map, &mut model, one);
            }
            sound(&map);
            prop_assert!(map.iter().eq(model.iter()) && before.iter().eq(model_before.iter()));
            prop_assert!((0..400).all(|key| map.get(&key) == model.get(&key)));
            let changed: BTreeMap<u16, (Option<u8>, Option<u8>)> = map
                .changes(&before)
                .map(|changed| (*changed.key, (changed.before.copied(), changed.now.copied())))
                .collect();
            let expected: BTreeMap<_, _> = (0..400_u16)
                .map(|key| (key, (model_before.get(&key).copied(), model.get(&key).copied())))
                .filter(|(_, (before, now))| before != now)
                .collect();
            prop_assert_eq!(changed, expected);
            let same: SharedMap<u16, u8> = model.into_iter().collect();
            prop_assert!(same == map && map.changes(&same).next().is_none());
            let bytes = postcard::to_allocvec(&map).unwrap();
            prop_assert_eq!(postcard::from_bytes::<SharedMap<u16, u8>>(&bytes).unwrap(), map);
        }
    }

    #[test]
    fn a_copy_shares_all_but_what_changes() {
        let mut map: SharedMap<u16, u8> = (0..1000).map(|key| (key, 0)).collect();
        assert_eq!(map.chunks.len(), 1000_usize.div_ceil(CHUNK), "chunks are full");
        let before = map.clone();
        *map.get_mut(&500).unwrap() = 1;
        let same = map.chunks.iter().zip(&before.chunks);
        assert_eq!(same.filter(|(now, before)| !Arc::ptr_eq(now, before)).count(), 1);
        let changed: Vec<_> = map.changes(&before).collect();
        assert_eq!((changed.len(), *changed[0].key), (1, 500));
        for key in 0..1000 {
            map.remove(&key);
        }
        assert!(map.is_empty() && map.chunks.is_empty() && before.len() == 1000);
    }
}
