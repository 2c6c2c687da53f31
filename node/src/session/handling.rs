//! Handlers of a session, and what they have in hand: attached, answered, detached.
//!
//! What does not live here: chunks and questions (`talking`), and how any of it looks on the wire.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeName, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::time::{Instant, Span};

use super::Session;
use super::entrance::Entrance;
use super::talking::NodeLine;
use crate::handlers::{AttachError, Attachment, HandlerSink, HandlerTags};
use crate::limits::{CREDIT_DEFAULT, CREDIT_MAX, SESSION_HANDLERS_MAX};
use crate::process::ProcessKind;
use crate::spans;
use crate::telemetry::logging::about;
use crate::wire::{ReturnPath, count};

/// The answer to the question how long a handler may count on its leadership: what this node holds for it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) handler: u64,
    /// As asked, by the client's clock.
    pub(crate) asked_at: Instant,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) remaining: Span,
    /// How soon to ask again at the latest.
    pub(crate) again: Span,
}

/// A delivery that the client has not answered: which request, at which handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DeliveryKey {
    pub(crate) origin: NodeId,
    pub(crate) message: MessageId,
    pub(crate) handler: u64,
}

pub(super) struct OpenDelivery {
    pub(super) back: ReturnPath,
    pub(super) put: Instant,
    /// Chunks that its requester takes at first.
    pub(super) credit: u32,
    /// What goes between the requester and the handler, once the handler has spoken.
    pub(super) line: Option<Arc<NodeLine>>,
    work: spans::InHand,
}

impl Session {
    /// Attaches a handler; 0 stands for the default credit.
    pub(crate) fn attach(
        &mut self,
        name: &ExchangeName,
        tags: HandlerTags,
        credit: u32,
    ) -> Result<Arc<Attachment>, AttachError> {
        let attached = self.try_attach(name, tags, credit);
        attached.inspect_err(|error| self.faults().not_attached(error))
    }

    fn try_attach(
        &mut self,
        name: &ExchangeName,
        tags: HandlerTags,
        credit: u32,
    ) -> Result<Arc<Attachment>, AttachError> {
        if self.handlers.len() >= SESSION_HANDLERS_MAX {
            return Err(AttachError::TooMany {
                max: SESSION_HANDLERS_MAX,
            });
        }
        let credit = if credit == 0 {
            CREDIT_DEFAULT
        } else {
            credit.min(CREDIT_MAX)
        };
        let context = self.context();
        let bound = usize::try_from(credit).expect("at most CREDIT_MAX");
        let process = context
            .processes
            .enter(ProcessKind::Handler, name, bound, context.clock.now());
        let sink: Arc<dyn HandlerSink> = Arc::<Entrance>::clone(&self.entrance);
        let attachment = self.plane.handlers.attach(name, tags, credit, process, sink)?;
        self.handlers
            .insert(attachment.pid().serial, Arc::clone(&attachment));
        Ok(attachment)
    }

    /// Detaches a handler of this session. False when it has none of that serial.
    pub(crate) fn detach(&mut self, handler: u64, reason: DetachReason) -> bool {
        let reason = match reason {
            DetachReason::Panicked | DetachReason::Done => reason,
            // Nothing else is for a client to say.
            _ => DetachReason::Asked,
        };
        self.handlers.contains_key(&handler) && self.plane.handlers.detach(handler, reason)
    }

    pub(crate) fn handler(&self, serial: u64) -> Option<&Arc<Attachment>> {
        self.handlers.get(&serial)
    }

    /// A handler's client asks how long the handler may count on its leadership. Without a lease the question waits for
    /// one.
    pub(crate) fn leadership_asked(&mut self, handler: u64, asked_at: Instant) -> Option<Granted> {
        self.handlers.contains_key(&handler).then(|| {
            self.asked.insert(handler, asked_at);
        })?;
        self.leads(handler)
    }

    /// The answer to the question that waits, if there is one and a lease is held.
    pub(crate) fn leads(&mut self, handler: u64) -> Option<Granted> {
        let leadership = self.handlers.get(&handler)?.leadership()?;
        let asked_at = self.asked.remove(&handler)?;
        let left = u64::try_from(leadership.remaining().as_micros()).unwrap_or(u64::MAX);
        Some(Granted {
            handler,
            asked_at,
            leader_epoch: leadership.epoch(),
            remaining: Span(left),
            again: self.plane.handlers.lease_every(),
        })
    }

    /// Answers a delivery. An answer to nothing that is open is counted and refused: false.
    pub(crate) fn answer(&mut self, key: DeliveryKey, status: Status, payload: Bytes) -> bool {
        let context = Arc::clone(self.context());
        let Some(delivery) = self.open.remove(&key) else {
            count(&context.wire.tally.late_replies);
            return false;
        };
        if let Some(handler) = self.handlers.get(&key.handler) {
            let now = context.clock.now();
            handler.give_credit();
            self.plane.handlers.next_in_line(handler);
            handler.process().count_dequeued(delivery.put);
            handler.process().count_busy(now.since(delivery.put));
            handler.process().count_sent(1);
            if status == Status::None(NoReply::Failed) {
                handler.process().count_restart();
                about(delivery.back.trace, || {
                    self.plane.handlers.failed(handler, &payload);
                });
            }
        }
        delivery.work.answered(status);
        let from = Pid {
            node: context.node,
            serial: key.handler,
        };
        let given_up = delivery.line.as_ref().is_some_and(|line| line.is_over());
        context.talks.forget(key.into());
        if !given_up {
            // The client never saw it, as it says: whoever sent it may send it to another handler.
            if let Status::None(NoReply::Rejected | NoReply::Unreachable) = status {
                context.given_back(from, &delivery.back);
            }
            context.wire.reply(delivery.back.reply(from, status, payload));
        }
        true
    }

    /// Passes on what a worker of this session says of a task. Gives the answer where it goes nowhere.
    pub(crate) fn settle(&mut self, frame: Frame) -> Option<Frame> {
        let worker = self.handlers.get(&frame.from.serial)?;
        worker.process().count_sent(1);
        self.plane.handlers.settle(worker, frame)
    }

    pub(super) fn delivered(&mut self, frame: &mut Frame, put: Instant) {
        let key = DeliveryKey {
            origin: frame.origin,
            message: frame.message,
            handler: frame.to,
        };
        let handler = Pid {
            node: self.context().node,
            serial: frame.to,
        };
        let name = self.handlers.get(&frame.to).map_or("", |a| a.name().as_str());
        let span = spans::handle_span(&self.context().spans, &frame.trace, || spans::Handle {
            exchange: name,
            handler: self.context().pid_text(handler),
            bytes: frame.payload.len(),
            epoch: frame.epoch.0,
            waited: self.context().clock.now().since(put),
        });
        frame.trace = spans::context_of(&span, frame.trace);
        let open = OpenDelivery {
            back: ReturnPath::of(frame),
            put,
            credit: frame.credit,
            line: None,
            work: spans::InHand::new(span),
        };
        // One that comes twice is answered once.
        if let Some(before) = self.open.insert(key, open)
            && let Some(handler) = self.handlers.get(&frame.to)
        {
            handler.give_credit();
            handler.process().count_dequeued(before.put);
        }
    }
}
