//! What the owner has told handlers' nodes about signatures and has not heard back: said again until the node answers, or
//! the handler is gone. So a node never keeps for long what an operator has changed meanwhile.
//!
//! What does not live here: when a word is given, and what follows from its answer (`operating`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Signature;
use crate::id::Pid;
use crate::limits::{BINDING_WORD_AGAIN, BINDING_WORDS_MAX};
use crate::time::Instant;

/// A word that no node has answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// The handler has the signature; else it has it no more.
    pub(super) keep: bool,
    pub(super) number: u64,
    again: Instant,
}

/// Words by what they are about; at most one for each signature and handler: the latest.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    open: BTreeMap<(Signature, Pid), Word>,
    last: u64,
}

impl Words {
    /// True when two more fit: as many as one change needs.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() + 2 <= BINDING_WORDS_MAX
    }

    /// Gives a word, in place of an earlier one; its number.
    pub(super) fn give(&mut self, now: Instant, signature: Signature, handler: Pid, keep: bool) -> u64 {
        self.last += 1;
        let word = Word {
            keep,
            number: self.last,
            again: now + BINDING_WORD_AGAIN,
        };
        self.open.insert((signature, handler), word);
        self.last
    }

    /// True while a word about that signature has not been answered by the handler's node.
    pub(super) fn is_open(&self, signature: Signature, handler: Pid) -> bool {
        self.open.contains_key(&(signature, handler))
    }

    /// The node has answered it: false for what is not its latest word.
    pub(super) fn answered(&mut self, signature: Signature, handler: Pid, number: u64) -> bool {
        let latest = self.open.get(&(signature, handler));
        let is_latest = latest.is_some_and(|word| word.number == number);
        if is_latest {
            self.open.remove(&(signature, handler));
        }
        is_latest
    }

    /// A delivery says more than a word about the same.
    pub(super) fn outdated(&mut self, signature: Signature, handler: Pid) {
        if !self.open.is_empty() {
            self.open.remove(&(signature, handler));
        }
    }

    pub(super) fn gone(&mut self, handler: Pid) {
        self.open.retain(|(_, pid), _| *pid != handler);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|word| word.again).min()
    }

    /// What is to be said again now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Signature, Pid, Word)> {
        let due = self.open.iter_mut().filter(|(_, word)| word.again <= now);
        due.map(|((signature, handler), word)| {
            word.again = now + BINDING_WORD_AGAIN;
            (*signature, *handler, *word)
        })
        .collect()
    }

    /// Handlers whose nodes have yet to forget a signature.
    pub(super) fn to_forget(&self, signature: Signature) -> impl Iterator<Item = Pid> + '_ {
        let about = self
            .open
            .iter()
            .filter(move |((s, _), word)| *s == signature && !word.keep);
        about.map(|((_, handler), _)| *handler)
    }

    /// Who may know something else of which signature.
    pub(super) fn about(&self) -> impl Iterator<Item = (Pid, Signature)> + '_ {
        self.open
            .keys()
            .map(|(signature, handler)| (*handler, *signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Boot, NodeId};

    #[test]
    fn a_word_is_said_again_until_its_latest_form_is_answered() {
        let (mut words, handler) = (Words::default(), Pid::new(NodeId(1), Boot(1), 7));
        let signature = Signature::new(5);
        let first = words.give(Instant(0), signature, handler, true);
        let latest = words.give(Instant(0), signature, handler, false);
        assert!(
            !words.answered(signature, handler, first),
            "an answer to what was said before"
        );
        assert_eq!(words.next_due(), Some(Instant(0) + BINDING_WORD_AGAIN));
        let due = words.take_due(Instant(0) + BINDING_WORD_AGAIN);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].2.keep, due[0].2.number), (false, latest));
        assert!(words.answered(signature, handler, latest));
        assert!(!words.answered(signature, handler, latest));
        assert_eq!(words.next_due(), None);
    }

    #[test]
    fn words_are_bounded_and_end_with_their_handler() {
        let mut words = Words::default();
        let handler = |n: u64| Pid::new(NodeId(n % 2), Boot(1), 1);
        let mut n = 0;
        while words.has_room() {
            n += 1;
            words.give(Instant(0), Signature::new(n), handler(n), true);
        }
        assert_eq!(words.about().count(), BINDING_WORDS_MAX - 1);
        words.gone(handler(1));
        assert!(words.about().all(|(pid, _)| pid == handler(0)));
        assert!(words.has_room());
    }
}
