//! A subscriber: a process with a bounded mailbox of its own, emptied by whoever reads it. What a full one does is its
//! exchange's setting, and touches nobody else (B9).
//!
//! What does not live here: readers (`embedded`, the session), and which publish is for whom (`table`).

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Priority, Status, TraceContext};
use squall_kernel::id::{ExchangeId, ExchangeName, Pid};
use squall_kernel::limits::MAILBOX_BOUND;
use squall_kernel::order::{Gone, NotTaken, PriorityQueue};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{ExchangeRecord, Settings};
use squall_kernel::time::Instant;

use crate::data::DataContext;
use crate::handlers::DeliveryCounts;
use crate::held::Held;
use crate::journal::PublishEvent;
use crate::limits::{MAILBOX_BYTES_MAX, PUBLISHES_HELD_MAX};
use crate::process::{Process, ProcessKind};
use crate::spans::Copy;
use crate::wire::ReturnPath;

/// A publish as its subscribers see it; they share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Exchange.
    pub exchange: ExchangeId,
    /// Routing key.
    pub key: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// Publisher.
    pub publisher: Pid,
    /// Number of its try, as the publisher's node counts.
    pub request: RequestKey,
    /// The publisher's own id of it; empty without one.
    pub message_id: Bytes,
    /// How urgent it is.
    pub priority: Priority,
    /// Trace it belongs to.
    pub trace: TraceContext,
}

/// Tags of attachments. One alone, as most have, needs no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTags(Tags);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    One([Bytes; 1]),
    Many(Vec<Bytes>),
}

impl Deref for ConnectionTags {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match &self.0 {
            Tags::One(tag) => tag,
            Tags::Many(tags) => tags,
        }
    }
}

impl<'a> FromIterator<&'a Bytes> for ConnectionTags {
    fn from_iter<I: IntoIterator<Item = &'a Bytes>>(tags: I) -> Self {
        let mut tags = tags.into_iter();
        let first = tags.next().cloned();
        Self(match (first, tags.next()) {
            (Some(first), None) => Tags::One([first]),
            (first, second) => {
                let more = second.into_iter().chain(tags).cloned();
                Tags::Many(first.into_iter().chain(more).collect())
            }
        })
    }
}

/// One copy of a publish, for one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberEvent {
    /// The publish.
    pub published: Arc<Published>,
    /// Tags of the attachments that it matched, each once (A26).
    pub connections: ConnectionTags,
    /// A span is told of this copy.
    pub(crate) traced: bool,
}

/// Reads a subscriber's mailbox, and is told when there is something in it.
pub(crate) trait EventSink: Send + Sync {
    /// There is something, or the subscriber has ended. Not told again before it was found empty.
    fn ready(&self, subscriber: Pid);
}

/// A subscriber.
pub struct Subscriber {
    context: Arc<DataContext>,
    name: ExchangeName,
    exchange: ExchangeId,
    process: Arc<Process>,
    reader: Box<dyn EventSink>,
    /// What mailboxes of its exchange do here.
    counts: Arc<DeliveryCounts>,
    /// Its reader has left: what it asked for and is still under way is not to be subscribed any more.
    left: AtomicBool,
    state: Mutex<State>,
}

struct State {
    queue: PriorityQueue<Waiting>,
    /// What a full mailbox under `block` holds its publishers back with: confirmed only once it is in.
    held: Held<HeldBack>,
    /// Events that the reader takes.
    credit: u32,
    /// The reader knows that there is something.
    told: bool,
    ended: Option<String>,
}

struct Waiting {
    event: SubscriberEvent,
    put: Instant,
}

struct HeldBack {
    event: SubscriberEvent,
    until: Option<Instant>,
    _receipt: Option<Arc<Receipt>>,
}

/// Its payload may be shared with other subscribers; each counts it.
fn bytes_of(event: &SubscriberEvent) -> usize {
    event.published.payload.len()
}

/// The word of this node that a publish is in the mailboxes of all its subscribers here: sent when the last copy is in.
pub(super) struct Receipt {
    context: Arc<DataContext>,
    back: Option<ReturnPath>,
    from: Pid,
    failed: AtomicBool,
}

/// What a mailbox did with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    Rejected,
}

impl Receipt {
    pub(super) fn new(context: &Arc<DataContext>, back: ReturnPath, from: Pid) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            back: Some(back),
            from,
            failed: AtomicBool::new(false),
        })
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let Some(back) = self.back.take() else {
            return;
        };
        let status = if self.failed.load(Ordering::Acquire) {
            Status::None(NoReply::Rejected)
        } else {
            Status::Reply
        };
        self.context
            .wire
            .reply(back.reply(self.from, status, Bytes::new()));
    }
}

impl Subscriber {
    pub(super) fn new(
        context: &Arc<DataContext>,
        record: &ExchangeRecord,
        credit: u32,
        reader: Box<dyn EventSink>,
    ) -> Arc<Self> {
        let Settings {
            mailbox, when_full, ..
        } = record.settings;
        let bound = mailbox.map_or(MAILBOX_BOUND, |bound| {
            usize::try_from(bound).unwrap_or(usize::MAX)
        });
        let now = context.clock.now();
        let process = context
            .processes
            .enter(ProcessKind::Subscriber, &record.name, bound, now);
        Arc::new(Self {
            context: Arc::clone(context),
            name: record.name.clone(),
            exchange: record.id,
            process,
            reader,
            counts: context.counts.of(record.id),
            left: AtomicBool::new(false),
            state: Mutex::new(State {
                queue: PriorityQueue::new(bound, when_full)
                    .weighed(MAILBOX_BYTES_MAX, |waiting: &Waiting| bytes_of(&waiting.event)),
                held: Held::new(PUBLISHES_HELD_MAX, MAILBOX_BYTES_MAX, |held| {
                    bytes_of(&held.event)
                }),
                credit,
                told: false,
                ended: None,
            }),
        })
    }

    /// Pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Its exchange.
    #[must_use]
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// Its exchange's name.
    #[must_use]
    pub fn name(&self) -> &ExchangeName {
        &self.name
    }

    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// The reader takes that many more events.
    pub(crate) fn give_credit(&self, events: u32) {
        let mut state = self.lock();
        state.credit = state.credit.saturating_add(events);
        self.tell(state);
    }

    /// Whether its reader was told of something that it has not looked for since.
    pub(crate) fn is_told(&self) -> bool {
        self.lock().told
    }

    /// The next event, if there is one and the reader takes one.
    pub(crate) fn take(&self) -> Option<SubscriberEvent> {
        let mut state = self.lock();
        if state.queue.is_empty() && state.held.is_empty() {
            state.told = false;
            return None;
        }
        let now = self.context.clock.now();
        let mut gone = Vec::new();
        let reads = state.credit > 0;
        let pop = |state: &mut State, gone: &mut Vec<_>| reads.then(|| state.queue.pop(now, gone)).flatten();
        let first = pop(&mut state, &mut gone);
        let _confirmed_outside_the_lock = self.let_in(&mut state, now, &mut gone);
        // All that was in may have been too old, and what was held back in its place by now.
        let taken = first.or_else(|| pop(&mut state, &mut gone));
        if taken.is_some() {
            state.credit -= u32::from(state.credit != u32::MAX);
        } else {
            state.told = false;
        }
        drop(state);
        self.count_gone(gone);
        let waiting = taken?;
        self.process.count_dequeued(waiting.put);
        self.process.count_wait(now.since(waiting.put));
        self.tell_of_copy(&waiting, now, None);
        Some(waiting.event)
    }

    /// Why it is no more, once it is and all that came before was read.
    pub(crate) fn ended(&self) -> Option<String> {
        let state = self.lock();
        state.ended.clone().filter(|_| state.queue.is_empty())
    }

    /// The same without a word.
    pub(super) fn has_ended(&self) -> bool {
        let state = self.lock();
        state.ended.is_some() && state.queue.is_empty()
    }

    pub(super) fn end(&self, why: String) {
        let mut state = self.lock();
        let _refused_outside_the_lock = state.held.take();
        state.ended.get_or_insert(why);
        state.told = true;
        drop(state);
        self.reader.ready(self.pid());
    }

    /// Puts a copy into the mailbox, to be read before `until`.
    pub(super) fn offer(
        &self,
        event: SubscriberEvent,
        until: Option<Instant>,
        receipt: Option<&Arc<Receipt>>,
    ) -> Offered {
        let now = self.context.clock.now();
        let mut gone = Vec::new();
        let mut state = self.lock();
        let offered = self.put(&mut state, now, event, until, receipt, &mut gone);
        self.tell(state);
        self.count_gone(gone);
        if offered == Offered::Rejected {
            self.process.count_dropped();
            self.counts.rejected();
            if let Some(receipt) = receipt {
                receipt.fail();
            }
        }
        offered
    }

    fn put(
        &self,
        state: &mut State,
        now: Instant,
        event: SubscriberEvent,
        until: Option<Instant>,
        receipt: Option<&Arc<Receipt>>,
        gone: &mut Vec<(Gone, Waiting)>,
    ) -> Offered {
        let priority = event.published.priority;
        let behind = !state.held.is_empty();
        let publish = event.published.request;
        let blocked = if behind {
            event
        } else {
            match state
                .queue
                .push(now, priority, until, Waiting { event, put: now }, gone)
            {
                Ok(()) => {
                    self.process.count_enqueued(now);
                    self.tell_got(publish);
                    return Offered::Taken;
                }
                Err(NotTaken::Rejected(_)) => return Offered::Rejected,
                Err(NotTaken::Blocked(waiting)) => waiting.event,
            }
        };
        let held = state.held.push(HeldBack {
            event: blocked,
            until,
            _receipt: receipt.cloned(),
        });
        if held.is_err() {
            return Offered::Rejected;
        }
        self.counts.held();
        Offered::Taken
    }

    /// Lets in what was held back, as far as there is room. What it gives confirms when it is dropped.
    fn let_in(
        &self,
        state: &mut State,
        now: Instant,
        gone: &mut Vec<(Gone, Waiting)>,
    ) -> Vec<Option<Arc<Receipt>>> {
        let mut receipts = Vec::new();
        let State { queue, held, .. } = state;
        while let Some(first) = held.pop_if(|first| queue.has_room(bytes_of(&first.event))) {
            let HeldBack {
                event,
                until,
                _receipt: receipt,
            } = first;
            let priority = event.published.priority;
            let publish = event.published.request;
            let waiting = Waiting { event, put: now };
            if queue.push(now, priority, until, waiting, gone).is_ok() {
                self.process.count_enqueued(now);
                self.tell_got(publish);
            }
            receipts.push(receipt);
        }
        receipts
    }

    /// While the mailbox is locked: so the journal has copies in the order in which they came in.
    fn tell_got(&self, publish: RequestKey) {
        let subscriber = self.pid();
        self.context
            .tell_publish(self.exchange, || PublishEvent::Got { publish, subscriber });
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let something = !state.queue.is_empty() && state.credit > 0;
        if something && !std::mem::replace(&mut state.told, true) {
            drop(state);
            self.reader.ready(self.pid());
        }
    }

    /// A new copy that made no room for itself was never counted as in.
    fn count_gone(&self, gone: Vec<(Gone, Waiting)>) {
        for (why, waiting) in gone {
            let why = match why {
                Gone::Expired => {
                    self.counts.expired();
                    "expired"
                }
                Gone::Dropped => {
                    self.counts.dropped();
                    "dropped"
                }
            };
            self.tell_of_copy(&waiting, self.context.clock.now(), Some(why));
            self.process.count_dequeued(waiting.put);
            self.process.count_dropped();
        }
    }

    fn tell_of_copy(&self, copy: &Waiting, now: Instant, lost: Option<&'static str>) {
        if !copy.event.traced {
            return;
        }
        let published = &copy.event.published;
        let of = Copy {
            exchange: self.name.as_str(),
            subscriber: self.context.pid_text(self.pid()),
            key: String::from_utf8_lossy(&published.key).into_owned(),
            bytes: published.payload.len(),
            waited: now.since(copy.put),
            lost,
        };
        of.tell(&self.context.spans, published.trace);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("pid", &self.pid())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_as_many_as_were_matched_in_their_order() {
        let all = [Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"c")];
        for many in 0..=3 {
            let tags: ConnectionTags = all.iter().take(many).collect();
            assert_eq!(&*tags, &all[..many]);
        }
        let one: ConnectionTags = all.iter().take(1).collect();
        assert!(matches!(one.0, Tags::One(_)));
    }
}
