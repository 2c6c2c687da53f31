//! What the views and the headless output say, as plain records: one kind of record per view, merged from
//! the first-hand reports of all nodes. The JSON schema of `docs/headless.md` is these structs.
//! What does not live here: choosing, sorting and drawing.

mod detail;
mod names;
mod process;
mod records;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use squall_proto::v1;

use crate::cluster::events::EventKey;
use crate::cluster::node::{Connection, Exchange, Node};
use crate::cluster::{Cluster, health, is_fresh, stopwatch, ways};
use crate::units::Moment;

pub use detail::{
    CandidateDetail, DecisionDetail, DetailFact, ExchangeDetail, GroupDetail, HandlerDetail, LeaderDetail,
    MailDetail, ProcessDetail, TimesDetail, details,
};
pub use names::{Attached, attached, attached_kind, faults, named, registry};
pub use process::{ProcessFact, process, processes};
pub use records::{
    EventFact, ExchangeFact, FailoverFact, FaultFact, LeaderFact, LinkFact, NodeFact, RegistryFact,
};
pub use words::severity;

/// All nodes, by name.
#[must_use]
pub fn nodes(cluster: &Cluster, now: Moment) -> Vec<NodeFact> {
    let newest = health::newest_revision(cluster, now);
    cluster
        .nodes
        .values()
        .map(|n| node(cluster, n, newest, now))
        .collect()
}

/// All links, by both ends.
#[must_use]
pub fn links(cluster: &Cluster, now: Moment) -> Vec<LinkFact> {
    let of = |n: &Node| {
        let links = n.links.values();
        let link = |l| link(n, l, ways::way(cluster, &n.name, &l.peer, now), now);
        links.map(link).collect::<Vec<_>>()
    };
    cluster.nodes.values().flat_map(of).collect()
}

/// All exchanges, by name.
#[must_use]
pub fn exchanges(cluster: &Cluster, now: Moment) -> Vec<ExchangeFact> {
    let splits = health::splits(cluster, now);
    exchange_names(cluster)
        .into_iter()
        .filter_map(|n| exchange(cluster, &n, &splits, now))
        .collect()
}

/// All opinions, by exchange and node.
#[must_use]
pub fn leaders(cluster: &Cluster, now: Moment) -> Vec<LeaderFact> {
    let splits = health::splits(cluster, now);
    let believers = believers(cluster, now);
    let mut all = Vec::new();
    for node in cluster.nodes.values() {
        for (exchange, opinion) in &node.opinions {
            all.push(leader(
                node,
                &opinion.row,
                splits.contains(exchange),
                &believers,
                now,
            ));
        }
    }
    all.sort_by(|a, b| (&a.exchange, &a.node).cmp(&(&b.exchange, &b.node)));
    all
}

/// All events kept, the newest first.
pub fn events(cluster: &Cluster) -> impl Iterator<Item = (EventKey, EventFact)> {
    cluster
        .events
        .newest_first()
        .map(|(key, event)| (key.clone(), self::event(key, event)))
}

/// Names of all exchanges that any node knows; what only dead nodes know stays too.
#[must_use]
pub fn exchange_names(cluster: &Cluster) -> BTreeSet<String> {
    cluster
        .nodes
        .values()
        .flat_map(|n| n.exchanges.keys().chain(n.opinions.keys()))
        .cloned()
        .collect()
}

fn node(cluster: &Cluster, node: &Node, newest: u64, now: Moment) -> NodeFact {
    let row = node.row.clone().unwrap_or_default();
    let why = match &node.connection {
        Connection::Down { why, .. } => Some(why.clone()),
        Connection::Connecting { .. } | Connection::Live => None,
    };
    let fresh = is_fresh(node, now);
    NodeFact {
        name: node.name.clone(),
        state: cluster.state(node, now),
        role: words::role(row.role),
        incarnation: node.incarnation(),
        term: row.term,
        meta_leader: filled(&row.meta_leader),
        quorum: row.quorum && fresh,
        revision: row.revision,
        revision_lag: if fresh {
            newest.saturating_sub(row.revision)
        } else {
            0
        },
        cpu_percent: (node.row.is_some() && row.cpu_percent >= 0.0).then_some(row.cpu_percent),
        rss_bytes: row.rss_bytes,
        fds: row.fds,
        duty: words::duty(health::duty(cluster, &node.name, now)),
        processes: row.processes,
        messages_in: row.messages_in,
        messages_out: row.messages_out,
        in_per_s: node.rate_in.per_s(node.taken_ms),
        out_per_s: node.rate_out.per_s(node.taken_ms),
        dropped: row.dropped,
        refusals: row.refusals.into_iter().map(|it| (it.reason, it.count)).collect(),
        uptime_ms: row.uptime_ms,
        lease_left_ms: if fresh { row.lease_left_ms } else { 0 },
        timer_late_ms: row.timer_late_ms,
        decisions_explained: row.decisions_explained,
        detail_watchers: row.detail_watchers,
        os_pid: node.os_pid(),
        insecure: row.insecure || node.hello.as_ref().is_some_and(|h| h.insecure),
        waiting_for: filled(&row.waiting_for),
        version: row.version,
        stale_ms: node.stale_ms(now),
        why,
    }
}

fn link(node: &Node, row: &v1::LinkRow, way: Option<ways::Way>, now: Moment) -> LinkFact {
    let age = now.since(node.heard);
    let stale_ms = node.stale_ms(now);
    LinkFact {
        from: node.name.clone(),
        to: row.peer.clone(),
        state: words::link(row.state),
        rtt_p50_us: row.rtt_p50_us,
        rtt_p99_us: row.rtt_p99_us,
        phi: row.phi,
        queue_bytes: row.queue_bytes,
        last_heard_ms: row.last_heard_ms.saturating_add(stale_ms.unwrap_or(0)),
        fault: filled(&row.fault),
        fault_left_ms: row.fault_left_ms.saturating_sub(age),
        frames_out: row.frames_out,
        bytes_out: row.bytes_out,
        connects: row.connects,
        why: filled(&row.why),
        way: way.map_or("unknown", |way| words::link(way.state.into())),
        way_phi: way.and_then(|way| way.phi),
        way_heard_ms: way.and_then(|way| way.heard_ms),
        stale_ms,
    }
}

fn exchange(cluster: &Cluster, name: &str, splits: &BTreeSet<String>, now: Moment) -> Option<ExchangeFact> {
    let holders = || {
        cluster
            .nodes
            .values()
            .filter_map(|n| n.exchanges.get(name).map(|e| (n, e)))
    };
    // Live nodes first, then the newest ownership, then the owner's own word on it.
    let (source, known) = holders().max_by_key(|(n, e)| (is_fresh(n, now), e.row.epoch, e.row.owned_here))?;
    let owner = holders()
        .filter(|(n, e)| is_fresh(n, now) && e.row.owned_here)
        .max_by_key(|(_, e)| e.row.epoch);
    // A node counts the requests that entered the cluster at it, wherever the owner is; the figures are all nodes'.
    let fresh = || holders().filter(|(n, _)| is_fresh(n, now));
    let sum = |f: fn(&v1::ExchangeRow) -> u64| owner.map(|_| fresh().map(|(_, e)| f(&e.row)).sum());
    let per_s = |n: &Node, e: &Exchange| e.requests.per_s(n.taken_ms);
    let busiest = fresh().max_by(|(n, e), (m, f)| {
        let (one, other) = (per_s(n, e).unwrap_or(0.0), per_s(m, f).unwrap_or(0.0));
        one.total_cmp(&other)
    });
    let row = &known.row;
    Some(ExchangeFact {
        name: name.to_owned(),
        pattern: row.pattern.clone(),
        strategy: (!row.strategy.is_empty()).then(|| row.strategy.clone()),
        owner: filled(&row.owner),
        epoch: row.epoch,
        handlers: owner.map(|(_, e)| e.row.handlers),
        requests: sum(|r| r.requests),
        replies: sum(|r| r.replies),
        declined: sum(|r| r.declined),
        refused: fresh().map(|(_, e)| e.row.refused).sum(),
        in_flight: sum(|r| r.in_flight),
        requests_per_s: owner.and_then(|_| fresh().filter_map(|(n, e)| per_s(n, e)).reduce(|a, b| a + b)),
        p50_us: owner.and(busiest).map(|(_, e)| e.row.p50_us),
        p99_us: owner.and_then(|_| fresh().map(|(_, e)| e.row.p99_us).max()),
        failover: row.failover.clone(),
        moving_to: filled(&row.moving_to),
        takeover: row.takeover.clone(),
        prefers: filled(&row.prefers),
        split: splits.contains(name),
        stale_ms: source.stale_ms(now),
    })
}

fn leader(
    node: &Node,
    row: &v1::LeaderRow,
    in_split: bool,
    believers: &BTreeMap<(String, String), Vec<String>>,
    now: Moment,
) -> LeaderFact {
    let fresh = is_fresh(node, now);
    let key = (row.exchange.clone(), node.name.clone());
    LeaderFact {
        believed_by: believers.get(&key).cloned().unwrap_or_default(),
        exchange: key.0,
        node: key.1,
        role: words::leader(row.role),
        epoch: row.epoch,
        leader: filled(&row.leader),
        leader_epoch: row.leader_epoch,
        believed_owner: filled(&row.believed_owner),
        moving_to: filled(&row.moving_to),
        lease_left_ms: if fresh { row.lease_left_ms } else { 0 },
        split: in_split && fresh && row.role() == v1::LeaderRole::Owner,
        stale_ms: node.stale_ms(now),
    }
}

/// Per exchange and node: the live nodes that would send a request there now.
fn believers(cluster: &Cluster, now: Moment) -> BTreeMap<(String, String), Vec<String>> {
    let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for node in cluster.fresh(now) {
        for (exchange, opinion) in &node.opinions {
            if let Some(owner) = filled(&opinion.row.believed_owner) {
                all.entry((exchange.clone(), owner))
                    .or_default()
                    .push(node.name.clone());
            }
        }
    }
    all
}

/// The record of one event.
#[must_use]
pub fn event(key: &EventKey, event: &v1::Event) -> EventFact {
    EventFact {
        unix_ms: key.unix_ms,
        node: key.node.clone(),
        incarnation: key.incarnation,
        seq: key.seq,
        severity: severity(event),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        text: event.text.clone(),
        epoch: (event.epoch != 0).then_some(event.epoch),
    }
}

/// The failovers that the events tell of, the newest first.
#[must_use]
pub fn failovers(cluster: &Cluster) -> Vec<FailoverFact> {
    let fact = |f: stopwatch::Failover| {
        let [
            detect_us,
            lease_end_us,
            elect_us,
            assign_us,
            announce_us,
            first_good_reply_us,
        ] = f.phases;
        FailoverFact {
            unix_ms: f.key.unix_ms,
            exchange: f.exchange,
            epoch: f.epoch,
            from: f.from,
            to: f.to,
            detect_us,
            lease_end_us,
            elect_us,
            assign_us,
            announce_us,
            first_good_reply_us,
            total_us: f.total_us,
            answered: f.answered,
        }
    };
    let all = stopwatch::failovers(&cluster.events);
    all.into_iter().map(fact).collect()
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
