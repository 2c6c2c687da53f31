//! What this node believes now, published for introspection: never asked for, only read.

use std::collections::BTreeMap;
use std::sync::Arc;

use squall_kernel::detector::Rtt;
use squall_kernel::id::{NodeId, Term};
use squall_kernel::time::{Instant, Span};

use super::Control;

/// Lateness is told over that time.
const LATE_WINDOW: Span = Span::from_ms(1000);

/// A node's beliefs about the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Opinion {
    /// Raft term.
    pub term: Term,
    /// The meta leader it follows.
    pub meta_leader: Option<NodeId>,
    /// True when this node itself leads, acknowledged by a majority.
    pub leads: bool,
    /// Voters, ascending.
    pub voters: Vec<NodeId>,
    /// True when a majority of the voters is heard of in time.
    pub quorum: bool,
    /// Voters without which the registry would stop (B7), this node perhaps among them.
    pub quorum_critical: Vec<NodeId>,
    /// Peers.
    pub peers: BTreeMap<NodeId, PeerOpinion>,
    /// What the node waits for before it is a member; empty when it is one.
    pub waiting_for: String,
    /// Largest delay of its own timers in the last second, in milliseconds.
    pub timer_late_ms: u64,
}

impl Opinion {
    /// True on a member that hears no majority of the voters. A node that belongs to no cluster yet lacks nothing: it
    /// waits.
    #[must_use]
    pub fn lacks_quorum(&self) -> bool {
        !self.voters.is_empty() && !self.quorum
    }
}

/// A node's belief about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PeerOpinion {
    /// Suspicion, in thousandths of phi.
    pub phi_milli: u64,
    /// When it was heard last.
    pub heard: Instant,
    /// True when it is suspect.
    pub suspect: bool,
    /// Round trips over the last seconds, where there were any.
    pub round_trip: Option<Rtt>,
}

/// The largest delay of own timers in the last second.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    since: Instant,
    largest: Span,
    before: Span,
}

impl Lateness {
    pub(super) fn note(&mut self, now: Instant, late: Span) {
        if now.since(self.since) >= LATE_WINDOW {
            (self.since, self.before, self.largest) = (now, self.largest, Span::ZERO);
        }
        self.largest = self.largest.max(late);
    }

    fn ms(&self) -> u64 {
        self.largest.max(self.before).as_ms()
    }
}

impl Control {
    /// Publishes what is believed now. Watchers are roused only by the teller's events, not by every beat.
    pub(super) fn publish_opinion(&self) {
        let now = self.parts.clock.now();
        let state = self.meta_in.borrow();
        let peers = self
            .registry
            .nodes
            .keys()
            .filter(|id| **id != self.parts.me.id)
            .filter_map(|id| {
                let (phi_milli, heard, suspect) = self.core.opinion(now, *id)?;
                let round_trip = self.round_trips.get(id).and_then(|trips| trips.at(now));
                Some((
                    *id,
                    PeerOpinion {
                        phi_milli,
                        heard,
                        suspect,
                        round_trip,
                    },
                ))
            });
        let voters = state.voters.clone();
        let opinion = Opinion {
            term: state.term,
            meta_leader: state.leader,
            leads: self.meta_view.leads && self.meta_view.quorum,
            voters: state.voters.clone(),
            quorum: self.core.sees_quorum(),
            quorum_critical: voters
                .into_iter()
                .filter(|v| self.core.is_quorum_critical(*v))
                .collect(),
            peers: peers.collect(),
            waiting_for: self.waiting_for.clone(),
            timer_late_ms: self.late_ms.ms(),
        };
        self.parts.opinion.send_replace(Arc::new(opinion));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_forgotten_after_two_windows() {
        let mut late = Lateness::default();
        let at = |ms: u64| Instant(ms * 1000);
        late.note(at(10), Span::from_ms(7));
        late.note(at(1100), Span::from_ms(1));
        assert_eq!(late.ms(), 7);
        late.note(at(2200), Span::from_ms(2));
        assert_eq!(late.ms(), 2);
    }
}
