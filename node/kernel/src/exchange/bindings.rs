//! Which handler has which signature: the memory of the sticky strategies (A23). A binding lives until its handler
//! detaches or its node is lost, and is never given up for another one.
//!
//! What does not live here: whom a new signature goes to (`sticky`), and what the handlers' nodes remember.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops;

use super::Signature;
use crate::id::Pid;
use crate::limits::BINDINGS_MAX;

/// What became of the wish to bind a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// It is bound to that handler now, or was already.
    Mine,
    /// Another handler has it.
    Taken,
    /// There is no room for a new one.
    Full,
}

/// The bindings of an exchange, at most [`BINDINGS_MAX`].
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings {
    handlers: BTreeMap<Signature, Pid>,
    signatures: BTreeMap<Pid, BTreeSet<Signature>>,
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.handlers.len()
    }

    /// No new one has room.
    pub(super) fn is_full(&self) -> bool {
        self.handlers.len() >= BINDINGS_MAX
    }

    pub(super) fn handler(&self, signature: Signature) -> Option<Pid> {
        self.handlers.get(&signature).copied()
    }

    /// Signatures of a handler.
    pub(super) fn load(&self, handler: Pid) -> usize {
        self.signatures.get(&handler).map_or(0, BTreeSet::len)
    }

    pub(super) fn of(&self, handler: Pid) -> Vec<Signature> {
        let bound = self.signatures.get(&handler);
        bound.map_or_else(Vec::new, |set| set.iter().copied().collect())
    }

    pub(super) fn bind(&mut self, signature: Signature, handler: Pid) -> Bound {
        match self.handlers.get(&signature) {
            Some(holder) if *holder == handler => return Bound::Mine,
            Some(_) => return Bound::Taken,
            None => {}
        }
        if self.is_full() {
            return Bound::Full;
        }
        self.handlers.insert(signature, handler);
        self.signatures.entry(handler).or_default().insert(signature);
        Bound::Mine
    }

    /// Ends one; true when there was one.
    pub(super) fn unbind(&mut self, signature: Signature) -> bool {
        let Some(handler) = self.handlers.remove(&signature) else {
            return false;
        };
        if let Some(signatures) = self.signatures.get_mut(&handler) {
            signatures.remove(&signature);
            if signatures.is_empty() {
                self.signatures.remove(&handler);
            }
        }
        true
    }

    /// The next ones by signature, of one handler or of all; at most `limit`.
    pub(super) fn after(
        &self,
        after: Option<Signature>,
        handler: Option<Pid>,
        limit: usize,
    ) -> Vec<(Signature, Pid)> {
        let from = (
            after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded),
            ops::Bound::Unbounded,
        );
        match handler {
            None => {
                let next = self.handlers.range(from).take(limit);
                next.map(|(signature, pid)| (*signature, *pid)).collect()
            }
            Some(pid) => {
                let own = self.signatures.get(&pid).into_iter();
                let next = own.flat_map(|own| own.range(from)).take(limit);
                next.map(|signature| (*signature, pid)).collect()
            }
        }
    }

    /// Ends all bindings of a handler.
    pub(super) fn release(&mut self, handler: Pid) {
        for signature in self.signatures.remove(&handler).unwrap_or_default() {
            self.handlers.remove(&signature);
        }
    }

    /// All of them, by handler.
    pub(super) fn all(&self) -> Vec<(Pid, Vec<Signature>)> {
        let each = self.signatures.iter();
        each.map(|(pid, set)| (*pid, set.iter().copied().collect()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Boot, NodeId};

    fn pid(n: u32) -> Pid {
        Pid::new(NodeId(1), Boot(1), n)
    }

    #[test]
    fn a_signature_stays_with_the_first_until_it_is_released() {
        let mut bindings = Bindings::default();
        let signature = Signature::new(7);
        assert_eq!(bindings.bind(signature, pid(1)), Bound::Mine);
        assert_eq!(bindings.bind(signature, pid(1)), Bound::Mine);
        assert_eq!(bindings.bind(signature, pid(2)), Bound::Taken);
        assert_eq!((bindings.load(pid(1)), bindings.load(pid(2))), (1, 0));
        bindings.release(pid(1));
        assert_eq!((bindings.len(), bindings.handler(signature)), (0, None));
    }

    #[test]
    fn one_is_ended_alone_and_a_page_goes_on_behind_the_last_one() {
        let mut bindings = Bindings::default();
        for n in 1..=5 {
            bindings.bind(Signature::new(n), pid(if n % 2 == 0 { 2 } else { 1 }));
        }
        let page = |bindings: &Bindings, after, of, limit| -> Vec<u64> {
            let page = bindings.after(after, of, limit).into_iter();
            page.map(|(signature, _)| signature.value()).collect()
        };
        assert_eq!(page(&bindings, None, None, 3), [1, 2, 3]);
        assert_eq!(page(&bindings, Some(Signature::new(3)), None, 3), [4, 5]);
        assert_eq!(page(&bindings, Some(Signature::new(1)), Some(pid(1)), 9), [3, 5]);
        assert!(page(&bindings, None, Some(pid(7)), 9).is_empty());
        assert!(bindings.unbind(Signature::new(3)));
        assert!(!bindings.unbind(Signature::new(3)));
        assert_eq!((bindings.load(pid(1)), bindings.len()), (2, 4));
        assert!(bindings.unbind(Signature::new(2)) && bindings.unbind(Signature::new(4)));
        assert_eq!(
            bindings.all(),
            [(pid(1), alloc::vec![Signature::new(1), Signature::new(5)])]
        );
    }

    #[test]
    fn full_it_refuses_new_ones_and_keeps_every_old_one() {
        let mut bindings = Bindings::default();
        for n in 1..=BINDINGS_MAX as u64 {
            assert_eq!(bindings.bind(Signature::new(n), pid(1)), Bound::Mine);
        }
        assert_eq!(bindings.bind(Signature::new(u64::MAX), pid(2)), Bound::Full);
        assert_eq!(bindings.handler(Signature::new(1)), Some(pid(1)));
        assert_eq!(bindings.len(), BINDINGS_MAX);
    }
}
