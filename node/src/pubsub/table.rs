//! The process of one exchange's subscriptions at this node: takes from the mailbox, steps the kernel's machine, carries
//! its effects out, follows the registry.
//!
//! What does not live here: where publishes go (`fanning`), which node is above (`upstream`), and what other nodes' tables say (`neighbours`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use squall_kernel::dedup::DedupWindow;
use squall_kernel::id::{Epoch, ExchangeId, ExchangeName, NodeId, Pid, Revision, Tenure};
use squall_kernel::keys::KeyPattern;
use squall_kernel::reason::SubscribeRefusal;
use squall_kernel::registry::{ExchangeRecord, Settings};
use squall_kernel::subscriptions::{
    Fanout, Stamp, SubscriptionEffect, SubscriptionInput, Subscriptions, Upstream,
};
use squall_kernel::time::Instant;
use tokio::sync::oneshot;

use super::upstream::Standing;
use super::{Behind, Mail, Orders, Post, SubscribeError, Subscriber, Subscribing};
use crate::data::DataContext;
use crate::journal::PublishEvent;
use crate::limits::{BATCH_MAX, SUBSCRIPTIONS_SETTLE};
use crate::numbered::ByNumber;
use crate::process::{Inbox, Process};

pub(super) struct Running {
    pub(super) core: Subscriptions,
    pub(super) id: ExchangeId,
    pub(super) name: ExchangeName,
    pub(super) settings: Settings,
    pub(super) context: Arc<DataContext>,
    pub(super) process: Arc<Process>,
    pub(super) inbox: Inbox<Mail>,
    pub(super) post: Arc<Post>,
    pub(super) subscribers: ByNumber<Pid, Arc<Subscriber>>,
    /// Calls that wait until the nodes above have taken their patterns in.
    pub(super) pending: HashMap<Pid, Vec<Pending>>,
    pub(super) effects: Vec<SubscriptionEffect>,
    pub(super) fanout: Fanout,
    pub(super) dedup: Option<DedupWindow>,
    /// The epoch under which this node owns the exchange.
    pub(super) owns: Option<Epoch>,
    /// Nodes that a new owner has not heard of: until then publishes wait, for their subscribers would miss them.
    pub(super) awaited: BTreeSet<NodeId>,
    pub(super) settles_at: Option<Instant>,
    /// The epoch for which the owner before has sent something of what it knew.
    pub(super) inherits: Option<Epoch>,
    /// The epoch for which the owner before has sent all it knew.
    pub(super) resumed: Option<Epoch>,
    /// The epoch for which this node has sent what it knew.
    pub(super) handed: Option<Epoch>,
    /// Nodes that missed something, and when they are told again.
    pub(super) missed: BTreeMap<NodeId, Instant>,
    /// The exchange has had proxies: whoever is lost may have passed publishes on.
    pub(super) proxied: bool,
    /// This node's tenure, as the registry that was followed last had it.
    pub(super) tenure: Option<Tenure>,
    pub(super) standing: Standing,
    /// Proxies that this node has got publishes from, and has not left.
    pub(super) used: BTreeSet<NodeId>,
    /// Those that it is to leave, when, and what it tells them then.
    pub(super) leaving: BTreeMap<NodeId, (Instant, Stamp)>,
    /// As the registry that was followed last had it.
    pub(super) owner: Option<NodeId>,
    /// The registry that was followed last.
    pub(super) followed: Revision,
    /// The registry under which this node, as owner, has asked all others.
    pub(super) gathering: Revision,
    /// Owners that have asked whether this node's subscriptions are known to them.
    pub(super) asked: BTreeMap<NodeId, Revision>,
    /// Where it says that it is to follow the registry's next step.
    pub(super) behind: Arc<Behind>,
}

/// A call that is not answered yet.
pub(super) struct Pending {
    connection: Bytes,
    left: BTreeSet<KeyPattern>,
    answer: oneshot::Sender<Result<(), SubscribeError>>,
}

impl Running {
    pub(super) fn new(
        (context, behind): (&Arc<DataContext>, &Arc<Behind>),
        record: &ExchangeRecord,
        process: Arc<Process>,
        inbox: Inbox<Mail>,
        post: Arc<Post>,
    ) -> Self {
        let now = context.clock.now();
        Self {
            // Its own run, which the registry may not know yet: what the run before wanted ends with that one.
            core: Subscriptions::new(now, context.node, context.incarnation),
            id: record.id,
            name: record.name.clone(),
            settings: record.settings.clone(),
            process,
            inbox,
            post,
            subscribers: ByNumber::default(),
            pending: HashMap::new(),
            effects: Vec::new(),
            fanout: Fanout::default(),
            dedup: None,
            owns: None,
            awaited: BTreeSet::new(),
            settles_at: None,
            inherits: None,
            resumed: None,
            handed: None,
            missed: BTreeMap::new(),
            proxied: false,
            tenure: None,
            standing: Standing::default(),
            used: BTreeSet::new(),
            leaving: BTreeMap::new(),
            owner: None,
            followed: Revision(0),
            gathering: Revision(0),
            asked: BTreeMap::new(),
            behind: Arc::clone(behind),
            context: Arc::clone(context),
        }
    }

    /// Runs until the exchange is deleted or the node ends.
    pub(super) async fn run(mut self) {
        let post = Arc::clone(&self.post);
        self.follow_registry();
        loop {
            let due = self.context.clock.wait(self.next_timeout());
            let first = tokio::select! {
                biased;
                () = post.wake.notified() => None,
                mail = self.inbox.next() => match mail {
                    Some(mail) => Some(mail),
                    None => return,
                },
                () = due => None,
            };
            let begun = self.context.clock.now();
            let goes_on = self.carry_out_orders() && !post.stopped.load(Ordering::Acquire);
            if !goes_on {
                return self.end_all();
            }
            self.take(first);
            self.tick();
            self.flush();
            self.keep_near();
            self.process.count_busy(self.context.clock.now().since(begun));
            self.show();
        }
    }

    fn show(&self) {
        let figures = &self.post.figures;
        let store =
            |counter: &std::sync::atomic::AtomicU64, n: usize| counter.store(n as u64, Ordering::Relaxed);
        store(&figures.subscribers, self.subscribers.len());
        store(&figures.patterns, self.core.patterns());
        store(&figures.downstreams, self.core.served_nodes());
    }

    fn next_timeout(&self) -> Option<Instant> {
        let missed = self.missed.values().min().copied();
        let leaving = self.leaving.values().map(|(at, _)| *at).min();
        [self.settles_at, missed, leaving].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = self.context.clock.now();
        if self.settles_at.is_some_and(|at| at <= now) && self.is_heir() {
            self.settle_later();
        }
        if self.settles_at.is_some_and(|at| at <= now) {
            self.settles_at = None;
            let unheard = std::mem::take(&mut self.awaited);
            self.tell_unheard(unheard);
            if self.proxied || self.owns.is_none() {
                // At an owner without proxies everybody who is up announces itself, however late.
                self.step(SubscriptionInput::Settled);
            }
        }
        let due: Vec<NodeId> = self
            .missed
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            self.missed.remove(&node);
            self.mend(node);
        }
        self.leave_late(now);
    }

    fn take(&mut self, first: Option<(Mail, Instant)>) {
        let mut next = first;
        for _ in 0..BATCH_MAX {
            let Some((mail, put)) = next.take().or_else(|| self.inbox.try_next()) else {
                return;
            };
            match mail {
                Mail::Publish(frame) => self.publish(frame, put),
                Mail::Event(from, frame) => self.event(from, frame, put),
                Mail::Local(frame) => self.publish_locally(&frame),
                Mail::Subscribe(subscribing) => self.subscribe(subscribing),
                Mail::Permitted(subscribing) => self.permitted(subscribing),
                Mail::News(from, news) => self.news(from, news),
            }
        }
        // What is left is looked at after the orders.
        self.post.wake.notify_one();
    }

    /// False when the exchange is no more.
    fn carry_out_orders(&mut self) -> bool {
        let orders: Orders =
            std::mem::take(&mut *self.post.orders.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lost = Vec::new();
        for (node, incarnation) in orders.lost {
            self.missed.remove(&node);
            self.awaited.remove(&node);
            self.asked.remove(&node);
            self.used.remove(&node);
            self.leaving.remove(&node);
            self.step(SubscriptionInput::NodeLost { node, incarnation });
            lost.push(node);
        }
        if orders.registry && !self.follow_registry() {
            return false;
        }
        self.others_lost(&lost);
        if orders.back {
            self.step(SubscriptionInput::Forgotten);
        }
        for node in orders.missed {
            self.miss(node);
        }
        for node in orders.up {
            self.asks_at_once(node);
        }
        for subscriber in orders.gone {
            self.forget(subscriber);
        }
        true
    }

    /// Takes over what the registry says of the exchange. False when it is deleted.
    pub(super) fn follow_registry(&mut self) -> bool {
        let registry = self.context.registry_kept();
        let Some(record) = registry.exchanges.get(&self.id) else {
            return false;
        };
        let epoch = record.epoch;
        self.followed = registry.revision;
        self.tenure = registry.nodes.get(&self.context.node).map(|me| me.tenure);
        self.proxied |= !record.proxies.is_empty();
        let upstream = self.choose_upstream(record, &registry);
        self.owner = record.owner;
        if upstream != self.core.upstream() {
            self.tell_above(upstream, record.owner);
        }
        self.step(SubscriptionInput::Upstream { epoch, upstream });
        match upstream {
            Upstream::Root if self.owns != Some(epoch) => self.begin_to_own(record),
            Upstream::Root => {}
            Upstream::At(_) | Upstream::Nowhere => self.cease_to_own(),
        }
        if let Some(moving) = record.moving.filter(|_| self.owns == Some(epoch)) {
            self.hand_off(moving.to, moving.epoch);
        }
        if upstream == Upstream::Nowhere {
            self.answer_all();
        }
        true
    }

    fn end_all(&mut self) {
        let subscribers = std::mem::take(&mut self.subscribers);
        for (pid, subscriber) in subscribers {
            self.tell_journal(|| PublishEvent::Unsubscribed { subscriber: pid });
            subscriber.end("the exchange was deleted".to_owned());
        }
    }

    fn forget(&mut self, subscriber: Pid) {
        self.tell_journal(|| PublishEvent::Unsubscribed { subscriber });
        if self.subscribers.remove(&subscriber).is_some() {
            self.tell_controller_gone(subscriber);
        }
        self.pending.remove(&subscriber);
        self.step(SubscriptionInput::SubscriberGone { subscriber });
    }

    pub(super) fn permitted(&mut self, subscribing: Subscribing) {
        let Subscribing {
            subscriber,
            connection,
            patterns,
            answer,
        } = subscribing;
        if answer.is_closed() || subscriber.has_left() {
            return;
        }
        let pid = subscriber.pid();
        self.subscribers.insert(pid, subscriber);
        self.pending.entry(pid).or_default().push(Pending {
            connection: connection.clone(),
            left: patterns.iter().cloned().collect(),
            answer,
        });
        for pattern in patterns {
            self.tell_journal(|| PublishEvent::Asked {
                subscriber: pid,
                pattern: pattern.as_str().to_owned(),
            });
            self.step(SubscriptionInput::Subscribe {
                subscriber: pid,
                connection: connection.clone(),
                pattern,
            });
        }
        if self.core.upstream() == Upstream::Nowhere {
            self.answer_all();
        }
    }

    /// Nobody is above: what is subscribed gets what is published on this node, and more as soon as there is an owner.
    fn answer_all(&mut self) {
        for pending in self.pending.drain().flat_map(|(_, calls)| calls) {
            let _gone = pending.answer.send(Ok(()));
        }
    }

    pub(super) fn ready(&mut self, subscriber: Pid, connection: &Bytes, pattern: &KeyPattern) {
        self.tell_journal(|| PublishEvent::Subscribed {
            subscriber,
            pattern: pattern.as_str().to_owned(),
        });
        let Some(calls) = self.pending.get_mut(&subscriber) else {
            return;
        };
        for call in calls.iter_mut().filter(|call| call.connection == *connection) {
            call.left.remove(pattern);
        }
        for call in calls.extract_if(.., |call| call.left.is_empty()) {
            let _gone = call.answer.send(Ok(()));
        }
        if calls.is_empty() {
            self.pending.remove(&subscriber);
        }
    }

    /// A call that is refused leaves nothing of itself; a subscriber that loses what it had is ended, and told why.
    pub(super) fn refused(
        &mut self,
        subscriber: Pid,
        connection: &Bytes,
        pattern: KeyPattern,
        reason: SubscribeRefusal,
    ) {
        let calls = self.pending.get_mut(&subscriber);
        let call = calls.and_then(|calls| {
            let place = calls
                .iter()
                .position(|call| call.connection == *connection && call.left.contains(&pattern))?;
            Some(calls.remove(place))
        });
        match call {
            Some(call) => {
                let _gone = call.answer.send(Err(SubscribeError::Refused { pattern, reason }));
            }
            None => {
                if let Some(known) = self.subscribers.get(&subscriber) {
                    self.tell_journal(|| PublishEvent::Unsubscribed { subscriber });
                    known.end(format!("'{pattern}': {reason}"));
                }
                self.post.order(|orders| {
                    orders.gone.insert(subscriber);
                });
            }
        }
    }

    pub(super) fn step(&mut self, input: SubscriptionInput) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.step(input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn flush(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.flush(&mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    pub(super) fn tell_journal(&self, what: impl FnOnce() -> PublishEvent) {
        self.context.tell_publish(self.id, what);
    }

    fn tell_above(&self, upstream: Upstream, owner: Option<NodeId>) {
        let node = match upstream {
            Upstream::At(node) => Some(node),
            Upstream::Root | Upstream::Nowhere => None,
        };
        self.tell_journal(|| PublishEvent::Above { node, owner });
    }

    /// Publishes do not wait for these any longer; nor for those of which only the owner before has told.
    fn tell_unheard(&self, mut unheard: BTreeSet<NodeId>) {
        if self.proxied {
            unheard.extend(self.core.unheard());
        }
        if !unheard.is_empty() {
            let nodes = unheard.into_iter().collect();
            self.tell_journal(|| PublishEvent::Unheard { nodes });
        }
    }

    pub(super) fn settle_later(&mut self) {
        self.settles_at = Some(self.context.clock.now() + SUBSCRIPTIONS_SETTLE);
    }
}
