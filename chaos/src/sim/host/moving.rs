//! Exchanges that move: handing one off, and taking one in; and nodes that are not reached. As `squall_node::exchanges::moving`
//! and `squall_node::data` do it.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::exchange::ExchangeInput;
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, NodeId, Pid};
use squall_kernel::message::{MoveState, Parts, PeerMessage};
use squall_kernel::registry::{Command, ExchangeRecord, NodeRecord};
use squall_kernel::time::{Instant, Span};

use super::Host;
use super::exchanges::has_ended;
use crate::history::{Mark, What};

impl Host {
    /// Stops accepting, and sends what is known to the next owner until the registry has it.
    pub(super) fn hand_off(&mut self, now: Instant, exchange: ExchangeId, to: NodeId, epoch: Epoch) {
        self.leave_exchange(exchange);
        self.leave_tasks(now, exchange);
        self.step_exchange(now, exchange, &ExchangeInput::Leave { to, epoch }, None);
    }

    pub(super) fn send_state(
        &mut self,
        now: Instant,
        to: NodeId,
        (exchange, epoch): (ExchangeId, Epoch),
        mut state: MoveState,
    ) {
        let owned = self.owned.get(&exchange);
        let owned_under = owned.map_or(Epoch(0), |owned| owned.epoch());
        let tasks = owned.and_then(|owned| owned.tasks.as_ref());
        state.tasks = tasks.and_then(|tasks| tasks.left.clone());
        state.ids = self.known_ids(now, exchange);
        self.departing.insert(exchange, (owned_under, state.clone()));
        if state.is_large() {
            return self.send_parts(to, exchange, epoch, &Parts::of(&state));
        }
        let message = PeerMessage::MoveState {
            exchange,
            epoch,
            state,
        };
        let _sent_again = self.message(to, exchange, &message);
    }

    /// Takes in the state of an exchange that moves here. Once the registry has noted it, the exchange opens.
    pub(super) fn move_in(&mut self, now: Instant, exchange: ExchangeId, epoch: Epoch, state: MoveState) {
        let registry = &self.registry;
        if !self.is_member() || registry.exchanges.get(&exchange).is_none_or(|e| e.epoch >= epoch) {
            // A run that has not joined yet takes nothing: it would be gone with the run before it.
            return;
        }
        self.arriving
            .retain(|id, (e, _)| registry.exchanges.get(id).is_some_and(|r| r.epoch < *e));
        if self.arriving.get(&exchange).is_some_and(|(e, _)| *e > epoch) {
            return;
        }
        let owned = Command::Owned {
            exchange,
            epoch,
            to: self.id(),
            doubled: state.tasks.as_ref().is_some_and(|tasks| tasks.doubled),
        };
        self.arriving.insert(exchange, (epoch, state));
        self.propose(now, owned, false);
    }

    /// True while the registry holds this run for up.
    pub(super) fn is_member(&self) -> bool {
        let me = self.registry.nodes.get(&self.config.me.id);
        me.is_some_and(|me| me.is_up() && me.boot == self.config.me.boot)
    }

    /// What does not arrive is sent again, with all other parts.
    fn send_parts(&mut self, to: NodeId, exchange: ExchangeId, epoch: Epoch, parts: &Parts) {
        let mut parts = parts.clone();
        for _ in 0..parts.count() {
            let Some(message) = parts.next(exchange, epoch) else {
                return;
            };
            if self.message(to, exchange, &message).is_err() {
                return;
            }
            parts.sent();
        }
    }

    /// The state that came for an exchange which begins here under the record's epoch.
    pub(super) fn state_for(&mut self, record: &ExchangeRecord) -> Option<MoveState> {
        let left = self.departing.remove(&record.id);
        let left = left.filter(|(epoch, _)| record.is_still_of(*epoch));
        let Some((epoch, state)) = self.arriving.remove(&record.id) else {
            return left.map(|(_, state)| state);
        };
        if epoch != record.epoch {
            return None;
        }
        self.event(What::Mark(Mark::MoveDone));
        Some(state)
    }

    /// The exchange goes on where the old owner stopped.
    pub(super) fn resume(&mut self, now: Instant, exchange: ExchangeId, state: MoveState) {
        // Nodes may have been lost while the state was under way.
        let handlers = state.servers.iter().map(|s| s.pid);
        let all = handlers.chain(state.routes.iter().map(|r| r.handler));
        let gone: BTreeSet<NodeId> = all
            .filter(|pid| has_ended(&self.registry, *pid))
            .map(|pid| pid.node)
            .collect();
        let there: BTreeMap<Pid, String> = state
            .servers
            .iter()
            .map(|s| (s.pid, s.service_tag.clone()))
            .collect();
        self.absorb_ids(now, exchange, &state.ids);
        self.adopt(exchange, there);
        self.step_exchange(now, exchange, &ExchangeInput::Resume { state }, None);
        for node in gone {
            let first_run = self.registry.nodes.get(&node).map(NodeRecord::first_run);
            self.exchange_lost_node(now, exchange, node, first_run);
        }
    }

    pub(super) fn lease_asked(
        &mut self,
        now: Instant,
        (exchange, epoch): (ExchangeId, Epoch),
        (handler, leader_epoch): (Pid, LeaderEpoch),
        asked_at: Instant,
    ) {
        if self
            .owned
            .get(&exchange)
            .is_some_and(|owned| owned.epoch() == epoch)
        {
            let input = ExchangeInput::LeaseAsk {
                handler,
                leader_epoch,
                asked_at,
                lease_until: self.lease_until,
            };
            self.step_exchange(now, exchange, &input, None);
        }
    }

    pub(super) fn grant_lease(
        &mut self,
        exchange: ExchangeId,
        (handler, leader_epoch): (Pid, LeaderEpoch),
        asked_at: Instant,
        remaining: Span,
    ) {
        let message = PeerMessage::LeaderLease {
            exchange,
            epoch: self
                .owned
                .get(&exchange)
                .map_or(Epoch(0), super::exchanges::Owned::epoch),
            handler,
            leader_epoch,
            asked_at,
            remaining,
        };
        // A lease that is not sent runs out, which is safe.
        let _runs_out = self.message(handler.node, exchange, &message);
    }

    /// Requests do not wait on a link that swallows them.
    pub(super) fn reach(&mut self, now: Instant, node: NodeId, reachable: bool) {
        if reachable {
            self.swallowing.remove(&node);
            self.look_around(now, Some(node));
        } else {
            self.count("nodes not reached");
            self.swallowing.insert(node);
            self.look_around(now, None);
            self.interrupt_requests_at(now, node);
        }
    }
}
