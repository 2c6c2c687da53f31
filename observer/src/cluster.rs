//! The cluster as the watcher has it: per node its connection and its rows by identity, and the events of
//! all nodes merged. Fed by [`Update`]s, pure. What does not live here: what the rows mean
//! ([`crate::facts`]), what is wrong ([`health`]), sorting and drawing.

pub mod checks;
pub mod details;
pub mod events;
pub mod health;
pub mod lints;
pub mod node;
pub mod process;
pub mod rate;
pub mod stopwatch;
pub mod ways;

use std::collections::{BTreeMap, BTreeSet};

use crate::clean;
use crate::feed::{RowsUpdate, Update};
use crate::limits::NODES_MAX;
use crate::units::Moment;
use details::Details;
use events::{EventLog, Mark};
use node::{Connection, Node};

/// Everything known of all nodes.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Nodes by name, the dead ones too.
    pub nodes: BTreeMap<String, Node>,
    /// Events of all nodes by time.
    pub events: EventLog,
    /// Addresses given that have not answered yet, with the reason.
    pub silent_seeds: BTreeMap<String, String>,
    /// Nodes beyond the bound that are not watched.
    pub nodes_left_out: u64,
    /// What is shown of the entity that is watched in detail.
    pub details: Details,
    /// Goes up with every update: what was computed at the same number need not be computed again. A moment of the past has a
    /// number of its own.
    pub version: u64,
    events_from: BTreeSet<String>,
    last_sample_s: u64,
}

/// State of a node as a watcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its stream is live and fresh.
    Up,
    /// Overdue, or its connection broke a moment ago.
    Suspect,
    /// Refuses connections, is silent for long, or was declared lost by the registry.
    Down,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// From this version on it is a moment of the past.
pub(crate) const PAST: u64 = 1 << 63;

/// A live stream is overdue after this: four default intervals of a node.
pub const OVERDUE_MS: u64 = 1_000;
/// A connection lost for longer than this, without word from the registry, means down.
pub const LOST_MS: u64 = 3_000;

impl Cluster {
    /// Takes in an update that the caller keeps. Total: what makes no sense is left out.
    pub fn look_at(&mut self, now: Moment, update: &Update) {
        match update {
            Update::Rows(rows) => {
                self.version += 1;
                self.rows(now, rows);
            }
            update => self.apply(now, update.clone()),
        }
    }

    /// Takes one update in, likewise.
    pub fn apply(&mut self, now: Moment, update: Update) {
        self.version += 1;
        match update {
            Update::Seed { addr, why: Some(why) } => {
                if self.silent_seeds.len() < NODES_MAX {
                    self.silent_seeds.insert(clean::name(&addr), clean::text(&why));
                }
            }
            Update::Seed { addr, why: None } => {
                self.silent_seeds.remove(&clean::name(&addr));
            }
            Update::Connection { node, state } => {
                if let Some(n) = self.node_mut(&node, now) {
                    n.connection(now, state);
                }
            }
            Update::Hello { node, hello } => {
                if let Some(n) = self.node_mut(&node, now) {
                    n.hello(hello);
                }
            }
            Update::Rows(rows) => self.rows(now, &rows),
            Update::Events {
                node,
                incarnation,
                events,
                lost,
            } => {
                let node = clean::name(&node);
                if self.nodes.contains_key(&node) {
                    self.events_from.insert(node.clone());
                }
                self.events.add(&node, incarnation, events, lost);
            }
            Update::Detail { node, of, what } => self.details.take(now, clean::name(&node), of, what),
            Update::Refused { node, reason } => {
                if let Some(n) = self.node_mut(&node, now) {
                    n.refusal = Some(clean::text(&reason));
                }
            }
        }
    }

    /// Whether it is a moment of the past.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.version >= PAST
    }

    /// From now on processes come by [`Cluster::processes`] alone.
    pub fn into_past(&mut self) {
        for node in self.nodes.values_mut() {
            node.processes_taken_ms = Some(node.taken_ms);
        }
    }

    /// Takes in processes of a moment that is over: that they came says nothing of the connection any more.
    pub fn processes(&mut self, rows: RowsUpdate) {
        self.version += 1;
        if let Some(node) = self.nodes.get_mut(&clean::name(&rows.node)) {
            node.processes(rows);
        }
    }

    /// Takes the load samples that are due: one a second, with a gap for what is not known.
    pub fn sample(&mut self, now: Moment) {
        let second = now.0 / 1000;
        if self.last_sample_s == 0 {
            self.last_sample_s = second;
        }
        let due = second
            .saturating_sub(self.last_sample_s)
            .min(crate::limits::LOAD_SAMPLES as u64);
        self.last_sample_s = second.max(self.last_sample_s);
        for _ in 0..due {
            for node in self.nodes.values_mut() {
                node.sample(now);
            }
        }
    }

    /// All of it but its events, and what nodes show only while somebody watches.
    #[must_use]
    pub fn without_events(&self) -> Self {
        Self {
            nodes: self.nodes.clone(),
            events: EventLog::default(),
            details: Details::past(),
            silent_seeds: self.silent_seeds.clone(),
            events_from: self.events_from.clone(),
            ..*self
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const ROW: usize = 400;
        let rows = |n: &Node| {
            n.processes.all().len() + n.links.len() + n.exchanges.len() + n.opinions.len() + n.faults.len()
        };
        let nodes = self
            .nodes
            .values()
            .map(|n| 4 * ROW + ROW * rows(n) + 8 * n.load.len());
        nodes.sum::<usize>() + ROW * self.events.len()
    }

    /// State of a node: first hand where there is a live stream, else the registry's word, else time.
    #[must_use]
    pub fn state(&self, node: &Node, now: Moment) -> State {
        match &node.connection {
            Connection::Live if node.row.is_none() => State::Suspect,
            Connection::Live if now.since(node.heard) <= OVERDUE_MS => State::Up,
            Connection::Live if now.since(node.heard) <= LOST_MS => State::Suspect,
            Connection::Live => State::Down,
            Connection::Down { refused: true, .. } => State::Down,
            Connection::Connecting { since } | Connection::Down { since, .. } => {
                if now.since(*since) > LOST_MS || self.declared_down(&node.name, now) {
                    State::Down
                } else {
                    State::Suspect
                }
            }
        }
    }

    /// Nodes that are up, with the row they sent.
    pub fn fresh(&self, now: Moment) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(move |n| is_fresh(n, now))
    }

    /// Marks for the charts.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        self.events.marks()
    }

    /// True when every node that any other tells of has sent a whole picture or cannot be reached.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let told = |n: &Node| {
            let hello = n.hello.iter().flat_map(|h| &h.members);
            let row = n.row.iter().flat_map(|r| &r.members);
            hello
                .chain(row)
                .all(|m| m.name.is_empty() || self.nodes.contains_key(&m.name))
        };
        self.nodes.values().any(|n| n.complete)
            && self
                .nodes
                .values()
                .all(|n| n.complete || matches!(n.connection, Connection::Down { .. }))
            && self.nodes.values().all(told)
    }

    /// True when every node that sent rows has sent its events too.
    #[must_use]
    pub fn events_are_complete(&self) -> bool {
        self.nodes
            .values()
            .filter(|n| n.complete)
            .all(|n| self.events_from.contains(&n.name))
    }

    fn rows(&mut self, now: Moment, update: &RowsUpdate) {
        let Some(node) = self.node_mut(&update.node, now) else {
            return;
        };
        node.rows(now, update);
    }

    fn node_mut(&mut self, name: &str, now: Moment) -> Option<&mut Node> {
        let name = clean::name(name);
        if !self.nodes.contains_key(&name) && self.nodes.len() >= NODES_MAX {
            self.nodes_left_out += 1;
            return None;
        }
        Some(
            self.nodes
                .entry(name.clone())
                .or_insert_with(|| Node::new(name, now)),
        )
    }

    /// Whether the registry, as some live node has it, has declared the node lost.
    fn declared_down(&self, name: &str, now: Moment) -> bool {
        use squall_proto::v1::NodeState;
        self.fresh(now)
            .filter_map(|n| n.row.as_ref())
            .flat_map(|r| &r.members)
            .any(|m| m.name == name && m.state() == NodeState::Down)
    }
}

/// Whether a node's stream is live and in time.
#[must_use]
pub fn is_fresh(node: &Node, now: Moment) -> bool {
    matches!(node.connection, Connection::Live) && node.row.is_some() && now.since(node.heard) <= OVERDUE_MS
}

#[cfg(test)]
#[path = "cluster_test.rs"]
mod tests;
