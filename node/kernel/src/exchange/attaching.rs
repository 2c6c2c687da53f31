//! Handlers that come and go, and what the others are told of it.
//!
//! What does not live here: who leads then (`leading`), and whom requests go to (`routing`).

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Exchange, ExchangeEffect, Route, Signature};
use crate::id::{LeaderEpoch, NodeId, Pid};
use crate::limits;
use crate::message::{Server, System};
use crate::planted::{self, Bug};
use crate::reason::DetachReason;
use crate::time::Instant;

impl Exchange {
    pub(super) fn attach(
        &mut self,
        now: Instant,
        handler: Pid,
        service_tag: &str,
        bound: &[Signature],
        out: &mut Vec<ExchangeEffect>,
    ) {
        if self.leaving.is_some() {
            // The next owner takes it in.
            return;
        }
        let newcomer = !self.servers.contains(handler);
        if newcomer {
            if self.servers.len() >= limits::HANDLERS_PER_EXCHANGE_MAX {
                return;
            }
            self.counter.0 += 1;
            let server = Server {
                pid: handler,
                service_tag: service_tag.into(),
            };
            self.announce(&System::SlaveUp(server), out);
            self.add(handler, service_tag);
            if self.leader().is_some_and(|leader| leader.pid == handler) {
                // It led before the failover: to the others it is more than one more handler.
                self.counter.0 += 1;
                self.announce(&self.snapshot(), out);
            }
        }
        // Before it is confirmed: should this be lost, so is the confirmation, and it comes again with its claims.
        self.claim(handler, newcomer, bound, out);
        out.push(ExchangeEffect::Tell {
            handler,
            counter: self.counter,
            what: self.snapshot(),
        });
        if newcomer {
            self.appoint_if_needed(now, out);
        }
    }

    /// Takes a handler in that is none of them yet.
    pub(super) fn add(&mut self, handler: Pid, service_tag: &str) {
        self.servers.insert(handler, service_tag);
        *self.nodes.entry(handler.node).or_default() += 1;
        self.join(Bytes::new(), handler);
        if !service_tag.is_empty() {
            self.join(Bytes::copy_from_slice(service_tag.as_bytes()), handler);
        }
    }

    fn join(&mut self, tag: Bytes, handler: Pid) {
        self.groups.entry(tag).or_default().members.push(handler);
    }

    pub(super) fn detach(
        &mut self,
        now: Instant,
        handler: Pid,
        reason: DetachReason,
        out: &mut Vec<ExchangeEffect>,
    ) {
        if self.remove(handler) {
            self.end_grant(handler, reason);
            self.wishes_without(now, &[handler], out);
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

    pub(super) fn node_lost(&mut self, now: Instant, node: NodeId, out: &mut Vec<ExchangeEffect>) {
        let gone: Vec<Pid> = self.servers.pids().filter(|pid| pid.node == node).collect();
        for pid in &gone {
            self.remove(*pid);
        }
        self.wishes_without(now, &gone, out);
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
            .is_some_and(|l| l.pid.node == node && !self.servers.contains(l.pid));
        self.interrupt_routes_of(now, node, out);
        self.answered(now, node);
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
        let Some(tag) = self.servers.remove(handler) else {
            return false;
        };
        if let Some(left) = self.nodes.get_mut(&handler.node) {
            *left -= 1;
            if *left == 0 {
                self.nodes.remove(&handler.node);
            }
        }
        self.bindings.release(handler);
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

    /// The whole picture at the current [`counter`](Self::counter): who leads and who serves. While the exchange is leaving,
    /// what changes is not counted any more: nobody is told of it.
    #[must_use]
    pub fn snapshot(&self) -> System {
        let leader = self.leader();
        System::Leader {
            leader: leader.map(|l| l.pid),
            leader_epoch: leader.map_or(LeaderEpoch(0), |l| l.epoch),
            servers: self.servers.clone(),
        }
    }

    pub(super) fn announce(&self, what: &System, out: &mut Vec<ExchangeEffect>) {
        out.extend(self.nodes.keys().map(|node| ExchangeEffect::Announce {
            node: *node,
            counter: self.counter,
            what: what.clone(),
        }));
    }
}
