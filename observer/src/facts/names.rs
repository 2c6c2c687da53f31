//! Records of what exists, and of faults.

use super::{FaultFact, RegistryFact, exchanges, nodes};
use crate::cluster::Cluster;
use crate::cluster::health;
use crate::cluster::node::Node;
use crate::cluster::process::Process;
use crate::units::Moment;

/// A kind of process that is something to others, not only to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// Its word.
    pub word: &'static str,
    what: &'static str,
    /// What it is attached to is told, too.
    to: bool,
}

impl Attached {
    const ALL: [Self; 3] = [
        Self::new("session", "a client's session", false),
        Self::new("handler", "serves", true),
        Self::new("subscriber", "subscribes to", true),
    ];

    const fn new(word: &'static str, what: &'static str, to: bool) -> Self {
        Self { word, what, to }
    }

    /// What it is, in words; `name` is what it is attached to.
    #[must_use]
    pub fn what(self, name: &str) -> String {
        if self.to {
            format!("{} {name}", self.what)
        } else {
            self.what.to_owned()
        }
    }
}

/// What a process is to others; none for one that is nothing to them.
#[must_use]
pub fn attached_kind(process: &Process) -> Option<Attached> {
    let kind = process.row.kind.as_str();
    Attached::ALL.into_iter().find(|attached| attached.word == kind)
}

/// What exists: nodes, exchanges, and what is attached to them.
#[must_use]
pub fn registry(cluster: &Cluster, now: Moment) -> Vec<RegistryFact> {
    let attached = cluster.nodes.values().flat_map(|node| {
        let all = node.processes.all().iter();
        all.filter_map(|process| attached(node, process, now))
    });
    named(cluster, now).into_iter().chain(attached).collect()
}

/// Nodes and exchanges.
#[must_use]
pub fn named(cluster: &Cluster, now: Moment) -> Vec<RegistryFact> {
    let nodes = nodes(cluster, now).into_iter().map(|n| {
        let voice = if n.insecure {
            ", listens beyond loopback"
        } else {
            ""
        };
        RegistryFact {
            kind: "node",
            what: format!("{}, {}, version {}{voice}", n.role, n.duty, n.version),
            node: Some(n.name.clone()),
            name: n.name,
            pid: None,
            state: n.state.as_str(),
            age_ms: n.stale_ms.is_none().then_some(n.uptime_ms),
            stale_ms: n.stale_ms,
        }
    });
    let ownerless = health::ownerless(cluster, now);
    let exchanges = exchanges(cluster, now).into_iter().map(|e| {
        let strategy = e.strategy.map_or_else(String::new, |s| format!(", {s}"));
        RegistryFact {
            kind: "exchange",
            state: match (&e.owner, &e.moving_to) {
                _ if e.split => "split",
                (None, _) => "ownerless",
                // Its owner is down, and none follows yet.
                _ if ownerless.contains(&e.name) => "ownerless",
                (_, Some(_)) => "moving",
                _ => "owned",
            },
            what: format!("{}{strategy}, epoch {}", e.pattern, e.epoch),
            name: e.name,
            node: e.owner,
            pid: None,
            age_ms: None,
            stale_ms: e.stale_ms,
        }
    });
    nodes.chain(exchanges).collect()
}

/// A process that is attached to something; none for one that is not.
#[must_use]
pub fn attached(node: &Node, process: &Process, now: Moment) -> Option<RegistryFact> {
    let row = &process.row;
    let kind = attached_kind(process)?;
    Some(RegistryFact {
        kind: kind.word,
        what: kind.what(&row.name),
        name: row.name.clone(),
        node: Some(node.name.clone()),
        pid: Some(row.pid.clone()),
        state: "attached",
        age_ms: Some(process.age_ms(node.processes_ms())),
        stale_ms: node.stale_ms(now),
    })
}

/// The faults that act, by node.
#[must_use]
pub fn faults(cluster: &Cluster, now: Moment) -> Vec<FaultFact> {
    let of = |n: &Node| {
        let fact = |fault: &crate::cluster::node::Fault| FaultFact {
            id: fault.row.id.clone(),
            node: n.name.clone(),
            what: fault.row.what.clone(),
            left_ms: fault.ends.since(now),
            by: fault.row.by.clone(),
            touched: fault.row.touched,
            stale_ms: n.stale_ms(now),
        };
        n.faults.values().map(fact).collect::<Vec<_>>()
    };
    let all = cluster.nodes.values().flat_map(of);
    // A fault whose time is over has ended, whatever a silent node said last.
    all.filter(|fault| fault.left_ms > 0).collect()
}
