//! What a gRPC client is told of what reaches its session.

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::server_event::Event as Out;

use super::stream::{Grpc, event};
use super::{convert, publishing, talking};
use crate::handlers::notice_of;
use crate::router::Outcome;
use crate::session::{DeliveryKey, Event};

impl Grpc {
    pub(super) fn event(&mut self, taken: Event) -> Option<v1::ServerEvent> {
        let out = match taken {
            Event::Deliver(frame) => match frame.kind {
                Kind::Task => self.task(*frame)?,
                Kind::Settle => self.settled(&frame)?,
                _ => self.delivery(*frame)?,
            },
            Event::System { handler, told } => {
                let number = *self.numbers.get(&handler)?;
                let attachment = self.session.handler(handler)?;
                let context = &self.plane.context;
                let notice = notice_of(context, attachment.pid(), attachment.name(), &told);
                let owner = context
                    .registry()
                    .exchanges
                    .get(&told.message().exchange)
                    .and_then(|e| e.owner);
                let own = owner == Some(context.node);
                let left = if own {
                    context.lease.left(context.clock.now())
                } else {
                    Span::ZERO
                };
                Out::System(convert::system(number, notice, left))
            }
            Event::Detached { handler, reason } => {
                let number = self.numbers.remove(&handler)?;
                self.serials.remove(&number);
                Out::Detached(v1::Detached {
                    handler: number,
                    reason: reason.as_str().to_owned(),
                    why: convert::detach_reason(reason).into(),
                })
            }
            Event::Leads { handler } => self.leadership(handler)?,
            Event::Published { subscriber, event } => self.published(subscriber, &event)?,
            Event::SubscriberEnded {
                subscriber,
                reason,
                deleted,
            } => {
                let why = if deleted {
                    v1::SubscriberEnd::ExchangeDeleted
                } else {
                    v1::SubscriberEnd::Refused
                };
                publishing::ended(u32::try_from(subscriber).ok()?, reason, why)
            }
            Event::Said { id, said } => talking::said(&self.plane.context, id, said)?,
            Event::Talk(frame) => self.talked(&frame)?,
            Event::Outcome { id, outcome } => Out::Outcome(self.outcome(id, outcome)),
        };
        Some(event(out))
    }

    fn outcome(&mut self, id: u64, outcome: Outcome) -> v1::RequestOutcome {
        let submitted = self.submitted(id, &outcome);
        let told = convert::outcome(&self.plane.context, id, outcome);
        match submitted {
            None => told,
            Some(_) => v1::RequestOutcome {
                payload: Bytes::new(),
                submitted,
                ..told
            },
        }
    }

    /// The answer to a question that waited for the lease.
    fn leadership(&mut self, handler: u64) -> Option<Out> {
        let number = *self.numbers.get(&handler)?;
        let granted = self.session.leads(handler)?;
        Some(convert::leadership(number, granted))
    }

    fn delivery(&mut self, frame: Frame) -> Option<Out> {
        let key = DeliveryKey {
            origin: frame.origin,
            message: frame.message,
            handler: frame.to,
        };
        let known = self
            .numbers
            .get(&frame.to)
            .copied()
            .zip(self.session.handler(frame.to));
        let Some((number, attachment)) = known else {
            // Detached while it was on its way: the client has never seen it.
            let unreachable = Status::None(NoReply::Unreachable);
            self.session.answer(key, unreachable, Bytes::new());
            return None;
        };
        let (name, tag) = (attachment.name().as_str(), attachment.tags().connection.as_str());
        let delivery = convert::delivery(frame, self.deliveries.add(key), number, name, tag);
        Some(Out::Delivery(delivery))
    }
}
