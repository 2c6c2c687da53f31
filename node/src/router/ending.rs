//! The one end of each request: told to its requester, counted, traced and put in the journal.
//!
//! What does not live here: what ends it (`router`, `timing`), and how the requester takes it (`outcome`).

use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Strategy;

use super::Router;
use super::open::{Open, Stage};
use super::outcome::Outcome;
use crate::journal::{Ending, Fact};
use crate::spans::{self, Ended, Sent};
use crate::telemetry::told::ago;
use crate::wire::count;

/// No process.
const NOBODY: Pid = Pid {
    node: NodeId(0),
    serial: 0,
};

impl Router {
    pub(super) fn end(&self, mut open: Box<Open>, reason: NoReply) {
        let reason = self.published_here(&open, reason);
        let reason = self.as_told(reason);
        if is_unavailable(reason) {
            let exchange = open.request.exchange;
            self.context.failovers.unavailable(&mut open.traced, exchange);
        }
        let outcome = Outcome::none(open.request.exchange, reason, open.request.tags.request.clone());
        self.conclude(open, outcome);
    }

    pub(super) fn conclude_with(&self, mut open: Box<Open>, frame: Box<Frame>) {
        open.traced.heard(&frame.trace);
        spans::reply(&self.context.spans, &frame, || self.name_of(frame.exchange));
        if frame.status == Status::Reply && open.stats.is_first_under(frame.epoch) {
            self.first_reply(&frame);
        }
        self.conclude(open, Outcome::of(*frame, false));
    }

    /// The end of a failover, or of a move, as requesters see it.
    fn first_reply(&self, frame: &Frame) {
        let (name, epoch) = (self.name_of(frame.exchange), frame.epoch.0);
        let text = format!("{name} answered here for the first time under epoch {epoch}");
        self.context.failovers.replied(frame.exchange, frame.epoch);
        let now = self.context.clock.now();
        self.context.firsts.tell(now, "first-reply", &name, &text, epoch);
    }

    pub(super) fn conclude(&self, mut open: Box<Open>, outcome: Outcome) {
        self.tell_confirmed(&open, &outcome);
        self.ended(open.told, &outcome);
        self.let_go(&open, &outcome);
        self.publish_given_up(&open, &outcome);
        self.open.end();
        open.stats.count(open.as_a_whole(outcome.status));
        open.stats.end(self.context.clock.now(), open.started);
        self.trace_end(&mut open, outcome.status);
        self.context.wire.tally.sent_out.one();
        if !open.reply_to.finish(outcome) {
            count(&self.context.wire.tally.unclaimed);
        }
    }

    fn trace_end(&self, open: &mut Open, status: Status) {
        let ended = Ended {
            status,
            chunks: open.talk.as_ref().map_or(0, |talk| talk.chunks()),
            questions: open.talk.as_ref().map_or(0, |talk| talk.questions()),
        };
        let mut traced = std::mem::take(&mut open.traced);
        if let Some(began) = traced.waited_since() {
            self.context
                .failovers
                .waited(&mut traced, open.request.exchange, began);
        }
        traced.ended(&self.context.spans, ended, || {
            let (request, tags) = (&open.request, &open.request.tags);
            let owner = match open.stage {
                Stage::Sent { owner, .. } => self.context.registry().name_of(owner).cloned(),
                Stage::New | Stage::Waiting { .. } => None,
            };
            Sent {
                exchange: self.name_of(open.asked),
                answered_by: (request.exchange != open.asked).then(|| self.name_of(request.exchange)),
                owner: owner.map(|name| name.to_string()),
                operation: match request.publish {
                    Some(_) => "publish",
                    None if request.submit => "submit",
                    None => "request",
                },
                id: String::from_utf8_lossy(&tags.request).into_owned(),
                key: String::from_utf8_lossy(&tags.key).into_owned(),
                bytes: request.payload.len(),
                from: self.context.pid_text(Pid {
                    node: self.context.node,
                    serial: request.from.serial,
                }),
                began: ago(self.context.clock.now().since(open.started)),
            }
        });
    }

    /// Gives a request its number in the journal, where one is kept.
    pub(super) fn begun(&self, mut open: Box<Open>) -> Box<Open> {
        if self.context.journal.is_none() {
            return open;
        }
        let (request, exchange) = (self.table.next_id(), open.request.exchange);
        let strategy = self
            .context
            .registry()
            .exchanges
            .get(&exchange)
            .map(|e| e.strategy);
        self.context.tell(|| Fact::Begun {
            request,
            exchange,
            many: open.request.publish.is_none() && strategy == Some(Strategy::Default),
        });
        self.tell_published(&open.request, request);
        open.told = Some(request);
        open
    }

    pub(super) fn ended(&self, told: Option<MessageId>, outcome: &Outcome) {
        if let Some(request) = told {
            self.context.tell(|| Fact::Outcome {
                request,
                exchange: outcome.exchange,
                ending: ending_of(outcome),
                more: outcome.more,
            });
        }
    }

    /// On a node without a majority an owner that is not there, or out of reach, means just that.
    fn as_told(&self, reason: NoReply) -> NoReply {
        let cut_off = matches!(reason, NoReply::Unreachable | NoReply::NoOwner);
        if cut_off && *self.context.isolated.borrow() {
            NoReply::NoQuorum
        } else {
            reason
        }
    }

    pub(crate) fn stop(&self) {
        for open in self.table.take_all(|_| true) {
            self.end(open, NoReply::Interrupted);
        }
    }
}

/// It did not find an owner that takes it.
const fn is_unavailable(reason: NoReply) -> bool {
    matches!(
        reason,
        NoReply::NoOwner
            | NoReply::NoQuorum
            | NoReply::NoLeader
            | NoReply::Settling
            | NoReply::Moved
            | NoReply::Unreachable
    )
}

fn ending_of(outcome: &Outcome) -> Ending {
    match (outcome.status, outcome.handler) {
        (Status::Reply, Some(handler)) => Ending::Reply(handler),
        // The exchange's own word: of a task that it keeps, or a publish that it has taken.
        (Status::Reply, None) => Ending::Reply(NOBODY),
        (Status::Declined, Some(handler)) => Ending::Declined(handler),
        (Status::None(reason), _) => Ending::None(reason),
        // Declined here, before it went to anybody; the others do not end a request.
        (Status::Declined, None) | (Status::Redirect | Status::Pass | Status::Rewrite, _) => {
            Ending::None(NoReply::Rejected)
        }
    }
}
