//! The requester's side: every request that enters the cluster at this node, until its one outcome.
//!
//! What does not live here: where a request goes among handlers (the exchange on its owner decides); what waits, and until
//! when (`timing`); how it is told of its end (`ending`).

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::frame::{Frame, Status, Tags};
use squall_kernel::id::{Epoch, ExchangeId, MessageId, NodeId};
use squall_kernel::limits::{OPEN_REQUESTS_MAX, REQUEST_TIMEOUT_MS_MAX};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::ExchangeRecord;
use squall_kernel::talk::RequesterEnd;
use squall_kernel::time::{Instant, Span};
use tokio::sync::{mpsc, oneshot};

use crate::data::DataContext;
use crate::journal::Fact;
use crate::limits::{REQUEST_TIMEOUT_DEFAULT, RETRY_FIRST};
use crate::metrics::Times;
use crate::spans::Traced;
use crate::striped::Level;
use crate::wire::{LinkError, lane_key};

mod answered;
mod ending;
mod follow;
mod open;
mod outcome;
mod publishing;
mod request;
mod stats;
mod table;
mod talking;
mod timing;
mod way;

use open::{Copies, Open, Stage};
pub use outcome::{Outcome, OutcomeSink, ReplyTo};
use request::oversized;
pub use request::{Publish, Request};
pub use stats::ExchangeStats;
use stats::{StatsTable, Ticket};
use table::{CopyEnd, OpenTable};
pub use talking::{Said, TalkId, Talking};

/// The open requests of a node.
pub struct Router {
    context: Arc<DataContext>,
    table: OpenTable,
    open: Level,
    stats: StatsTable,
}

/// Who owns an exchange, and under which epoch.
type Grant = (Option<NodeId>, Epoch);

fn grant(record: &ExchangeRecord) -> Grant {
    (record.owner, record.epoch)
}

impl Router {
    pub(crate) fn new(context: Arc<DataContext>) -> Self {
        let table = OpenTable::new(context.boot);
        Self {
            context,
            table,
            open: Level::default(),
            stats: StatsTable::default(),
        }
    }

    /// Sends a request and waits for its outcome; under the strategy `default` for the first reply, or the last
    /// failure when there is none.
    pub async fn request(&self, request: Request) -> Outcome {
        let (exchange, tag) = (request.exchange, request.tags.request.clone());
        let (reply_to, outcome) = oneshot::channel();
        self.submit(request, ReplyTo::First(reply_to));
        outcome
            .await
            .unwrap_or_else(|_| Outcome::none(exchange, NoReply::Interrupted, tag))
    }

    /// Sends a request and gives all its outcomes: one, or one a handler under the strategy `default`. The last one
    /// has `more` unset.
    #[must_use]
    pub fn request_all(&self, request: Request) -> mpsc::Receiver<Outcome> {
        let (reply_to, outcomes) = mpsc::channel(outcome::OUTCOMES_MAX);
        self.submit(request, ReplyTo::All(reply_to));
        outcomes
    }

    /// Sends a request; its outcomes go to `reply_to`, perhaps before this returns.
    pub fn submit(&self, request: Request, reply_to: ReplyTo) {
        self.context.wire.tally.taken_in.one();
        let now = self.context.clock.now();
        let _step = self.context.clock.step_at(now);
        let registry = self.context.registry();
        let record = registry.exchanges.get(&request.exchange);
        let stats = Ticket::take(self.stats.of(request.exchange, record.is_some()));
        let wanted = if request.timeout == Span::ZERO {
            REQUEST_TIMEOUT_DEFAULT
        } else {
            request.timeout
        };
        let timeout = wanted.min(Span::from_ms(u64::from(REQUEST_TIMEOUT_MS_MAX)));
        let talk = request
            .talk
            .as_ref()
            .map(|talking| Box::new(RequesterEnd::new(talking.terms)));
        let asked = request.exchange;
        // In a box from the beginning: it goes through many hands, and is large.
        let open = Box::new(Open {
            talk,
            traced: Traced::of(&self.context.spans, request.trace),
            request,
            reply_to,
            stats,
            started: now,
            deadline: now + timeout,
            retry_until: None,
            backoff: RETRY_FIRST,
            stage: Stage::New,
            copies: Copies::default(),
            hops: 0,
            steps: 0,
            way: None,
            told: None,
            given_back: false,
            asked,
        });
        let open = self.begun(open);
        if !self.open.begin(OPEN_REQUESTS_MAX) {
            self.end(open, NoReply::Rejected);
        } else if let Some(what) = oversized(&open.request)
            .or_else(|| publishing::misplaced(record?, &open.request))
            .or_else(|| self.out_of_terms(&open.request))
        {
            let exchange = open.request.exchange;
            self.conclude(open, Outcome::declined(exchange, what));
        } else {
            self.set_out_to(open, now, record);
        }
    }

    /// Requests open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.read()
    }

    /// Figures of all exchanges that requests entered here for.
    #[must_use]
    pub fn stats(&self) -> Vec<ExchangeStats> {
        self.stats.all(self.context.clock.now())
    }

    /// The same, each with the times that its requests took since the start.
    #[must_use]
    pub fn measured(&self) -> Vec<(ExchangeStats, Times)> {
        self.stats.measured(self.context.clock.now())
    }

    fn name_of(&self, exchange: ExchangeId) -> String {
        let registry = self.context.registry();
        registry
            .exchanges
            .get(&exchange)
            .map_or_else(|| format!("#{exchange}"), |e| e.name.as_str().to_owned())
    }

    fn dispatch(&self, open: Box<Open>, now: Instant) {
        let grant = self
            .context
            .registry()
            .exchanges
            .get(&open.request.exchange)
            .map(grant);
        self.dispatch_to(open, now, grant);
    }

    /// Sends it to the owner, where its exchange was looked up already.
    fn dispatch_to(&self, mut open: Box<Open>, now: Instant, grant: Option<Grant>) {
        match grant {
            None => self.no_exchange(open),
            Some((None, _)) => {
                let why = self.why_no_owner(open.request.exchange);
                self.wait(open, why);
            }
            Some((Some(owner), epoch)) => {
                let message = self.table.next_id();
                if let Some(request) = open.told {
                    self.context.tell(|| Fact::Tried { request, message });
                }
                let mut frame = Box::new(self.frame(&open, message, now));
                frame.epoch = epoch;
                let key = lane_key(open.request.exchange, open.request.from.serial);
                open.stage = Stage::Sent { owner, keeper: owner };
                open.traced.goes_on();
                let unconfirmed = publishing::is_unconfirmed(&open.request);
                if let Some(talk) = &mut open.talk {
                    talk.sent(epoch);
                }
                let due = open.deadline;
                self.table.insert(message, open, due);
                if let Err(error) = self.context.wire.frame(owner, key, frame) {
                    self.not_sent(message, error);
                } else if unconfirmed {
                    self.sent_unconfirmed(message);
                }
            }
        }
    }

    fn frame(&self, open: &Open, message: MessageId, now: Instant) -> Frame {
        let left = open.deadline.since(now).as_ms().max(1);
        let frame = Frame {
            exchange: open.request.exchange,
            message,
            origin: self.context.node,
            from: open.request.from,
            left_ms: u32::try_from(left).unwrap_or(u32::MAX),
            trace: open.traced.context(),
            tags: open.request.tags.clone(),
            payload: open.request.payload.clone(),
            ..publishing::head(&open.request, open.given_back)
        };
        let Some(ahead_of) = open.ahead_of() else {
            return frame;
        };
        Frame {
            ahead: true,
            credit: 0,
            tags: Tags {
                service: Bytes::copy_from_slice(ahead_of.as_str().as_bytes()),
                ..frame.tags
            },
            ..frame
        }
    }

    fn not_sent(&self, message: MessageId, error: LinkError) {
        if let Some(open) = self.table.take_undelivered(message) {
            match error {
                LinkError::Down => self.wait(open, NoReply::Unreachable),
                LinkError::Full => self.end(open, NoReply::Rejected),
            }
        }
    }

    /// A request frame certainly did not arrive.
    pub(crate) fn undeliverable(&self, message: MessageId) {
        self.not_sent(message, LinkError::Down);
    }

    /// A request frame may have arrived, and nobody can tell.
    pub(crate) fn interrupt(&self, message: MessageId) {
        if let Some(open) = self.table.take(message) {
            self.end(open, NoReply::Interrupted);
        }
    }

    /// Takes in a reply, or another end of a request or of one of its copies.
    pub(crate) fn reply(&self, frame: Box<Frame>) {
        let _step = self.context.clock.step();
        if frame.count > 1 {
            return self.copy_ended(frame);
        }
        let taken = self.table.take_sent(&frame);
        let frame = match &taken {
            Some(open) => self.judged(open, frame),
            None => frame,
        };
        match (taken, frame.status) {
            // The owner tells of all recent requests that a lost node had, answered or not.
            (None, Status::None(NoReply::Interrupted)) => {}
            (None, _) => self.too_late(&frame, self.table.is_second(&frame)),
            (Some(open), _) => self.heard(open, frame),
        }
    }

    fn heard(&self, mut open: Box<Open>, mut frame: Box<Frame>) {
        open.traced.heard(&frame.trace);
        let Some(mut open) = self.on_its_way(open, &frame) else {
            return;
        };
        if publishing::was_given_back(&open.request, &frame) {
            (open.given_back, frame.index) = (true, 0);
        }
        match frame.status {
            Status::Redirect => self.redirect(open, &frame),
            Status::None(reason)
                if reason.may_be_sent_again() && !publishing::was_taken(&open.request, &frame) =>
            {
                self.wait(open, reason);
            }
            _ => self.conclude_with(open, frame),
        }
    }

    fn why_no_owner(&self, exchange: ExchangeId) -> NoReply {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&exchange);
        match record.and_then(|record| registry.missing_function(record)) {
            Some(_) => NoReply::NoFunction,
            None => NoReply::NoOwner,
        }
    }

    fn copy_ended(&self, mut frame: Box<Frame>) {
        if matches!(frame.status, Status::Redirect | Status::Pass | Status::Rewrite) {
            frame.status = Status::Declined;
            frame.payload = Bytes::from_static(b"one of several handlers cannot send a request on");
        }
        let tell = |told, outcome: &Outcome| self.ended(told, outcome);
        match self.table.end_copy(&mut frame, tell) {
            CopyEnd::Late => self.too_late(&frame, false),
            CopyEnd::Second => self.too_late(&frame, true),
            CopyEnd::More => {}
            CopyEnd::Last(open) => {
                if let Some(reason) = open.unheard_failure(frame.status) {
                    frame.status = Status::None(reason);
                }
                self.conclude_with(open, frame);
            }
        }
    }
}
