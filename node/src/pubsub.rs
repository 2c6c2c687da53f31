//! Publish-subscribe at one node (A29, A108): one table process for each such exchange that has subscribers here or is
//! owned here, and the subscribers themselves.
//!
//! A publish goes from its publisher's node to the owner, and from there once to each node that has a subscriber for its
//! key, perhaps through a proxy near that node (A31–A33); each node tells the node above it each pattern once, however many
//! subscribers want it (A34).
//!
//! What does not live here: who matches what (the kernel's `subscriptions`), and the publisher's side (`router`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{ExchangeId, ExchangeName, Incarnation, NodeId, Pid};
use squall_kernel::keys::{KeyError, KeyPattern};
use squall_kernel::limits::{MAILBOX_BOUND, PATTERNS_PER_SUBSCRIBER_MAX, TAG_BYTES_MAX};
use squall_kernel::message::{PeerMessage, SubscriptionNews};
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::{NoReply, SubscribeRefusal};
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_kernel::time::Instant;
use tokio::sync::{Notify, oneshot};

use crate::data::{Change, DataContext};
use crate::numbered::ByNumber;
use crate::process::{Mailbox, ProcessKind, Push, mailbox};
use crate::wire::{ReturnPath, count};

mod controlling;
mod embedded;
mod envelopes;
mod fanning;
mod figures;
mod neighbours;
mod subscriber;
mod subscribing;
mod table;
mod upstream;

pub use embedded::Subscription;
pub(crate) use fanning::taken;
pub use fanning::{name_of, publisher_of};
use figures::Counters;
pub use figures::TableFigures;
pub(crate) use subscriber::EventSink;
pub use subscriber::{ConnectionTags, Published, Subscriber, SubscriberEvent};
pub(crate) use subscribing::Answer;

use table::Running;

/// Why nobody was subscribed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// There is no such exchange.
    #[error("there is no exchange '{0}'")]
    UnknownExchange(ExchangeName),
    /// Its pattern has no subscribers.
    #[error("exchange '{name}' is {}: it has no subscribers", pattern.as_str())]
    Pattern {
        /// Exchange.
        name: ExchangeName,
        /// Its pattern.
        pattern: Pattern,
    },
    /// A pattern that is none.
    #[error("'{pattern}': {error}")]
    Key {
        /// As given.
        pattern: String,
        /// What is wrong, and where.
        error: KeyError,
    },
    /// A bound is met.
    #[error("'{pattern}': {reason}")]
    Refused {
        /// The pattern that was refused.
        pattern: KeyPattern,
        /// Why.
        reason: SubscribeRefusal,
    },
    /// No pattern, or too many.
    #[error("a subscriber asks for 1 to {PATTERNS_PER_SUBSCRIBER_MAX} patterns at once, not for {0}")]
    Patterns(usize),
    /// The connection tag is too long.
    #[error("a connection tag has at most {TAG_BYTES_MAX} bytes, this one has {0}")]
    Tag(usize),
    /// Too many subscribers of one session.
    #[error("a session has at most {max} subscribers")]
    TooMany {
        /// Bound.
        max: usize,
    },
    /// A session's number for it is that of a subscriber of another exchange, which goes on.
    #[error("the number {number} is that of a subscriber of '{name}'")]
    InUse {
        /// Number.
        number: u64,
        /// Exchange of the subscriber that has it.
        name: ExchangeName,
    },
    /// The process that keeps the exchange's subscriptions has its mailbox full.
    #[error("overloaded: the subscriptions of the exchange take no more now")]
    Overloaded,
    /// The exchange's controller does not let it, or could not be asked (A5).
    #[error("'{pattern}': refused by the controller '{controller}': {reason}")]
    Controller {
        /// What was asked for.
        pattern: KeyPattern,
        /// The controller's exchange.
        controller: ExchangeName,
        /// Its reason, or why there is no answer.
        reason: String,
    },
    /// The exchange was deleted, or the node ends.
    #[error("the subscriptions of the exchange have ended")]
    Ended,
}

/// What a table's process takes out of its mailbox.
enum Mail {
    Publish(Frame),
    Event(NodeId, Frame),
    Local(Frame),
    Subscribe(Subscribing),
    /// The controller has let it, perhaps with other patterns.
    Permitted(Subscribing),
    News(NodeId, SubscriptionNews),
}

/// A subscriber asks for more.
struct Subscribing {
    subscriber: Arc<Subscriber>,
    connection: Bytes,
    patterns: Vec<KeyPattern>,
    answer: oneshot::Sender<Result<(), SubscribeError>>,
}

/// What must reach a table's process whatever its mailbox holds; each set is bounded by nodes or subscribers.
#[derive(Default)]
struct Orders {
    registry: bool,
    /// This node was held for lost, perhaps, and is a member again: what it has told the one above is forgotten there.
    back: bool,
    lost: BTreeSet<(NodeId, Incarnation)>,
    /// Nodes that may have missed something from here, or from whom something may be missing here.
    missed: BTreeSet<NodeId>,
    /// Nodes that are up, and were not.
    up: BTreeSet<NodeId>,
    gone: BTreeSet<Pid>,
}

#[derive(Default)]
struct Post {
    orders: Mutex<Orders>,
    wake: Notify,
    stopped: AtomicBool,
    figures: Counters,
}

impl Post {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }
}

#[derive(Clone)]
struct Table {
    mailbox: Mailbox<Mail>,
    post: Arc<Post>,
}

/// The publish-subscribe exchanges that this node has something to do with.
pub struct PubSub {
    context: Arc<DataContext>,
    tables: RwLock<ByNumber<ExchangeId, Table>>,
    behind: Arc<Behind>,
}

/// Tables that are to follow the registry's next step whatever changes in it. The others are told of what concerns them: of their exchange,
/// and of nodes.
#[derive(Default)]
struct Behind(Mutex<BTreeSet<ExchangeId>>);

impl Behind {
    /// That one: what it waits for, or has just begun with, may be in a step that is on its way.
    fn enter(&self, exchange: ExchangeId) {
        self.lock().insert(exchange);
    }

    fn take(&self) -> BTreeSet<ExchangeId> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ExchangeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PubSub {
    pub(crate) fn new(context: Arc<DataContext>) -> Self {
        Self {
            context,
            tables: RwLock::default(),
            behind: Arc::default(),
        }
    }

    /// What the table of an exchange has counted; none where this node has no table of it.
    #[must_use]
    pub fn figures(&self, exchange: ExchangeId) -> Option<TableFigures> {
        let table = self.known(exchange)?;
        Some(table.post.figures.told())
    }

    /// Takes in a publish for an exchange that should be owned here.
    pub(crate) fn publish(&self, frame: Frame) {
        let refused = match self.table(frame.exchange) {
            None => Some((frame, NoReply::Moved)),
            Some(table) => match table.mailbox.push(Mail::Publish(frame)) {
                Err(Push::Full(Mail::Publish(frame))) => Some((frame, NoReply::Rejected)),
                Err(Push::Closed(Mail::Publish(frame))) => Some((frame, NoReply::Moved)),
                _ => None,
            },
        };
        if let Some((frame, reason)) = refused {
            self.refuse(&frame, reason);
        }
    }

    /// Takes in an event from the node above.
    pub(crate) fn event(&self, from: NodeId, frame: Frame) {
        let refused = match self.known(frame.exchange) {
            None => Some((frame, NoReply::NoResponders)),
            Some(table) => match table.mailbox.push(Mail::Event(from, frame)) {
                Err(Push::Full(Mail::Event(_, frame))) => Some((frame, NoReply::Rejected)),
                Err(Push::Closed(Mail::Event(_, frame))) => Some((frame, NoReply::NoResponders)),
                _ => None,
            },
        };
        if let Some((frame, reason)) = refused {
            count(&self.context.wire.tally.events_lost);
            self.refuse(&frame, reason);
        }
    }

    /// An event did not arrive, or nobody knows.
    pub(crate) fn not_delivered(&self, frame: &Frame, reason: NoReply) {
        count(&self.context.wire.tally.events_lost);
        self.refuse(frame, reason);
    }

    /// Gives a publish to the subscribers here only. False when the exchange is no publish-subscribe exchange, or there is
    /// no room.
    pub(crate) fn publish_here(&self, event: Frame) -> bool {
        self.table(event.exchange)
            .is_some_and(|table| table.mailbox.push(Mail::Local(event)).is_ok())
    }

    /// Takes in what another node's table says. What finds no room is asked for again.
    pub(crate) fn news(&self, from: NodeId, exchange: ExchangeId, news: SubscriptionNews) {
        if let Some(table) = self.known(exchange) {
            return put_news(&table, from, news);
        }
        match news {
            SubscriptionNews::Interest { .. } | SubscriptionNews::Moved { .. } => {
                if let Some(table) = self.table(exchange) {
                    put_news(&table, from, news);
                }
            }
            SubscriptionNews::Asked | SubscriptionNews::Gather { .. } => {
                let what = match news {
                    SubscriptionNews::Gather { revision } => SubscriptionNews::Gathered { revision },
                    _ => SubscriptionNews::Nothing,
                };
                // The asker waits no longer than its own time for it.
                let _asker_goes_on =
                    self.context
                        .wire
                        .message(from, exchange, PeerMessage::Subscriptions { exchange, what });
            }
            SubscriptionNews::Confirmed { .. }
            | SubscriptionNews::Refused { .. }
            | SubscriptionNews::Nothing
            | SubscriptionNews::Gathered { .. }
            | SubscriptionNews::Fenced { .. } => {}
        }
    }

    /// Something for that node was lost, or may have been.
    pub(crate) fn missed(&self, exchange: ExchangeId, node: NodeId) {
        if let Some(table) = self.known(exchange) {
            table.post.order(|orders| {
                orders.missed.insert(node);
            });
        }
    }

    /// What is sent to that node arrives again.
    pub(crate) fn relinked(&self, node: NodeId) {
        for table in self.all() {
            table.post.order(|orders| {
                orders.missed.insert(node);
            });
        }
    }

    /// Nodes are reached that were not, or nearer than before, or the other way round.
    pub(crate) fn look_around(&self) {
        for table in self.all() {
            table.post.order(|orders| orders.registry = true);
        }
    }

    pub(crate) fn registry_changed(&self, change: &Change) {
        for record in change.owners_changed() {
            if record.owner == Some(self.context.node) && record.pattern == Pattern::PublishSubscribe {
                let _begun = self.table(record.id);
            }
        }
        let lost = change.lost.iter().filter_map(|(node, _)| {
            let run = change.old.nodes.get(node)?.incarnation;
            Some((*node, run))
        });
        let lost: Vec<(NodeId, Incarnation)> = lost.collect();
        let me = change.new.nodes.get(&self.context.node);
        let up: Vec<NodeId> = change.came_up().collect();
        let (node, boot) = (self.context.node, self.context.boot);
        let joins = up.contains(&node) || change.was_lost(node, boot);
        let back = joins && me.is_some_and(|me| me.is_up());
        let order = |table: &Table| {
            table.post.order(|orders| {
                orders.registry = true;
                orders.back |= back;
                orders.lost.extend(&lost);
                orders.up.extend(&up);
            });
        };
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let behind = self.behind.take();
        if change.old.nodes == change.new.nodes {
            // Which there may be very many of, while most steps concern one of them.
            let changed = change.exchanges_changed().map(|changed| *changed.key);
            for exchange in behind.into_iter().chain(changed) {
                tables.get(&exchange).into_iter().for_each(order);
                if change.exchange(exchange).is_none() {
                    tables.remove(&exchange);
                }
            }
        } else {
            tables.retain(|exchange, table| {
                order(table);
                change.exchange(*exchange).is_some()
            });
        }
    }

    pub(crate) fn stop(&self) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (_, table) in tables.drain() {
            table.post.stopped.store(true, Ordering::Release);
            table.post.wake.notify_one();
        }
    }

    fn refuse(&self, frame: &Frame, reason: NoReply) {
        if wants_word(frame) {
            let from = Pid {
                node: self.context.node,
                serial: 0,
            };
            self.context.wire.reply(ReturnPath::of(frame).none(from, reason));
        }
    }

    fn known(&self, exchange: ExchangeId) -> Option<Table> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&exchange).cloned()
    }

    fn all(&self) -> Vec<Table> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.values().cloned().collect()
    }

    /// The table of an exchange, begun when there is none; none for an exchange without subscribers.
    fn table(&self, exchange: ExchangeId) -> Option<Table> {
        if let Some(table) = self.known(exchange) {
            return Some(table);
        }
        let registry = self.context.registry_kept();
        let record = registry.exchanges.get(&exchange)?;
        if record.pattern != Pattern::PublishSubscribe {
            return None;
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables.entry(exchange).or_insert_with(|| self.begin(record));
        Some(table.clone())
    }

    fn begin(&self, record: &ExchangeRecord) -> Table {
        let context = Arc::clone(&self.context);
        let now = context.clock.now();
        let kind = ProcessKind::Subscriptions;
        let process = context.processes.enter(kind, &record.name, MAILBOX_BOUND, now);
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock.clone(), MAILBOX_BOUND);
        let post = Arc::new(Post::default());
        // It may be deleted already.
        self.behind.enter(record.id);
        let running = Running::new(
            (&context, &self.behind),
            record,
            process,
            inbox,
            Arc::clone(&post),
        );
        context.runtime.spawn(running.run());
        Table { mailbox, post }
    }
}

fn put_news(table: &Table, from: NodeId, news: SubscriptionNews) {
    if table.mailbox.push(Mail::News(from, news)).is_err() {
        table.post.order(|orders| {
            orders.missed.insert(from);
        });
    }
}

/// True where somebody waits to hear what became of it: of a publish when it has any confirm, of an event when each node
/// confirms, of everything else always.
pub(crate) fn wants_word(frame: &Frame) -> bool {
    let confirm = Confirm::of(frame.signature);
    match frame.kind {
        Kind::Event => confirm == Confirm::Received,
        Kind::Publish => confirm != Confirm::None,
        _ => true,
    }
}

fn until(now: Instant, ttl_ms: u32) -> Option<Instant> {
    (ttl_ms > 0).then(|| now + squall_kernel::time::Span::from_ms(u64::from(ttl_ms)))
}
