//! What the owner says of signatures without a delivery: claims that are not granted, and what an operator binds and takes back.
//!
//! What does not live here: signatures that come with deliveries (`told`), and who decides (the kernel's `exchange`).

use std::sync::Arc;

use squall_kernel::exchange::{Noted, Signature};
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, NodeId, Pid, Revision};
use squall_kernel::message::PeerMessage;

use super::{Attachment, Handlers};
use crate::wire::count;

impl Handlers {
    /// The handler that the owner's word is for; none when it is gone.
    fn meant(&self, exchange: ExchangeId, handler: Pid) -> Option<Arc<Attachment>> {
        let attachment = self.read().by_serial.get(&handler.serial).cloned();
        attachment.filter(|a| a.exchange() == exchange && a.pid() == handler)
    }

    /// Signatures that a handler claimed belong to others.
    pub(crate) fn unbound(&self, exchange: ExchangeId, epoch: Epoch, handler: Pid, signatures: &[Signature]) {
        let Some(attachment) = self.meant(exchange, handler) else {
            return;
        };
        let mut view = attachment.view();
        if view.fence(epoch, LeaderEpoch(0)).is_err() {
            return count(&self.context.wire.tally.fenced);
        }
        attachment.unbind(signatures);
    }

    /// The owner takes a handler in again after this node was held for lost, and says what it has.
    pub(crate) fn taken_in(
        &self,
        (exchange, epoch): (ExchangeId, Epoch),
        handler: Pid,
        returned: Revision,
        bound: &[Signature],
    ) {
        let Some(attachment) = self.meant(exchange, handler) else {
            return;
        };
        let mut view = attachment.view();
        match view.taken_in(epoch, returned) {
            Ok(true) => {
                for signature in bound {
                    let _room_or_not = attachment.remember(&view, *signature);
                }
            }
            Ok(false) => {}
            Err(_) => count(&self.context.wire.tally.fenced),
        }
        drop(view);
        self.call_roll_of(exchange);
    }

    /// Keeps or forgets a signature at the owner's word, and answers.
    pub(crate) fn binding_word(&self, from: NodeId, word: &PeerMessage) {
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
        // Lost, the owner says it again.
        let _said_again = self.context.wire.message(from, exchange, answer);
    }

    /// The fence is held while it is noted: what the next owner is told then has it.
    fn note(
        &self,
        exchange: ExchangeId,
        epoch: Epoch,
        handler: Pid,
        signature: Signature,
        keep: bool,
    ) -> Noted {
        let Some(attachment) = self.meant(exchange, handler) else {
            return Noted::Gone;
        };
        let mut view = attachment.view();
        if view.fence(epoch, LeaderEpoch(0)).is_err() {
            count(&self.context.wire.tally.fenced);
            return Noted::No;
        }
        if !keep {
            attachment.unbind(&[signature]);
            Noted::Yes
        } else if attachment.remember(&view, signature) {
            Noted::Yes
        } else {
            Noted::No
        }
    }
}
