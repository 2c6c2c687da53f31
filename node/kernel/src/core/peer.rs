//! What this node has seen of one peer. What does not live here: what follows from it.

use crate::detector::Detector;
use crate::id::Tenure;
use crate::time::{Instant, Span};

/// One peer.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) detector: Detector,
    pub(super) heard: Instant,
    /// When a fresh heartbeat of this node was last acknowledged by it.
    pub(super) acked: Instant,
    pub(super) broken: bool,
    pub(super) suspect: bool,
    /// Acknowledgements come.
    pub(super) reachable: bool,
    /// What it last said of its lease, under which tenure, and since when it says so without a break.
    pub(super) lease: Option<(Tenure, bool, Instant)>,
    /// Latest tenure of which it said that a voter had ended it.
    pub(super) ended: Tenure,
}

impl Peer {
    pub(super) fn new(now: Instant, heartbeat: Span) -> Self {
        Self {
            detector: Detector::new(heartbeat, now),
            heard: now,
            acked: now,
            broken: false,
            suspect: false,
            reachable: true,
            lease: None,
            ended: Tenure(0),
        }
    }

    /// A heartbeat said whether the peer acts under a lease.
    pub(super) fn says(&mut self, now: Instant, tenure: Tenure, leased: bool, ended: bool) {
        if ended {
            self.ended = self.ended.max(tenure);
        }
        if self.lease.is_none_or(|(t, l, _)| (t, l) != (tenure, leased)) {
            self.lease = Some((tenure, leased, now));
        }
    }

    /// It has said for longer than `span`, under `tenure`, that it has a lease, or that it has none.
    pub(super) fn has_said(&self, now: Instant, tenure: Tenure, leased: bool, span: Span) -> bool {
        self.lease
            .is_some_and(|(t, l, since)| t == tenure && l == leased && now.since(since) > span)
    }
}
