//! One exchange on its owner's node: who is attached, who leads, where a request goes. A pure state machine, one per
//! (exchange, epoch), stepped by the exchange's process.
//!
//! What does not live here: the requester's side (deadlines, retries, outcomes), mailboxes, and the owner's right to
//! act, which comes in with each request as `lease_until`.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{Counter, Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use crate::limits;
use crate::message::{Server, System};
use crate::reason::{DetachReason, NoReply};
use crate::registry::{LeaderRecord, Strategy};
use crate::time::{Instant, Span};

/// A request's identity: the requester's node and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// Node of the requester.
    pub origin: NodeId,
    /// Number at that node.
    pub message: MessageId,
}

/// What an exchange starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeConfig {
    /// Number.
    pub id: ExchangeId,
    /// Strategy.
    pub strategy: Strategy,
    /// Epoch of this ownership.
    pub epoch: Epoch,
    /// Leader the registry holds.
    pub leader: Option<LeaderRecord>,
    /// The run of the node that this leader lived on has ended: it will not attach again.
    pub leader_gone: bool,
    /// After a failover, how long handlers have to attach again before the exchange takes the rest for gone.
    pub settle: Span,
}

/// What happens to an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeInput {
    /// A handler attaches, or asks for a fresh snapshot by attaching again.
    Attach {
        /// Handler.
        handler: Pid,
        /// Group.
        service_tag: String,
    },
    /// A handler detaches.
    Detach {
        /// Handler.
        handler: Pid,
        /// Why.
        reason: DetachReason,
    },
    /// The registry declared a node lost.
    NodeLost {
        /// Node.
        node: NodeId,
    },
    /// The registry's leader for this exchange.
    LeaderCommitted {
        /// Leader, if there is one.
        leader: Option<LeaderRecord>,
    },
    /// A request to route.
    Request {
        /// Its identity.
        request: RequestKey,
        /// Epoch under which the requester sent it.
        epoch: Epoch,
        /// Wanted group; empty means all handlers.
        service_tag: Bytes,
        /// When it times out.
        deadline: Instant,
        /// Until when the owner may act.
        lease_until: Instant,
    },
    /// Time has passed.
    Tick,
}

/// What an exchange wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeEffect {
    /// Deliver the request to a handler.
    Deliver {
        /// Request.
        request: RequestKey,
        /// Handler.
        handler: Pid,
        /// Epoch of the leader it goes to; 0 where the strategy has none.
        leader_epoch: LeaderEpoch,
        /// Number of this copy, from 1.
        index: u32,
        /// Copies delivered.
        count: u32,
    },
    /// End the request without delivering it.
    Refuse {
        /// Request.
        request: RequestKey,
        /// Why.
        reason: NoReply,
    },
    /// Tell the requester that a handler that had its request is gone. It ignores this if the handler had replied.
    Interrupt {
        /// Request.
        request: RequestKey,
        /// Number of the copy.
        index: u32,
        /// Copies delivered.
        count: u32,
    },
    /// Propose the leader to the registry.
    Appoint {
        /// Handler, or nobody.
        leader: Option<Pid>,
    },
    /// Tell one handler.
    Tell {
        /// Handler.
        handler: Pid,
        /// Counter.
        counter: Counter,
        /// Message.
        what: System,
    },
    /// Tell all handlers of this exchange on a node.
    Announce {
        /// Node.
        node: NodeId,
        /// Counter.
        counter: Counter,
        /// Message.
        what: System,
    },
}

/// A route that the owner remembers.
#[derive(Debug, Clone, Copy)]
struct Route {
    request: RequestKey,
    handler: Pid,
    deadline: Instant,
    index: u32,
    count: u32,
}

/// Handlers with one service tag (or all, under the empty tag), in the order they attached.
#[derive(Debug, Clone, Default)]
struct Group {
    members: Vec<Pid>,
    /// Place of the next one in turn.
    cursor: usize,
}

impl Group {
    fn take_turn(&mut self) -> Option<Pid> {
        let pid = *self.members.get(self.cursor).or_else(|| self.members.first())?;
        self.cursor = if self.cursor + 1 >= self.members.len() {
            0
        } else {
            self.cursor + 1
        };
        Some(pid)
    }

    /// Keeps the turn with whoever would have been next.
    fn remove(&mut self, pid: Pid) {
        if let Some(place) = self.members.iter().position(|p| *p == pid) {
            self.members.remove(place);
            if place < self.cursor {
                self.cursor -= 1;
            }
            if self.cursor >= self.members.len() {
                self.cursor = 0;
            }
        }
    }
}

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
                Ok(()) => self.route(now, *request, service_tag, *deadline, out),
                Err(reason) => out.push(ExchangeEffect::Refuse {
                    request: *request,
                    reason,
                }),
            },
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
        let settling =
            (self.config.strategy.has_leader() && self.leader().is_none() && self.pending.is_none())
                .then_some(self.settle_until);
        self.pending
            .map(|(_, since)| since + self.config.settle)
            .or(settling.filter(|_| !self.tags.is_empty()))
    }

    fn admit(&self, now: Instant, epoch: Epoch, lease_until: Instant) -> Result<(), NoReply> {
        if epoch > self.config.epoch {
            Err(NoReply::Moved)
        } else if epoch < self.config.epoch {
            Err(NoReply::Fenced)
        } else if now >= lease_until {
            Err(NoReply::NoQuorum)
        } else {
            Ok(())
        }
    }

    fn route(
        &mut self,
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
        for pid in gone {
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
        self.appoint_if_needed(now, out);
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

    /// A leader is wanted when none is attached. The registry's leader gets until the end of the settling time to
    /// attach again; after that the longest attached handler is appointed.
    fn appoint_if_needed(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        if !self.config.strategy.has_leader() || self.leader().is_some() {
            return;
        }
        let known =
            self.leader.is_some() && !self.leader_gone && now < self.settle_until && !self.tags.is_empty();
        let wanted = self
            .groups
            .get(&Bytes::new())
            .and_then(|all| all.members.first())
            .copied();
        let committed = self.leader.map(|l| l.pid);
        if known
            || self.pending.is_some_and(|(p, _)| p == wanted)
            || (wanted == committed && self.pending.is_none())
        {
            return;
        }
        self.pending = Some((wanted, now));
        out.push(ExchangeEffect::Appoint { leader: wanted });
    }

    fn leader_committed(
        &mut self,
        now: Instant,
        leader: Option<LeaderRecord>,
        out: &mut Vec<ExchangeEffect>,
    ) {
        if leader == self.leader && self.pending.is_none() {
            return;
        }
        let changed = leader != self.leader;
        self.leader = leader;
        self.leader_gone &= !changed;
        if self
            .pending
            .is_some_and(|(wanted, _)| wanted == leader.map(|l| l.pid))
        {
            self.pending = None;
        }
        if changed {
            self.counter.0 += 1;
            self.announce(&self.snapshot(), out);
        }
        self.appoint_if_needed(now, out);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
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

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.message)
    }
}

impl fmt::Display for ExchangeEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver {
                request,
                handler,
                leader_epoch,
                index,
                count,
            } => {
                write!(
                    f,
                    "deliver {request} to {handler} leader-epoch {leader_epoch} copy {index}/{count}"
                )
            }
            Self::Refuse { request, reason } => write!(f, "refuse {request}: {reason}"),
            Self::Interrupt {
                request,
                index,
                count,
            } => write!(f, "interrupt {request} copy {index}/{count}"),
            Self::Appoint { leader: Some(pid) } => write!(f, "appoint {pid}"),
            Self::Appoint { leader: None } => write!(f, "appoint nobody"),
            Self::Tell { handler, counter, .. } => write!(f, "tell {handler} counter {counter}"),
            Self::Announce { node, counter, .. } => write!(f, "announce to {node} counter {counter}"),
        }
    }
}

#[cfg(test)]
#[path = "exchange_test.rs"]
mod tests;
