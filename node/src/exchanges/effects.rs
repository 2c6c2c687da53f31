//! What the machine of an owned exchange wants done.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use squall_kernel::exchange::{ExchangeEffect, RequestKey};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{Counter, Epoch, ExchangeId, NodeId, Pid};
use squall_kernel::message::{MoveState, Parts, PeerMessage, System, SystemMessage};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Command;
use squall_kernel::time::Span;

use super::run::Running;
use crate::data::DataContext;
use crate::pubsub::wants_word;
use crate::spans;
use crate::wire::{LinkError, ReturnPath, lane_key};

/// The request that a step is about, and how long it has waited; gone when it went on to the one handler that gets it.
pub(super) type About = Option<(Box<Frame>, Span)>;

impl Running {
    pub(super) fn carry_out(&mut self, effect: ExchangeEffect, about: &mut About) {
        match effect {
            ExchangeEffect::Deliver {
                handler,
                leader_epoch,
                index,
                count,
                signature,
                ..
            } => {
                let (frame, waited) = asked(about);
                let publish = frame.kind == Kind::Publish;
                let waited = *waited;
                let mut copy = if count > 1 || publish {
                    frame.clone()
                } else {
                    about.take().expect("looked at above").0
                };
                (copy.leader_epoch, copy.index, copy.count) = (leader_epoch, index, count);
                copy.signature = signature.map_or(0, |signature| signature.value());
                if publish {
                    self.pass_on(handler, copy, &asked(about).0, waited);
                } else {
                    // Its requester has been told.
                    let _told = self.deliver(handler, copy, waited);
                }
            }
            ExchangeEffect::Refuse { reason, .. } => self.refuse(&asked(about).0, reason),
            ExchangeEffect::Decline { reason, .. } => {
                self.post.refused.fetch_add(1, Ordering::Relaxed);
                self.answer(&asked(about).0, Status::Declined, reason);
            }
            ExchangeEffect::Redirect { to, .. } => {
                self.answer(&asked(about).0, Status::Redirect, to.as_str().to_owned());
            }
            ExchangeEffect::Interrupt {
                request,
                index,
                count,
            } => self.interrupt(request, index, count),
            ExchangeEffect::Appoint { leader } => self.appoint(leader),
            ExchangeEffect::Transfer { to, epoch, state } => self.transfer(to, epoch, state),
            ExchangeEffect::GrantLease {
                handler,
                leader_epoch,
                asked_at,
                remaining,
            } => {
                let message = PeerMessage::LeaderLease {
                    exchange: self.id,
                    epoch: self.core.epoch(),
                    handler,
                    leader_epoch,
                    asked_at,
                    remaining,
                };
                // A lease that is not sent runs out, which is safe.
                let _runs_out = self.context.wire.message(handler.node, self.id, message);
            }
            ExchangeEffect::Unbind { handler, signatures } => {
                let message = PeerMessage::Unbound {
                    exchange: self.id,
                    epoch: self.core.epoch(),
                    handler,
                    signatures,
                };
                // Lost, so is the confirmation behind it: the handler attaches again, with the same claims.
                let _claimed_again = self.context.wire.message(handler.node, self.id, message);
            }
            ExchangeEffect::TakenIn {
                handler,
                returned,
                signatures,
            } => {
                let message = PeerMessage::TakenIn {
                    exchange: self.id,
                    epoch: self.core.epoch(),
                    handler,
                    returned,
                    bound: signatures,
                };
                // Lost, the handler is not confirmed there: it attaches again.
                let wire = &self.context.wire;
                let _said_again = wire.message_behind_deliveries(handler, self.id, message);
            }
            ExchangeEffect::Word {
                handler,
                signature,
                keep,
                number,
            } => {
                let message = PeerMessage::BindingWord {
                    exchange: self.id,
                    epoch: self.core.epoch(),
                    handler,
                    signature,
                    keep,
                    number,
                };
                let wire = &self.context.wire;
                let _said_again = wire.message_behind_deliveries(handler, self.id, message);
            }
            ExchangeEffect::Answer { asked, answer } => self.answer_wish(asked, answer),
            // That is the whole picture, and it gets the one of when it is sent.
            ExchangeEffect::Tell { handler, .. } => self.tell_whole(handler),
            ExchangeEffect::Announce { node, counter, what } => {
                self.announce(node, self.system(counter, what));
            }
        }
    }

    pub(super) fn system(&self, counter: Counter, what: System) -> SystemMessage {
        SystemMessage {
            exchange: self.id,
            epoch: self.core.epoch(),
            counter,
            what,
        }
    }

    fn appoint(&self, leader: Option<Pid>) {
        let wanted = Command::AppointLeader {
            exchange: self.id,
            epoch: self.core.epoch(),
            leader,
        };
        if self.wanted.try_send(wanted).is_err() {
            tracing::warn!(exchange = %self.name, "appointment not taken; it is proposed again");
        }
    }

    fn transfer(&mut self, to: NodeId, epoch: Epoch, mut state: MoveState) {
        if let Some(parts) = &mut self.parts {
            return send_parts(&self.context, parts, self.id, to, epoch);
        }
        state.tasks = self.tasks.as_ref().and_then(|tasks| tasks.left.clone());
        state.ids = self.known_ids();
        let exchange = self.id;
        self.post.left(state.clone());
        if state.is_large() {
            let parts = self.parts.insert(Parts::of(&state));
            return send_parts(&self.context, parts, exchange, to, epoch);
        }
        let message = PeerMessage::MoveState {
            exchange,
            epoch,
            state,
        };
        if let Err(error) = self.context.wire.message(to, exchange, message) {
            tracing::debug!(exchange = %self.name, %error, "state not sent; it is sent again");
        }
    }

    /// The requester is told when it cannot be sent, and so is the caller.
    pub(super) fn deliver(&self, handler: Pid, mut frame: Box<Frame>, waited: Span) -> Result<(), LinkError> {
        let leader_epoch = frame.leader_epoch.0;
        frame.trace = spans::route(&self.context.spans, frame.trace, || spans::Route {
            exchange: self.name.as_str(),
            strategy: self.strategy.as_str(),
            epoch: self.core.epoch().0,
            leader_epoch,
            candidates: self.core.handlers(),
            picked: self.context.pid_text(handler),
            waited,
        });
        let waited_ms = u32::try_from(waited.as_ms()).unwrap_or(u32::MAX);
        frame.kind = Kind::Deliver;
        frame.epoch = self.core.epoch();
        (frame.to, frame.from) = (handler.serial, self.process.pid());
        frame.left_ms = frame.left_ms.saturating_sub(waited_ms).max(1);
        let back = ReturnPath::of(&frame);
        let key = lane_key(self.id, handler.serial);
        let sent = self.context.leave(&self.name, (handler.node, key), frame);
        match &sent {
            Ok(()) => {
                self.process.count_sent(1);
                self.post.routed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self
                .context
                .wire
                .reply(back.none(self.process.pid(), error.reason())),
        }
        sent
    }

    pub(super) fn refuse(&self, frame: &Frame, reason: NoReply) {
        self.post.refused.fetch_add(1, Ordering::Relaxed);
        if wants_word(frame) {
            self.context
                .wire
                .reply(self.back(frame).none(self.process.pid(), reason));
        }
    }

    /// An answer of the exchange itself, before the request went to any handler: it comes from no process.
    pub(super) fn answer(&self, frame: &Frame, status: Status, payload: String) {
        let nobody = Pid {
            node: self.context.node,
            serial: 0,
        };
        let answer = self.back(frame).reply(nobody, status, Bytes::from(payload));
        if wants_word(frame) {
            self.context.wire.reply(answer);
        }
    }

    fn back(&self, frame: &Frame) -> ReturnPath {
        ReturnPath {
            epoch: self.core.epoch(),
            ..ReturnPath::of(frame)
        }
    }

    fn interrupt(&self, request: RequestKey, index: u32, count: u32) {
        let empty = Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            origin: request.origin,
            message: request.message,
            index,
            count,
            ..Frame::new(Kind::Reply)
        };
        self.context
            .wire
            .reply(ReturnPath::of(&empty).none(self.process.pid(), NoReply::Interrupted));
    }
}

fn asked(about: &About) -> &(Box<Frame>, Span) {
    about
        .as_ref()
        .expect("the kernel routes only in answer to a request, and gives it to one handler once")
}

/// Sends each part once, as far as the link takes them; the next time goes on from there.
fn send_parts(context: &DataContext, parts: &mut Parts, exchange: ExchangeId, to: NodeId, epoch: Epoch) {
    for _ in 0..parts.count() {
        let Some(message) = parts.next(exchange, epoch) else {
            return;
        };
        if let Err(error) = context.wire.message(to, exchange, message) {
            return tracing::debug!(%exchange, %error, "a part of a state is not sent; it is sent again");
        }
        parts.sent();
    }
}
