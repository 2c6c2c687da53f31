//! Publish-subscribe at one node: a table for each such exchange that has subscribers here or is owned here. As
//! `squall_node::pubsub` does it, without mailboxes: a simulated subscriber takes whatever comes.
//!
//! What does not live here: where publishes go (`fanning`), which node is above (`upstream`), what other nodes' tables say
//! (`neighbours`), and the publisher's side (`requests`).

mod fanning;
mod neighbours;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::dedup::DedupWindow;
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{Epoch, ExchangeId, Incarnation, NodeId, Pid, Revision};
use squall_kernel::keys::KeyPattern;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Pattern, Settings};
use squall_kernel::subscriptions::{Fanout, Stamp, SubscriptionInput as Input, Subscriptions, Upstream};
use squall_kernel::time::Instant;
use squall_node::data::Change;
use squall_node::limits::SUBSCRIPTIONS_SETTLE;

use super::Host;
use crate::history::{PublishEvent, What};
use upstream::Standing;

/// The subscriptions of an exchange.
struct Table {
    core: Subscriptions,
    settings: Settings,
    subscribers: BTreeSet<Pid>,
    fanout: Fanout,
    dedup: Option<DedupWindow>,
    /// The epoch under which this node owns the exchange.
    owns: Option<Epoch>,
    /// Nodes that a new owner has not heard of: until then publishes wait.
    awaited: BTreeSet<NodeId>,
    settles_at: Option<Instant>,
    /// The epoch for which the owner before has sent something of what it knew.
    inherits: Option<Epoch>,
    /// The epoch for which the owner before has sent all it knew.
    resumed: Option<Epoch>,
    /// The epoch for which this node has sent what it knew.
    handed: Option<Epoch>,
    /// Nodes that missed something, and when they are told again.
    missed: BTreeMap<NodeId, Instant>,
    proxied: bool,
    standing: Standing,
    used: BTreeSet<NodeId>,
    leaving: BTreeMap<NodeId, (Instant, Stamp)>,
    owner: Option<NodeId>,
    followed: Revision,
    gathering: Revision,
    asked: BTreeMap<NodeId, Revision>,
}

/// The tables of a node.
#[derive(Default)]
pub(super) struct Tables {
    by_exchange: BTreeMap<ExchangeId, Table>,
    /// Those that were given something since they last told the node above.
    touched: BTreeSet<ExchangeId>,
}

impl Table {
    fn new(now: Instant, node: NodeId, incarnation: Incarnation, settings: Settings) -> Self {
        Self {
            core: Subscriptions::new(now, node, incarnation),
            settings,
            subscribers: BTreeSet::new(),
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
            standing: Standing::default(),
            used: BTreeSet::new(),
            leaving: BTreeMap::new(),
            owner: None,
            followed: Revision(0),
            gathering: Revision(0),
            asked: BTreeMap::new(),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let missed = self.missed.values().min().copied();
        let leaving = self.leaving.values().map(|(at, _)| *at).min();
        [self.settles_at, missed, leaving].into_iter().flatten().min()
    }
}

impl Tables {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.by_exchange.values().filter_map(Table::next_timeout).min()
    }

    fn ids(&self) -> Vec<ExchangeId> {
        self.by_exchange.keys().copied().collect()
    }

    fn get(&mut self, exchange: ExchangeId) -> Option<&mut Table> {
        self.touched.insert(exchange);
        self.by_exchange.get_mut(&exchange)
    }
}

impl Host {
    /// A subscriber subscribes at this node: patterns by connection tag.
    pub fn subscribe(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        patterns: &[(String, KeyPattern)],
    ) -> Option<Pid> {
        self.begin_table(now, exchange)?;
        let subscriber = self.handlers.next_pid();
        self.tables.get(exchange)?.subscribers.insert(subscriber);
        for (tag, pattern) in patterns {
            self.tell_of(
                exchange,
                PublishEvent::Asked {
                    subscriber,
                    pattern: pattern.as_str().to_owned(),
                },
            );
            let input = Input::Subscribe {
                subscriber,
                connection: Bytes::copy_from_slice(tag.as_bytes()),
                pattern: pattern.clone(),
            };
            self.table_step(now, exchange, input);
        }
        self.settle(now);
        Some(subscriber)
    }

    /// It wants nothing any more, or its client is gone.
    pub fn unsubscribe(&mut self, now: Instant, subscriber: u64) {
        let subscriber = self.pid(subscriber);
        for id in self.tables.ids() {
            let known = self
                .tables
                .get(id)
                .is_some_and(|t| t.subscribers.remove(&subscriber));
            if known {
                self.forget_subscriber(now, id, subscriber);
            }
        }
        self.settle(now);
    }

    /// Serials of the subscribers here.
    pub fn subscribed(&self) -> impl Iterator<Item = u64> + '_ {
        let tables = self.tables.by_exchange.values();
        tables.flat_map(|table| table.subscribers.iter().map(|pid| pid.serial))
    }

    fn forget_subscriber(&mut self, now: Instant, exchange: ExchangeId, subscriber: Pid) {
        self.tell_of(exchange, PublishEvent::Unsubscribed { subscriber });
        self.table_step(now, exchange, Input::SubscriberGone { subscriber });
    }

    pub(super) fn tell_of(&mut self, exchange: ExchangeId, what: PublishEvent) {
        self.event(What::Publish { exchange, what });
    }

    /// Publishes to that exchange go to subscribers.
    pub(super) fn has_subscribers(&self, exchange: ExchangeId) -> bool {
        let record = self.registry.exchanges.get(&exchange);
        record.is_some_and(|record| record.pattern == Pattern::PublishSubscribe)
    }

    /// The table of an exchange, begun when there is none; none for an exchange without subscribers.
    fn begin_table(&mut self, now: Instant, exchange: ExchangeId) -> Option<()> {
        if self.tables.by_exchange.contains_key(&exchange) {
            return Some(());
        }
        let record = self.registry.exchanges.get(&exchange)?;
        if record.pattern != Pattern::PublishSubscribe {
            return None;
        }
        let me = self.id();
        // Its own run, which the registry may not know yet: what the run before wanted ends with that one.
        let incarnation = self.config.me.incarnation;
        let table = Table::new(now, me, incarnation, record.settings.clone());
        self.tables.by_exchange.insert(exchange, table);
        self.follow_registry(now, exchange);
        Some(())
    }

    pub(super) fn subscriptions_changed(&mut self, now: Instant, change: &Change) {
        let me = self.id();
        let owned = change.owners_changed().filter(|record| record.owner == Some(me));
        let owned: Vec<ExchangeId> = owned.map(|record| record.id).collect();
        for id in owned {
            let _begun = self.begin_table(now, id);
        }
        let run = |node: &NodeId| change.old.nodes.get(node).map(|record| record.incarnation);
        let lost = change
            .lost
            .iter()
            .filter_map(|(node, _)| Some((*node, run(node)?)));
        let lost: Vec<(NodeId, Incarnation)> = lost.collect();
        let up = change.new.nodes.get(&me).is_some_and(|me| me.is_up());
        let came_up: Vec<NodeId> = change.came_up().collect();
        let back = (came_up.contains(&me) || change.was_lost(me, self.config.me.boot)) && up;
        for id in self.tables.ids() {
            self.table_changed(now, id, &lost);
            if back {
                self.announce_anew(now, id);
            }
            if let Some(table) = self.tables.get(id) {
                let due = table.missed.iter_mut();
                let due = due.filter(|(node, _)| came_up.contains(node));
                due.for_each(|(_, at)| *at = now);
            }
        }
    }

    /// A node that was held for lost has told the one above in vain.
    fn announce_anew(&mut self, now: Instant, id: ExchangeId) {
        self.table_step(now, id, Input::Forgotten);
    }

    fn table_changed(&mut self, now: Instant, id: ExchangeId, lost: &[(NodeId, Incarnation)]) {
        for (node, incarnation) in lost.iter().copied() {
            let Some(table) = self.tables.get(id) else { return };
            table.missed.remove(&node);
            table.awaited.remove(&node);
            table.asked.remove(&node);
            table.used.remove(&node);
            table.leaving.remove(&node);
            self.table_step(now, id, Input::NodeLost { node, incarnation });
        }
        if self.follow_registry(now, id) {
            let lost: Vec<NodeId> = lost.iter().map(|(node, _)| *node).collect();
            self.others_lost(now, id, &lost);
        } else if let Some(table) = self.tables.by_exchange.remove(&id) {
            for subscriber in table.subscribers {
                self.tell_of(id, PublishEvent::Unsubscribed { subscriber });
            }
        }
    }

    /// Takes over what the registry says of the exchange. False when it is deleted.
    fn follow_registry(&mut self, now: Instant, id: ExchangeId) -> bool {
        let registry = Arc::clone(&self.registry);
        let Some(record) = registry.exchanges.get(&id) else {
            return false;
        };
        let upstream = self.choose_upstream(id, record, &registry);
        let Some(table) = self.tables.by_exchange.get_mut(&id) else {
            return false;
        };
        table.followed = registry.revision;
        table.proxied |= !record.proxies.is_empty();
        table.owner = record.owner;
        let before = table.core.upstream();
        if upstream != before {
            let node = match upstream {
                Upstream::At(node) => Some(node),
                Upstream::Root | Upstream::Nowhere => None,
            };
            let owner = record.owner;
            self.tell_of(id, PublishEvent::Above { node, owner });
        }
        let epoch = record.epoch;
        self.table_step(now, id, Input::Upstream { epoch, upstream });
        let owns = self.tables.by_exchange.get(&id).and_then(|table| table.owns);
        match upstream {
            Upstream::Root if owns != Some(epoch) => self.begin_to_own(now, id, record),
            Upstream::Root => {}
            Upstream::At(_) | Upstream::Nowhere => self.cease_to_own(now, id),
        }
        if let Some(moving) = record.moving.filter(|_| upstream == Upstream::Root) {
            self.hand_table_off(now, id, moving.to, moving.epoch);
        }
        true
    }

    /// Steps a machine and carries its effects out.
    fn table_step(&mut self, now: Instant, id: ExchangeId, input: Input) {
        let Some(table) = self.tables.get(id) else { return };
        let mut effects = Vec::new();
        table.core.step(input, &mut effects);
        for effect in effects {
            self.carry_out_table(now, id, effect);
        }
    }

    /// What a live table does at the end of each batch. False when there was nothing to do.
    pub(super) fn finish_table(&mut self, now: Instant) -> bool {
        let Some(id) = self.tables.touched.pop_first() else {
            return false;
        };
        let mut effects = Vec::new();
        if let Some(table) = self.tables.by_exchange.get_mut(&id) {
            table.core.flush(&mut effects);
        }
        for effect in effects {
            self.carry_out_table(now, id, effect);
        }
        self.keep_near(now, id);
        self.tables.touched.remove(&id);
        true
    }

    pub(super) fn tick_tables(&mut self, now: Instant) {
        for id in self.tables.ids() {
            let due = |table: &Table| table.next_timeout().is_some_and(|at| at <= now);
            if self.tables.by_exchange.get(&id).is_some_and(due) {
                self.tick_table(now, id);
            }
        }
    }

    fn tick_table(&mut self, now: Instant, id: ExchangeId) {
        let Some(table) = self.tables.get(id) else { return };
        if table.settles_at.is_some_and(|at| at <= now) && table.is_heir() {
            self.settle_table_later(now, id);
        }
        let Some(table) = self.tables.get(id) else { return };
        if table.settles_at.is_some_and(|at| at <= now) {
            table.settles_at = None;
            let mut unheard = std::mem::take(&mut table.awaited);
            if table.proxied {
                unheard.extend(table.core.unheard());
            }
            let nodes: Vec<NodeId> = unheard.into_iter().collect();
            if !nodes.is_empty() {
                self.tell_of(id, PublishEvent::Unheard { nodes });
            }
            let ends = |table: &mut Table| table.proxied || table.owns.is_none();
            if self.tables.get(id).is_some_and(ends) {
                // At an owner without proxies everybody who is up announces itself, however late.
                self.table_step(now, id, Input::Settled);
            }
        }
        let Some(table) = self.tables.get(id) else { return };
        let due = table.missed.iter().filter(|(_, at)| **at <= now);
        let due: Vec<NodeId> = due.map(|(node, _)| *node).collect();
        for node in due {
            if let Some(table) = self.tables.get(id) {
                table.missed.remove(&node);
            }
            self.mend(now, id, node);
        }
        self.leave_late(now, id);
    }

    fn settle_table_later(&mut self, now: Instant, id: ExchangeId) {
        if let Some(table) = self.tables.get(id) {
            table.settles_at = Some(now + SUBSCRIPTIONS_SETTLE);
        }
    }

    /// Nodes are reached that were not, or the other way round.
    pub(super) fn look_around(&mut self, now: Instant, reached: Option<NodeId>) {
        for id in self.tables.ids() {
            self.follow_registry(now, id);
            if let Some(node) = reached {
                self.table_missed(now, id, node);
            }
        }
    }
}

/// True where somebody waits to hear what became of it, as in the live shell.
pub(super) fn wants_word(frame: &Frame) -> bool {
    let confirm = Confirm::of(frame.signature);
    match frame.kind {
        Kind::Event => confirm == Confirm::Received,
        Kind::Publish => confirm != Confirm::None,
        _ => true,
    }
}
