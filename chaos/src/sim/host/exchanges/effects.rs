//! What the machine of an owned exchange wants done.

use bytes::Bytes;
use squall_kernel::exchange::{ExchangeEffect, RequestKey};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{Counter, ExchangeId, NodeId, Pid};
use squall_kernel::message::{PeerMessage, System, SystemMessage};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Command;
use squall_kernel::time::Instant;
use squall_node::wire::{LinkError, ReturnPath, lane_key};

use super::About;
use crate::history::What;
use crate::sim::host::Host;
use crate::sim::host::pubsub::wants_word;

impl Host {
    pub(super) fn carry_out_exchange(
        &mut self,
        now: Instant,
        id: ExchangeId,
        effect: ExchangeEffect,
        about: About<'_>,
    ) {
        match effect {
            ExchangeEffect::Deliver {
                handler,
                leader_epoch,
                index,
                count,
                signature,
                ..
            } => {
                let frame = about.expect("the kernel delivers only in answer to a request");
                let copy = Frame {
                    leader_epoch,
                    index,
                    count,
                    signature: signature.map_or(0, |signature| signature.value()),
                    ..frame.clone()
                };
                if frame.kind == Kind::Publish {
                    self.pass_on_to(now, id, handler, copy, frame);
                } else {
                    // Its requester has been told.
                    let _told = self.deliver(id, handler, copy);
                }
            }
            ExchangeEffect::Refuse { reason, .. } => {
                let frame = about.expect("the kernel refuses only in answer to a request");
                let epoch = self.epoch_of(id);
                let back = ReturnPath {
                    epoch,
                    ..ReturnPath::of(frame)
                };
                if wants_word(frame) {
                    self.reply(back.none(self.nobody(), reason));
                }
            }
            ExchangeEffect::Decline { reason, .. } => {
                self.answer_itself(id, about, Status::Declined, reason);
            }
            ExchangeEffect::Redirect { to, .. } => {
                self.answer_itself(id, about, Status::Redirect, to.as_str().to_owned());
            }
            ExchangeEffect::Unbind { handler, signatures } => {
                self.count("claims of signatures that others have");
                let message = PeerMessage::Unbound {
                    exchange: id,
                    epoch: self.epoch_of(id),
                    handler,
                    signatures,
                };
                let _claimed_again = self.message(handler.node, id, &message);
            }
            ExchangeEffect::TakenIn {
                handler,
                returned,
                signatures,
            } => self.send_taken_in(id, handler, returned, signatures),
            ExchangeEffect::Word {
                handler,
                signature,
                keep,
                number,
            } => self.send_word(id, handler, signature, keep, number),
            // Nobody waits here for what was wished.
            ExchangeEffect::Answer { .. } => self.count("wishes about bindings that were answered"),
            ExchangeEffect::Interrupt {
                request,
                index,
                count,
            } => self.interrupt_copy(id, request, (index, count)),
            ExchangeEffect::Appoint { leader } => {
                let command = Command::AppointLeader {
                    exchange: id,
                    epoch: self.epoch_of(id),
                    leader,
                };
                self.propose(now, command, false);
            }
            ExchangeEffect::Transfer { to, epoch, state } => self.send_state(now, to, (id, epoch), state),
            ExchangeEffect::GrantLease {
                handler,
                leader_epoch,
                asked_at,
                remaining,
            } => self.grant_lease(id, (handler, leader_epoch), asked_at, remaining),
            ExchangeEffect::Tell {
                handler,
                counter,
                what,
            } => {
                let message = self.system(id, counter, what);
                self.tell_handlers(now, handler.node, Some(handler), message);
            }
            ExchangeEffect::Announce { node, counter, what } => {
                let message = self.system(id, counter, what);
                self.tell_handlers(now, node, None, message);
            }
        }
    }

    /// An answer of the exchange itself, before the request went to any handler.
    fn answer_itself(&mut self, id: ExchangeId, about: About<'_>, status: Status, payload: String) {
        let frame = about.expect("the kernel declines only in answer to a request");
        let back = ReturnPath {
            epoch: self.epoch_of(id),
            ..ReturnPath::of(frame)
        };
        if wants_word(frame) {
            self.reply(back.reply(self.nobody(), status, Bytes::from(payload)));
        }
    }

    pub(super) fn system(&self, exchange: ExchangeId, counter: Counter, what: System) -> SystemMessage {
        SystemMessage {
            exchange,
            epoch: self.epoch_of(exchange),
            counter,
            what,
        }
    }

    /// A message that is lost leaves a gap in that node's view: it is told again, until it is told or lost.
    pub(super) fn tell_handlers(
        &mut self,
        now: Instant,
        node: NodeId,
        to: Option<Pid>,
        message: SystemMessage,
    ) {
        let exchange = message.exchange;
        if self
            .message(node, exchange, &PeerMessage::System { to, message })
            .is_err()
        {
            self.missed_by(now, exchange, node);
        }
    }

    /// The requester is told when it cannot be sent, and so is the caller.
    pub(super) fn deliver(&mut self, id: ExchangeId, handler: Pid, copy: Frame) -> Result<(), LinkError> {
        let frame = Frame {
            kind: Kind::Deliver,
            epoch: self.epoch_of(id),
            to: handler.serial,
            from: self.nobody(),
            left_ms: copy.left_ms.max(1),
            ..copy
        };
        let request = RequestKey {
            origin: frame.origin,
            message: Self::request_of(&frame),
        };
        let (epoch, back) = (frame.epoch, ReturnPath::of(&frame));
        let service_tag = String::from_utf8_lossy(&frame.tags.service).into_owned();
        self.event(What::Routed {
            request,
            exchange: id,
            epoch,
            service_tag,
            handler,
        });
        let sent = self.send(handler.node, lane_key(id, handler.serial), frame);
        if let Err(error) = &sent {
            self.reply(back.none(self.nobody(), error.reason()));
        }
        sent
    }

    pub(super) fn interrupt_copy(&mut self, id: ExchangeId, request: RequestKey, (index, count): (u32, u32)) {
        let empty = Frame {
            exchange: id,
            epoch: self.epoch_of(id),
            origin: request.origin,
            message: request.message,
            index,
            count,
            ..Frame::new(Kind::Reply)
        };
        self.reply(ReturnPath::of(&empty).none(self.nobody(), NoReply::Interrupted));
    }
}
