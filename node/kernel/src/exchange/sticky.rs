//! Requests that keep their handler: routing by signature, and what handlers claim when they attach again.

use alloc::vec::Vec;

use bytes::Bytes;

use super::bindings::Bound;
use super::group::group_mut;
use super::{Asked, Exchange, ExchangeEffect, Right, Signature, Target};
use crate::id::{LeaderEpoch, Pid, Revision};
use crate::planted::{self, Bug};
use crate::reason::NoReply;
use crate::time::Instant;

impl Exchange {
    /// Signatures bound here.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.bindings.len()
    }

    /// Signatures bound to a handler. One that is being taken from it is none of them.
    #[must_use]
    pub fn bound_to(&self, handler: Pid) -> Vec<Signature> {
        let mut bound = self.bindings.of(handler);
        bound.retain(|signature| !self.goes_over(*signature));
        bound
    }

    /// A known signature goes to its handler at once. A new one waits until all nodes have told of theirs, and is then
    /// bound to the handler of its group that has the fewest; among equals, in turn.
    pub(super) fn route_by_signature(
        &mut self,
        right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        signature: Signature,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let signature = signature.within(asked.service_tag);
        let handler = match self.bindings.handler(signature) {
            Some(_) if self.goes_over(signature) => Err(NoReply::Unreachable),
            Some(handler) => Ok(handler),
            None => self.bind_new(now, signature, asked.service_tag),
        };
        match handler {
            Ok(handler) => {
                let target = Target {
                    handler,
                    leader_epoch: LeaderEpoch(0),
                    signature: Some(signature),
                };
                self.route_to_one(right, now, asked, Some(target), out);
            }
            Err(reason) => out.push(ExchangeEffect::Refuse {
                request: asked.request,
                reason,
            }),
        }
    }

    fn bind_new(&mut self, now: Instant, signature: Signature, tag: &Bytes) -> Result<Pid, NoReply> {
        if self.is_rolling() {
            return Err(NoReply::Settling);
        }
        let bindings = &self.bindings;
        let group = group_mut(&mut self.groups, tag);
        let least = group.and_then(|group| group.take_least(|pid| bindings.load(pid)));
        let handler = least.ok_or_else(|| self.nobody(now))?;
        match self.bindings.bind(signature, handler) {
            Bound::Mine => {
                // The delivery says that it is the handler's, behind whatever was said before.
                self.words.outdated(signature, handler);
                Ok(handler)
            }
            Bound::Taken | Bound::Full => Err(NoReply::Rejected),
        }
    }

    /// A handler whose node was held for lost hears what it has now. Until then it takes nothing that goes by signature: that
    /// was sent before, and is another one's since.
    pub(super) fn take_in(&self, handler: Pid, returned: Revision, out: &mut Vec<ExchangeEffect>) {
        if self.leaving.is_none() && self.servers.contains(handler) {
            out.push(ExchangeEffect::TakenIn {
                handler,
                returned,
                signatures: self.bound_to(handler),
            });
        }
    }

    /// Takes in what an attached handler says it has. The first to claim a signature keeps it; what another one has
    /// already, or what there is no room for, its node is to forget, lest it claims that again with the next owner. Of a
    /// handler that was here before everything is known: what it has beside that was taken from it.
    pub(super) fn claim(
        &mut self,
        handler: Pid,
        newcomer: bool,
        bound: &[Signature],
        out: &mut Vec<ExchangeEffect>,
    ) {
        if !self.config.strategy.is_sticky() || planted::is(Bug::LoseBindingsInCrash) {
            return;
        }
        let claims = bound.iter().copied();
        let lost: Vec<Signature> = claims
            .filter(|signature| match newcomer {
                true => self.bindings.bind(*signature, handler) != Bound::Mine,
                false => self.bound(*signature) != Some(handler) && !self.is_in_doubt(*signature, handler),
            })
            .collect();
        if !lost.is_empty() {
            out.push(ExchangeEffect::Unbind {
                handler,
                signatures: lost,
            });
        }
    }
}
