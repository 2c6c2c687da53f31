//! A map that forgets what was put in first when it is full. What does not live here: what it means to have forgotten.

use std::collections::{BTreeMap, VecDeque};

/// At most `max` entries, the latest ones.
#[derive(Debug, Clone)]
pub(super) struct Recent<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    /// Keys in the order they came in, each with the number of its entry; entries that are gone stay until the sweep.
    order: VecDeque<(u64, K)>,
    next: u64,
    max: usize,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            next: 0,
            max,
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    /// Puts an entry in, in place of one with the same key; gives what was forgotten for it.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some((_, old)) = self.entries.get_mut(&key) {
            *old = value;
            return None;
        }
        let forgotten = if self.entries.len() >= self.max {
            self.forget_oldest()
        } else {
            None
        };
        self.entries.insert(key.clone(), (self.next, value));
        self.order.push_back((self.next, key));
        self.next += 1;
        forgotten
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.entries.remove(key).map(|(_, value)| value);
        self.sweep();
        removed
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.entries.retain(|key, (_, value)| keep(key, value));
        self.sweep();
    }

    /// Forgets what was put in first; gives it.
    pub(super) fn forget_oldest(&mut self) -> Option<V> {
        while let Some((number, key)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|(n, _)| *n == number) {
                return self.entries.remove(&key).map(|(_, value)| value);
            }
        }
        None
    }

    /// Forgets what was put in first for as long as it is such.
    pub(super) fn forget_while(&mut self, is_such: impl Fn(&V) -> bool) {
        while let Some((number, key)) = self.order.front() {
            match self.entries.get(key) {
                Some((n, value)) if n == number && !is_such(value) => return,
                Some((n, _)) if n == number => drop(self.entries.remove(key)),
                _ => {}
            }
            self.order.pop_front();
        }
    }

    fn sweep(&mut self) {
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order
                .retain(|(number, key)| entries.get(key).is_some_and(|(n, _)| n == number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_room_is_made_by_removal() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.insert('a', 1), None);
        assert_eq!(recent.insert('b', 2), None);
        assert_eq!(recent.insert('a', 3), None, "the same key takes no room");
        assert_eq!(recent.insert('c', 4), Some(3));
        assert_eq!(recent.remove(&'b'), Some(2));
        assert_eq!(recent.insert('a', 5), None);
        assert_eq!(recent.values().copied().collect::<Vec<_>>(), [5, 4]);
        assert_eq!(recent.insert('d', 6), Some(4), "a is younger now");
    }

    #[test]
    fn the_oldest_are_forgotten_up_to_one_that_is_to_stay() {
        let mut recent = Recent::new(9);
        for n in [1, 2, 3, 9, 4] {
            recent.insert(n, n);
        }
        recent.remove(&2);
        recent.forget_while(|n| *n < 5);
        assert_eq!(recent.keys().copied().collect::<Vec<_>>(), [4, 9]);
    }

    #[test]
    fn what_is_put_in_and_taken_out_for_ever_takes_no_room() {
        let mut recent = Recent::new(1_000);
        for n in 0..10_000 {
            recent.insert(n, ());
            recent.remove(&n);
        }
        assert!(recent.order.len() <= 65);
    }
}
