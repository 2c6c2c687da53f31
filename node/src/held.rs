//! What a full mailbox under `block` holds back: a short line, bounded by number and by bytes.
//!
//! What does not live here: the mailbox, and who is told when something comes in.

use std::collections::VecDeque;

/// Messages that wait for room in a mailbox, first come first in.
pub(crate) struct Held<T> {
    line: VecDeque<T>,
    bytes: usize,
    bound: usize,
    bytes_max: usize,
    weigh: fn(&T) -> usize,
}

impl<T> Held<T> {
    /// An empty line for at most `bound` messages and `bytes_max` bytes; one message fits in any case.
    pub(crate) const fn new(bound: usize, bytes_max: usize, weigh: fn(&T) -> usize) -> Self {
        Self {
            line: VecDeque::new(),
            bytes: 0,
            bound,
            bytes_max,
            weigh,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.line.front()
    }

    /// Holds a message back.
    ///
    /// # Errors
    /// Gives it back where there is no room.
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        let bytes = (self.weigh)(&item);
        let fits = self.line.len() < self.bound && self.bytes.saturating_add(bytes) <= self.bytes_max;
        if !fits && !self.line.is_empty() {
            return Err(item);
        }
        self.bytes += bytes;
        self.line.push_back(item);
        Ok(())
    }

    /// The first one, where that is wanted.
    pub(crate) fn pop_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        if !self.line.front().is_some_and(wanted) {
            return None;
        }
        let first = self.line.pop_front()?;
        self.bytes -= (self.weigh)(&first);
        Some(first)
    }

    /// All of them.
    pub(crate) fn take(&mut self) -> VecDeque<T> {
        self.bytes = 0;
        std::mem::take(&mut self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_bytes_are_bounds_and_one_always_fits() {
        let mut held = Held::new(2, 10, |item| *item);
        assert_eq!(held.push(50), Ok(()));
        assert_eq!(held.push(1), Err(1), "bytes");
        assert_eq!(held.pop_if(|item| *item < 50), None);
        assert_eq!(held.pop_if(|item| *item == 50), Some(50));
        assert_eq!(
            (held.push(4), held.push(6), held.push(0)),
            (Ok(()), Ok(()), Err(0)),
            "number"
        );
        assert_eq!(held.take(), [4, 6]);
        assert!(held.is_empty());
        assert_eq!(held.push(10), Ok(()));
    }
}
