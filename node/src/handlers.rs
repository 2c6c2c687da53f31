//! Handlers attached through this node, embedded and of sessions: keeps each of them attached with the owner of its
//! exchange, and lets deliveries and system messages through to them.
//!
//! What does not live here: which handler gets a request (the owner decides), and connections of clients (`session`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{Epoch, ExchangeId, ExchangeName, LeaderEpoch, NodeId, Pid};
use squall_kernel::limits::TAG_BYTES_MAX;
use squall_kernel::message::{Attach, PeerMessage, SystemMessage};
use squall_kernel::reason::DetachReason;
use squall_kernel::registry::Pattern;

use crate::data::{Change, DataContext};
use crate::journal::Fact;
use crate::numbered::ByNumber;
use crate::process::Process;
use crate::wire::count;

mod attachment;
mod binding;
mod caught;
mod counts;
mod delivering;
mod due;
pub(crate) mod embedded;
mod exits;
mod fate;
mod ghosts;
mod leases;
mod notice;
mod rolls;
mod suffering;
mod told;
mod waiting;
mod work;

pub use attachment::{Attachment, HandlerSink};
pub(crate) use caught::catch_now;
pub use caught::panics_are_caught;
pub(crate) use counts::{CountsTable, DeliveryCounts};
pub use counts::{DeliveryStats, MailboxStats};
use due::Due;
pub use fate::Fate;
use notice::shared_and_written;
pub use notice::{Told, notice_of};
use rolls::Rolls;
use squall_kernel::view::Heard;
use suffering::Paused;
use waiting::Line;

/// Tags of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandlerTags {
    /// Group; empty for none.
    pub service: String,
    /// Given back with every delivery.
    pub connection: String,
    /// It takes tasks, and not requests.
    pub works: bool,
}

/// Why a handler cannot attach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// No exchange of that name.
    #[error("there is no exchange '{0}'")]
    UnknownExchange(ExchangeName),
    /// The exchange has no tasks.
    #[error("the exchange '{0}' has the pattern {1}: there are no tasks to work on; attach a handler to it")]
    NoTasks(ExchangeName, &'static str),
    /// The exchange has tasks only.
    #[error("the exchange '{0}' has tasks, not requests: work on it instead of attaching a handler")]
    TasksOnly(ExchangeName),
    /// The exchange has publishes only.
    #[error(
        "the exchange '{0}' is publish-subscribe: it has publishes, not requests; subscribe to it instead of attaching a handler"
    )]
    PublishesOnly(ExchangeName),
    /// A tag is too long.
    #[error("a {what} tag has at most {TAG_BYTES_MAX} bytes, this one has {len}")]
    TagTooLong {
        /// Which tag.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// The session's handlers are at their bound.
    #[error("a session has at most {max} handlers")]
    TooMany {
        /// Bound.
        max: usize,
    },
}

#[derive(Default)]
struct Attachments {
    by_serial: ByNumber<u64, Arc<Attachment>>,
    /// By serial, too.
    by_exchange: ByNumber<ExchangeId, BTreeMap<u64, Arc<Attachment>>>,
}

/// Handlers attached through this node.
pub struct Handlers {
    context: Arc<DataContext>,
    /// Read for every delivery, by all threads.
    attachments: ShardedLock<Attachments>,
    /// When which unconfirmed attachment is sent again.
    due: Due,
    /// When the owner is asked for the lease of which leader.
    asks: Due,
    rolls: Rolls,
    /// What faults hold back for handlers of clients.
    paused: Paused,
}

impl Handlers {
    pub(crate) fn new(context: Arc<DataContext>) -> Self {
        Self {
            context,
            attachments: ShardedLock::default(),
            due: Due::default(),
            asks: Due::default(),
            rolls: Rolls::default(),
            paused: Paused::default(),
        }
    }

    /// What a handler of this node is attached to, in words; none once it is detached.
    pub(crate) fn attached_to(&self, handler: u64) -> Option<String> {
        let attachment = self.read().by_serial.get(&handler).cloned()?;
        let tags = attachment.tags();
        let mut words = format!("exchange {}", attachment.name());
        if tags.works {
            words += ", as a worker";
        }
        for (what, tag) in [("group", &tags.service), ("connection", &tags.connection)] {
            if !tag.is_empty() {
                words += &format!(", {what} {tag}");
            }
        }
        Some(words)
    }

    /// Attaches a handler whose deliveries go to `sink`, at most `credit` of them unanswered.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach(
        &self,
        name: &ExchangeName,
        tags: HandlerTags,
        credit: u32,
        process: Arc<Process>,
        sink: Arc<dyn HandlerSink>,
    ) -> Result<Arc<Attachment>, AttachError> {
        for (what, tag) in [("service", &tags.service), ("connection", &tags.connection)] {
            if tag.len() > TAG_BYTES_MAX {
                return Err(AttachError::TagTooLong { what, len: tag.len() });
            }
        }
        let exchange = self.context.registry().names.get(name).copied();
        let exchange = exchange.ok_or_else(|| AttachError::UnknownExchange(name.clone()))?;
        self.check_pattern(exchange, name, &tags)?;
        let attachment = Arc::new(Attachment::new(
            exchange,
            name.clone(),
            tags,
            credit,
            process,
            sink,
            self.context.counts.of(exchange),
            self.line_of(exchange),
            self.has_leaders(exchange),
            self.context.faults.now(),
        ));
        {
            let mut all = self.write();
            all.by_serial
                .insert(attachment.pid().serial, Arc::clone(&attachment));
            all.by_exchange
                .entry(exchange)
                .or_default()
                .insert(attachment.pid().serial, Arc::clone(&attachment));
        }
        if self.context.registry().exchanges.contains_key(&exchange) {
            self.send_attach(&attachment);
        } else {
            // Deleted meanwhile: whoever followed that may not have seen this handler.
            self.detach(attachment.pid().serial, DetachReason::ExchangeDeleted);
        }
        Ok(attachment)
    }

    /// Whether the requests of that exchange go to a leader.
    fn has_leaders(&self, exchange: ExchangeId) -> bool {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&exchange);
        record.is_none_or(|record| record.strategy.has_leader())
    }

    /// Whether requests to handlers of that exchange wait in a line of their own.
    fn line_of(&self, exchange: ExchangeId) -> Option<Line> {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&exchange)?;
        (record.pattern != Pattern::Task)
            .then(|| Line::of(&record.settings))
            .flatten()
    }

    /// Detaches a handler; what was delivered to it can still be answered. False when there is no such handler.
    pub fn detach(&self, serial: u64, reason: DetachReason) -> bool {
        let Some(attachment) = self.remove(serial) else {
            return false;
        };
        // Before the owner hears of it: it may appoint another one at once, or bind its signatures to others.
        let handler = attachment.pid();
        self.context.tell(|| Fact::Detached { handler });
        self.give_up(&attachment);
        let grant = self
            .context
            .registry()
            .exchanges
            .get(&attachment.exchange())
            .and_then(|e| e.owner);
        if let Some(owner) = grant {
            let exchange = attachment.exchange();
            let message = PeerMessage::Detach {
                exchange,
                handler,
                reason,
            };
            // An owner that does not hear of it is told when it next speaks of it.
            let _told_later = self.context.wire.message(owner, exchange, message);
        }
        if matches!(reason, DetachReason::Panicked | DetachReason::Done) {
            self.exited(&attachment, reason.as_str());
        }
        self.close_line(&attachment);
        self.drop_paused(&attachment);
        self.drop_in_hand(&attachment);
        attachment.sink().detached(&attachment, reason);
        self.call_roll_of(attachment.exchange());
        true
    }

    /// Attachments: pid, exchange, and the epoch under which the owner has confirmed it.
    #[must_use]
    pub fn attached(&self) -> Vec<(Pid, ExchangeId, Option<Epoch>)> {
        self.read()
            .by_serial
            .values()
            .map(|a| (a.pid(), a.exchange(), a.view().confirmed()))
            .collect()
    }

    fn remove(&self, serial: u64) -> Option<Arc<Attachment>> {
        let mut all = self.write();
        let attachment = all.by_serial.remove(&serial)?;
        if let Some(same) = all.by_exchange.get_mut(&attachment.exchange()) {
            same.remove(&serial);
            if same.is_empty() {
                all.by_exchange.remove(&attachment.exchange());
            }
        }
        Some(attachment)
    }

    /// Takes in what a requester says to a handler. One that has answered is told what it did wrong, if anything: credit
    /// that crossed its answer is nothing to it.
    pub(crate) fn talk(&self, frame: Frame) {
        let wrong = matches!(frame.status, Status::None(_)) && !frame.payload.is_empty();
        let (to, told) = (frame.to, wrong.then(|| frame.clone()));
        if self.context.talks.hear(frame) {
            return;
        }
        let attachment = self.read().by_serial.get(&to).cloned();
        if let (Some(attachment), Some(told)) = (attachment, told) {
            attachment.sink().too_late(&attachment, told);
        }
    }

    /// Takes in system messages of one exchange, in their order: each for some handlers, or for all of the exchange.
    pub(crate) fn systems(&self, from: NodeId, messages: Vec<(Option<Vec<Pid>>, SystemMessage)>) {
        let Some(exchange) = messages.first().map(|(_, message)| message.exchange) else {
            return;
        };
        let mut for_all: Vec<Arc<Told>> = Vec::new();
        for (to, message) in messages {
            self.deny_ghosts(from, &message);
            let told = Arc::new(Told::new(message));
            match to {
                None => for_all.push(told),
                Some(some) => {
                    self.tell_all(exchange, &std::mem::take(&mut for_all));
                    self.tell_some(&some, &told);
                }
            }
        }
        self.tell_all(exchange, &for_all);
        self.call_roll_of(exchange);
    }

    fn tell_some(&self, to: &[Pid], told: &Arc<Told>) {
        let wanted: Vec<Arc<Attachment>> = {
            let all = self.read();
            let there = to.iter().filter_map(|pid| all.by_serial.get(&pid.serial));
            there.cloned().collect()
        };
        for attachment in wanted {
            self.tell(&attachment, told);
        }
    }

    /// One handler after the other: each wakes once.
    fn tell_all(&self, exchange: ExchangeId, told: &[Arc<Told>]) {
        if told.is_empty() {
            return;
        }
        let (shared, written) = shared_and_written(told);
        for attachment in self.of_exchange(exchange) {
            let told = if attachment.sink().shares() {
                shared
            } else {
                written
            };
            for told in told {
                self.tell(&attachment, told);
            }
        }
    }

    fn tell(&self, attachment: &Arc<Attachment>, told: &Arc<Told>) {
        let heard = self.hear(attachment, told.message());
        if heard == Heard::News {
            self.appointed(attachment, told.message());
        }
        match heard {
            Heard::News if attachment.sink().system(attachment, told) => {}
            Heard::News | Heard::Gap => self.begin_anew(attachment),
            Heard::Known => {}
            Heard::Fenced => count(&self.context.wire.tally.fenced),
        }
    }

    fn of_exchange(&self, exchange: ExchangeId) -> Vec<Arc<Attachment>> {
        let all = self.read();
        let same = all.by_exchange.get(&exchange).into_iter();
        same.flat_map(BTreeMap::values).cloned().collect()
    }

    /// The handler's view is incomplete: attaching again brings the whole of it.
    fn begin_anew(&self, attachment: &Arc<Attachment>) {
        attachment.view().forget();
        self.schedule(attachment);
    }

    /// The asked node does not own the exchange under that epoch: asked again at once when the registry here has moved
    /// on, else a little later.
    pub(crate) fn attach_refused(&self, exchange: ExchangeId, handler: Pid, seen: Epoch) {
        let Some(attachment) = self.read().by_serial.get(&handler.serial).cloned() else {
            return;
        };
        let known = self.context.registry().exchanges.get(&exchange).map(|e| e.epoch);
        if attachment.view().confirmed() != known && seen > known.unwrap_or_default() {
            tracing::debug!(%exchange, %handler, %seen, "the registry here is behind the owner");
        }
        self.schedule(&attachment);
    }

    /// Where this node was held for lost, signatures have gone to others since: handlers forget them before anybody here sees
    /// the registry that says so, lest they are claimed from the owner that it names.
    pub(crate) fn losses(&self, change: &Change) {
        if !change.was_lost(self.context.node, self.context.boot) {
            return;
        }
        for attachment in self.read().by_serial.values() {
            let record = change.exchange(attachment.exchange());
            if record.is_some_and(|record| record.strategy.is_sticky()) {
                // Under the lock of the view: none is remembered before an owner has taken the handler in again.
                let mut view = attachment.view();
                view.lost(change.new.revision);
                attachment.unbind_all();
            }
        }
    }

    pub(crate) fn registry_changed(&self, change: &Change) {
        if change.any_deleted() {
            self.context
                .counts
                .keep(|exchange| change.exchange(exchange).is_some());
        }
        for attachment in self.concerned(change) {
            let Some(record) = change.exchange(attachment.exchange()) else {
                self.detach(attachment.pid().serial, DetachReason::ExchangeDeleted);
                continue;
            };
            if change.own_tenure_ended {
                attachment.view().forget();
            }
            if change.owner_changed(attachment.exchange()) {
                // What an earlier owner sends from now on is refused, although the new one has said nothing here yet.
                let _raised = attachment.view().fence(record.epoch, LeaderEpoch(0));
            }
            let unconfirmed = attachment.view().confirmed() != Some(record.epoch);
            if unconfirmed && (change.own_tenure_ended || change.owner_changed(attachment.exchange())) {
                attachment.view().hurry();
                self.send_attach(&attachment);
            }
        }
        // Behind the attachments: a node without any tells so at once.
        self.call_rolls(change);
    }

    /// Handlers to whom the change may be something: those of exchanges that have changed, or all.
    fn concerned(&self, change: &Change) -> Vec<Arc<Attachment>> {
        let all = self.read();
        if change.own_tenure_ended {
            return all.by_serial.values().cloned().collect();
        }
        let changed = change.exchanges_changed();
        let handlers = changed.filter_map(|changed| all.by_exchange.get(changed.key));
        handlers.flat_map(BTreeMap::values).cloned().collect()
    }

    /// Sends an attachment to the owner, and again later unless it is confirmed by then.
    fn send_attach(&self, attachment: &Arc<Attachment>) {
        let grant = self
            .context
            .registry()
            .exchanges
            .get(&attachment.exchange())
            .map(|e| (e.owner, e.epoch));
        self.schedule(attachment);
        // Without an owner the registry's next change sends it.
        let Some((Some(owner), epoch)) = grant else { return };
        // Before its claims are read: what an earlier owner says of them after that is refused.
        let _raised = attachment.view().fence(epoch, LeaderEpoch(0));
        // Read together: claims of before a loss do not go out as those of after it.
        let (bound, returned) = {
            let view = attachment.view();
            (attachment.bound(), view.returned())
        };
        let message = PeerMessage::Attach(Attach {
            exchange: attachment.exchange(),
            epoch,
            handler: attachment.pid(),
            service_tag: attachment.tags().service.clone(),
            connection_tag: attachment.tags().connection.clone(),
            bound,
            work: attachment.work(),
            returned,
        });
        if let Err(error) = self.context.wire.message(owner, attachment.exchange(), message) {
            tracing::debug!(handler = %attachment.pid(), %error, "attachment not sent; it is sent again");
        }
    }

    fn schedule(&self, attachment: &Arc<Attachment>) {
        let now = self.context.clock.now();
        let Some(at) = attachment.view().next_try(now) else {
            return;
        };
        self.due.plan(at, attachment.pid().serial);
    }

    /// Sends unconfirmed attachments again, for ever.
    pub(crate) async fn keep_attached(self: Arc<Self>) {
        loop {
            for (at, serial) in self.due.next(&self.context.clock).await {
                let attachment = self.read().by_serial.get(&serial).cloned();
                let Some(attachment) = attachment else { continue };
                let registry = self.context.registry_kept();
                let known = registry.exchanges.get(&attachment.exchange()).map(|e| e.epoch);
                if attachment.view().is_due(at, known) {
                    self.send_attach(&attachment);
                }
            }
        }
    }

    pub(crate) fn stop(&self) {
        *self.write() = Attachments::default();
    }

    fn read(&self) -> ShardedLockReadGuard<'_, Attachments> {
        self.attachments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> ShardedLockWriteGuard<'_, Attachments> {
        self.attachments.write().unwrap_or_else(PoisonError::into_inner)
    }
}
