//! What is active in a cluster, and the account of a halt. What does not live here: how it is found out.

use std::fmt;

use serde::Serialize;
use squall_proto::v1 as proto;

/// A fault in force on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveFault {
    /// Id.
    pub id: String,
    /// Node that holds it.
    pub node: String,
    /// In words.
    pub what: String,
    /// Milliseconds left.
    pub left_ms: u64,
    /// Who asked for it.
    pub by: String,
    /// Frames, messages, deliveries or handlers that it has touched.
    pub touched: u64,
}

impl From<proto::FaultInfo> for ActiveFault {
    fn from(info: proto::FaultInfo) -> Self {
        let proto::FaultInfo {
            id,
            node,
            what,
            left_ms,
            by,
            touched,
        } = info;
        Self {
            id,
            node,
            what,
            left_ms,
            by,
            touched,
        }
    }
}

/// A supervised node that does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DownNode {
    /// Name.
    pub node: String,
    /// "paused" or "dead".
    pub state: &'static str,
    /// Milliseconds until it is thawed or started; 0 when nothing is due.
    pub left_ms: u64,
    /// How it ended last.
    pub last_exit: String,
}

/// A node that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Name.
    pub node: String,
    /// Why, in words.
    pub why: String,
    /// Its supervisor says that its process runs.
    pub runs: bool,
}

/// Everything active in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Listing {
    /// Faults on nodes.
    pub faults: Vec<ActiveFault>,
    /// Nodes that do not run, where a supervisor tells.
    pub down: Vec<DownNode>,
    /// Nodes that did not answer.
    pub silent: Vec<Silent>,
    /// Nodes that take no new faults, by name.
    pub locked: Vec<Locked>,
}

/// A node that takes no new faults until it is unlocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locked {
    /// Name.
    pub node: String,
    /// Who locked it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a node said when asked for its faults.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeFaults {
    Some(Vec<proto::FaultInfo>, Option<(String, proto::ChaosLock)>),
    Silent { node: String, why: String },
}

impl Listing {
    pub(super) fn new(nodes: Vec<NodeFaults>, children: Option<&[proto::Child]>) -> Self {
        let children = children.unwrap_or_default();
        let mut listing = Self {
            down: children.iter().filter_map(down).collect(),
            ..Self::default()
        };
        for node in nodes {
            match node {
                NodeFaults::Some(faults, lock) => {
                    listing.faults.extend(faults.into_iter().map(ActiveFault::from));
                    listing.locked.extend(lock.map(|(node, lock)| Locked {
                        node,
                        by: lock.by,
                        reason: lock.reason,
                    }));
                }
                NodeFaults::Silent { node, why } => {
                    let running = |child: &proto::Child| {
                        child.name == node && child.state() == proto::ChildState::Running
                    };
                    let runs = children.iter().any(running);
                    listing.silent.push(Silent { node, why, runs });
                }
            }
        }
        listing.locked.sort_by(|a, b| a.node.cmp(&b.node));
        listing
    }

    /// True when nothing is active, and every node that runs has said so.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.faults.is_empty() && self.down.is_empty() && !self.silent.iter().any(|silent| silent.runs)
    }
}

fn down(child: &proto::Child) -> Option<DownNode> {
    let state = match child.state() {
        proto::ChildState::Paused => "paused",
        proto::ChildState::Dead => "dead",
        proto::ChildState::Running | proto::ChildState::Unspecified => return None,
    };
    Some(DownNode {
        node: child.name.clone(),
        state,
        left_ms: child.left_ms,
        last_exit: child.last_exit.clone(),
    })
}

/// One line for each thing; one line when there is nothing.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for fault in &self.faults {
            let ActiveFault {
                id,
                node,
                what,
                left_ms,
                by,
                touched,
            } = fault;
            let (what, by) = (clean(what), clean(by));
            lines.push(format!(
                "{id}  on {node}: {what}, {left} left, {touched} touched, by {by}",
                left = seconds(*left_ms)
            ));
        }
        lines.extend(self.down.iter().map(ToString::to_string));
        for silent in self
            .silent
            .iter()
            .filter(|s| !self.down.iter().any(|down| down.node == s.node))
        {
            lines.push(format!(
                "{} does not answer ({}): its faults end by their TTL",
                silent.node,
                clean(&silent.why)
            ));
        }
        if lines.is_empty() {
            lines.push("nothing is active".to_owned());
        }
        if let Some(Locked { by, reason, .. }) = self.locked.first() {
            let nodes: Vec<&str> = self.locked.iter().map(|locked| locked.node.as_str()).collect();
            lines.push(format!(
                "{}: no new faults until `squall chaos unlock --reason …`; halted by {} ({})",
                nodes.join(", "),
                clean(by),
                clean(reason)
            ));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for DownNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            state,
            left_ms,
            last_exit,
        } = self;
        match (*state, *left_ms) {
            ("paused", left) => write!(f, "{node} is paused, {} left", seconds(left)),
            (_, 0) => write!(f, "{node} is dead ({})", clean(last_exit)),
            (_, left) => write!(
                f,
                "{node} is dead ({}), starts again in {}",
                clean(last_exit),
                seconds(left)
            ),
        }
    }
}

/// The account of a halt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Halted {
    /// Faults ended on nodes.
    pub cleared: u32,
    /// Nodes thawed or started.
    pub started: Vec<String>,
    /// What was still there when it was looked last.
    pub remains: Listing,
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = if self.cleared == 1 {
            "1 fault".to_owned()
        } else {
            format!("{} faults", self.cleared)
        };
        write!(f, "{faults} ended")?;
        if !self.started.is_empty() {
            write!(f, ", thawed or started {}", self.started.join(", "))?;
        }
        if self.remains.is_clear() && self.remains.silent.is_empty() {
            f.write_str("; nothing is active")?;
        } else {
            // What is locked is told there.
            return write!(f, "; still there:\n{}", self.remains);
        }
        if !self.remains.locked.is_empty() {
            f.write_str("; no new faults until `squall chaos unlock --reason …`")?;
        }
        Ok(())
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// What others wrote is shown on a terminal: no control characters, and not much of it.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
