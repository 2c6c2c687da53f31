//! An exchange that moves to another node: the old owner's last words, and the next owner's beginning.
//!
//! What does not live here: who decides that it moves (`core`), and the registry's part (`registry::moves`).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Exchange, ExchangeEffect, Route, remember};
use crate::id::{Epoch, NodeId};
use crate::limits::{DRIFT_PPM, HANDLERS_PER_EXCHANGE_MAX, RECENT_ROUTES_MAX};
use crate::message::{MoveState, MovedRoute, Server};
use crate::planted::{self, Bug};
use crate::time::Instant;

impl Exchange {
    /// True once it has begun to move away.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// From here on every request is refused as moved: the requester sends it to the next owner.
    pub(super) fn leave(&mut self, now: Instant, to: NodeId, epoch: Epoch, out: &mut Vec<ExchangeEffect>) {
        self.leave_wishes(now, out);
        self.leaving = Some((to, epoch, now));
        self.transfer(now, out);
    }

    /// Sent again until the registry has the next owner: a lost message costs only time.
    pub(super) fn transfer(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        if let Some((to, epoch, sent)) = &mut self.leaving {
            *sent = now;
            let (to, epoch) = (*to, *epoch);
            out.push(ExchangeEffect::Transfer {
                to,
                epoch,
                state: self.state(now),
            });
        }
    }

    fn state(&self, now: Instant) -> MoveState {
        let all = self.groups.get(&Bytes::new()).map_or(&[][..], |g| &g.members);
        let servers = all.iter().map(|pid| Server {
            pid: *pid,
            service_tag: self.servers.tag(*pid).unwrap_or_default().into(),
        });
        let turns = self.groups.iter().filter_map(|(tag, group)| {
            let tag = String::from_utf8(tag.to_vec()).ok()?;
            Some((tag, group.next()?))
        });
        let open = self.routes.iter().filter(|route| route.deadline > now);
        let routes = open.map(|route| MovedRoute {
            request: route.request,
            handler: route.handler,
            left: route.deadline.since(now),
            index: route.index,
            count: route.count,
        });
        MoveState {
            servers: servers.collect(),
            turns: turns.collect(),
            routes: if planted::is(Bug::LoseRoutesInMove) {
                Vec::new()
            } else {
                routes.collect()
            },
            granted: self.granted_until.since(now),
            holder: self.granted_to,
            bindings: if planted::is(Bug::LoseBindingsInMove) {
                Vec::new()
            } else {
                let mut all = self.bindings.all();
                all.extend(self.bindings_in_doubt());
                all
            },
            awaited: self.awaited.iter().copied().collect(),
            // The queue and the ids stand beside this machine: whoever runs them adds them.
            tasks: None,
            ids: crate::dedup::DedupState::default(),
        }
    }

    /// Takes over where the old owner stopped: handlers need not attach again, they are told the whole view.
    pub(super) fn resume(&mut self, now: Instant, state: &MoveState, out: &mut Vec<ExchangeEffect>) {
        for server in state.servers.iter().take(HANDLERS_PER_EXCHANGE_MAX) {
            if !self.servers.contains(server.pid) {
                self.add(server.pid, &server.service_tag);
            }
        }
        for (tag, next) in &state.turns {
            if let Some(group) = self.groups.get_mut(tag.as_bytes()) {
                group.turn_to(*next);
            }
        }
        for (handler, signatures) in &state.bindings {
            if self.servers.contains(*handler) {
                for signature in signatures {
                    match self.bound(*signature) {
                        None => {
                            self.bindings.bind(*signature, *handler);
                        }
                        // It was in doubt.
                        Some(_) => self.settle_doubt(now, (*signature, *handler), out),
                    }
                }
            }
        }
        self.awaited.retain(|node| state.awaited.contains(node));
        for route in state.routes.iter().take(RECENT_ROUTES_MAX) {
            let route = Route {
                request: route.request,
                handler: route.handler,
                deadline: now + route.left,
                index: route.index,
                count: route.count,
            };
            remember(&mut self.routes, route);
        }
        self.settle_until = now;
        self.granted_until = now + state.granted.lengthened(DRIFT_PPM);
        self.granted_to = state.holder;
        self.counter.0 += 1;
        self.announce(&self.snapshot(), out);
        self.appoint_if_needed(now, out);
    }
}

#[cfg(test)]
#[path = "moving_test.rs"]
mod tests;
