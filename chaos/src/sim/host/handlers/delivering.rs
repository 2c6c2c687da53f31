//! Deliveries to handlers of this node: past the fence, in hand, and answered. As `squall_node::handlers::delivering` does it.

use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{NodeId, Pid};
use squall_kernel::publishing::{ONE_WAY, ONE_WAY_CONFIRMED};
use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};
use squall_node::wire::ReturnPath;

use super::{Answering, CREDIT};
use crate::history::{PublishEvent, What};
use crate::sim::host::talks::Speaking;
use crate::sim::host::{Host, Output};
use crate::sim::workload::talk;

/// The way back of a delivery that a handler has: of a publish there is none any more.
fn way_back(frame: &Frame) -> ReturnPath {
    let back = ReturnPath::of(frame);
    ReturnPath {
        count: if frame.count == ONE_WAY_CONFIRMED {
            ONE_WAY
        } else {
            back.count
        },
        ..back
    }
}

impl Host {
    pub(in crate::sim::host) fn take_delivery(&mut self, now: Instant, from: NodeId, frame: &Frame) {
        let pid = self.pid(frame.to);
        let Some(attachment) = self.handlers.by_serial.get_mut(&frame.to) else {
            return self.unknown_handler(from, frame);
        };
        let signature = Signature::of_wire(frame.signature);
        let passed = attachment
            .view
            .deliver(frame.epoch, frame.leader_epoch, signature.is_some());
        let pass = match passed {
            Ok(pass) => pass,
            Err(fenced) => {
                self.event(What::Fenced {
                    exchange: frame.exchange,
                    handler: pid,
                    epoch: frame.epoch,
                    seen: fenced.epoch,
                });
                return self.reply(ReturnPath::of(frame).none(pid, NoReply::Fenced));
            }
        };
        if let Some(signature) = signature {
            attachment.bound.insert(signature);
            let exchange = frame.exchange;
            self.out.push(Output::Event(What::Kept {
                request: RequestKey {
                    origin: frame.origin,
                    message: Self::request_of(frame),
                },
                exchange,
                signature,
                handler: pid,
            }));
        }
        if attachment.open >= CREDIT {
            return self.reply(ReturnPath::of(frame).none(pid, NoReply::Rejected));
        }
        attachment.open += 1;
        self.handed(pid, frame);
        self.handle(now, &pass, pid, frame);
    }

    /// The handler takes it up when it is done with what came before, unless its requester has given up by then.
    fn handle(&mut self, now: Instant, pass: &Pass, pid: Pid, frame: &Frame) {
        let work = self.config.work;
        let took = work.handling.draw(&mut self.config.rng);
        let declined = self.config.rng.chance(work.declined);
        let Some(attachment) = self.handlers.by_serial.get_mut(&pid.serial) else {
            return;
        };
        let begins = attachment.busy_until.max(now);
        if now + Span::from_ms(u64::from(frame.left_ms)) <= begins {
            attachment.open -= 1;
            return self.count("deliveries whose requester had given up");
        }
        let ready = begins + took;
        attachment.busy_until = ready;
        let request = RequestKey {
            origin: frame.origin,
            message: Self::request_of(frame),
        };
        self.event(What::Handled {
            request,
            exchange: frame.exchange,
            handler: pid,
            epoch: pass.epoch(),
            leader_epoch: pass.leader(),
        });
        let status = if declined { Status::Declined } else { Status::Reply };
        let payload = frame.payload.clone();
        let reply = way_back(frame).reply(pid, status, payload);
        self.handlers.taken += 1;
        let speaking = self.speaking(now, frame, &reply);
        let answering = Answering {
            serial: pid.serial,
            frame: reply,
            speaking,
        };
        self.handlers
            .answers
            .insert((ready, self.handlers.taken), answering);
    }

    /// A delivery to a handler that is gone.
    fn unknown_handler(&mut self, from: NodeId, frame: &Frame) {
        let handler = self.pid(frame.to);
        self.deny(from, frame.exchange, handler);
        self.reply(ReturnPath::of(frame).none(handler, NoReply::Unreachable));
    }

    /// A publish is with the one handler that it goes to; whoever waits for that is told, as by the first node of one.
    fn handed(&mut self, handler: Pid, frame: &Frame) {
        if frame.count < ONE_WAY_CONFIRMED {
            return;
        }
        let publish = Self::request_key_of(frame);
        self.tell_of(frame.exchange, PublishEvent::Handed { publish, handler });
        if frame.count == ONE_WAY_CONFIRMED {
            let confirm = ReturnPath::of(frame).reply(handler, Status::Reply, bytes::Bytes::new());
            self.reply(Frame {
                index: 1,
                count: 1,
                ..confirm
            });
        }
    }

    pub(super) fn answer(&mut self, now: Instant, key: (Instant, u64)) {
        let Some(answering) = self.handlers.answers.remove(&key) else {
            return;
        };
        if let Some(speaking) = answering.speaking {
            return self.begin_talk(now, speaking);
        }
        self.handlers.answered(answering.serial);
        self.reply(answering.frame);
    }

    /// What a handler has to say before it answers, where clusters have such handlers.
    fn speaking(&mut self, now: Instant, frame: &Frame, reply: &Frame) -> Option<Box<Speaking>> {
        if self.config.work.talks == 0 || frame.count > 1 {
            return None;
        }
        let course = talk::course(&mut self.config.talk_rng, frame.credit);
        let until = now + Span::from_ms(u64::from(frame.left_ms));
        Speaking::new(frame, Self::request_key_of(frame), reply, course, until)
    }
}
