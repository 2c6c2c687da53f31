//! Which of several processes with the same name is the nearest (A31–A33): on this node, else in this zone, else by round
//! trip.
//!
//! What does not live here: who the candidates are (the registry knows), and the measuring of round trips (`detector`).
//! A declared proxy itself always subscribes at the owner, so that proxies never feed each other in a ring.

use crate::id::NodeId;
use crate::time::Span;

/// Another process of the same class replaces the current one only when its round trip is at most that many percent of
/// the current one's: what is left is noise, and each change costs a snapshot of all interest.
const WORTH_A_CHANGE_PERCENT: u64 = 80;

/// Where this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here<'a> {
    /// This node.
    pub node: NodeId,
    /// Its zone; nodes without one share no zone with anybody.
    pub zone: Option<&'a str>,
}

/// A node with a process of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The node.
    pub node: NodeId,
    /// Its zone.
    pub zone: Option<&'a str>,
    /// Round trip to it; none while unmeasured, which counts as longer than any measured one.
    pub rtt: Option<Span>,
    /// Whether a link to it stands.
    pub reachable: bool,
}

/// Distance in classes: a nearer class wins at any round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    SameNode,
    SameZone,
    Elsewhere,
}

/// The choice, and the memory that keeps it steady.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nearest {
    current: Option<NodeId>,
}

impl Nearest {
    /// With a choice that was made before.
    #[must_use]
    pub const fn at(current: Option<NodeId>) -> Self {
        Self { current }
    }

    /// The node chosen last.
    #[must_use]
    pub const fn current(&self) -> Option<NodeId> {
        self.current
    }

    /// Chooses anew: none when no candidate is reachable. The current one stays unless it is gone, or another is of a
    /// nearer class, or nearer by a fifth within its class.
    pub fn choose(&mut self, here: Here<'_>, candidates: &[Candidate<'_>]) -> Option<NodeId> {
        let reachable = || candidates.iter().filter(|c| c.reachable || c.node == here.node);
        let best = reachable().min_by_key(|c| (class(here, c), rtt(c), c.node));
        let current = reachable().find(|c| Some(c.node) == self.current);
        self.current = match (current, best) {
            (Some(current), Some(best)) if !worth_a_change(here, current, best) => Some(current.node),
            (_, best) => best.map(|c| c.node),
        };
        self.current
    }
}

fn class(here: Here<'_>, candidate: &Candidate<'_>) -> Class {
    if candidate.node == here.node {
        Class::SameNode
    } else if here.zone.is_some() && candidate.zone == here.zone {
        Class::SameZone
    } else {
        Class::Elsewhere
    }
}

fn rtt(candidate: &Candidate<'_>) -> Span {
    candidate.rtt.unwrap_or(Span(u64::MAX))
}

fn worth_a_change(here: Here<'_>, current: &Candidate<'_>, best: &Candidate<'_>) -> bool {
    if class(here, best) != class(here, current) {
        return class(here, best) < class(here, current);
    }
    match (current.rtt, best.rtt) {
        (Some(now), Some(then)) => {
            u128::from(then.0) * 100 <= u128::from(now.0) * u128::from(WORTH_A_CHANGE_PERCENT) && then < now
        }
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

#[cfg(test)]
#[path = "nearest_test.rs"]
mod tests;
