//! What the owner says of signatures without a delivery: bindings by an operator's hand, and what a handler has that comes back.
//! As `squall_node` does it.

use squall_kernel::exchange::{ExchangeInput, Noted, Signature};
use squall_kernel::frame::Frame;
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, NodeId, Pid, Revision};
use squall_kernel::message::{self, PeerMessage};
use squall_kernel::time::Instant;
use squall_node::wire::lane_key;

use crate::sim::host::Host;

impl Host {
    /// With the deliveries to that handler, in their order. What is lost is said again.
    fn send_behind_deliveries(&mut self, exchange: ExchangeId, handler: Pid, word: &PeerMessage) {
        let frame = Frame {
            exchange,
            ..message::control(word)
        };
        let _said_again = self.send(handler.node, lane_key(exchange, handler.serial), frame);
    }

    pub(in crate::sim::host) fn send_word(
        &mut self,
        exchange: ExchangeId,
        handler: Pid,
        signature: Signature,
        keep: bool,
        number: u64,
    ) {
        let word = PeerMessage::BindingWord {
            exchange,
            epoch: self.epoch_of(exchange),
            handler,
            signature,
            keep,
            number,
        };
        self.send_behind_deliveries(exchange, handler, &word);
    }

    pub(in crate::sim::host) fn send_taken_in(
        &mut self,
        exchange: ExchangeId,
        handler: Pid,
        returned: Revision,
        bound: Vec<Signature>,
    ) {
        let word = PeerMessage::TakenIn {
            exchange,
            epoch: self.epoch_of(exchange),
            handler,
            returned,
            bound,
        };
        self.send_behind_deliveries(exchange, handler, &word);
    }

    pub(in crate::sim::host) fn taken_in(
        &mut self,
        now: Instant,
        (exchange, epoch): (ExchangeId, Epoch),
        handler: Pid,
        returned: Revision,
        bound: &[Signature],
    ) {
        let mine = self.pid(handler.serial) == handler;
        let attachment = self.handlers.by_serial.get_mut(&handler.serial);
        let Some(attachment) = attachment.filter(|a| mine && a.exchange == exchange) else {
            return;
        };
        match attachment.view.taken_in(epoch, returned) {
            Ok(true) => attachment.bound.extend(bound),
            Ok(false) => {}
            Err(_) => self.count("system messages fenced"),
        }
        self.call_roll_of(now, exchange);
    }

    pub(in crate::sim::host) fn binding_word(&mut self, from: NodeId, word: &PeerMessage) {
        let PeerMessage::BindingWord {
            exchange,
            epoch,
            handler,
            signature,
            keep,
            number,
        } = *word
        else {
            return;
        };
        let answer = PeerMessage::BindingNoted {
            exchange,
            epoch,
            handler,
            signature,
            number,
            noted: self.note(exchange, epoch, handler, signature, keep),
        };
        let _said_again = self.message(from, exchange, &answer);
    }

    fn note(
        &mut self,
        exchange: ExchangeId,
        epoch: Epoch,
        handler: Pid,
        signature: Signature,
        keep: bool,
    ) -> Noted {
        let attachment = self.handlers.by_serial.get_mut(&handler.serial);
        let Some(attachment) = attachment.filter(|a| a.exchange == exchange) else {
            return Noted::Gone;
        };
        if attachment.view.fence(epoch, LeaderEpoch(0)).is_err() {
            return Noted::No;
        }
        if !keep {
            attachment.bound.remove(&signature);
        } else if attachment.view.returned().is_some() {
            return Noted::No;
        } else {
            attachment.bound.insert(signature);
        }
        Noted::Yes
    }

    pub(in crate::sim::host) fn binding_noted(&mut self, now: Instant, answer: &PeerMessage) {
        let PeerMessage::BindingNoted {
            exchange,
            epoch,
            handler,
            signature,
            number,
            noted,
        } = *answer
        else {
            return;
        };
        if self.owned.contains_key(&exchange) && self.epoch_of(exchange) == epoch {
            let input = ExchangeInput::Noted {
                handler,
                signature,
                number,
                noted,
            };
            self.step_exchange(now, exchange, &input, None);
        }
    }
}
