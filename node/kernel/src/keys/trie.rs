//! Patterns with a value each, and which of them match a key.
//!
//! Plain keys are in one map. Patterns with wildcards are in a trie of segments that is walked as an automaton: the
//! places reached so far, once each, however many ways lead there. So a match costs at most segments of the key times
//! places reached, never a power of them; and no more than a few look-ups where patterns are as people write them.
//!
//! How many places one key can reach at the same time depends on the wildcards before them. With a weight of one for `*`
//! and of two for `#`, those behind a weight of up to two are few for any key; those behind more could be all of them,
//! and so there is a bound for these alone ([`limits::PATTERN_BUSY_PLACES_MAX`]).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::text::Text;
use super::{Key, KeyPattern, PatternSegment};
use crate::limits;

const ROOT: u32 = 0;

/// A map from patterns to values that is asked with keys.
#[derive(Debug, Clone)]
pub struct KeyTrie<T> {
    exact: BTreeMap<Text, T>,
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    /// Patterns in `nodes`.
    wild: usize,
    /// Places that one key may reach all together.
    busy: usize,
}

/// The patterns would take more places than one trie may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrieFull {
    /// In all.
    #[error("patterns with wildcards have at most {max} segments in all")]
    Places {
        /// Bound.
        max: usize,
    },
    /// Behind several wildcards.
    #[error("at most {max} segments are behind three `*`, two `#` or one of each, in all patterns together")]
    Busy {
        /// Bound.
        max: usize,
    },
}

/// Behind more than this one key can reach many places at once.
const QUIET_WEIGHT_MAX: u32 = 2;

/// What a walk over a trie needs to remember: kept by the caller from match to match, so that none allocates. One may
/// serve several tries.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    here: Vec<u32>,
    next: Vec<u32>,
    /// Places of a `#` that patterns go on from: once reached they stay reached to the key's end.
    staying: Vec<u32>,
    /// Places of a `#` that ends a pattern: whatever follows, it matches.
    matched: Vec<u32>,
    /// Per place of a `#`, the match in which it was reached first.
    stays_in: Vec<u32>,
    match_number: u32,
}

#[derive(Debug, Clone)]
struct Node<T> {
    children: Children,
    one: Option<u32>,
    any: Option<u32>,
    value: Option<T>,
}

/// Most places have no child or one, and long chains of them must be cheap.
#[derive(Debug, Clone, Default)]
enum Children {
    #[default]
    None,
    Single(Text, u32),
    Many(BTreeMap<Text, u32>),
}

impl<T> Default for KeyTrie<T> {
    fn default() -> Self {
        Self {
            exact: BTreeMap::new(),
            nodes: alloc::vec![Node::new()],
            free: Vec::new(),
            wild: 0,
            busy: 0,
        }
    }
}

impl<T> KeyTrie<T> {
    /// Patterns in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild
    }

    /// True without patterns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of exactly that pattern.
    #[must_use]
    pub fn get(&self, pattern: &KeyPattern) -> Option<&T> {
        if pattern.is_exact() {
            return self.exact.get(pattern.as_str().as_bytes());
        }
        let mut at = ROOT;
        for segment in pattern.segments() {
            at = self.node(at).child(segment)?;
        }
        self.node(at).value.as_ref()
    }

    /// Gives a pattern a value; returns the one it had.
    ///
    /// # Errors
    /// [`TrieFull`], and nothing is changed.
    pub fn insert(&mut self, pattern: &KeyPattern, value: T) -> Result<Option<T>, TrieFull> {
        if pattern.is_exact() {
            return Ok(self.exact.insert(Text::new(pattern.as_str().as_bytes()), value));
        }
        self.check_room(pattern)?;
        let mut at = ROOT;
        for (segment, behind) in weighed(pattern) {
            at = match self.node(at).child(segment) {
                Some(child) => child,
                None => self.grow(at, segment, behind),
            };
        }
        let before = self.node_mut(at).value.replace(value);
        self.wild += usize::from(before.is_none());
        Ok(before)
    }

    /// Takes a pattern out; returns its value.
    pub fn remove(&mut self, pattern: &KeyPattern) -> Option<T> {
        if pattern.is_exact() {
            return self.exact.remove(pattern.as_str().as_bytes());
        }
        let mut path = Vec::new();
        let mut at = ROOT;
        for (segment, behind) in weighed(pattern) {
            path.push((at, segment, behind));
            at = self.node(at).child(segment)?;
        }
        let value = self.node_mut(at).value.take()?;
        self.wild -= 1;
        for (parent, segment, behind) in path.into_iter().rev() {
            if !self.node(at).is_bare() {
                break;
            }
            self.node_mut(parent).unlink(segment);
            self.free.push(at);
            self.busy -= usize::from(behind > QUIET_WEIGHT_MAX);
            at = parent;
        }
        Some(value)
    }

    /// Shows the value of each pattern that matches the key, once: first the plain one, then the others in an order
    /// that depends on the patterns alone.
    pub fn matches<'a>(&'a self, key: &Key, walk: &mut Walk, mut visit: impl FnMut(&'a T)) {
        if let Some(value) = self.exact.get(key.as_bytes()) {
            visit(value);
        }
        if self.wild == 0 {
            return;
        }
        walk.start(self.nodes.len());
        self.enter(ROOT, walk);
        core::mem::swap(&mut walk.here, &mut walk.next);
        for segment in key.segments() {
            if walk.here.is_empty() && walk.staying.is_empty() {
                break;
            }
            self.step(segment, walk);
        }
        for at in walk.matched.iter().chain(&walk.here) {
            if let Some(value) = &self.node(*at).value {
                visit(value);
            }
        }
    }

    fn step(&self, segment: &[u8], walk: &mut Walk) {
        // Those that this very step adds take their first segment in the next one.
        for place in 0..walk.staying.len() {
            if let Some(child) = self.node(walk.staying[place]).children.get(segment) {
                self.enter(child, walk);
            }
        }
        for place in 0..walk.here.len() {
            let node = self.node(walk.here[place]);
            for child in [node.children.get(segment), node.one].into_iter().flatten() {
                self.enter(child, walk);
            }
        }
        core::mem::swap(&mut walk.here, &mut walk.next);
        walk.next.clear();
    }

    /// A place is reached, and with it the one behind its `#`, which may stand for nothing. Only the latter can be
    /// reached twice: by every other place there is one parent and one way. Canonical patterns have no wildcard behind a
    /// `#`, so that the places that stay have plain children only.
    fn enter(&self, at: u32, walk: &mut Walk) {
        walk.next.push(at);
        if let Some(any) = self.node(at).any {
            let stays_in = &mut walk.stays_in[any as usize];
            if *stays_in != walk.match_number {
                *stays_in = walk.match_number;
                let node = self.node(any);
                if node.value.is_some() {
                    walk.matched.push(any);
                }
                if !matches!(node.children, Children::None) {
                    walk.staying.push(any);
                }
            }
        }
    }

    fn check_room(&self, pattern: &KeyPattern) -> Result<(), TrieFull> {
        let mut at = Some(ROOT);
        let (mut needed, mut busy) = (0, 0);
        for (segment, behind) in weighed(pattern) {
            at = at.and_then(|at| self.node(at).child(segment));
            needed += usize::from(at.is_none());
            busy += usize::from(at.is_none() && behind > QUIET_WEIGHT_MAX);
        }
        let max = limits::PATTERN_PLACES_MAX;
        if self.nodes.len() - self.free.len() + needed > max {
            return Err(TrieFull::Places { max });
        }
        let max = limits::PATTERN_BUSY_PLACES_MAX;
        if self.busy + busy > max {
            return Err(TrieFull::Busy { max });
        }
        Ok(())
    }

    fn grow(&mut self, parent: u32, segment: PatternSegment<'_>, behind: u32) -> u32 {
        self.busy += usize::from(behind > QUIET_WEIGHT_MAX);
        let child = match self.free.pop() {
            Some(child) => {
                self.nodes[child as usize] = Node::new();
                child
            }
            None => {
                self.nodes.push(Node::new());
                u32::try_from(self.nodes.len() - 1).expect("bounded by PATTERN_PLACES_MAX")
            }
        };
        self.node_mut(parent).link(segment, child);
        child
    }

    fn node(&self, at: u32) -> &Node<T> {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node<T> {
        &mut self.nodes[at as usize]
    }
}

/// Segments, each with the weight of the wildcards before it.
fn weighed(pattern: &KeyPattern) -> impl Iterator<Item = (PatternSegment<'_>, u32)> {
    let mut weight = 0;
    pattern.segments().map(move |segment| {
        let behind = weight;
        weight += match segment {
            PatternSegment::Exact(_) => 0,
            PatternSegment::One => 1,
            PatternSegment::Any => 2,
        };
        (segment, behind)
    })
}

impl Walk {
    fn start(&mut self, places: usize) {
        self.here.clear();
        self.next.clear();
        self.staying.clear();
        self.matched.clear();
        if self.stays_in.len() < places {
            self.stays_in.resize(places, 0);
        }
        self.match_number = self.match_number.wrapping_add(1);
        if self.match_number == 0 {
            self.stays_in.fill(0);
            self.match_number = 1;
        }
    }
}

impl<T> Node<T> {
    const fn new() -> Self {
        Self {
            children: Children::None,
            one: None,
            any: None,
            value: None,
        }
    }

    fn child(&self, segment: PatternSegment<'_>) -> Option<u32> {
        match segment {
            PatternSegment::Exact(text) => self.children.get(text),
            PatternSegment::One => self.one,
            PatternSegment::Any => self.any,
        }
    }

    fn link(&mut self, segment: PatternSegment<'_>, child: u32) {
        match segment {
            PatternSegment::Exact(text) => self.children.insert(text, child),
            PatternSegment::One => self.one = Some(child),
            PatternSegment::Any => self.any = Some(child),
        }
    }

    fn unlink(&mut self, segment: PatternSegment<'_>) {
        match segment {
            PatternSegment::Exact(text) => self.children.remove(text),
            PatternSegment::One => self.one = None,
            PatternSegment::Any => self.any = None,
        }
    }

    /// Nothing hangs on it.
    fn is_bare(&self) -> bool {
        self.value.is_none()
            && self.one.is_none()
            && self.any.is_none()
            && matches!(self.children, Children::None)
    }
}

impl Children {
    fn get(&self, segment: &[u8]) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Single(text, child) => (text.as_bytes() == segment).then_some(*child),
            Self::Many(children) => children.get(segment).copied(),
        }
    }

    fn insert(&mut self, segment: &[u8], child: u32) {
        let text = Text::new(segment);
        *self = match core::mem::take(self) {
            Self::None => Self::Single(text, child),
            Self::Single(first, its) => Self::Many([(first, its), (text, child)].into()),
            Self::Many(mut children) => {
                children.insert(text, child);
                Self::Many(children)
            }
        };
    }

    fn remove(&mut self, segment: &[u8]) {
        *self = match core::mem::take(self) {
            Self::Single(text, _) if text.as_bytes() == segment => Self::None,
            Self::Many(mut children) => {
                children.remove(segment);
                if children.len() == 1 {
                    let (text, child) = children.pop_first().expect("one is left");
                    Self::Single(text, child)
                } else {
                    Self::Many(children)
                }
            }
            other => other,
        };
    }
}

#[cfg(test)]
#[path = "trie_test.rs"]
mod tests;
