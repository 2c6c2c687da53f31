//! What arrives at a node and what it sends, to others and to itself. As `squall_node::data` and `wire` do it.

use squall_kernel::core::CoreInput;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeId, NodeId};
use squall_kernel::message::{self, PeerMessage};
use squall_kernel::publishing::{GIVEN_BACK, ONE_WAY, ONE_WAY_CONFIRMED};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;
use squall_node::wire::{LinkError, ReturnPath};

use super::handlers::Lease;
use super::{Host, Lane, Output};

impl Host {
    pub(super) fn take_in(&mut self, now: Instant, from: NodeId, frame: &Frame) {
        match frame.kind {
            Kind::Request => self.take_request(now, frame),
            Kind::Deliver => self.take_delivery(now, from, frame),
            Kind::Reply => self.take_reply(now, frame),
            Kind::Control => {
                let message = message::parse(&frame.payload).expect("nodes of one build speak alike");
                self.take_message(now, from, message);
            }
            Kind::Submit => self.take_submit(now, frame),
            Kind::Task => self.take_task(now, from, frame),
            // To a worker it is the owner's answer.
            Kind::Settle if frame.to != 0 => self.take_answer(now, frame),
            Kind::Settle => self.take_word(now, frame),
            Kind::Publish if self.has_subscribers(frame.exchange) => self.take_publish(now, frame),
            // For one handler.
            Kind::Publish => self.take_request(now, frame),
            Kind::Event => self.take_event(now, from, frame),
            Kind::Chunk | Kind::Ask if frame.status == Status::Reply => self.take_talk(now, from, frame),
            Kind::Chunk | Kind::Ask | Kind::Credit | Kind::Tell => self.hear_talk(now, frame),
            Kind::Ack => {}
        }
    }

    pub(super) fn take_message(&mut self, now: Instant, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Attach(attach) => self.take_attach(now, from, attach),
            PeerMessage::Detach {
                exchange,
                handler,
                reason,
            } => self.take_detach(now, exchange, handler, reason),
            PeerMessage::AttachRefused { handler, .. } => self.attach_refused(now, handler),
            PeerMessage::System { to, message } => self.take_system(now, from, to, &message),
            PeerMessage::Roll { exchanges } => self.take_roll(now, from, exchanges),
            PeerMessage::RollRefused { exchanges } => self.roll_again(now, &exchanges),
            PeerMessage::Unbound {
                exchange,
                epoch,
                handler,
                signatures,
            } => self.unbound(exchange, epoch, handler, &signatures),
            PeerMessage::TakenIn {
                exchange,
                epoch,
                handler,
                returned,
                bound,
            } => self.taken_in(now, (exchange, epoch), handler, returned, &bound),
            PeerMessage::BindingWord { .. } => self.binding_word(from, &message),
            PeerMessage::BindingNoted { .. } => self.binding_noted(now, &message),
            PeerMessage::Belongs { cluster } => {
                if let Some(neighbour) = self.neighbours.get_mut(&from) {
                    (neighbour.cluster, neighbour.initialized) = (Some(cluster), true);
                }
            }
            PeerMessage::MoveState {
                exchange,
                epoch,
                state,
            } => self.move_in(now, exchange, epoch, state),
            PeerMessage::MovePart { .. } => self.move_part(now, message),
            PeerMessage::TaskBatch { exchange, batch } => self.task_batch(now, from, exchange, &batch),
            PeerMessage::TaskAnswer { exchange, answer } => self.task_answer(now, from, exchange, answer),
            PeerMessage::LeaderLeaseAsk {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
            } => self.lease_asked(now, (exchange, epoch), (handler, leader_epoch), asked_at),
            PeerMessage::LeaderLease {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
                remaining,
            } => self.leased(&Lease {
                exchange,
                epoch,
                handler,
                leader_epoch,
                asked_at,
                remaining,
            }),
            PeerMessage::Subscriptions { exchange, what } => self.take_news(now, from, exchange, what),
            PeerMessage::Raft { .. } | PeerMessage::RaftAnswer { .. } => {
                self.out.push(Output::Raft { from, message });
            }
            PeerMessage::Propose { .. } | PeerMessage::Join { .. } | PeerMessage::Proposed { .. } => {
                self.take_call(now, from, message);
            }
            _ => self.step(now, &CoreInput::Message { from, message }),
        }
    }

    /// A frame that is no request came back: a delivery's requester is told `why`, a reply is sent again, a view that
    /// misses a system message is repaired.
    pub(super) fn take_back(&mut self, now: Instant, to: NodeId, frame: Frame, why: NoReply) {
        match frame.kind {
            Kind::Deliver => self.reply(ReturnPath::of(&frame).none(frame.from, why)),
            Kind::Reply => self.reply(frame),
            Kind::Control => match message::parse(&frame.payload) {
                Ok(PeerMessage::System { message, .. }) => self.missed_by(now, message.exchange, to),
                Ok(PeerMessage::Roll { exchanges }) => self.roll_again(now, &exchanges),
                Ok(PeerMessage::Subscriptions { exchange, .. }) => self.table_missed(now, exchange, to),
                _ => {}
            },
            Kind::Event => self.event_lost(&frame, why),
            Kind::Chunk | Kind::Ask => self.talk_broken_off(now, &frame),
            Kind::Credit | Kind::Tell => self.talk_untold(now, &frame),
            Kind::Request | Kind::Ack | Kind::Publish | Kind::Submit | Kind::Settle | Kind::Task => {}
        }
    }

    /// Sends a data frame.
    pub(super) fn send(&mut self, to: NodeId, key: u64, frame: Frame) -> Result<(), LinkError> {
        if to == self.id() {
            self.to_self.push_back(frame);
            return Ok(());
        }
        let certain = matches!(
            frame.kind,
            Kind::Request | Kind::Deliver | Kind::Publish | Kind::Event | Kind::Submit | Kind::Task
        );
        let swallowed = certain && self.swallowing.contains(&to);
        if swallowed || !self.lanes.contains(&to) {
            return Err(LinkError::Down);
        }
        let lane = Lane::data(key);
        self.out.push(Output::Send { to, lane, frame });
        Ok(())
    }

    /// Sends a message of an exchange, in order among those of that exchange.
    pub(super) fn message(
        &mut self,
        to: NodeId,
        exchange: ExchangeId,
        message: &PeerMessage,
    ) -> Result<(), LinkError> {
        let frame = Frame {
            exchange,
            ..message::control(message)
        };
        self.send(to, squall_node::wire::lane_key(exchange, 0), frame)
    }

    /// Sends on the control lane; what cannot be sent is noticed by its silence.
    pub(super) fn tell(&mut self, to: NodeId, message: &PeerMessage) {
        if self.lanes.contains(&to) {
            self.out.push(Output::Send {
                to,
                lane: Lane::CONTROL,
                frame: message::control(message),
            });
        }
    }

    /// Sends the end of a request, or of one of its copies, to its requester's node.
    pub(super) fn reply(&mut self, mut frame: Frame) {
        match frame.count {
            ONE_WAY => return,
            ONE_WAY_CONFIRMED => (frame.index, frame.count) = (GIVEN_BACK, 0),
            _ => {}
        }
        let (to, key) = (frame.origin, frame.message.0);
        if self.send(to, key, frame).is_err() {
            self.count("replies that could not be sent");
        }
    }
}
