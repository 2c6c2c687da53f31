//! Handlers that are gone, and that an owner still counts: what it was told was lost with a link, or stayed behind when the
//! exchange moved. Whenever it speaks of one to this node, it is told again.
//!
//! What does not live here: handlers whose node is lost; the registry tells of those.

use squall_kernel::frame::Frame;
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::message::{PeerMessage, SystemMessage};
use squall_kernel::reason::{DetachReason, NoReply};

use super::Handlers;
use crate::wire::ReturnPath;

impl Handlers {
    /// A delivery to a handler that is gone.
    pub(super) fn unknown(&self, from: NodeId, frame: &Frame) {
        let handler = Pid {
            node: self.context.node,
            serial: frame.to,
        };
        self.deny(from, frame.exchange, handler);
        self.context
            .wire
            .reply(ReturnPath::of(frame).none(handler, NoReply::Unreachable));
    }

    /// The next owner of an exchange tells all that it took over who serves.
    pub(super) fn deny_ghosts(&self, from: NodeId, message: &SystemMessage) {
        let (node, boot) = (self.context.node, self.context.boot);
        let mine = message
            .what
            .serving()
            .filter(|pid| pid.node == node && pid.boot() == boot);
        let ghosts: Vec<Pid> = {
            let all = self.read();
            mine.filter(|pid| !all.by_serial.contains_key(&pid.serial))
                .collect()
        };
        for handler in ghosts {
            self.deny(from, message.exchange, handler);
        }
    }

    pub(super) fn deny(&self, owner: NodeId, exchange: ExchangeId, handler: Pid) {
        let message = PeerMessage::Detach {
            exchange,
            handler,
            reason: DetachReason::ClientGone,
        };
        let _told_again_at_the_next_word = self.context.wire.message(owner, exchange, message);
    }
}
