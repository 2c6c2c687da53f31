//! Each frame that reaches the data plane to the part it is for; each that came back to whoever has to know.
//!
//! What does not live here: what the parts make of it.

use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::NodeId;
use squall_kernel::message::{self, PeerMessage};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Pattern;

use super::Parts;
use crate::talks;
use crate::wire::{ReturnPath, count};

impl Parts {
    /// Takes a frame from a data lane.
    pub fn frame(&self, from: NodeId, frame: Frame) {
        self.context.wire.tally.taken_in.one();
        self.take_in(from, frame.into());
    }

    pub(crate) fn take_in(&self, from: NodeId, frame: Box<Frame>) {
        match frame.kind {
            Kind::Request => self.exchanges.request(frame),
            Kind::Submit => self.exchanges.submit(frame),
            Kind::Task => self.handlers.task(from, frame),
            // To a worker it is the owner's answer.
            Kind::Settle if frame.to != 0 => self.handlers.settled(*frame),
            Kind::Settle => self.exchanges.settle(frame),
            Kind::Deliver => self.handlers.deliver(from, frame),
            Kind::Reply => self.router.reply(frame),
            Kind::Chunk | Kind::Ask if frame.status == Status::Reply => self.router.talked(from, &frame),
            Kind::Chunk | Kind::Ask | Kind::Credit | Kind::Tell => self.handlers.talk(*frame),
            Kind::Control => match message::parse(&frame.payload) {
                Ok(message) => self.message(from, message),
                Err(error) => {
                    count(&self.context.wire.tally.garbled);
                    tracing::warn!(from = %from, %error, "control frame dropped");
                }
            },
            Kind::Publish => self.publish(frame),
            Kind::Event => self.pubsub.event(from, *frame),
            Kind::Ack => count(&self.context.wire.tally.garbled),
        }
    }

    /// The owner of a publish-subscribe exchange passes a publish on to subscribers, any other to one handler (A109).
    fn publish(&self, frame: Box<Frame>) {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&frame.exchange);
        if record.is_some_and(|record| record.pattern == Pattern::PublishSubscribe) {
            self.pubsub.publish(*frame);
        } else {
            self.exchanges.request(frame);
        }
    }

    pub(crate) fn message(&self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Attach(attach) => self.exchanges.attach(from, attach),
            PeerMessage::Detach {
                exchange,
                handler,
                reason,
            } => self.exchanges.detach(exchange, handler, reason),
            PeerMessage::AttachRefused {
                exchange,
                handler,
                seen,
            } => {
                self.handlers.attach_refused(exchange, handler, seen);
            }
            PeerMessage::System { to, message } => {
                let to = to.map(|to| vec![to]);
                self.handlers.systems(from, vec![(to, message)]);
            }
            PeerMessage::Roll { exchanges } => self.exchanges.roll(from, exchanges),
            PeerMessage::RollRefused { exchanges } => self.handlers.roll_again(&exchanges),
            PeerMessage::Unbound {
                exchange,
                epoch,
                handler,
                signatures,
            } => self.handlers.unbound(exchange, epoch, handler, &signatures),
            PeerMessage::TakenIn {
                exchange,
                epoch,
                handler,
                returned,
                bound,
            } => self
                .handlers
                .taken_in((exchange, epoch), handler, returned, &bound),
            word @ PeerMessage::BindingWord { .. } => self.handlers.binding_word(from, &word),
            noted @ PeerMessage::BindingNoted { .. } => self.exchanges.binding_noted(from, &noted),
            PeerMessage::Systems { messages } => self.handlers.systems(from, messages),
            PeerMessage::MoveState {
                exchange,
                epoch,
                state,
            } => self.exchanges.move_in(exchange, epoch, state),
            part @ PeerMessage::MovePart { .. } => self.exchanges.move_part(part),
            PeerMessage::TaskBatch { exchange, batch } => self.exchanges.task_batch(from, exchange, &batch),
            PeerMessage::TaskAnswer { exchange, answer } => {
                self.exchanges.task_answer(from, exchange, answer);
            }
            PeerMessage::LeaderLeaseAsk {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
            } => self
                .exchanges
                .lease_ask(exchange, epoch, handler, leader_epoch, asked_at),
            PeerMessage::LeaderLease {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
                remaining,
            } => {
                self.handlers
                    .leased(exchange, epoch, handler, leader_epoch, asked_at, remaining);
            }
            PeerMessage::Subscriptions { exchange, what } => self.pubsub.news(from, exchange, what),
            _ => count(&self.context.wire.tally.garbled),
        }
    }

    /// Takes back frames to `to` that certainly did not arrive: their requests are tried again.
    pub fn undeliverable(&self, to: NodeId, frames: Vec<Frame>) {
        for frame in frames {
            match frame.kind {
                Kind::Request | Kind::Publish | Kind::Submit => self.router.undeliverable(frame.message),
                Kind::Task => self.exchanges.not_given_out(to, &frame),
                _ => self.take_back(to, frame, NoReply::Unreachable),
            }
        }
    }

    /// Takes back frames to `to` that may or may not have arrived: their requests end as interrupted.
    pub fn fate_unknown(&self, to: NodeId, frames: Vec<Frame>) {
        for frame in frames {
            match frame.kind {
                Kind::Request | Kind::Publish | Kind::Submit => self.router.interrupt(frame.message),
                _ => self.take_back(to, frame, NoReply::Interrupted),
            }
        }
    }

    /// A frame that is no request came back: a delivery's requester is told `why`.
    fn take_back(&self, to: NodeId, frame: Frame, why: NoReply) {
        match frame.kind {
            Kind::Deliver => self
                .context
                .wire
                .reply(ReturnPath::of(&frame).none(frame.from, why)),
            // The requester's node takes a reply once, however often it comes.
            Kind::Reply => self.context.wire.reply(frame),
            Kind::Control => self.control_undeliverable(to, &frame),
            Kind::Event => self.pubsub.not_delivered(&frame, why),
            Kind::Chunk | Kind::Ask => talks::broken_off(&self.context, &frame),
            Kind::Credit | Kind::Tell => self.router.untold(&frame),
            Kind::Request
            | Kind::Ack
            | Kind::Publish
            | Kind::Submit
            // Its lease ends by its time, and a worker says again what nobody answers.
            | Kind::Settle
            | Kind::Task => {}
        }
    }

    /// Attachments are sent again by their own timer, a roll is called again; a view that misses a system message is repaired by the owner.
    fn control_undeliverable(&self, to: NodeId, frame: &Frame) {
        let exchange = match message::parse(&frame.payload) {
            Ok(PeerMessage::System { message, .. }) => Some(message.exchange),
            Ok(PeerMessage::Roll { exchanges }) => {
                self.handlers.roll_again(&exchanges);
                None
            }
            Ok(PeerMessage::Subscriptions { exchange, .. }) => {
                self.pubsub.missed(exchange, to);
                None
            }
            Ok(PeerMessage::Systems { messages }) => messages.first().map(|(_, message)| message.exchange),
            _ => None,
        };
        if let Some(exchange) = exchange {
            self.exchanges.tell_again(exchange, to);
        }
    }
}
