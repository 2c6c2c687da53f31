//! What is wrong with the cluster, computed from first-hand reports. What does not live here: drawing.

use std::collections::{BTreeMap, BTreeSet};

use squall_proto::v1::{LeaderRole, MetaRole, NodeDuty};

use super::node::{Connection, Node, Opinion};
use super::{Cluster, State, lints};
use crate::feed::REFUSED;
use crate::units::{Moment, millis};

/// Whether the registry can decide anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quorum {
    /// No node has answered yet.
    Loading,
    /// Nodes were there, none answers now.
    Silent,
    /// Nodes answer, but there is no cluster yet; they wait for this.
    Forming(String),
    /// Some node hears a majority of the voters.
    Held,
    /// Nodes answer, and none of them hears a majority.
    Lost,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Broken.
    Alert,
    /// Somebody should know.
    Notice,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// One line in words.
    pub text: String,
}

/// The active faults of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many live.
    pub count: usize,
    /// Milliseconds until the next one ends.
    pub shortest_ms: u64,
    /// What the one that ends next does.
    pub what: String,
}

/// What to do when the voters that are gone never come back.
pub const WAY_BACK: &str = "for good? squall node recover --from-survivor";
/// Timers later than this are worth a line: an election timeout starts at 150 ms.
pub(super) const TIMER_LATE_MS: u64 = 100;
/// Revisions a follower may lag before it is worth a line.
pub(super) const LAG_MAX: u64 = 100;

/// Whether quorum is held.
#[must_use]
pub fn quorum(cluster: &Cluster, now: Moment) -> Quorum {
    let rows: Vec<_> = cluster.fresh(now).filter_map(|n| n.row.as_ref()).collect();
    if rows.is_empty() {
        let seen = cluster.nodes.values().any(|n| n.row.is_some());
        return if seen { Quorum::Silent } else { Quorum::Loading };
    }
    if rows.iter().any(|r| r.quorum) {
        return Quorum::Held;
    }
    if let Some(row) = rows
        .iter()
        .find(|r| !r.waiting_for.is_empty() && r.role() == MetaRole::Unspecified)
    {
        return Quorum::Forming(row.waiting_for.clone());
    }
    Quorum::Lost
}

/// The meta leader: a node that says so and hears a majority. A leader without one still says so.
#[must_use]
pub fn meta_leader(cluster: &Cluster, now: Moment) -> Option<&str> {
    cluster
        .fresh(now)
        .filter_map(|n| n.row.as_ref())
        .filter(|r| r.role() == MetaRole::Leader && r.quorum)
        .max_by_key(|r| r.term)
        .map(|r| r.name.as_str())
}

/// Exchanges with two nodes that act as owner at the same time.
///
/// Two reports are never taken at the same instant, so the times are compared, not the arrivals: a node owns from its first
/// report under an epoch to its last, by its own clock; where it has fallen silent since, to the end of its lease. One that
/// tells in time would have told that it still acts: what it told last says nothing of the moment at which another one began.
#[must_use]
pub fn splits(cluster: &Cluster, now: Moment) -> BTreeSet<String> {
    let mut owners: BTreeMap<&str, Vec<Claim>> = BTreeMap::new();
    for node in cluster.fresh(now) {
        for (name, opinion) in &node.opinions {
            if opinion.row.role() == LeaderRole::Owner {
                owners
                    .entry(name)
                    .or_default()
                    .push(Claim::of(node, opinion, now));
            }
        }
    }
    let split = |all: &Vec<Claim>| {
        all.iter()
            .enumerate()
            .any(|(i, a)| all[i + 1..].iter().any(|b| a.overlaps(b)))
    };
    owners
        .iter()
        .filter(|(_, all)| split(all))
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// Exchanges that some live node knows and no live node owns.
#[must_use]
pub fn ownerless(cluster: &Cluster, now: Moment) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut owned = BTreeSet::new();
    for node in cluster.fresh(now) {
        known.extend(node.exchanges.keys());
        known.extend(node.opinions.keys());
        owned.extend(
            node.opinions
                .iter()
                .filter(|(_, o)| o.row.role() == LeaderRole::Owner)
                .map(|(n, _)| n),
        );
    }
    known.difference(&owned).map(|n| (*n).clone()).collect()
}

/// The faults that still act. A node that went silent keeps its faults until their time is up.
#[must_use]
pub fn faults(cluster: &Cluster, now: Moment) -> Faults {
    let living = cluster
        .nodes
        .values()
        .flat_map(|n| n.faults.values())
        .filter(|f| f.ends > now);
    let mut all = Faults::default();
    for fault in living {
        let left = fault.ends.since(now);
        if all.count == 0 || left < all.shortest_ms {
            all.shortest_ms = left;
            all.what.clone_from(&fault.row.what);
        }
        all.count += 1;
    }
    all
}

/// Everything that is wrong, the worst first.
#[must_use]
pub fn findings(cluster: &Cluster, now: Moment) -> Vec<Finding> {
    let mut all = Vec::new();
    match quorum(cluster, now) {
        Quorum::Lost => all.push(alert(format!("no quorum, owners refuse; {WAY_BACK}"))),
        Quorum::Silent => all.push(alert("no node answers".to_owned())),
        Quorum::Forming(what) => all.push(notice(format!("no cluster yet: waiting for {what}"))),
        Quorum::Held | Quorum::Loading => {}
    }
    for name in splits(cluster, now) {
        all.push(alert(format!("{name}: two nodes act as owner (SPLIT)")));
    }
    for name in ownerless(cluster, now) {
        all.push(alert(format!("{name}: no owner")));
    }
    for (name, to) in moves(cluster, now) {
        all.push(notice(format!("{name} moves to {to}")));
    }
    for node in cluster.nodes.values() {
        node_findings(cluster, node, now, &mut all);
    }
    // Where nothing runs there is nothing to say: the usual addresses are those of more nodes than many clusters have.
    for (addr, why) in cluster.silent_seeds.iter().filter(|(_, why)| *why != REFUSED) {
        all.push(notice(format!("{addr}: {why}")));
    }
    all.extend(lints::lints(cluster, now).into_iter().map(notice));
    if cluster.events.lost > 0 {
        all.push(notice(format!(
            "{} events lost before they were read",
            cluster.events.lost
        )));
    }
    all.sort_by_key(|f| f.level);
    all
}

fn node_findings(cluster: &Cluster, node: &super::node::Node, now: Moment, all: &mut Vec<Finding>) {
    let name = &node.name;
    match (cluster.state(node, now), &node.connection) {
        (State::Down, Connection::Down { why, .. }) => all.push(alert(format!("{name} lost: {why}"))),
        (State::Down, _) => {
            all.push(alert(format!(
                "{name} lost: silent for {}",
                millis(now.since(node.heard))
            )));
        }
        (State::Suspect, _) if node.row.is_some() => {
            all.push(notice(format!(
                "{name} overdue: {}",
                millis(now.since(node.heard))
            )));
        }
        (State::Up | State::Suspect, _) => {}
    }
    let Some(row) = node.row.as_ref().filter(|_| super::is_fresh(node, now)) else {
        return;
    };
    match duty(cluster, name, now) {
        NodeDuty::Weak => all.push(notice(format!(
            "{name} is weak: its round trips do not fit a promise, it owns nothing"
        ))),
        NodeDuty::Draining => all.push(notice(format!("{name} hands over what it owns"))),
        NodeDuty::Leaving => all.push(notice(format!("{name} hands over what it owns, and leaves"))),
        NodeDuty::Full | NodeDuty::Unspecified => {}
    }
    if !row.quorum && quorum(cluster, now) == Quorum::Held && row.role() != MetaRole::Unspecified {
        all.push(alert(format!("{name} hears no majority of the voters")));
    }
    if row.timer_late_ms > TIMER_LATE_MS {
        all.push(notice(format!(
            "{name}: timers {}ms late, the machine is overloaded",
            row.timer_late_ms
        )));
    }
    let lag = newest_revision(cluster, now).saturating_sub(row.revision);
    if lag > LAG_MAX {
        all.push(notice(format!("{name}: registry {lag} revisions behind")));
    }
    if node.rate_dropped.per_s(node.taken_ms).unwrap_or(0.0) > 0.0 {
        all.push(notice(format!(
            "{name}: drops messages ({} since its start)",
            row.dropped
        )));
    }
    if let Some(reason) = &node.refusal {
        all.push(notice(format!("{name} refused what was asked of it: {reason}")));
    }
}

/// What a node may be given, by the newest registry that could be read.
#[must_use]
pub fn duty(cluster: &Cluster, name: &str, now: Moment) -> NodeDuty {
    let rows = cluster.fresh(now).filter_map(|n| n.row.as_ref());
    let newest = rows.max_by_key(|r| r.revision);
    newest
        .and_then(|r| r.members.iter().find(|m| m.name == name))
        .map_or(NodeDuty::Unspecified, squall_proto::v1::Member::duty)
}

/// Exchanges that move, and where to, by the live node that knows the newest ownership of each.
#[must_use]
pub fn moves(cluster: &Cluster, now: Moment) -> BTreeMap<String, String> {
    let mut newest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for (name, exchange) in cluster.fresh(now).flat_map(|n| &n.exchanges) {
        let known = newest.entry(name).or_default();
        if exchange.row.epoch >= known.0 {
            *known = (exchange.row.epoch, exchange.row.moving_to.as_str());
        }
    }
    let moving = newest.into_iter().filter(|(_, (_, to))| !to.is_empty());
    moving
        .map(|(name, (_, to))| (name.to_owned(), to.to_owned()))
        .collect()
}

/// Highest revision of the registry at any live node.
#[must_use]
pub fn newest_revision(cluster: &Cluster, now: Moment) -> u64 {
    cluster
        .fresh(now)
        .filter_map(|n| n.row.as_ref())
        .map(|r| r.revision)
        .max()
        .unwrap_or(0)
}

/// A node that has not told anything for so long, two intervals, may act on without being heard.
const SILENT_MS: u64 = 500;

/// From when to when a node acts as owner for certain, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Claim {
    since: u64,
    until: u64,
}

impl Claim {
    fn of(node: &Node, opinion: &Opinion, now: Moment) -> Self {
        let leased = opinion.taken_ms.saturating_add(opinion.row.lease_left_ms);
        // A row that did not change is not sent again.
        let told = node.taken_ms.max(opinion.taken_ms);
        let silent = now.since(node.heard) > SILENT_MS;
        Self {
            since: opinion.owner_since_ms,
            until: if silent { leased.max(told) } else { told },
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.since < other.until && other.since < self.until
    }
}

fn alert(text: String) -> Finding {
    Finding {
        level: Level::Alert,
        text,
    }
}

fn notice(text: String) -> Finding {
    Finding {
        level: Level::Notice,
        text,
    }
}
