//! Bindings that an operator makes, moves and takes back (A23).
//!
//! A wish is answered once the node of the handler that gets the signature keeps it, and the node of the one that had it
//! has forgotten it: only what nodes remember outlives an owner. A signature that goes over stays with its handler until the
//! next one's node keeps it; then its requests wait until the other node has forgotten it. So no request goes to the
//! next handler before, and none to the other one after. What a node has not answered in time may have taken place: the
//! owner leaves the signature where it was, and tells that to the nodes until they answer.
//!
//! What does not live here: bindings that requests make (`sticky`), and what nodes have not answered yet (`words`).

use alloc::vec;
use alloc::vec::Vec;

use super::bindings::Bound;
use super::{Exchange, ExchangeEffect, NotBindable, Noted, Signature, Unsure, Wish, WishAnswer};
use crate::id::Pid;
use crate::limits::{BINDING_CHANGES_MAX, BINDING_WAIT};
use crate::time::Instant;

/// A change that an operator waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changing {
    asked: u64,
    until: Instant,
    step: Step,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The handler's node is told to keep the signature; until it does, it is `from`'s where there is one.
    Keeping {
        handler: Pid,
        from: Option<Pid>,
        changed: bool,
    },
    /// The node of `from` is told to forget it, for good or because it is to be `to`'s.
    Forgetting { from: Pid, to: Option<Pid> },
}

impl Step {
    const fn waits_for(self) -> Pid {
        match self {
            Self::Keeping { handler, .. } => handler,
            Self::Forgetting { from, .. } => from,
        }
    }
}

impl Exchange {
    /// A page of the bindings, by signature: those after `after`, of one handler or of all, at most `limit`.
    #[must_use]
    pub fn bindings_after(
        &self,
        after: Option<Signature>,
        handler: Option<Pid>,
        limit: usize,
    ) -> Vec<(Signature, Pid)> {
        self.bindings.after(after, handler, limit)
    }

    /// Who has a signature.
    #[must_use]
    pub fn bound(&self, signature: Signature) -> Option<Pid> {
        self.bindings.handler(signature)
    }

    pub(super) fn wish(
        &mut self,
        now: Instant,
        lease_until: Instant,
        (asked, signature): (u64, Signature),
        wish: &Wish,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let next = match wish {
            Wish::Bind { handler, .. } => Some(*handler),
            Wish::Unbind => None,
        };
        let begun = self
            .may_change(now, lease_until, signature, next)
            .and_then(|()| match wish {
                Wish::Bind {
                    handler,
                    service_tag,
                    rebind,
                } => self
                    .begin_binding(signature, *handler, service_tag, *rebind)
                    .map(Some),
                Wish::Unbind => Ok(self
                    .bound(signature)
                    .map(|from| Step::Forgetting { from, to: None })),
            });
        match begun {
            Ok(Some(step)) => {
                let until = now + BINDING_WAIT;
                self.changing.insert(signature, Changing { asked, until, step });
                let keep = matches!(step, Step::Keeping { .. });
                self.word(now, signature, step.waits_for(), keep, out);
            }
            Ok(None) => answer(asked, WishAnswer::NotBound, out),
            Err(why) => answer(asked, WishAnswer::Refused(why), out),
        }
    }

    fn may_change(
        &self,
        now: Instant,
        lease_until: Instant,
        signature: Signature,
        next: Option<Pid>,
    ) -> Result<(), NotBindable> {
        if !self.config.strategy.is_sticky() {
            Err(NotBindable::NotSticky)
        } else if self.leaving.is_some() {
            Err(NotBindable::Moved)
        } else if now >= lease_until {
            Err(NotBindable::NoQuorum)
        } else if self.is_rolling() {
            Err(NotBindable::Settling)
        } else if self.changing.contains_key(&signature) {
            Err(NotBindable::Changing)
        } else if self.changing.len() >= BINDING_CHANGES_MAX || !self.words.has_room() {
            Err(NotBindable::TooMany)
        } else {
            // Its node may have the signature by an earlier wish: done is said of nothing before it has forgotten it.
            let doubtful = self.words.to_forget(signature).find(|pid| Some(*pid) != next);
            doubtful.map_or(Ok(()), |pid| Err(NotBindable::InDoubt(pid)))
        }
    }

    /// What is bound to that handler already is told to its node once more: an earlier wish may have been in doubt.
    fn begin_binding(
        &mut self,
        signature: Signature,
        handler: Pid,
        service_tag: &[u8],
        rebind: bool,
    ) -> Result<Step, NotBindable> {
        let tag = self.servers.tag(handler).ok_or(NotBindable::NotAttached)?;
        if !service_tag.is_empty() && tag.as_bytes() != service_tag {
            return Err(NotBindable::OtherGroup);
        }
        let keeping = |from, changed| Step::Keeping {
            handler,
            from,
            changed,
        };
        match self.bound(signature) {
            Some(holder) if holder == handler => Ok(keeping(None, false)),
            Some(holder) if !rebind => Err(NotBindable::BoundTo(holder)),
            Some(holder) => Ok(keeping(Some(holder), true)),
            None if self.bindings.bind(signature, handler) == Bound::Full => Err(NotBindable::Full),
            None => Ok(keeping(None, true)),
        }
    }

    /// A handler's node has answered a word.
    pub(super) fn noted(
        &mut self,
        now: Instant,
        (signature, handler): (Signature, Pid),
        number: u64,
        noted: Noted,
        out: &mut Vec<ExchangeEffect>,
    ) {
        // One that was not noted is said again.
        if noted == Noted::No || !self.words.answered(signature, handler, number) {
            return;
        }
        let Some(changing) = self.changing.get(&signature).copied() else {
            return;
        };
        if changing.step.waits_for() != handler {
            return;
        }
        match changing.step {
            Step::Keeping { .. } if noted == Noted::Gone => {
                self.end(signature, WishAnswer::Refused(NotBindable::NotAttached), out);
            }
            Step::Keeping {
                handler,
                from: Some(from),
                ..
            } => {
                let to = Some(handler);
                let step = Step::Forgetting { from, to };
                self.changing.insert(signature, Changing { step, ..changing });
                self.word(now, signature, from, false, out);
            }
            Step::Keeping { changed, .. } => {
                self.end(signature, WishAnswer::Bound { changed, from: None }, out);
            }
            Step::Forgetting { from, to } => self.gone_over(signature, from, to, out),
        }
    }

    /// The node of whoever had it has forgotten it, or is no more.
    fn gone_over(&mut self, signature: Signature, from: Pid, to: Option<Pid>, out: &mut Vec<ExchangeEffect>) {
        self.bindings.unbind(signature);
        let become_of = match to {
            Some(to) => {
                self.bindings.bind(signature, to);
                WishAnswer::Bound {
                    changed: true,
                    from: Some(from),
                }
            }
            None => WishAnswer::Unbound { from },
        };
        self.end(signature, become_of, out);
    }

    /// True while requests of that signature wait: it goes over, and the node of whoever had it has yet to forget it.
    pub(super) fn goes_over(&self, signature: Signature) -> bool {
        !self.changing.is_empty()
            && self
                .changing
                .get(&signature)
                .is_some_and(|changing| matches!(changing.step, Step::Forgetting { .. }))
    }

    /// True when a handler's node may rightly take a signature for the handler's which another one has, or rightly not yet
    /// have forgotten it.
    pub(super) fn is_in_doubt(&self, signature: Signature, handler: Pid) -> bool {
        let is_next = |changing: &Changing| match changing.step {
            Step::Keeping { handler: next, .. } => next == handler,
            Step::Forgetting { to, .. } => to == Some(handler),
        };
        self.words.is_open(signature, handler) || self.changing.get(&signature).is_some_and(is_next)
    }

    /// Handlers are no more, their bindings are released: nobody at their nodes remembers anything.
    pub(super) fn wishes_without(&mut self, now: Instant, gone: &[Pid], out: &mut Vec<ExchangeEffect>) {
        for handler in gone {
            self.words.gone(*handler);
        }
        let all: Vec<(Signature, Changing)> = self.changing.iter().map(|(s, c)| (*s, *c)).collect();
        let there = |exchange: &Self, pid: Pid| exchange.servers.contains(pid);
        for (signature, changing) in all {
            let lost_its_next = match changing.step {
                Step::Keeping { handler, .. } => !there(self, handler),
                Step::Forgetting { from, to } => {
                    let without = to.is_some_and(|to| !there(self, to));
                    if without && there(self, from) {
                        self.word(now, signature, from, true, out);
                    }
                    without
                }
            };
            match changing.step {
                _ if lost_its_next => {
                    self.end(signature, WishAnswer::Refused(NotBindable::NotAttached), out);
                }
                Step::Keeping {
                    handler,
                    from: Some(from),
                    changed,
                } if !there(self, from) => {
                    self.bindings.bind(signature, handler);
                    let from = None;
                    let step = Step::Keeping {
                        handler,
                        from,
                        changed,
                    };
                    self.changing.insert(signature, Changing { step, ..changing });
                }
                Step::Forgetting { from, to } if !there(self, from) => {
                    self.gone_over(signature, from, to, out);
                }
                Step::Keeping { .. } | Step::Forgetting { .. } => {}
            }
        }
    }

    /// Words that are not answered are given again; wishes whose time is over end.
    pub(super) fn tend_wishes(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        if !self.changing.is_empty() {
            let late = self.changing.iter().filter(|(_, changing)| changing.until <= now);
            let late: Vec<Signature> = late.map(|(signature, _)| *signature).collect();
            for signature in late {
                self.give_up(now, signature, None, out);
            }
        }
        for (signature, handler, word) in self.words.take_due(now) {
            out.push(ExchangeEffect::Word {
                handler,
                signature,
                keep: word.keep,
                number: word.number,
            });
        }
    }

    pub(super) fn wishes_due(&self) -> Option<Instant> {
        let late = self.changing.values().map(|changing| changing.until).min();
        late.into_iter().chain(self.words.next_due()).min()
    }

    /// It moves away: what is under way is in doubt.
    pub(super) fn leave_wishes(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        let all: Vec<Signature> = self.changing.keys().copied().collect();
        for signature in all {
            self.give_up(now, signature, Some(Unsure::Moved), out);
        }
    }

    /// Leaves the signature where it is; the nodes that may know something else are told.
    fn give_up(
        &mut self,
        now: Instant,
        signature: Signature,
        why: Option<Unsure>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let Some(changing) = self.changing.get(&signature).copied() else {
            return;
        };
        match changing.step {
            Step::Keeping { from: None, .. } => {}
            Step::Keeping {
                handler,
                from: Some(_),
                ..
            } => self.word(now, signature, handler, false, out),
            Step::Forgetting { from, to } => {
                self.word(now, signature, from, true, out);
                if let Some(to) = to {
                    self.word(now, signature, to, false, out);
                }
            }
        }
        let why = why.unwrap_or_else(|| Unsure::Silent(changing.step.waits_for()));
        self.end(signature, WishAnswer::Unknown(why), out);
    }

    /// What the next owner has to tell nodes: each comes behind the binding it is about. Where nobody has the signature any
    /// more it is for whoever is in doubt about it, and so is named as bound first.
    pub(super) fn bindings_in_doubt(&self) -> impl Iterator<Item = (Pid, Vec<Signature>)> + '_ {
        self.words.about().flat_map(|(handler, signature)| {
            let times = if self.bound(signature).is_some() { 1 } else { 2 };
            core::iter::repeat_n((handler, vec![signature]), times)
        })
    }

    /// What travelled twice was in doubt: its handler keeps it, another one has it no more.
    pub(super) fn settle_doubt(
        &mut self,
        now: Instant,
        (signature, named): (Signature, Pid),
        out: &mut Vec<ExchangeEffect>,
    ) {
        if self.words.has_room() {
            let keep = self.bound(signature) == Some(named);
            self.word(now, signature, named, keep, out);
        }
    }

    fn word(
        &mut self,
        now: Instant,
        signature: Signature,
        handler: Pid,
        keep: bool,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let number = self.words.give(now, signature, handler, keep);
        out.push(ExchangeEffect::Word {
            handler,
            signature,
            keep,
            number,
        });
    }

    fn end(&mut self, signature: Signature, become_of: WishAnswer, out: &mut Vec<ExchangeEffect>) {
        if let Some(changing) = self.changing.remove(&signature) {
            answer(changing.asked, become_of, out);
        }
    }
}

fn answer(asked: u64, answer: WishAnswer, out: &mut Vec<ExchangeEffect>) {
    out.push(ExchangeEffect::Answer { asked, answer });
}

#[cfg(test)]
#[path = "operating_test.rs"]
mod tests;
