//! Things with small numbers: dense, so that bits, stamps and sets of numbers can stand for them. A number is given out
//! again after its thing is gone.

use alloc::vec::Vec;

#[derive(Debug, Clone)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, thing: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.places[at as usize] = Some(thing);
            return at;
        }
        self.places.push(Some(thing));
        u32::try_from(self.places.len() - 1).expect("what is kept here is bounded far below")
    }

    /// # Panics
    /// When there is none: numbers are kept only as long as their things.
    pub(super) fn at(&self, at: u32) -> &T {
        self.places[at as usize]
            .as_ref()
            .expect("numbers go with their things")
    }

    /// # Panics
    /// When there is none.
    pub(super) fn at_mut(&mut self, at: u32) -> &mut T {
        self.places[at as usize]
            .as_mut()
            .expect("numbers go with their things")
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<T> {
        let thing = self.places[at as usize].take();
        if thing.is_some() {
            self.free.push(at);
        }
        thing
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Numbers given out so far, those of gone things included.
    pub(super) fn numbers(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(at, it)| Some((at, it.as_ref()?)))
    }

    pub(super) fn for_each_mut(&mut self, change: impl FnMut(&mut T)) {
        self.places.iter_mut().flatten().for_each(change);
    }
}
