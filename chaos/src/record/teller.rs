//! What one journal tells, as events on its node's own clock. What does not live here: facts (`facts`).

mod facts;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use squall_kernel::core::{CoreEffect, CoreInput, MetaView};
use squall_kernel::exchange::{ExchangeConfig, ExchangeEffect, ExchangeInput};
use squall_kernel::id::{Counter, Epoch, ExchangeId, MessageId, NodeId, Pid, Term};
use squall_kernel::message::System;
use squall_kernel::registry::Registry;
use squall_kernel::time::Instant;
use squall_node::data::Change;
use squall_node::journal::{Entry, Header, When};

use super::assembly::move_ends;
use super::{Told, Try};
use crate::history::{Event, Mark, View, What};
use crate::sim::outcome::Digest;

/// An owned exchange, as far as its journal tells of it.
#[derive(Debug)]
struct Owned {
    exchange: ExchangeId,
    epoch: Epoch,
    view: View,
}

/// Turns entries into events.
#[derive(Debug)]
pub(super) struct Teller {
    header: Header,
    now: When,
    /// When it said that it ends in order.
    left: Option<When>,
    registry: Arc<Registry>,
    meta: Option<(Term, bool)>,
    held: BTreeMap<ExchangeId, Epoch>,
    exchanges: HashMap<String, Owned>,
    /// What handlers were told of the others.
    views: HashMap<(ExchangeId, Pid), View>,
    /// Faults that act here, by their ids in the journal.
    faults: BTreeMap<String, u64>,
    events: Vec<Event>,
    tries: Vec<Try>,
    /// Requests that were sent once at least.
    begun: HashSet<MessageId>,
    /// Publishes that have not ended, and their exchanges.
    publishes: HashMap<MessageId, ExchangeId>,
}

impl Teller {
    pub(super) fn new(header: Header) -> Self {
        let mut teller = Self {
            header,
            now: When::default(),
            left: None,
            registry: Arc::default(),
            meta: None,
            held: BTreeMap::new(),
            exchanges: HashMap::new(),
            views: HashMap::new(),
            faults: BTreeMap::new(),
            events: Vec::new(),
            tries: Vec::new(),
            begun: HashSet::new(),
            publishes: HashMap::new(),
        };
        let incarnation = header.incarnation;
        teller.tell(What::Started { incarnation });
        teller
    }

    /// Whose journal it is.
    pub(super) fn node(&self) -> NodeId {
        self.header.node
    }

    /// The node's time 0 on the machine's clock.
    pub(super) fn started(&self) -> Instant {
        self.header.started
    }

    /// Time of its last line, on the machine's clock; of the end in order, once that was told.
    pub(super) fn told_at(&self) -> Instant {
        self.header.started + self.left.unwrap_or(self.now).passed.since(Instant(0))
    }

    /// What it has told since it was asked last.
    pub(super) fn take(&mut self) -> Told {
        Told {
            header: self.header,
            events: std::mem::take(&mut self.events),
            tries: std::mem::take(&mut self.tries),
        }
    }

    pub(super) fn finish(mut self) -> Told {
        let graceful = self.left.is_some();
        // Threads record side by side: the last line need not be the latest one. Whoever has left goes on recording for a
        // moment, and believes nothing any more.
        let latest = self.events.iter().map(|event| event.at).max();
        let end = self.left.unwrap_or(self.now);
        let passed = latest.unwrap_or_default().max(end.passed);
        self.now = When { passed, ..end };
        // A process takes the faults on its links with it.
        for id in std::mem::take(&mut self.faults).into_values() {
            self.tell(What::FaultOver { id });
        }
        self.tell(What::Ended { graceful });
        Told {
            header: self.header,
            events: self.events,
            tries: self.tries,
        }
    }

    pub(super) fn entry(&mut self, entry: Entry) {
        match entry {
            Entry::Header(_) => {}
            Entry::Fact { now, fact } => {
                self.now = now;
                self.fact(fact);
            }
            Entry::Core { now, input, effects } => {
                self.now = now;
                self.core(*input, effects);
            }
            Entry::ExchangeStart { id, now, config } => {
                self.now = now;
                self.exchange_start(id, &config);
            }
            Entry::Exchange {
                id,
                now,
                input,
                effects,
            } => {
                self.now = now;
                self.exchange(&id, &input, &effects);
            }
        }
    }

    fn tell(&mut self, what: What) {
        let When { shown, passed } = self.now;
        let mut what = what;
        move_ends(&mut what, |until| to_come(passed, shown, until));
        self.events.push(Event {
            at: passed,
            node: self.header.node,
            what,
        });
    }

    fn core(&mut self, input: CoreInput, effects: Vec<CoreEffect>) {
        match input {
            CoreInput::Registry(registry) => self.registry(&registry),
            CoreInput::Meta(meta) => self.meta(&meta),
            _ => {}
        }
        for effect in effects {
            match effect {
                CoreEffect::Lease { until } => self.tell(What::Lease { until }),
                CoreEffect::LeaseLost => self.tell(What::Lease {
                    until: self.now.shown,
                }),
                CoreEffect::Own { exchange, epoch } => {
                    self.held.insert(exchange, epoch);
                    self.tell(What::Own { exchange, epoch });
                }
                CoreEffect::Disown { exchange, .. } | CoreEffect::HandOff { exchange, .. } => {
                    self.disown(exchange);
                }
                CoreEffect::HandOver { .. } => self.tell(What::Mark(Mark::HandedOver)),
                CoreEffect::Drained { .. } => self.tell(What::Mark(Mark::Drained)),
                _ => {}
            }
        }
    }

    /// It acts no more, and says so before it ends.
    fn goodbye(&mut self) {
        for exchange in self.held.keys().copied().collect::<Vec<_>>() {
            self.disown(exchange);
        }
        self.tell(What::Lease {
            until: self.now.shown,
        });
    }

    fn disown(&mut self, exchange: ExchangeId) {
        if let Some(epoch) = self.held.remove(&exchange) {
            self.tell(What::Disown { exchange, epoch });
        }
    }

    /// The registry moved, and then what that changed: what a node tells of others it says of that revision.
    fn registry(&mut self, new: &Arc<Registry>) {
        let old = std::mem::replace(&mut self.registry, Arc::clone(new));
        if let Some(cluster) = new.cluster.filter(|_| new.revision != old.revision) {
            let (revision, digest) = (new.revision, digest_of(new));
            self.tell(What::Applied {
                cluster,
                revision,
                digest,
            });
        }
        let change = Change::between(Arc::clone(&old), Arc::clone(new), self.header.node);
        for (lost, before) in change.lost_runs() {
            self.tell(What::Lost { lost, before });
        }
        for node in change.came_up() {
            self.tell(What::Up { node });
        }
        for exchange in old.exchanges.keys().filter(|id| !new.exchanges.contains_key(id)) {
            let exchange = *exchange;
            self.tell(What::Deleted { exchange });
        }
        for record in new.exchanges.values() {
            let (exchange, strategy) = (record.id, record.strategy);
            let before = old.exchanges.get(&exchange);
            if before.is_none() {
                self.tell(What::Declared { exchange, strategy });
            }
            if let Some(owner) = record.owner
                && before.is_none_or(|before| (before.epoch, before.owner) != (record.epoch, record.owner))
            {
                let epoch = record.epoch;
                self.tell(What::Granted {
                    exchange,
                    epoch,
                    owner,
                });
            }
        }
    }

    fn meta(&mut self, meta: &MetaView) {
        let (term, leads) = (meta.term, meta.leads);
        let before = self.meta.replace((term, leads));
        if before != Some((term, leads)) && (leads || before.is_some_and(|(_, led)| led)) {
            self.tell(What::MetaLeader { term, leads });
        }
    }

    fn exchange_start(&mut self, id: String, config: &ExchangeConfig) {
        let owned = Owned {
            exchange: config.id,
            epoch: config.epoch,
            view: View::default(),
        };
        self.exchanges.insert(id, owned);
    }

    fn exchange(&mut self, id: &str, input: &ExchangeInput, effects: &[ExchangeEffect]) {
        let Some(owned) = self.exchanges.get_mut(id) else {
            return;
        };
        let (exchange, epoch) = (owned.exchange, owned.epoch);
        let mut seen: Option<Counter> = None;
        let (mut routed, mut moved) = (Vec::new(), false);
        for effect in effects {
            match effect {
                ExchangeEffect::Tell { counter, what, .. }
                | ExchangeEffect::Announce { counter, what, .. } => {
                    look(&mut owned.view, what);
                    seen = Some(*counter);
                }
                ExchangeEffect::Transfer { .. } => moved = true,
                ExchangeEffect::Deliver { request, handler, .. } => routed.push((*request, *handler)),
                _ => {}
            }
        }
        let view = owned.view.clone();
        if let Some(counter) = seen {
            self.tell(What::OwnerView {
                exchange,
                version: (epoch, counter),
                view,
            });
        }
        if moved && matches!(input, ExchangeInput::Leave { .. }) {
            self.tell(What::Mark(Mark::MoveBegun));
        }
        if matches!(input, ExchangeInput::Resume { .. }) {
            self.tell(What::Mark(Mark::MoveDone));
        }
        let service_tag = match input {
            ExchangeInput::Request { service_tag, .. } => String::from_utf8_lossy(service_tag).into_owned(),
            _ => String::new(),
        };
        for (request, handler) in routed {
            let service_tag = service_tag.clone();
            self.tell(What::Routed {
                request,
                exchange,
                epoch,
                service_tag,
                handler,
            });
        }
    }
}

/// When so much time has really passed as the clock will show by then, at the rate of time itself.
fn to_come(passed: Instant, shown: Instant, until: Instant) -> Instant {
    if until >= shown {
        passed + until.since(shown)
    } else {
        Instant(passed.0.saturating_sub(shown.since(until).0))
    }
}

/// What a message of the owner says of its own view.
fn look(view: &mut View, what: &System) {
    match what {
        System::Leader {
            leader,
            leader_epoch,
            servers,
        } => {
            view.leader = leader.map(|pid| (pid, *leader_epoch));
            view.servers = servers.iter().map(|server| server.pid).collect();
        }
        System::SlaveUp(server) => {
            if !view.servers.contains(&server.pid) {
                view.servers.push(server.pid);
            }
        }
        System::SlaveDown { pid, .. } => {
            view.servers.retain(|server| server != pid);
            view.leader = view.leader.filter(|(leader, _)| leader != pid);
        }
    }
    view.servers.sort_unstable();
}

/// Hash of a whole registry: equal registries have equal text.
fn digest_of(registry: &Registry) -> u64 {
    let mut digest = Digest::default();
    digest.bytes(&serde_json::to_vec(registry).expect("a registry is plain data with text keys"));
    digest.value()
}
