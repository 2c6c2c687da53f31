//! The requester's side: every request that enters the cluster at this node, until its outcome. As `squall_node::router`
//! does it.
//!
//! What does not live here: what only publishes need (`publishing`).

mod follow;
mod giving_up;
mod publishing;
mod table;
mod talking;

use std::collections::BTreeSet;

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::message::Terms;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Strategy;
use squall_kernel::time::{Instant, Span};
use squall_node::limits::{RETRY_CAP, RETRY_FIRST, RETRY_FOR};
use squall_node::wire::{LinkError, lane_key};

use super::Host;
use crate::history::{Answer, Ended, What};
use crate::sim::workload::talk::Taking;
use publishing::Published;
pub use publishing::Publishing;
pub(super) use table::Requests;
use talking::Talking;

/// An open request.
#[derive(Debug)]
struct Open {
    /// How the history knows it: the number of its first try.
    first: MessageId,
    /// Its number now.
    message: MessageId,
    exchange: ExchangeId,
    service_tag: Bytes,
    key: Bytes,
    sort: Sort,
    from: Pid,
    deadline: Instant,
    /// End of the tries, from the first refusal on.
    retry_until: Option<Instant>,
    backoff: Span,
    stage: Stage,
    /// Copies that have ended.
    ended: BTreeSet<u32>,
    /// What goes between requester and handler beside the reply, where the requester takes more.
    talk: Option<Box<Talking>>,
}

/// What it is.
#[derive(Debug)]
enum Sort {
    /// What it takes beside one reply.
    Request(Option<Taking>),
    /// A task, with those terms.
    Submit(Terms),
    Publish(Published),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Sent to the owner; `keeper` knows where it went: the owner, or who owns the exchange since it moved.
    Sent { owner: NodeId, keeper: NodeId },
    /// Certainly not delivered; waits for the next try.
    Waiting { reason: NoReply },
}

impl Host {
    /// A requester sends a request.
    pub fn request(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        service_tag: &str,
        key: &str,
        timeout: Span,
        taking: Option<Taking>,
    ) {
        let sort = Sort::Request(taking);
        self.begin(now, exchange, (service_tag, key), sort, timeout);
    }

    /// A submitter sends a task.
    pub fn submit(&mut self, now: Instant, exchange: ExchangeId, key: &str, terms: Terms, timeout: Span) {
        self.begin(now, exchange, ("", key), Sort::Submit(terms), timeout);
    }

    fn begin(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        (service_tag, key): (&str, &str),
        sort: Sort,
        timeout: Span,
    ) {
        let first = self.requests.next_id();
        let from = match &sort {
            Sort::Publish(published) => self.publisher(published.publisher()),
            Sort::Request(_) | Sort::Submit(_) => self.nobody(),
        };
        let talk = match &sort {
            Sort::Request(taking) => taking.map(Talking::new),
            Sort::Submit(_) | Sort::Publish(_) => None,
        };
        let open = Open {
            first,
            message: first,
            talk,
            exchange,
            service_tag: Bytes::copy_from_slice(service_tag.as_bytes()),
            key: Bytes::copy_from_slice(key.as_bytes()),
            sort,
            from,
            deadline: now + timeout,
            retry_until: None,
            backoff: RETRY_FIRST,
            stage: Stage::Waiting {
                reason: NoReply::Timeout,
            },
            ended: BTreeSet::new(),
        };
        let strategy = self.registry.exchanges.get(&exchange).map(|e| e.strategy);
        let many = matches!(open.sort, Sort::Request(_)) && strategy == Some(Strategy::Default);
        self.event(What::Begun {
            request: self.key(first),
            exchange,
            many,
        });
        self.tell_begun(&open);
        if many && open.talk.is_some() {
            // Chunks and questions are between a requester and one handler.
            return self.tell_outcome(first, exchange, Answer::None(Ended(NoReply::Rejected)), false);
        }
        let early = self.takes_early(&open);
        self.dispatch(now, first, open);
        if let Some(more) = early {
            self.take_more(now, first, more);
        }
        self.settle(now);
    }

    fn key(&self, message: MessageId) -> RequestKey {
        RequestKey {
            origin: self.id(),
            message,
        }
    }

    fn dispatch(&mut self, now: Instant, message: MessageId, mut open: Open) {
        let grant = self
            .registry
            .exchanges
            .get(&open.exchange)
            .map(|e| (e.owner, e.epoch));
        match grant {
            None => self.end(now, &open, NoReply::UnknownExchange),
            Some((None, _)) => self.wait(now, open, NoReply::NoOwner),
            Some((Some(owner), epoch)) => {
                let frame = Frame {
                    epoch,
                    ..self.frame(now, &open, message)
                };
                let key = lane_key(open.exchange, open.from.serial);
                open.stage = Stage::Sent { owner, keeper: owner };
                if let Some(talk) = &mut open.talk {
                    talk.end.sent(epoch);
                }
                self.requests.firsts.insert(message, open.first);
                let due = open.deadline;
                self.requests.insert(message, open, due);
                if let Err(error) = self.send(owner, key, frame) {
                    self.request_not_sent(now, message, error);
                } else {
                    self.sent_unconfirmed(now, message);
                }
            }
        }
    }

    fn frame(&self, now: Instant, open: &Open, message: MessageId) -> Frame {
        let left = open.deadline.since(now).as_ms().max(1);
        let head = head(open);
        Frame {
            exchange: open.exchange,
            message,
            origin: self.id(),
            from: open.from,
            left_ms: u32::try_from(left).unwrap_or(u32::MAX),
            tags: Tags {
                service: open.service_tag.clone(),
                key: open.key.clone(),
                ..head.tags
            },
            payload: Bytes::copy_from_slice(&open.first.0.to_le_bytes()),
            ..head
        }
    }

    /// A request frame certainly did not arrive.
    pub(super) fn request_not_sent(&mut self, now: Instant, message: MessageId, error: LinkError) {
        if let Some(open) = self.requests.take(message) {
            match error {
                LinkError::Down => self.wait(now, open, NoReply::Unreachable),
                LinkError::Full => self.end(now, &open, NoReply::Rejected),
            }
        }
    }

    /// A request frame may have arrived, and nobody can tell.
    pub(super) fn interrupt_request(&mut self, now: Instant, message: MessageId) {
        if let Some(open) = self.requests.take(message) {
            self.end(now, &open, NoReply::Interrupted);
        }
    }

    /// Keeps a request that certainly was not delivered, to try it again.
    fn wait(&mut self, now: Instant, mut open: Open, reason: NoReply) {
        let until = *open
            .retry_until
            .get_or_insert((now + RETRY_FOR).min(open.deadline));
        if now >= until {
            return self.end(now, &open, reason);
        }
        let due = (now + open.backoff).min(until);
        open.backoff = Span((open.backoff.0 * 2).min(RETRY_CAP.0));
        open.stage = Stage::Waiting { reason };
        let id = self.requests.next_id();
        self.requests.insert(id, open, due);
    }

    pub(super) fn take_reply(&mut self, now: Instant, frame: &Frame) {
        let sent = |open: &&Open| matches!(open.stage, Stage::Sent { .. }) && open.exchange == frame.exchange;
        let mine = |open: &&Open| sent(open) && !talking::is_fenced(open, frame);
        if self.requests.open.get(&frame.message).filter(mine).is_none() {
            self.late(frame);
            return self.refuse_late(frame);
        }
        if frame.count > 1 {
            return self.copy_ended(now, frame);
        }
        let Some(mut open) = self.requests.take(frame.message) else {
            return;
        };
        let given_back = giving_up::given_back(&mut open, frame);
        let judged = self.judged(&open, frame);
        let frame = judged.as_ref().or(given_back.as_ref()).unwrap_or(frame);
        match frame.status {
            Status::None(reason) if reason.may_be_sent_again() && !giving_up::was_taken(&open, frame) => {
                self.wait(now, open, reason);
            }
            _ => self.conclude(now, &open, frame),
        }
    }

    fn late(&mut self, frame: &Frame) {
        let first = self.requests.firsts.get(&frame.message).copied();
        let request = self.key(first.unwrap_or(frame.message));
        self.event(What::Late { request });
    }

    fn copy_ended(&mut self, now: Instant, frame: &Frame) {
        let Some(open) = self.requests.open.get_mut(&frame.message) else {
            return;
        };
        if matches!(open.sort, Sort::Publish(_)) {
            return self.take_place(now, frame);
        }
        if !(1..=frame.count).contains(&frame.index) || !open.ended.insert(frame.index) {
            return self.late(frame);
        }
        let all = open.ended.len() == usize::try_from(frame.count).expect("few copies");
        if !all {
            let (first, exchange) = (open.first, open.exchange);
            return self.tell_outcome(first, exchange, answer(frame), true);
        }
        if let Some(open) = self.requests.take(frame.message) {
            self.conclude(now, &open, frame);
        }
    }

    fn conclude(&mut self, now: Instant, open: &Open, frame: &Frame) {
        self.confirmed(open, frame);
        self.tell_outcome(open.first, open.exchange, answer(frame), false);
        let (by, why) = match frame.status {
            Status::None(reason) => (None, reason),
            _ => (Some(frame.from), NoReply::Interrupted),
        };
        self.let_go(open, by, why);
        self.publish_given_up(now, open, frame.status);
    }

    fn end(&mut self, now: Instant, open: &Open, reason: NoReply) {
        let reason = self.published_here(now, open, reason);
        self.tell_outcome(open.first, open.exchange, Answer::None(Ended(reason)), false);
        self.let_go(open, None, reason);
        self.publish_given_up(now, open, Status::None(reason));
    }

    fn tell_outcome(&mut self, first: MessageId, exchange: ExchangeId, outcome: Answer, more: bool) {
        let request = self.key(first);
        self.event(What::Outcome {
            request,
            exchange,
            outcome,
            more,
        });
    }

    fn retry(&mut self, now: Instant, open: Open) {
        let request = self.key(open.first);
        self.event(What::Retried { request });
        self.tell_again_of(&open);
        let message = self.requests.next_id();
        self.dispatch(now, message, open);
    }

    pub(super) fn stop_requests(&mut self, now: Instant) {
        for open in self.requests.take_all(|_| true) {
            self.end(now, &open, NoReply::Interrupted);
        }
    }

    pub(super) fn tick_requests(&mut self, now: Instant) {
        while let Some((at, id)) = self.requests.due.first().copied()
            && at <= now
        {
            self.requests.due.remove(&(at, id));
            let Some(open) = self.requests.take(id) else {
                continue;
            };
            match open.stage {
                Stage::Waiting { reason } if open.retry_until.is_some_and(|until| now >= until) => {
                    self.end(now, &open, reason);
                }
                Stage::Waiting { .. } => self.retry(now, open),
                Stage::Sent { .. } => self.end(now, &open, NoReply::Timeout),
            }
        }
    }
}

/// A frame of the right kind, with what it carries beside payload and key.
fn head(open: &Open) -> Frame {
    match &open.sort {
        Sort::Request(_) => Frame {
            credit: open.talk.as_ref().map_or(0, |talk| talk.credit()),
            ..Frame::new(Kind::Request)
        },
        Sort::Submit(terms) => {
            let mut frame = Frame::new(Kind::Submit);
            frame.tags.connection = terms.to_tag().expect("short ids");
            frame
        }
        Sort::Publish(published) => published.head(),
    }
}

fn answer(frame: &Frame) -> Answer {
    match frame.status {
        // The exchange itself, before the request went to anybody.
        Status::Declined | Status::Redirect if frame.from.serial == 0 => {
            Answer::None(Ended(NoReply::Rejected))
        }
        Status::Reply => Answer::Reply { handler: frame.from },
        Status::Declined | Status::Redirect | Status::Pass | Status::Rewrite => {
            Answer::Declined { handler: frame.from }
        }
        Status::None(reason) => Answer::None(Ended(reason)),
    }
}
