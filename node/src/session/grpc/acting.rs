//! What a gRPC client does: handlers, their answers, and requests. Publishing and subscribing are in `publishing`, chunks
//! and questions in `talking`, tasks in `tasks`.

use squall_kernel::frame::TraceContext;
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::PAYLOAD_BYTES_MAX;
use squall_kernel::reason::{ClientFault, TalkFault};
use squall_kernel::time::Instant;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event as Out;
use tonic::Status;

use super::stream::{Grpc, event, refused};
use super::{convert, lookup, talking};
use crate::handlers::{AttachError, HandlerTags};
use crate::router::Request;
use crate::telemetry::context::parse_traceparent;

impl Grpc {
    /// Carries actions out, in order; ends the session when one is none.
    pub(super) fn actions(
        &mut self,
        actions: Vec<v1::ClientAction>,
        out: &mut Vec<v1::ServerEvent>,
    ) -> Result<(), Status> {
        for action in actions {
            match action.action {
                Some(Action::Open(_)) => {
                    self.session.faults().count(ClientFault::Garbage);
                    return Err(Status::failed_precondition("the session is open already"));
                }
                Some(Action::Attach(attach)) => out.push(self.attach(attach)),
                Some(Action::Detach(detach)) => out.extend(self.detach(detach.handler, detach.why)),
                Some(Action::Reply(reply)) => out.extend(self.reply(reply)),
                Some(Action::SendChunk(chunk)) => out.extend(self.send_chunk(chunk)),
                Some(Action::AskBack(question)) => out.extend(self.ask_back(question)),
                Some(Action::TakeChunks(take)) => out.extend(self.take_chunks(take)),
                Some(Action::AnswerQuestion(answer)) => out.extend(self.answer_question(answer)),
                Some(Action::GiveUp(request)) => self.session.give_up(request.id),
                Some(Action::Request(call)) => out.extend(self.request(call)),
                Some(Action::Subscribe(subscribe)) => out.extend(self.subscribe(subscribe)),
                Some(Action::Unsubscribe(it)) => out.extend(self.unsubscribe(it.subscriber)),
                Some(Action::Publish(publish)) => out.extend(self.publish(publish)),
                Some(Action::Took(took)) => self.session.took(u64::from(took.subscriber), took.events),
                Some(Action::SubmitTask(task)) => out.extend(self.submit(task)),
                Some(Action::AttachWorker(worker)) => out.push(self.attach_worker(worker)),
                Some(Action::SettleTask(settle)) => out.extend(self.settle(settle)),
                Some(Action::LeadershipAsk(ask)) => out.extend(self.leadership_asked(ask)),
                None => {
                    self.session.faults().count(ClientFault::Garbage);
                    return Err(Status::invalid_argument("an action of an unknown kind"));
                }
            }
        }
        Ok(())
    }

    fn attach(&mut self, attach: v1::Attach) -> v1::ServerEvent {
        let tags = HandlerTags {
            service: attach.service_tag,
            connection: attach.connection_tag,
            works: false,
        };
        self.attach_as(attach.handler, &attach.exchange, tags, attach.credit)
    }

    /// Attaches a handler or a worker under the client's number.
    pub(super) fn attach_as(
        &mut self,
        number: u32,
        exchange: &str,
        tags: HandlerTags,
        credit: u32,
    ) -> v1::ServerEvent {
        if self.serials.contains_key(&number) {
            self.session.faults().count(ClientFault::NotThere);
            return refused(number, format!("handler {number} is attached already"));
        }
        let name = match ExchangeName::new(exchange) {
            Ok(name) => name,
            Err(error) => {
                self.session.faults().not_a_name(&error);
                return refused(number, format!("'{}': {error}", convert::shortened(exchange)));
            }
        };
        match self.session.attach(&name, tags, credit) {
            Ok(attachment) => {
                let pid = attachment.pid();
                self.serials.insert(number, pid.serial);
                self.numbers.insert(pid.serial, number);
                let context = &self.plane.context;
                let epoch = context
                    .registry()
                    .exchanges
                    .get(&attachment.exchange())
                    .map_or(0, |e| e.epoch.0);
                event(Out::Attached(v1::Attached {
                    handler: number,
                    pid: context.pid_text(pid),
                    epoch,
                }))
            }
            Err(error) => event(Out::Refused(v1::Refused {
                handler: number,
                reason: error.to_string(),
                unknown_exchange: matches!(error, AttachError::UnknownExchange(_)),
                ..v1::Refused::default()
            })),
        }
    }

    fn detach(&mut self, number: u32, why: i32) -> Option<v1::ServerEvent> {
        let reason = match convert::known("reason to detach", why) {
            Ok(why) => convert::detached_by_client(why),
            Err(words) => {
                self.session.faults().count(ClientFault::Malformed);
                return Some(refused(number, format!("handler {number}: {words}")));
            }
        };
        let detached = self
            .serials
            .get(&number)
            .is_some_and(|serial| self.session.detach(*serial, reason));
        (!detached).then(|| {
            self.session.faults().count(ClientFault::NotThere);
            refused(number, format!("there is no handler {number}"))
        })
    }

    fn leadership_asked(&mut self, ask: v1::LeadershipAsk) -> Option<v1::ServerEvent> {
        let serial = *self.serials.get(&ask.handler)?;
        let granted = self.session.leadership_asked(serial, Instant(ask.asked_at_us))?;
        Some(event(convert::leadership(ask.handler, granted)))
    }

    fn reply(&mut self, reply: v1::Reply) -> Option<v1::ServerEvent> {
        let delivery = reply.delivery;
        if self.deliveries.open(delivery).is_none() {
            crate::wire::count(&self.plane.context.wire.tally.late_replies);
            return Some(talking::refused(delivery, TalkFault::Over));
        }
        let verdict = match convert::known("verdict", reply.verdict) {
            Ok(verdict) => verdict,
            // The delivery stays open: it can still be answered.
            Err(words) => {
                self.session.faults().count(ClientFault::Malformed);
                return Some(talking::malformed(delivery, words));
            }
        };
        let too_large = reply.payload.len() > PAYLOAD_BYTES_MAX;
        let (status, payload) = convert::answer(verdict, reply);
        let key = self.deliveries.answered(delivery)?;
        if !self.session.answer(key, status, payload) {
            return Some(talking::refused(delivery, TalkFault::Over));
        }
        too_large.then(|| {
            self.session.faults().count(ClientFault::TooLarge);
            talking::refused(delivery, TalkFault::TooLarge)
        })
    }

    fn request(&mut self, call: v1::RequestCall) -> Option<v1::ServerEvent> {
        let id = call.id;
        if let Some(why) = convert::too_long([&call.request_tag, &call.service_tag, &call.key]) {
            return Some(self.declined(id, ClientFault::TooLong, why));
        }
        let Some(exchange) = lookup(&self.plane, &call.exchange) else {
            return Some(convert::unknown_exchange(id, &call.exchange, call.request_tag));
        };
        self.ask(id, convert::request(call, exchange, self.trace))
    }

    /// Sends a request, publish or submit; gives the outcome when the session has too many open.
    pub(super) fn ask(&mut self, id: u64, request: Request) -> Option<v1::ServerEvent> {
        let refused = self.session.request(id, request)?;
        let outcome = convert::outcome(&self.plane.context, id, refused);
        Some(event(Out::Outcome(outcome)))
    }

    /// The outcome of what cannot be asked for, by the client's fault.
    pub(super) fn declined(&self, id: u64, fault: ClientFault, why: String) -> v1::ServerEvent {
        self.session.faults().count(fault);
        event(Out::Outcome(convert::declined(id, why)))
    }

    /// A context that cannot be read is the session's own, or none: a broken tracer must not break messaging.
    pub(super) fn trace_of(&self, traceparent: &str) -> TraceContext {
        parse_traceparent(traceparent)
            .ok()
            .or(self.trace)
            .unwrap_or_default()
    }
}
