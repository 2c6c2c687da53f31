//! What a gRPC client does: handlers, their answers, and requests. Publishing and subscribing are in `publishing`, chunks
//! and questions in `talking`.

use squall_kernel::id::ExchangeName;
use squall_kernel::limits::TAG_BYTES_MAX;
use squall_kernel::reason::{ClientFault, TalkFault};
use squall_kernel::time::Instant;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event as Out;
use tonic::Status;

use super::stream::{Grpc, event, refused};
use super::{convert, lookup, talking};
use crate::handlers::{AttachError, HandlerTags};

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
        let number = attach.handler;
        if self.serials.contains_key(&number) {
            self.session.faults().count(ClientFault::NotThere);
            return refused(number, format!("handler {number} is attached already"));
        }
        let name = match ExchangeName::new(&attach.exchange) {
            Ok(name) => name,
            Err(error) => {
                self.session.faults().not_a_name(&error);
                return refused(
                    number,
                    format!("'{}': {error}", convert::shortened(&attach.exchange)),
                );
            }
        };
        let tags = HandlerTags {
            service: attach.service_tag,
            connection: attach.connection_tag,
            works: false,
        };
        match self.session.attach(&name, tags, attach.credit) {
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
        let verdict = match convert::known("verdict", reply.verdict) {
            Ok(verdict) => verdict,
            // The delivery stays open: it can still be answered.
            Err(words) => {
                self.session.faults().count(ClientFault::Malformed);
                return Some(refused(0, format!("delivery {delivery}: {words}")));
            }
        };
        let (status, payload) = convert::answer(verdict, reply);
        let Some(key) = self.deliveries.remove(&delivery) else {
            crate::wire::count(&self.plane.context.wire.tally.late_replies);
            return Some(talking::refused(delivery, TalkFault::Over));
        };
        self.talks.remove(&key);
        let taken = self.session.answer(key, status, payload);
        (!taken).then(|| talking::refused(delivery, TalkFault::Over))
    }

    fn request(&mut self, call: v1::RequestCall) -> Option<v1::ServerEvent> {
        let id = call.id;
        let longest = [&call.request_tag, &call.service_tag, &call.key]
            .map(String::len)
            .into_iter()
            .max()
            .unwrap_or(0);
        if longest > TAG_BYTES_MAX {
            self.session.faults().count(ClientFault::TooLong);
            return Some(refused(
                0,
                format!("request {id}: a tag has at most {TAG_BYTES_MAX} bytes, not {longest}"),
            ));
        }
        let Some(exchange) = lookup(&self.plane, &call.exchange) else {
            return Some(event(Out::Outcome(convert::unknown_exchange(&call))));
        };
        let refused = self
            .session
            .request(id, convert::request(call, exchange, self.trace))?;
        Some(event(Out::Outcome(convert::outcome(
            &self.plane.context,
            id,
            refused,
        ))))
    }
}
