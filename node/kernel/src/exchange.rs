//! One exchange on its owner's node: who is attached, who leads, where a request goes. A pure state machine, one per
//! (exchange, epoch), stepped by the exchange's process.
//!
//! What does not live here: the requester's side (deadlines, retries, outcomes), mailboxes, and the owner's right to
//! act, which comes in with each request as `lease_until`.

mod group;
mod leading;
mod moving;
mod step;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::{Counter, Epoch, LeaderEpoch, NodeId, Pid};
use group::Group;
pub use step::{ExchangeConfig, ExchangeEffect, ExchangeInput, RequestKey};

use crate::limits;
use crate::message::{Server, System};
use crate::planted::{self, Bug};
use crate::reason::{DetachReason, NoReply};
use crate::registry::{LeaderRecord, Strategy};
use crate::time::Instant;

/// A route that the owner remembers.
#[derive(Debug, Clone, Copy)]
struct Route {
    request: RequestKey,
    handler: Pid,
    deadline: Instant,
    index: u32,
    count: u32,
}

/// The owner's right to act on one request: only [`Exchange::admit`] makes it, after it has compared epoch and lease.
struct Right(());

/// An exchange on its owner.
#[derive(Debug, Clone)]
pub struct Exchange {
    config: ExchangeConfig,
    settle_until: Instant,
    tags: BTreeMap<Pid, String>,
    groups: BTreeMap<Bytes, Group>,
    counter: Counter,
    leader: Option<LeaderRecord>,
    /// That leader will not attach again.
    leader_gone: bool,
    /// Leader proposed and not seen committed, since when.
    pending: Option<(Option<Pid>, Instant)>,
    routes: VecDeque<Route>,
    /// Next owner and its epoch, and when the state was last sent.
    leaving: Option<(NodeId, Epoch, Instant)>,
    /// Until when a lease granted to the leader may hold, by this node's clock.
    granted_until: Instant,
    /// To whom.
    granted_to: Option<Pid>,
}

impl Exchange {
    /// An exchange that starts to be owned here at `now`.
    #[must_use]
    pub fn new(now: Instant, config: ExchangeConfig) -> Self {
        let settle_until = if config.epoch > Epoch(1) {
            now + config.settle
        } else {
            now
        };
        let (leader, leader_gone) = (config.leader, config.leader_gone);
        // An earlier owner may have granted its leader a lease that outlives it, even when it has none any more.
        let granted_until = if config.epoch > Epoch(1) && config.strategy.has_leader() {
            now + config.promise.lengthened(limits::DRIFT_PPM)
        } else {
            now
        };
        Self {
            config,
            settle_until,
            tags: BTreeMap::new(),
            groups: BTreeMap::new(),
            counter: Counter(0),
            leader,
            leader_gone,
            pending: None,
            routes: VecDeque::with_capacity(limits::RECENT_ROUTES_MAX),
            leaving: None,
            granted_until,
            granted_to: leader.map(|l| l.pid),
        }
    }

    /// Steps the exchange; effects are appended to `out`, which the caller empties and reuses.
    pub fn step(&mut self, now: Instant, input: &ExchangeInput, out: &mut Vec<ExchangeEffect>) {
        match input {
            ExchangeInput::Attach { handler, service_tag } => self.attach(now, *handler, service_tag, out),
            ExchangeInput::Detach { handler, reason } => self.detach(now, *handler, *reason, out),
            ExchangeInput::NodeLost { node } => self.node_lost(now, *node, out),
            ExchangeInput::LeaderCommitted { leader } => self.leader_committed(now, *leader, out),
            ExchangeInput::Request {
                request,
                epoch,
                service_tag,
                deadline,
                lease_until,
            } => match self.admit(now, *epoch, *lease_until) {
                Ok(right) => self.route(&right, now, *request, service_tag, *deadline, out),
                Err(reason) => out.push(ExchangeEffect::Refuse {
                    request: *request,
                    reason,
                }),
            },
            ExchangeInput::Leave { to, epoch } => self.leave(now, *to, *epoch, out),
            ExchangeInput::Resume { state } => self.resume(now, state, out),
            ExchangeInput::LeaseAsk {
                handler,
                leader_epoch,
                asked_at,
                lease_until,
            } => self.grant(now, *handler, *leader_epoch, *asked_at, *lease_until, out),
            ExchangeInput::Tick => self.tick(now, out),
        }
    }

    /// Handlers attached.
    #[must_use]
    pub fn handlers(&self) -> usize {
        self.tags.len()
    }

    /// Leader as committed and attached.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderRecord> {
        self.leader.filter(|l| self.tags.contains_key(&l.pid))
    }

    /// Epoch of this ownership.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.config.epoch
    }

    /// When the exchange next needs a `Tick`, if it waits for something.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if let Some((_, _, sent)) = self.leaving {
            return Some(sent + self.config.settle);
        }
        let settling =
            (self.config.strategy.has_leader() && self.leader().is_none() && self.pending.is_none())
                .then_some(self.may_appoint_at());
        self.pending
            .map(|(_, since)| since + self.config.settle)
            .or(settling.filter(|_| !self.tags.is_empty()))
    }

    fn admit(&self, now: Instant, epoch: Epoch, lease_until: Instant) -> Result<Right, NoReply> {
        if self.leaving.is_some() && !planted::is(Bug::AnswerAfterMove) {
            return Err(NoReply::Moved);
        }
        if epoch > self.config.epoch {
            Err(NoReply::Moved)
        } else if epoch < self.config.epoch {
            Err(NoReply::Fenced)
        } else if now >= lease_until {
            Err(NoReply::NoQuorum)
        } else {
            Ok(Right(()))
        }
    }

    fn route(
        &mut self,
        _right: &Right,
        now: Instant,
        request: RequestKey,
        service_tag: &Bytes,
        deadline: Instant,
        out: &mut Vec<ExchangeEffect>,
    ) {
        if now >= deadline {
            out.push(ExchangeEffect::Refuse {
                request,
                reason: NoReply::Timeout,
            });
            return;
        }
        match self.config.strategy {
            Strategy::Default => self.route_to_all(now, request, service_tag, deadline, out),
            Strategy::RoundRobin => {
                let turn = self.groups.get_mut(service_tag).and_then(Group::take_turn);
                self.route_to_one(now, request, turn.map(|pid| (pid, LeaderEpoch(0))), deadline, out);
            }
            Strategy::Consensus => self.route_to_leader(now, request, service_tag, deadline, out),
        }
    }

    fn route_to_one(
        &mut self,
        now: Instant,
        request: RequestKey,
        target: Option<(Pid, LeaderEpoch)>,
        deadline: Instant,
        out: &mut Vec<ExchangeEffect>,
    ) {
        match target {
            Some((handler, leader_epoch)) => {
                self.remember(Route {
                    request,
                    handler,
                    deadline,
                    index: 1,
                    count: 1,
                });
                out.push(ExchangeEffect::Deliver {
                    request,
                    handler,
                    leader_epoch,
                    index: 1,
                    count: 1,
                });
            }
            None => out.push(ExchangeEffect::Refuse {
                request,
                reason: self.nobody(now),
            }),
        }
    }

    fn route_to_all(
        &mut self,
        now: Instant,
        request: RequestKey,
        service_tag: &Bytes,
        deadline: Instant,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let before = out.len();
        if let Some(group) = self.groups.get(service_tag) {
            let count = u32::try_from(group.members.len()).expect("bounded by HANDLERS_PER_EXCHANGE_MAX");
            out.extend(
                (1..)
                    .zip(&group.members)
                    .map(|(index, handler)| ExchangeEffect::Deliver {
                        request,
                        handler: *handler,
                        leader_epoch: LeaderEpoch(0),
                        index,
                        count,
                    }),
            );
        }
        for effect in &out[before..] {
            if let ExchangeEffect::Deliver {
                handler,
                index,
                count,
                ..
            } = effect
            {
                let route = Route {
                    request,
                    handler: *handler,
                    deadline,
                    index: *index,
                    count: *count,
                };
                remember(&mut self.routes, route);
            }
        }
        if out.len() == before {
            out.push(ExchangeEffect::Refuse {
                request,
                reason: self.nobody(now),
            });
        }
    }

    fn route_to_leader(
        &mut self,
        now: Instant,
        request: RequestKey,
        service_tag: &Bytes,
        deadline: Instant,
        out: &mut Vec<ExchangeEffect>,
    ) {
        let leader = self.leader().filter(|_| self.pending.is_none());
        if leader.is_none() && !self.tags.is_empty() {
            out.push(ExchangeEffect::Refuse {
                request,
                reason: NoReply::NoLeader,
            });
            return;
        }
        let in_group = |pid: Pid| {
            service_tag.is_empty() || self.tags.get(&pid).is_some_and(|t| t.as_bytes() == service_tag)
        };
        let target = leader.filter(|l| in_group(l.pid)).map(|l| (l.pid, l.epoch));
        self.route_to_one(now, request, target, deadline, out);
    }

    /// Why there is nobody: right after a failover handlers may still be on their way.
    fn nobody(&self, now: Instant) -> NoReply {
        if now < self.settle_until {
            NoReply::Settling
        } else {
            NoReply::NoResponders
        }
    }

    fn remember(&mut self, route: Route) {
        remember(&mut self.routes, route);
    }

    fn attach(&mut self, now: Instant, handler: Pid, service_tag: &str, out: &mut Vec<ExchangeEffect>) {
        if self.leaving.is_some() {
            // The next owner takes it in.
            return;
        }
        let newcomer = !self.tags.contains_key(&handler);
        if newcomer {
            if self.tags.len() >= limits::HANDLERS_PER_EXCHANGE_MAX {
                return;
            }
            self.counter.0 += 1;
            let server = Server {
                pid: handler,
                service_tag: service_tag.into(),
            };
            self.announce(&System::SlaveUp(server), out);
            self.tags.insert(handler, service_tag.into());
            self.join(Bytes::new(), handler);
            if !service_tag.is_empty() {
                self.join(Bytes::copy_from_slice(service_tag.as_bytes()), handler);
            }
            if self.leader().is_some_and(|leader| leader.pid == handler) {
                // It led before the failover: to the others it is more than one more handler.
                self.counter.0 += 1;
                self.announce(&self.snapshot(), out);
            }
        }
        out.push(ExchangeEffect::Tell {
            handler,
            counter: self.counter,
            what: self.snapshot(),
        });
        if newcomer {
            self.appoint_if_needed(now, out);
        }
    }

    fn join(&mut self, tag: Bytes, handler: Pid) {
        self.groups.entry(tag).or_default().members.push(handler);
    }

    fn detach(&mut self, now: Instant, handler: Pid, reason: DetachReason, out: &mut Vec<ExchangeEffect>) {
        if self.remove(handler) {
            self.end_grant(handler, reason);
            if self.leaving.is_some() {
                self.transfer(now, out);
                return;
            }
            if planted::is(Bug::NoSlaveDown) {
                return;
            }
            self.counter.0 += 1;
            self.announce(&System::SlaveDown { pid: handler, reason }, out);
            self.appoint_if_needed(now, out);
        }
    }

    fn node_lost(&mut self, now: Instant, node: NodeId, out: &mut Vec<ExchangeEffect>) {
        let gone: Vec<Pid> = self.tags.keys().filter(|pid| pid.node == node).copied().collect();
        for pid in &gone {
            self.remove(*pid);
        }
        let told = if self.leaving.is_some() { Vec::new() } else { gone };
        for pid in told {
            self.counter.0 += 1;
            self.announce(
                &System::SlaveDown {
                    pid,
                    reason: DetachReason::NodeLost,
                },
                out,
            );
        }
        self.leader_gone |= self
            .leader
            .is_some_and(|l| l.pid.node == node && !self.tags.contains_key(&l.pid));
        self.interrupt_routes_of(now, node, out);
        if self.leaving.is_some() {
            self.transfer(now, out);
        } else {
            self.appoint_if_needed(now, out);
        }
    }

    fn interrupt_routes_of(&mut self, now: Instant, node: NodeId, out: &mut Vec<ExchangeEffect>) {
        for route in &self.routes {
            if route.handler.node == node && route.deadline > now {
                let Route {
                    request,
                    index,
                    count,
                    ..
                } = *route;
                out.push(ExchangeEffect::Interrupt {
                    request,
                    index,
                    count,
                });
            }
        }
        self.routes.retain(|route| route.handler.node != node);
    }

    fn remove(&mut self, handler: Pid) -> bool {
        let Some(tag) = self.tags.remove(&handler) else {
            return false;
        };
        for key in [Bytes::new(), Bytes::from(tag.into_bytes())] {
            if let Some(group) = self.groups.get_mut(&key) {
                group.remove(handler);
                if group.members.is_empty() {
                    self.groups.remove(&key);
                }
            }
        }
        true
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        if let Some((_, _, sent)) = self.leaving {
            if now >= sent + self.config.settle {
                self.transfer(now, out);
            }
            return;
        }
        while self.routes.front().is_some_and(|route| route.deadline <= now) {
            self.routes.pop_front();
        }
        match self.pending {
            Some((leader, since)) if now >= since + self.config.settle => {
                self.pending = Some((leader, now));
                out.push(ExchangeEffect::Appoint { leader });
            }
            Some(_) => {}
            None => self.appoint_if_needed(now, out),
        }
    }

    fn snapshot(&self) -> System {
        let leader = self.leader();
        System::Leader {
            leader: leader.map(|l| l.pid),
            leader_epoch: leader.map_or(LeaderEpoch(0), |l| l.epoch),
            servers: self
                .tags
                .iter()
                .map(|(pid, tag)| Server {
                    pid: *pid,
                    service_tag: tag.clone(),
                })
                .collect(),
        }
    }

    fn announce(&self, what: &System, out: &mut Vec<ExchangeEffect>) {
        let nodes: BTreeSet<NodeId> = self.tags.keys().map(|pid| pid.node).collect();
        out.extend(nodes.into_iter().map(|node| ExchangeEffect::Announce {
            node,
            counter: self.counter,
            what: what.clone(),
        }));
    }
}

fn remember(routes: &mut VecDeque<Route>, route: Route) {
    if routes.len() >= limits::RECENT_ROUTES_MAX {
        routes.pop_front();
    }
    routes.push_back(route);
}

#[cfg(test)]
#[path = "exchange_test.rs"]
mod tests;
