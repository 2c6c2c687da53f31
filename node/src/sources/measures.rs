//! What the node measures, for the metrics' catalogue: read from the same atomics and snapshots as the rows.
//!
//! What does not live here: what each metric is (`metrics`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

use squall_kernel::id::ExchangeId;
use squall_kernel::registry::{ExchangeRecord, Pattern, Registry};
use squall_kernel::time::{Instant, Span};
use squall_proto::v1;
use tokio::runtime::Handle;

use super::{NodeSources, runtimes};
use crate::metrics::{self as m, Scrape};
use crate::process::ProcessKind;

impl NodeSources {
    pub(super) fn measured(&self, to: &mut Scrape) {
        let registry = self.data.context.registry_kept();
        let now = self.now();
        to.of_exchanges(registry.exchanges.values().map(|record| record.name.as_str()));
        self.system(to, now);
        self.node_itself(to, &registry, now);
        self.messages(to);
        self.links(to, now);
        self.exchanges(to, &registry, now);
        self.mailboxes(to, now);
        self.broken(to);
    }

    fn system(&self, to: &mut Scrape, now: Instant) {
        let system = &mut self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = system.read(now);
        to.put(&m::CPU_TIME, &[], millis(figures.cpu_ms));
        to.count(&m::MEMORY, &[], figures.rss_bytes);
        to.count(&m::FILES, &[], figures.fds);
        to.count(&m::THREADS, &[], figures.threads);
        to.put(&m::UPTIME, &[], seconds(Span(now.0)));
        let runtimes: [(&str, Option<&Handle>); 3] = [
            ("control", Some(&self.control)),
            ("data", Some(&self.data.context.runtime)),
            ("grpc", self.grpc.get()),
        ];
        for (name, runtime) in runtimes {
            let Some(runtime) = runtime else { continue };
            runtimes::measured(to, name, runtime);
        }
    }

    fn node_itself(&self, to: &mut Scrape, registry: &Registry, now: Instant) {
        let opinion = Arc::clone(&self.opinion.borrow());
        let run = self.me.incarnation.0.to_string();
        to.put(&m::NODE_INFO, &[env!("CARGO_PKG_VERSION"), &run], 1.0);
        let mut members = BTreeMap::from([("up", 0), ("suspect", 0), ("down", 0)]);
        for member in self.members(registry) {
            let state = match member.state() {
                v1::NodeState::Up => "up",
                v1::NodeState::Suspect => "suspect",
                _ => "down",
            };
            *members.entry(state).or_default() += 1;
        }
        for (state, count) in members {
            to.count(&m::MEMBERS, &[state], count);
        }
        to.put(&m::QUORUM, &[], truth(opinion.quorum));
        to.put(&m::LEASE, &[], seconds(self.data.context.lease.left(now)));
        to.put(
            &m::META_LEADER,
            &[],
            truth(opinion.meta_leader == Some(self.me.id)),
        );
        to.count(&m::META_TERM, &[], opinion.term.0);
        to.count(&m::REVISION, &[], registry.revision.0);
        to.put(&m::TIMER_LATENESS, &[], millis(opinion.timer_late_ms));
        for ((kind, severity), count) in self.events.counted() {
            to.count(&m::EVENTS, &[kind, severity], count);
        }
    }

    fn messages(&self, to: &mut Scrape) {
        let tally = &self.data.context.wire.tally;
        to.count(&m::RECEIVED, &[], tally.taken_in.read());
        to.count(&m::SENT, &[], tally.sent_out.read());
        let dropped: [(&str, &AtomicU64); 8] = [
            ("late reply", &tally.late_replies),
            ("reply not sent", &tally.lost_replies),
            ("fenced", &tally.fenced),
            ("garbled", &tally.garbled),
            ("expired", &tally.expired),
            ("nobody to take it", &tally.unclaimed),
            ("publish not sent on", &tally.events_lost),
            ("talk against the rules", &tally.talk_faults),
        ];
        for (reason, count) in dropped {
            to.count(&m::DROPPED, &[reason], count.load(Relaxed));
        }
        for (fault, count) in tally.client_faults.counted() {
            to.count(&m::REFUSALS, &[fault.as_str()], count);
        }
    }

    fn links(&self, to: &mut Scrape, now: Instant) {
        let opinion = Arc::clone(&self.opinion.borrow());
        for (link, peer) in self.link_rows_with_peers(&opinion) {
            let name = link.peer.as_str();
            to.put(&m::LINK_UP, &[name], truth(link.state() == v1::LinkState::Up));
            to.put(&m::LINK_PHI, &[name], link.phi);
            to.count(&m::LINK_QUEUE, &[name], link.queue_bytes);
            to.count(&m::LINK_FRAMES, &[name], link.frames_out);
            to.count(&m::LINK_IO, &[name], link.bytes_out);
            to.count(&m::LINK_CONNECTS, &[name], link.connects);
            let Some(peer) = peer else { continue };
            to.put(&m::LINK_SILENCE, &[name], seconds(now.since(peer.heard)));
            if let Some(round_trip) = peer.round_trip {
                to.put(&m::LINK_ROUND_TRIP, &[name, "50"], seconds(round_trip.p50));
                to.put(&m::LINK_ROUND_TRIP, &[name, "99"], seconds(round_trip.p99));
            }
        }
    }

    fn exchanges(&self, to: &mut Scrape, registry: &Registry, now: Instant) {
        let leased = self.data.context.lease.holds(now);
        let owned = self.owned();
        for record in registry.exchanges.values() {
            let name = record.name.as_str();
            let here = owned.get(&record.id);
            let up = |id| registry.nodes.get(&id).is_some_and(|node| node.is_up());
            to.count(&m::EXCHANGE_EPOCH, &[name], record.epoch.0);
            to.put(
                &m::EXCHANGE_OWNED,
                &[name],
                truth(leased && here.is_some_and(|it| it.acting)),
            );
            to.put(
                &m::EXCHANGE_OWNERLESS,
                &[name],
                truth(!record.owner.is_some_and(up)),
            );
            if let Some(here) = here.filter(|it| leased && it.acting) {
                to.count(&m::EXCHANGE_HANDLERS, &[name], here.handlers);
                if record.pattern == Pattern::Task {
                    self.tasks_measured(to, record);
                }
            }
            let deliveries = self.data.handlers.deliveries(record.id);
            for (result, count) in [
                ("accepted", deliveries.accepted),
                ("fenced", deliveries.fenced),
                ("rejected", deliveries.mailboxes.rejected),
                ("dropped", deliveries.mailboxes.dropped),
                ("expired", deliveries.mailboxes.expired),
                ("held", deliveries.mailboxes.held),
            ] {
                to.count(&m::DELIVERIES, &[name, result], count);
            }
        }
        for (id, changes) in self.data.exchanges.task_changes() {
            let Some(name) = name_of(registry, id) else {
                continue;
            };
            for (result, count) in [
                ("accepted", changes.accepted),
                ("completed", changes.completed),
                ("tried again", changes.tried_again),
                ("dead", changes.dead),
                ("lost", changes.lost),
            ] {
                to.count(&m::TASK_CHANGES, &[name, result], count);
            }
        }
        for (stats, times) in self.data.router.measured() {
            let Some(name) = name_of(registry, stats.exchange) else {
                continue;
            };
            to.count(&m::REQUESTS, &[name], stats.requests);
            to.count(&m::REQUESTS_OPEN, &[name], stats.open);
            to.count(&m::SECOND_ANSWERS, &[name], stats.second);
            to.count(&m::LATE_ANSWERS, &[name], stats.late);
            to.times(&m::REQUEST_TIME, &[name], times);
            for (outcome, count) in [
                ("replied", stats.replies),
                ("declined", stats.declined),
                ("refused", stats.refused),
                ("timeout", stats.timeouts),
                ("interrupted", stats.interrupted),
            ] {
                to.count(&m::OUTCOMES, &[name, outcome], count);
            }
        }
    }

    fn tasks_measured(&self, to: &mut Scrape, record: &ExchangeRecord) {
        let Some(shown) = self.data.exchanges.tasks_shown(record.id) else {
            return;
        };
        let name = record.name.as_str();
        for (state, count) in [
            ("waiting", shown.waiting),
            ("in hand", shown.in_hand),
            ("dead", shown.dead),
        ] {
            to.count(&m::TASKS, &[name, state], count);
        }
        to.put(
            &m::TASKS_OLDEST,
            &[name],
            seconds(shown.oldest.unwrap_or_default()),
        );
    }

    fn mailboxes(&self, to: &mut Scrape, now: Instant) {
        let mut kinds: BTreeMap<&'static str, u64> =
            ProcessKind::ALL.iter().map(|kind| (kind.as_str(), 0)).collect();
        let mut boxes: BTreeMap<(&'static str, Arc<str>), (u64, Span)> = BTreeMap::new();
        self.data.context.processes.each(|process| {
            let figures = process.figures(now);
            *kinds.entry(figures.kind.as_str()).or_default() += 1;
            // Of sessions and requesters there are as many names as clients.
            let exchange = if figures.kind.serves_an_exchange() {
                Arc::clone(&figures.name)
            } else {
                Arc::from("")
            };
            let (messages, oldest) = boxes.entry((figures.kind.as_str(), exchange)).or_default();
            *messages += figures.enqueued.saturating_sub(figures.dequeued);
            *oldest = (*oldest).max(figures.oldest);
        });
        for (kind, count) in kinds {
            to.count(&m::PROCESSES, &[kind], count);
        }
        for ((kind, exchange), (messages, oldest)) in boxes {
            to.count(&m::MAILBOX_MESSAGES, &[kind, &exchange], messages);
            to.put(&m::MAILBOX_OLDEST, &[kind, &exchange], seconds(oldest));
        }
    }

    fn broken(&self, to: &mut Scrape) {
        let failovers = self.data.context.failovers.times();
        for (cause, count) in failovers.counted() {
            to.count(&m::FAILOVERS, &[cause], count);
        }
        for (cause, times) in failovers.read() {
            to.times(&m::FAILOVER_TIME, &[cause], times);
        }
        let mut faults: BTreeMap<&'static str, u64> = BTreeMap::new();
        for fault in self.faults.list() {
            *faults.entry(crate::faults::kind(&fault.kind)).or_default() += 1;
        }
        for (kind, count) in faults {
            to.count(&m::FAULTS, &[kind], count);
        }
        to.put(&m::FAULTS_LOCKED, &[], truth(self.faults.locked().is_some()));
        for (invariant, count) in self.breaches.read() {
            to.count(&m::BREACHES, &[&invariant.to_string()], count);
        }
        let spans = self.spans.figures();
        for (result, count) in [
            ("exported", spans.exported),
            ("dropped", spans.dropped),
            ("failed", spans.failed),
        ] {
            to.count(&m::SPANS, &[result], count);
        }
        for (result, count) in [("sent", self.exports.sent()), ("failed", self.exports.failed())] {
            to.count(&m::EXPORTS, &[result], count);
        }
    }
}

fn name_of(registry: &Registry, id: ExchangeId) -> Option<&str> {
    Some(registry.exchanges.get(&id)?.name.as_str())
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn millis(ms: u64) -> f64 {
    ms as f64 / 1e3
}
