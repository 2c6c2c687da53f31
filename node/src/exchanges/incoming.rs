//! What reaches the exchanges that are owned here, from handlers and requesters on any node: to the right process, or back with
//! a reason.
//!
//! What does not live here: what the process makes of it (`run`), moves (`moving`), and copies of tasks (`replicas`).

use std::sync::atomic::Ordering;

use squall_kernel::frame::Frame;
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, NodeId, Pid, Revision};
use squall_kernel::message::{Attach, PeerMessage};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::time::Instant;

use super::Exchanges;
use super::post::Mail;
use super::tasks::{not_given_out, refused_frame};
use crate::pubsub::wants_word;
use crate::wire::{ReturnPath, lane_key};

impl Exchanges {
    /// Takes in a request for an exchange that should be owned here.
    pub(crate) fn request(&self, frame: Box<Frame>) {
        let refused = self.put(frame, Mail::Request);
        self.refuse(refused);
    }

    /// Takes in a task for an exchange that should be owned here.
    pub(crate) fn submit(&self, frame: Box<Frame>) {
        let refused = self.put(frame, Mail::Submit);
        self.refuse(refused);
    }

    /// Takes in a worker's word about a task.
    pub(crate) fn settle(&self, frame: Box<Frame>) {
        if let Some((frame, reason)) = self.put(frame, Mail::Settle) {
            let (to, key) = (frame.from.node, lane_key(frame.exchange, frame.from.serial));
            let _asked_again = self.context.wire.frame(to, key, refused_frame(&frame, reason));
        }
    }

    fn put(&self, frame: Box<Frame>, mail: fn(Box<Frame>) -> Mail) -> Option<(Box<Frame>, NoReply)> {
        match self.read().get(&frame.exchange) {
            Some(owned) => owned.put(frame, mail),
            None => Some((frame, NoReply::Moved)),
        }
    }

    /// Outside the lock: the answer may lead straight into the requester's side of this node.
    fn refuse(&self, refused: Option<(Box<Frame>, NoReply)>) {
        if let Some((frame, reason)) = refused.filter(|(frame, _)| wants_word(frame)) {
            let from = Pid {
                node: self.context.node,
                serial: 0,
            };
            self.context.wire.reply(ReturnPath::of(&frame).none(from, reason));
        }
    }

    /// A task certainly did not reach its worker.
    pub(crate) fn not_given_out(&self, node: NodeId, frame: &Frame) {
        if let Some(owned) = self.read().get(&frame.exchange) {
            let word = not_given_out(node, frame);
            owned.post.order(|orders| orders.undelivered.push(word));
        }
    }

    /// Takes in a handler. One that comes under another epoch is refused; one that finds the mailbox full comes again.
    pub(crate) fn attach(&self, from: NodeId, attach: Attach) {
        let (exchange, handler) = (attach.exchange, attach.handler);
        // Who was lost is taken in by an exchange that has been told of that: it would drop the handler afterwards.
        let told = Revision(self.told.load(Ordering::Acquire));
        let early = attach.returned.is_some_and(|lost| lost > told);
        let seen = match self.read().get(&exchange) {
            Some(owned) if owned.epoch == attach.epoch && !early => {
                let _comes_again_when_full = owned.mailbox.push(Mail::Attach(attach.into()));
                return;
            }
            owned => owned.map_or(Epoch(0), |o| o.epoch),
        };
        let refused = PeerMessage::AttachRefused {
            exchange,
            handler,
            seen,
        };
        let _comes_again_by_itself = self.context.wire.message(from, exchange, refused);
    }

    pub(crate) fn detach(&self, exchange: ExchangeId, handler: Pid, reason: DetachReason) {
        if let Some(owned) = self.read().get(&exchange) {
            // A handler that stays in the table because the mailbox was full is found out at its next delivery.
            let _found_out_later = owned.mailbox.push(Mail::Detach { handler, reason });
        }
    }

    /// A node has told of all its handlers of these exchanges. Those that do not begin here before it knows are told again.
    pub(crate) fn roll(&self, from: NodeId, exchanges: Vec<(ExchangeId, Epoch)>) {
        let early: Vec<(ExchangeId, Epoch)> = {
            let owned = self.read();
            let early = |(exchange, epoch): &(ExchangeId, Epoch)| match owned.get(exchange) {
                Some(owned) if owned.epoch == *epoch => {
                    owned.post.order(|orders| {
                        if !orders.rolled.contains(&from) {
                            orders.rolled.push(from);
                        }
                    });
                    false
                }
                owned => owned.is_none_or(|owned| owned.epoch < *epoch),
            };
            exchanges.into_iter().filter(early).collect()
        };
        if let Some((exchange, _)) = early.first().copied() {
            let refused = PeerMessage::RollRefused { exchanges: early };
            // Lost with its link; so are all promises of that node sooner or later, and its loss ends the waiting.
            let _told_or_lost = self.context.wire.message(from, exchange, refused);
        }
    }

    /// A system message to that node was lost.
    pub(crate) fn tell_again(&self, exchange: ExchangeId, node: NodeId) {
        if let Some(owned) = self.read().get(&exchange) {
            owned.post.order(|orders| {
                if !orders.tell_again.contains(&node) {
                    orders.tell_again.push(node);
                }
            });
        }
    }

    /// A leader's node asks for how long the leader may count on its leadership. Without an answer its lease runs out.
    pub(crate) fn lease_ask(
        &self,
        exchange: ExchangeId,
        epoch: Epoch,
        handler: Pid,
        leader_epoch: LeaderEpoch,
        asked_at: Instant,
    ) {
        if let Some(owned) = self.read().get(&exchange).filter(|o| o.epoch == epoch) {
            let _asked_again = owned.mailbox.push(Mail::LeaseAsk {
                handler,
                leader_epoch,
                asked_at,
            });
        }
    }
}
