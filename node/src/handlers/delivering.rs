//! Deliveries on their way to handlers of this node: past the fence, and into the handler's mailbox or the line before it.
//!
//! What does not live here: the line (`waiting`), and what the handler answers (`embedded`, the session).

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{NodeId, Pid};
use squall_kernel::publishing::{ONE_WAY, ONE_WAY_CONFIRMED};
use squall_kernel::reason::NoReply;

use super::{Attachment, Handlers};
use crate::process::Push;
use crate::wire::{ReturnPath, count};

impl Handlers {
    /// Takes in a delivery.
    pub(crate) fn deliver(&self, from: NodeId, mut frame: Box<Frame>) {
        let Some(attachment) = self.read().by_serial.get(&frame.to).cloned() else {
            return self.unknown(from, &frame);
        };
        let Ok(pass) = self.pass(&attachment, &frame) else {
            count(&self.context.wire.tally.fenced);
            attachment.counts().fenced();
            return self.refuse(&attachment, &frame, NoReply::Fenced);
        };
        if let Some(line) = attachment.line() {
            return self.line_up(&attachment, line, pass, frame);
        }
        if self.counts_as_full(&attachment, &mut frame) || !attachment.take_credit() {
            attachment.counts().rejected();
            attachment.process().count_dropped();
            self.given_back(&attachment, &frame);
            return self.refuse(&attachment, &frame, NoReply::Rejected);
        }
        match self.hand_over(&attachment, pass, frame) {
            Ok(confirm) => confirm
                .into_iter()
                .for_each(|confirm| self.context.wire.reply(confirm)),
            Err((frame, reason)) => {
                self.given_back(&attachment, &frame);
                self.refuse(&attachment, &frame, reason);
            }
        }
    }

    /// Gives a delivery to a handler that has room for it. What has to be confirmed is confirmed by the frame it gives; one
    /// that was not taken comes back with the reason.
    pub(super) fn hand_over(
        &self,
        attachment: &Arc<Attachment>,
        pass: Pass,
        mut frame: Box<Frame>,
    ) -> Result<Option<Frame>, (Box<Frame>, NoReply)> {
        let confirmed = (frame.count == ONE_WAY_CONFIRMED).then(|| ReturnPath::of(&frame));
        let publish = (frame.count >= ONE_WAY_CONFIRMED).then(|| (frame.exchange, RequestKey::of(&frame)));
        if confirmed.is_some() {
            frame.count = ONE_WAY;
        }
        let (mut frame, reason) = match self.give(attachment, pass, frame) {
            Ok(()) => {
                attachment.counts().accepted();
                if let Some((exchange, publish)) = publish {
                    self.handed(attachment, exchange, publish);
                }
                let confirm = |back: ReturnPath| received(back, attachment.pid());
                return Ok(confirmed.map(confirm));
            }
            Err(Push::Full(frame)) => (frame, NoReply::Rejected),
            Err(Push::Closed(frame)) => (frame, NoReply::Unreachable),
        };
        if reason == NoReply::Rejected {
            attachment.counts().rejected();
        }
        attachment.give_credit();
        if confirmed.is_some() {
            frame.count = ONE_WAY_CONFIRMED;
        }
        Err((frame, reason))
    }

    pub(super) fn refuse(&self, attachment: &Attachment, frame: &Frame, reason: NoReply) {
        self.context
            .wire
            .reply(ReturnPath::of(frame).none(attachment.pid(), reason));
    }
}

/// The confirm of a publish that one handler's node has: the first node of one, as where several nodes have subscribers.
fn received(back: ReturnPath, handler: Pid) -> Frame {
    Frame {
        index: 1,
        count: 1,
        ..back.reply(handler, Status::Reply, Bytes::new())
    }
}
