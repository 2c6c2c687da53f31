//! The patterns that somebody wants here, and who: connections of local subscribers by number, nodes by bit.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::slab::Slab;
use crate::id::Counter;
use crate::keys::{Key, KeyPattern, KeyTrie, TrieFull, Walk};
use crate::limits;
use crate::reason::SubscribeRefusal;

/// One pattern.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) pattern: KeyPattern,
    pub(super) connections: BTreeSet<u32>,
    /// A bit for each place of `Downstreams`.
    pub(super) nodes: u64,
    /// The announcement with which the node above was told; none while it does not know.
    pub(super) announced: Option<Counter>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    wanted: Slab<Wanted>,
    trie: KeyTrie<u32>,
    /// Patterns whose state and what the node above knows of them differ.
    dirty: BTreeSet<u32>,
    /// Patterns that nobody wants any more and the node above still believes in.
    leaving: usize,
}

impl Wanted {
    fn is_wanted(&self) -> bool {
        !self.connections.is_empty() || self.nodes != 0
    }
}

impl Table {
    /// Patterns that somebody wants.
    pub(super) fn len(&self) -> usize {
        self.wanted.len() - self.leaving
    }

    pub(super) fn find(&self, pattern: &KeyPattern) -> Option<u32> {
        self.trie.get(pattern).copied()
    }

    pub(super) fn at(&self, at: u32) -> &Wanted {
        self.wanted.at(at)
    }

    pub(super) fn matches(&self, key: &Key, walk: &mut Walk, mut visit: impl FnMut(&Wanted)) {
        self.trie.matches(key, walk, |at| visit(self.wanted.at(*at)));
    }

    /// Patterns that local subscribers want.
    pub(super) fn wanted_here(&self) -> impl Iterator<Item = &KeyPattern> {
        let here = self.wanted.iter().filter(|(_, it)| !it.connections.is_empty());
        here.map(|(_, it)| &it.pattern)
    }

    /// Lets `add` write somebody who wants the pattern down.
    pub(super) fn want(
        &mut self,
        pattern: &KeyPattern,
        add: impl FnOnce(&mut Wanted),
    ) -> Result<u32, SubscribeRefusal> {
        let at = match self.find(pattern) {
            Some(at) if self.wanted.at(at).is_wanted() => at,
            _ if self.len() >= limits::PATTERNS_PER_EXCHANGE_MAX => {
                return Err(SubscribeRefusal::PatternsOfExchange);
            }
            Some(at) => {
                self.leaving -= 1;
                self.dirty.remove(&at);
                at
            }
            None => self.enter(pattern)?,
        };
        add(self.wanted.at_mut(at));
        Ok(at)
    }

    fn enter(&mut self, pattern: &KeyPattern) -> Result<u32, SubscribeRefusal> {
        let at = self.wanted.insert(Wanted {
            pattern: pattern.clone(),
            connections: BTreeSet::new(),
            nodes: 0,
            announced: None,
        });
        if let Err(full) = self.trie.insert(pattern, at) {
            self.wanted.remove(at);
            return Err(match full {
                TrieFull::Places { .. } => SubscribeRefusal::SegmentsOfExchange,
                TrieFull::Busy { .. } => SubscribeRefusal::WildcardsOfExchange,
            });
        }
        self.dirty.insert(at);
        Ok(at)
    }

    /// Lets `remove` strike somebody off. What nobody wants any more is forgotten at once, or after the node above was
    /// told.
    pub(super) fn unwant(&mut self, at: u32, remove: impl FnOnce(&mut Wanted)) {
        let wanted = self.wanted.at_mut(at);
        let before = wanted.is_wanted();
        remove(wanted);
        if wanted.is_wanted() || !before {
            return;
        }
        if wanted.announced.is_some() {
            self.leaving += 1;
            self.dirty.insert(at);
        } else {
            self.forget(at);
        }
    }

    fn forget(&mut self, at: u32) {
        self.dirty.remove(&at);
        if let Some(wanted) = self.wanted.remove(at) {
            self.trie.remove(&wanted.pattern);
        }
    }

    /// The node above knows nothing any more, or is another one.
    pub(super) fn unannounce(&mut self) {
        let all: Vec<u32> = self.wanted.iter().map(|(at, _)| at).collect();
        for at in all {
            self.unannounce_one(at);
        }
    }

    /// The node above does not have that pattern after all: its number, if somebody wants it.
    pub(super) fn disown(&mut self, pattern: &KeyPattern) -> Option<u32> {
        let at = self.find(pattern)?;
        let wanted = self.wanted.at(at).is_wanted();
        self.unannounce_one(at);
        wanted.then_some(at)
    }

    fn unannounce_one(&mut self, at: u32) {
        let wanted = self.wanted.at_mut(at);
        wanted.announced = None;
        if wanted.is_wanted() {
            self.dirty.insert(at);
        } else {
            self.leaving -= 1;
            self.forget(at);
        }
    }

    /// Takes up to `max` changes that the node above is to be told, and notes that it is told with that announcement:
    /// what it has to add, and what to remove.
    pub(super) fn changes(&mut self, max: usize, told: Counter) -> (Vec<KeyPattern>, Vec<KeyPattern>) {
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        while add.len() + remove.len() < max
            && let Some(at) = self.dirty.pop_first()
        {
            let wanted = self.wanted.at_mut(at);
            if wanted.is_wanted() {
                wanted.announced = Some(told);
                add.push(wanted.pattern.clone());
            } else {
                remove.push(wanted.pattern.clone());
                self.leaving -= 1;
                self.forget(at);
            }
        }
        (add, remove)
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.dirty.is_empty()
    }
}
