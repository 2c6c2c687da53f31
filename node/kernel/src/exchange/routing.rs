//! Where a request goes under each strategy. A request that the owner may not act on does not get this far.
//!
//! What does not live here: bindings (`sticky`), and who leads (`leading`).

use alloc::vec::Vec;

use bytes::Bytes;

use super::group::{Group, group_mut};
use super::{Choice, Exchange, ExchangeEffect, RequestKey, Right, Route, Signature, remember};
use crate::id::{LeaderEpoch, Pid};
use crate::reason::NoReply;
use crate::registry::{LeaderRecord, Strategy};
use crate::time::Instant;

/// A request that is routed.
pub(super) struct Asked<'a> {
    pub(super) request: RequestKey,
    /// Wanted group; empty means all handlers.
    pub(super) service_tag: &'a Bytes,
    pub(super) key: &'a Bytes,
    pub(super) choice: &'a Choice,
    pub(super) deadline: Instant,
}

/// The one handler that gets a request.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) handler: Pid,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) signature: Option<Signature>,
}

impl Target {
    const fn plain(handler: Pid) -> Self {
        Self {
            handler,
            leader_epoch: LeaderEpoch(0),
            signature: None,
        }
    }
}

impl Exchange {
    pub(super) fn route(
        &mut self,
        right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        if now >= asked.deadline {
            return self.refuse(asked, NoReply::Timeout, out);
        }
        match self.config.strategy {
            Strategy::Default => self.route_to_all(right, now, asked, out),
            Strategy::RoundRobin | Strategy::ConsensusRoundRobin => {
                self.route_in_turn(right, now, asked, asked.service_tag, out);
            }
            Strategy::Consensus => self.route_to_leader(right, now, asked, out),
            Strategy::Sticky if asked.key.is_empty() => {
                self.decline(asked, "a key is needed: the exchange is sticky", out);
            }
            Strategy::Sticky => {
                self.route_by_signature(right, now, asked, Signature::of_key(asked.key), out);
            }
            Strategy::StickyFun | Strategy::Fun => self.route_as_chosen(right, now, asked, out),
        }
    }

    fn route_as_chosen(
        &mut self,
        right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let sticky = self.config.strategy.is_sticky();
        match asked.choice {
            Choice::Decline(reason) => self.decline(asked, reason, out),
            Choice::Redirect(to) => out.push(ExchangeEffect::Redirect {
                request: asked.request,
                to: to.clone(),
            }),
            Choice::Signature(signature) if sticky => {
                self.route_by_signature(right, now, asked, *signature, out);
            }
            Choice::Pick(handler) if !sticky => {
                if self.servers.contains(*handler) {
                    self.route_to_one(right, now, asked, Some(Target::plain(*handler)), out);
                } else {
                    self.decline(
                        asked,
                        "the exchange's function picked nobody that is attached",
                        out,
                    );
                }
            }
            Choice::Group(tag) if !sticky => self.route_in_turn(right, now, asked, tag, out),
            Choice::None | Choice::Signature(_) | Choice::Pick(_) | Choice::Group(_) => {
                self.decline(asked, "the exchange's function chose nothing of use", out);
            }
        }
    }

    fn route_in_turn(
        &mut self,
        right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        tag: &Bytes,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let turn = group_mut(&mut self.groups, tag).and_then(Group::take_turn);
        self.route_to_one(right, now, asked, turn.map(Target::plain), out);
    }

    pub(super) fn route_to_one(
        &mut self,
        _right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        target: Option<Target>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let request = asked.request;
        let Some(target) = target else {
            return self.refuse(asked, self.nobody(now), out);
        };
        let handler = target.handler;
        let route = Route {
            request,
            handler,
            deadline: asked.deadline,
            index: 1,
            count: 1,
        };
        remember(&mut self.routes, route);
        out.push(ExchangeEffect::Deliver {
            request,
            handler,
            leader_epoch: target.leader_epoch,
            index: 1,
            count: 1,
            signature: target.signature,
        });
    }

    fn route_to_all(
        &mut self,
        _right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let Some(group) = self.groups.get(asked.service_tag) else {
            return self.refuse(asked, self.nobody(now), out);
        };
        let request = asked.request;
        let count = u32::try_from(group.members.len()).expect("bounded by HANDLERS_PER_EXCHANGE_MAX");
        for (index, handler) in (1..).zip(group.members.iter().copied()) {
            out.push(ExchangeEffect::Deliver {
                request,
                handler,
                leader_epoch: LeaderEpoch(0),
                index,
                count,
                signature: None,
            });
            let route = Route {
                request,
                handler,
                deadline: asked.deadline,
                index,
                count,
            };
            remember(&mut self.routes, route);
        }
    }

    fn route_to_leader(
        &mut self,
        right: &Right,
        now: Instant,
        asked: &Asked<'_>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let leader = self.acting_leader();
        if leader.is_none() && !self.servers.is_empty() {
            return self.refuse(asked, NoReply::NoLeader, out);
        }
        let in_group = |pid: Pid| self.is_of_group(pid, asked.service_tag);
        let target = leader.filter(|l| in_group(l.pid)).map(|l| Target {
            leader_epoch: l.epoch,
            ..Target::plain(l.pid)
        });
        self.route_to_one(right, now, asked, target, out);
    }

    /// Who gets requests now, where only the leader does: nobody while another one is being appointed.
    pub(super) fn acting_leader(&self) -> Option<LeaderRecord> {
        self.leader().filter(|_| self.pending.is_none())
    }

    /// True of a handler of that group, and of everybody where none is wanted.
    pub(super) fn is_of_group(&self, pid: Pid, tag: &Bytes) -> bool {
        tag.is_empty() || self.servers.tag(pid).is_some_and(|t| t.as_bytes() == tag)
    }

    fn refuse(&self, asked: &Asked<'_>, reason: NoReply, out: &mut Vec<ExchangeEffect>) {
        out.push(ExchangeEffect::Refuse {
            request: asked.request,
            reason,
        });
    }

    fn decline(&self, asked: &Asked<'_>, reason: &str, out: &mut Vec<ExchangeEffect>) {
        out.push(ExchangeEffect::Decline {
            request: asked.request,
            reason: reason.into(),
        });
    }

    /// Why there is nobody: right after a failover handlers may still be on their way.
    pub(super) fn nobody(&self, now: Instant) -> NoReply {
        if now < self.settle_until {
            NoReply::Settling
        } else {
            NoReply::NoResponders
        }
    }
}
