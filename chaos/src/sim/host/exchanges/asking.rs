//! Requests, and publishes for one handler, at the owner of their exchange: what its function makes of them, and into its
//! machine. As `squall_node::exchanges::asking` does it.

use std::sync::Arc;

use squall_kernel::exchange::{Choice, ExchangeInput, RequestKey};
use squall_kernel::frame::Frame;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::RoutingFunction;
use squall_kernel::time::{Instant, Span};
use squall_node::functions::{Candidate, Question};
use squall_node::script::Script;
use squall_node::wire::ReturnPath;

use crate::sim::host::Host;
use crate::sim::host::pubsub::wants_word;

impl Host {
    pub(in crate::sim::host) fn take_request(&mut self, now: Instant, frame: &Frame) {
        if !self.owned.contains_key(&frame.exchange) {
            if wants_word(frame) {
                self.reply(ReturnPath::of(frame).none(self.nobody(), NoReply::Moved));
            }
            return;
        }
        if self.ends_at_owner(now, frame) {
            return;
        }
        let choice = self.chosen(frame);
        let input = ExchangeInput::Request {
            request: RequestKey {
                origin: frame.origin,
                message: frame.message,
            },
            epoch: frame.epoch,
            service_tag: frame.tags.service.clone(),
            key: frame.tags.key.clone(),
            choice,
            deadline: now + Span::from_ms(u64::from(frame.left_ms)),
            lease_until: self.lease_until,
        };
        self.step_exchange(now, frame.exchange, &input, Some(frame));
    }

    /// What the exchange's function makes of a request.
    fn chosen(&self, frame: &Frame) -> Choice {
        let owned = self.owned.get(&frame.exchange);
        let Some((owned, function)) = owned.and_then(|o| Some((o, o.function.as_ref()?))) else {
            return Choice::None;
        };
        let handlers = owned.attached.iter().map(|(pid, tag)| Candidate {
            pid: *pid,
            text: pid.to_string(),
            service_tag: tag.clone(),
        });
        let answer = function.route(&Question {
            key: &frame.tags.key,
            service_tag: &frame.tags.service,
            request_tag: &frame.tags.request,
            payload: &frame.payload,
            handlers: &Arc::new(handlers.collect()),
        });
        answer.map_or_else(|failed| Choice::Decline(failed.0), |routed| routed.choice)
    }
}

/// The script of a declaration: simulated nodes are started with no functions of their own.
pub(super) fn script_of(function: &RoutingFunction) -> Option<Script> {
    match function {
        RoutingFunction::Script { source, .. } => Script::compile(source).ok(),
        RoutingFunction::Registered(_) => None,
    }
}
