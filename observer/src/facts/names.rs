//! Records of what exists, and of faults.

use super::{FaultFact, RegistryFact, exchanges, nodes};
use crate::cluster::Cluster;
use crate::cluster::node::Node;
use crate::units::Moment;

/// Kinds of processes that are something to others, not only to their node.
const ATTACHED: [(&str, &str); 3] = [
    ("session", "a client's session"),
    ("handler", "serves"),
    ("subscriber", "subscribes to"),
];

/// What exists: nodes, exchanges, and what is attached to them.
#[must_use]
pub fn registry(cluster: &Cluster, now: Moment) -> Vec<RegistryFact> {
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
    let exchanges = exchanges(cluster, now).into_iter().map(|e| {
        let strategy = e.strategy.map_or_else(String::new, |s| format!(", {s}"));
        RegistryFact {
            kind: "exchange",
            state: match (&e.owner, &e.moving_to) {
                _ if e.split => "split",
                (None, _) => "ownerless",
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
    let attached = cluster.nodes.values().flat_map(|n| of_node(n, now));
    nodes.chain(exchanges).chain(attached).collect()
}

fn of_node(node: &Node, now: Moment) -> impl Iterator<Item = RegistryFact> {
    node.processes.all().iter().filter_map(move |process| {
        let row = &process.row;
        let (kind, what) = ATTACHED.into_iter().find(|(kind, _)| *kind == row.kind)?;
        Some(RegistryFact {
            kind,
            what: match kind {
                "session" => what.to_owned(),
                _ => format!("{what} {}", row.name),
            },
            name: row.name.clone(),
            node: Some(node.name.clone()),
            pid: Some(row.pid.clone()),
            state: "attached",
            age_ms: Some(row.age_ms),
            stale_ms: node.stale_ms(now),
        })
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
