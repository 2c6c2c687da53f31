//! What one journal tells, as events on its node's own clock. What does not live here: facts (`facts`).

mod facts;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use squall_kernel::core::{CoreEffect, CoreInput, MetaView};
use squall_kernel::exchange::{ExchangeConfig, ExchangeEffect, ExchangeInput};
use squall_kernel::id::{Counter, Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid, Term};
use squall_kernel::message::System;
use squall_kernel::registry::Registry;
use squall_kernel::time::{Instant, Span};
use squall_node::data::Change;
use squall_node::journal::{Entry, Header, When};

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
    /// The node's lease and those of leaders here, as its clock shows their ends.
    lease: Option<Instant>,
    leads: BTreeMap<(ExchangeId, Pid), (LeaderEpoch, Instant)>,
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
            lease: None,
            leads: BTreeMap::new(),
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
                self.at(now);
                self.fact(fact);
            }
            Entry::Core { now, input, effects } => {
                self.at(now);
                self.core(*input, effects);
            }
            Entry::ExchangeStart { id, now, config } => {
                self.at(now);
                self.exchange_start(id, &config);
            }
            Entry::Exchange {
                id,
                now,
                input,
                effects,
            } => {
                self.at(now);
                self.exchange(&id, &input, &effects);
            }
        }
    }

    /// What the node believed until some time lasts longer or shorter when its clock runs at another rate.
    fn at(&mut self, now: When) {
        let before = std::mem::replace(&mut self.now, now);
        if before.faster_ppm == now.faster_ppm {
            return;
        }
        if let Some(until) = self.lease.filter(|until| *until > now.shown) {
            self.tell(What::Lease { until });
        }
        self.leads.retain(|_, (_, until)| *until > now.shown);
        for ((exchange, handler), (leader_epoch, until)) in self.leads.clone() {
            self.tell(What::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            });
        }
    }

    fn tell(&mut self, what: What) {
        let mut what = what;
        match &mut what {
            What::Lease { until } => {
                self.lease = Some(*until);
                *until = true_end(self.now, *until);
            }
            What::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            } => {
                if *until > self.now.shown {
                    self.leads.insert((*exchange, *handler), (*leader_epoch, *until));
                } else {
                    self.leads.remove(&(*exchange, *handler));
                }
                *until = true_end(self.now, *until);
            }
            _ => {}
        }
        self.events.push(Event {
            at: self.now.passed,
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

/// When the clock will show that, at the rate at which it runs now.
fn true_end(now: When, until: Instant) -> Instant {
    const MILLION: u128 = 1_000_000;
    if until < now.shown {
        return Instant(now.passed.0.saturating_sub(now.shown.since(until).0));
    }
    let rate = u128::try_from(1_000_000 + i64::from(now.faster_ppm))
        .unwrap_or(1)
        .max(1);
    let takes = (u128::from(until.since(now.shown).0) * MILLION).div_ceil(rate);
    now.passed + Span(u64::try_from(takes).unwrap_or(u64::MAX))
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
            view.servers = servers.pids().collect();
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
