//! The requester's side: every request that enters the cluster at this node, until its outcome. As `squall_node::router`
//! does it.
//!
//! What does not live here: what only publishes need (`publishing`).

mod giving_up;
mod publishing;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{Boot, ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::message::Terms;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Strategy;
use squall_kernel::time::{Instant, Span};
use squall_node::data::Change;
use squall_node::limits::{RETRY_CAP, RETRY_FIRST, RETRY_FOR};
use squall_node::wire::{LinkError, lane_key};

use super::Host;
use crate::history::{Answer, Ended, What};
use publishing::Published;
pub use publishing::Publishing;

/// As in the live router: the boot count stands above the count of a run.
const COUNT_BITS: u32 = 44;

/// An open request.
#[derive(Debug)]
struct Open {
    /// How the history knows it: the number of its first try.
    first: MessageId,
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
}

/// What it is.
#[derive(Debug)]
enum Sort {
    Request,
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

/// The open requests of a node.
#[derive(Debug)]
pub(super) struct Requests {
    last: u64,
    open: BTreeMap<MessageId, Open>,
    due: BTreeSet<(Instant, MessageId)>,
    /// First tries of later ones, to name what comes late.
    firsts: BTreeMap<MessageId, MessageId>,
}

impl Requests {
    pub(super) fn new(boot: Boot) -> Self {
        Self {
            last: u64::from(boot.0) << COUNT_BITS,
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            firsts: BTreeMap::new(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn next_id(&mut self) -> MessageId {
        self.last += 1;
        MessageId(self.last)
    }

    fn insert(&mut self, id: MessageId, open: Open, due: Instant) {
        self.open.insert(id, open);
        self.due.insert((due, id));
    }

    fn take(&mut self, id: MessageId) -> Option<Open> {
        self.open.remove(&id)
    }

    fn take_all(&mut self, mut wanted: impl FnMut(&mut Open) -> bool) -> Vec<Open> {
        let taken = self
            .open
            .iter_mut()
            .filter_map(|(id, open)| wanted(open).then_some(*id));
        let taken: Vec<MessageId> = taken.collect();
        taken.into_iter().filter_map(|id| self.open.remove(&id)).collect()
    }
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
    ) {
        self.begin(now, exchange, (service_tag, key), Sort::Request, timeout);
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
            Sort::Request | Sort::Submit(_) => self.nobody(),
        };
        let open = Open {
            first,
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
        let many = matches!(open.sort, Sort::Request) && strategy == Some(Strategy::Default);
        self.event(What::Begun {
            request: self.key(first),
            exchange,
            many,
        });
        self.tell_begun(&open);
        self.dispatch(now, first, open);
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
        if self.requests.open.get(&frame.message).filter(sent).is_none() {
            return self.late(frame);
        }
        if frame.count > 1 {
            return self.copy_ended(now, frame);
        }
        let Some(mut open) = self.requests.take(frame.message) else {
            return;
        };
        let given_back = giving_up::given_back(&mut open, frame);
        let frame = given_back.as_ref().unwrap_or(frame);
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
        self.publish_given_up(now, open, frame.status);
    }

    fn end(&mut self, now: Instant, open: &Open, reason: NoReply) {
        let reason = self.published_here(now, open, reason);
        self.tell_outcome(open.first, open.exchange, Answer::None(Ended(reason)), false);
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

    /// Ends what a lost node holds, and tries again at once what waits.
    pub(super) fn requests_changed(&mut self, now: Instant, change: &Change) {
        if change.concerns_requests() {
            for open in self.requests.take_all(|open| !follows(open, change)) {
                self.end(now, &open, NoReply::Interrupted);
            }
        }
        for open in self
            .requests
            .take_all(|open: &mut Open| matches!(open.stage, Stage::Waiting { .. }))
        {
            self.retry(now, open);
        }
    }

    fn retry(&mut self, now: Instant, open: Open) {
        let request = self.key(open.first);
        self.event(What::Retried { request });
        self.tell_again_of(&open);
        let message = self.requests.next_id();
        self.dispatch(now, message, open);
    }

    /// What is sent to that owner does not arrive any more, or its answers do not: what it had may have been carried out.
    pub(super) fn interrupt_requests_at(&mut self, now: Instant, node: NodeId) {
        let held = |open: &mut Open| matches!(open.stage, Stage::Sent { owner, .. } if owner == node);
        for open in self.requests.take_all(held) {
            self.end(now, &open, NoReply::Interrupted);
        }
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

/// False when nobody is left who could end it, as in the live router.
fn follows(open: &mut Open, change: &Change) -> bool {
    match &mut open.stage {
        Stage::Sent { owner, keeper } => change.follow(open.exchange, *owner, keeper),
        Stage::Waiting { .. } => true,
    }
}

/// A frame of the right kind, with what it carries beside payload and key.
fn head(open: &Open) -> Frame {
    match &open.sort {
        Sort::Request => Frame::new(Kind::Request),
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
