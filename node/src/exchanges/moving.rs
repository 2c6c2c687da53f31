//! Exchanges that move: handing one off, and taking one in.
//!
//! What does not live here: what travels (the kernel's `Exchange`), and who decides that it moves (`control`).

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use squall_kernel::id::{Epoch, ExchangeId, NodeId};
use squall_kernel::limits::MOVES_AT_ONCE_MAX;
use squall_kernel::message::{MoveState, PeerMessage, Whole};
use squall_kernel::registry::{Command, ExchangeRecord, Registry};

use super::Exchanges;

/// States that wait for the registry: what moves by itself, and as many that operators move.
const ARRIVING_MAX: usize = 4 * MOVES_AT_ONCE_MAX;

impl Exchanges {
    /// Stops accepting, and sends what is known to the next owner until the registry has it.
    pub(crate) fn hand_off(&self, exchange: ExchangeId, to: NodeId, epoch: Epoch) {
        if let Some(owned) = self.read().get(&exchange) {
            owned.post.order(|orders| orders.leave = Some((to, epoch)));
        }
    }

    /// Takes in the state of an exchange that moves here: the old owner has stopped. Once the registry has noted it, the
    /// exchange opens. A state that comes again is proposed again, for the first proposal may have been lost.
    pub(crate) fn move_in(&self, exchange: ExchangeId, epoch: Epoch, state: MoveState) {
        let owned = {
            let registry = self.context.registry();
            let over = |e: &ExchangeRecord| e.epoch >= epoch;
            if registry.exchanges.get(&exchange).is_none_or(over) || !self.is_member(&registry) {
                return;
            }
            let mut arriving = self.arriving();
            arriving.retain(|id, (e, _)| registry.exchanges.get(id).is_some_and(|r| r.epoch < *e));
            let newer = arriving.get(&exchange).is_none_or(|(e, _)| *e <= epoch);
            if !newer || (arriving.len() >= ARRIVING_MAX && !arriving.contains_key(&exchange)) {
                return;
            }
            let owned = Command::Owned {
                exchange,
                epoch,
                to: self.context.node,
                doubled: state.tasks.as_ref().is_some_and(|tasks| tasks.doubled),
            };
            arriving.insert(exchange, (epoch, state));
            owned
        };
        if self.wanted.try_send(owned).is_err() {
            tracing::debug!(%exchange, "the end of a move is not proposed now; the state comes again");
        }
    }

    /// True while the registry holds this run of the node for up. What a run takes that has not joined yet is gone with the
    /// run before it, whose end the registry has still to tell.
    pub(super) fn is_member(&self, registry: &Registry) -> bool {
        let me = registry.nodes.get(&self.context.node);
        me.is_some_and(|me| me.is_up() && me.boot == self.context.boot)
    }

    /// Takes in a part of a state. Bounded by the moves to this node, as states are.
    pub(crate) fn move_part(&self, message: PeerMessage) {
        let PeerMessage::MovePart {
            exchange,
            epoch,
            sum,
            part,
            parts,
            bytes,
        } = message
        else {
            return;
        };
        let state = {
            let registry = self.context.registry();
            let mut all = self.in_parts.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|id, (e, _)| registry.exchanges.get(id).is_some_and(|r| r.epoch < *e));
            let late = registry.exchanges.get(&exchange).is_none_or(|r| r.epoch >= epoch);
            if late || (all.len() >= ARRIVING_MAX && !all.contains_key(&exchange)) {
                return;
            }
            let (known, whole) = all.entry(exchange).or_default();
            if *known != epoch {
                (*known, *whole) = (epoch, Whole::default());
            }
            whole.take(sum, part, parts, bytes)
        };
        if let Some(state) = state {
            self.move_in(exchange, epoch, state);
        }
    }

    /// The state that came for an exchange which begins here under the record's epoch.
    pub(super) fn arrived(&self, record: &ExchangeRecord) -> Option<MoveState> {
        let (epoch, state) = self.arriving().remove(&record.id)?;
        (epoch == record.epoch).then_some(state)
    }

    fn arriving(&self) -> MutexGuard<'_, HashMap<ExchangeId, (Epoch, MoveState)>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
