//! The order in which a mailbox gives its messages out, and what happens when it is full: ten priorities, first in first
//! out within each, a bound on their number and one on their bytes, and times to live (B9).
//!
//! **Overtaking is bounded**: after [`limits::OVERTAKEN_MAX`] messages in a row that overtook waiting ones of lower
//! priority, the one of lower priority that has waited longest comes first. So every message comes out, also those of a
//! priority between two busy ones.
//!
//! What does not live here: who waits on a full mailbox, and the wire's place for the priority.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::time::{Instant, Span};

const LEVELS: usize = 10;
/// Those above the usual priority.
const URGENT: usize = LEVELS - 1;

/// From 0, the usual one and lowest, to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// A number above 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("priorities go from 0 to 9, not to {found}")]
pub struct NoPriority {
    /// Number given.
    pub found: u8,
}

impl Priority {
    /// Highest.
    pub const MAX: Self = Self(9);

    /// Checks a number.
    ///
    /// # Errors
    /// [`NoPriority`] above 9.
    pub const fn new(number: u8) -> Result<Self, NoPriority> {
        if number > Self::MAX.0 {
            Err(NoPriority { found: number })
        } else {
            Ok(Self(number))
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    fn level(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u8> for Priority {
    type Error = NoPriority;
    fn try_from(number: u8) -> Result<Self, NoPriority> {
        Self::new(number)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a full queue does with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum WhenFull {
    /// Turns it away.
    #[default]
    Reject,
    /// Drops the oldest of the lowest priority, which is the new one itself when all others are of a higher one.
    DropOldest,
    /// Gives it back: whoever brought it waits until there is room.
    Block,
}

impl WhenFull {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Reject, Self::DropOldest, Self::Block];

    /// The policy of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// The policy's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::DropOldest => "drop-oldest",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for WhenFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A message that a full queue did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken<T> {
    /// For good.
    Rejected(T),
    /// Bring it again when there is room.
    Blocked(T),
}

/// Why a message left the queue without being given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its time to live was over.
    Expired,
    /// The queue was full.
    Dropped,
}

/// What became of all messages so far: `taken` is `given` and `expired` and `dropped` and those still in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Taken in.
    pub taken: u64,
    /// Given out.
    pub given: u64,
    /// Out of time in the queue.
    pub expired: u64,
    /// Dropped to make room, new ones that made none included.
    pub dropped: u64,
    /// Turned away.
    pub rejected: u64,
    /// Given back.
    pub blocked: u64,
}

/// A bounded queue of messages with priorities.
#[derive(Debug, Clone)]
pub struct PriorityQueue<T> {
    usual: Level<T>,
    /// Made for the first message above the usual priority: most queues never have one, and there may be a million of them.
    urgent: Option<Box<[Level<T>; URGENT]>>,
    len: usize,
    bound: usize,
    bytes_max: usize,
    weigh: fn(&T) -> usize,
    when_full: WhenFull,
    arrivals: u64,
    overtook: u32,
    counts: Counts,
}

/// What waits of one priority.
#[derive(Debug, Clone)]
struct Level<T> {
    line: VecDeque<Waiting<T>>,
    bytes: usize,
}

impl<T> Level<T> {
    const EMPTY: Self = Self {
        line: VecDeque::new(),
        bytes: 0,
    };
}

#[derive(Debug, Clone)]
struct Waiting<T> {
    number: u64,
    since: Instant,
    until: Option<Instant>,
    item: T,
}

impl<T> PriorityQueue<T> {
    /// An empty queue for at most `bound` messages; a bound of 0 is one of 1.
    #[must_use]
    pub fn new(bound: usize, when_full: WhenFull) -> Self {
        Self {
            usual: Level::EMPTY,
            urgent: None,
            len: 0,
            bound: bound.max(1),
            bytes_max: usize::MAX,
            weigh: |_| 0,
            when_full,
            arrivals: 0,
            overtook: 0,
            counts: Counts::default(),
        }
    }

    /// With a bound on bytes, too, as `weigh` has them. One message fits in any case.
    #[must_use]
    pub fn weighed(self, bytes_max: usize, weigh: fn(&T) -> usize) -> Self {
        Self {
            bytes_max,
            weigh,
            ..self
        }
    }

    /// Messages waiting, those out of time included until they are met.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// What it does when it is full.
    #[must_use]
    pub const fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// True when none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when a message of that size is taken without anything dropped.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.fits(self.len, 0, bytes)
    }

    /// Levels that there are.
    const fn made(&self) -> usize {
        if self.urgent.is_some() { LEVELS } else { 1 }
    }

    /// Those of the levels that there are, from that one on.
    fn from(&self, level: usize) -> impl Iterator<Item = &Level<T>> {
        (level..self.made()).filter_map(|level| self.at(level))
    }

    fn at(&self, level: usize) -> Option<&Level<T>> {
        match level.checked_sub(1) {
            None => Some(&self.usual),
            Some(above) => self.urgent.as_ref()?.get(above),
        }
    }

    fn at_mut(&mut self, level: usize) -> Option<&mut Level<T>> {
        match level.checked_sub(1) {
            None => Some(&mut self.usual),
            Some(above) => self.urgent.as_mut()?.get_mut(above),
        }
    }

    fn front(&self, level: usize) -> Option<&Waiting<T>> {
        self.at(level)?.line.front()
    }

    fn append(&mut self, level: usize, bytes: usize, waiting: Waiting<T>) {
        let level = match level.checked_sub(1) {
            None => &mut self.usual,
            Some(above) => {
                let urgent = self
                    .urgent
                    .get_or_insert_with(|| Box::new([const { Level::EMPTY }; URGENT]));
                &mut urgent[above]
            }
        };
        level.bytes += bytes;
        level.line.push_back(waiting);
    }

    /// Takes the oldest of a level out.
    fn take(&mut self, level: usize) -> Option<T> {
        let weigh = self.weigh;
        let level = self.at_mut(level)?;
        let item = level.line.pop_front()?.item;
        level.bytes -= weigh(&item);
        self.len -= 1;
        Some(item)
    }

    /// True when a message of that size fits beside the first `len`, which are those of the levels from `from` on.
    fn fits(&self, len: usize, from: usize, bytes: usize) -> bool {
        let waiting: usize = self.from(from).map(|level| level.bytes).sum();
        len == 0 || (len < self.bound && waiting.saturating_add(bytes) <= self.bytes_max)
    }

    /// What became of all messages so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How long the message that has waited longest has waited.
    #[must_use]
    pub fn oldest_age(&self, now: Instant) -> Option<Span> {
        let fronts = self.from(0).filter_map(|level| level.line.front());
        fronts.map(|waiting| now.since(waiting.since)).max()
    }

    /// Takes a message in, to be given out before `until`. What leaves the queue for it, itself perhaps, is added to
    /// `gone`. Before a full queue does what it has to, messages out of time at the front of each priority make room.
    ///
    /// # Errors
    /// [`NotTaken`] with the message, as the queue's policy says.
    pub fn push(
        &mut self,
        now: Instant,
        priority: Priority,
        until: Option<Instant>,
        item: T,
        gone: &mut Vec<(Gone, T)>,
    ) -> Result<(), NotTaken<T>> {
        let bytes = (self.weigh)(&item);
        if !self.has_room(bytes) {
            self.expire_fronts(now, gone);
        }
        if !self.has_room(bytes) {
            match self.when_full {
                WhenFull::Reject => {
                    self.counts.rejected += 1;
                    return Err(NotTaken::Rejected(item));
                }
                WhenFull::Block => {
                    self.counts.blocked += 1;
                    return Err(NotTaken::Blocked(item));
                }
                WhenFull::DropOldest => {
                    if !self.drop_for(priority, bytes, gone) {
                        self.counts.taken += 1;
                        self.counts.dropped += 1;
                        gone.push((Gone::Dropped, item));
                        return Ok(());
                    }
                }
            }
        }
        self.counts.taken += 1;
        self.len += 1;
        self.arrivals += 1;
        let waiting = Waiting {
            number: self.arrivals,
            since: now,
            until,
            item,
        };
        self.append(priority.level(), bytes, waiting);
        Ok(())
    }

    /// Gives the next message out. Those found out of time on the way are added to `gone`.
    pub fn pop(&mut self, now: Instant, gone: &mut Vec<(Gone, T)>) -> Option<T> {
        self.expire_fronts(now, gone);
        let highest = (0..self.made())
            .rev()
            .find(|level| self.front(*level).is_some())?;
        let overtaken = (0..highest)
            .filter_map(|level| Some((self.front(level)?.number, level)))
            .min();
        let level = match overtaken {
            None => {
                self.overtook = 0;
                highest
            }
            Some((_, waited_longest)) if self.overtook >= limits::OVERTAKEN_MAX => {
                self.overtook = 0;
                waited_longest
            }
            Some(_) => {
                self.overtook += 1;
                highest
            }
        };
        let item = self.take(level)?;
        self.counts.given += 1;
        Some(item)
    }

    /// Empties the queue, highest priority first: its process ends. Times to live and overtaking play no part.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.counts.given += self.len as u64;
        self.len = 0;
        let urgent = self.urgent.iter_mut().flat_map(|urgent| urgent.iter_mut());
        let levels = urgent.rev().chain(core::iter::once(&mut self.usual));
        levels
            .flat_map(|level| {
                level.bytes = 0;
                level.line.drain(..)
            })
            .map(|waiting| waiting.item)
    }

    /// Makes room for a message, of its own priority and below. False when those above it leave none: then nothing is
    /// dropped.
    fn drop_for(&mut self, priority: Priority, bytes: usize, gone: &mut Vec<(Gone, T)>) -> bool {
        let above = priority.level() + 1;
        let staying = self.from(above).map(|level| level.line.len()).sum();
        if !self.fits(staying, above, bytes) {
            return false;
        }
        for level in 0..above {
            while !self.has_room(bytes) {
                let Some(oldest) = self.take(level) else {
                    break;
                };
                self.counts.dropped += 1;
                gone.push((Gone::Dropped, oldest));
            }
        }
        true
    }

    fn expire_fronts(&mut self, now: Instant, gone: &mut Vec<(Gone, T)>) {
        for level in 0..self.made() {
            while self.front(level).is_some_and(|it| it.is_over(now)) {
                let over = self.take(level).expect("looked at above");
                self.counts.expired += 1;
                gone.push((Gone::Expired, over));
            }
        }
    }
}

impl<T> Waiting<T> {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
#[path = "order_test.rs"]
mod tests;
