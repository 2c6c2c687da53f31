//! Promises: how a node comes to act as owner, and how the meta leader makes sure that it no longer does
//! (P2 of the design: at most one believer under a bounded clock rate).
//!
//! [`Voter`] gives promises and ends them, [`Lease`] is what an owner makes of a majority of them, [`Gather`] is the meta
//! leader's wait before a node is declared lost. What does not live here: who is suspected, and the messages.

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, Tenure};
use crate::limits::DRIFT_PPM;
use crate::planted::{self, Bug};
use crate::time::{Instant, Span};

/// What a voter answers to a node that asks for its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    /// The node may count on this voter for that long from the moment it asked.
    Given(Span),
    /// This voter has just started, or does not know the tenure: no promise, nothing ended.
    Withheld,
    /// Promises for this tenure are over.
    Ended,
}

/// A voter's side: what it has promised to whom.
#[derive(Debug, Clone)]
pub struct Voter {
    /// Length of a promise.
    length: Span,
    /// A voter that has just started has forgotten what it promised before, so it is silent for as long as that may
    /// hold.
    silent_until: Instant,
    promised: BTreeMap<NodeId, (Tenure, Instant)>,
    ended: BTreeMap<NodeId, Tenure>,
}

impl Voter {
    /// A voter that starts at `now`.
    #[must_use]
    pub fn new(now: Instant, length: Span) -> Self {
        Self {
            length,
            silent_until: now + length.lengthened(DRIFT_PPM),
            promised: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// `node` asks under `tenure`; `registered` is its tenure in this voter's registry.
    pub fn ask(&mut self, now: Instant, node: NodeId, tenure: Tenure, registered: Option<Tenure>) -> Promise {
        if self.ended.get(&node).is_some_and(|ended| *ended >= tenure) {
            return Promise::Ended;
        }
        let silent = now < self.silent_until && !planted::is(Bug::RestartedVoterPromises);
        if silent || registered != Some(tenure) {
            return Promise::Withheld;
        }
        self.promised.insert(node, (tenure, now + self.length));
        Promise::Given(self.length)
    }

    /// Ends promises to `node` up to `tenure` and tells how long the latest still holds by this voter's clock.
    pub fn end(&mut self, now: Instant, node: NodeId, tenure: Tenure) -> Span {
        let ended = self.ended.entry(node).or_insert(tenure);
        *ended = (*ended).max(tenure);
        let until = self.promised.get(&node).map_or(Instant(0), |(_, until)| *until);
        if planted::is(Bug::RestartedVoterPromises) {
            return until.since(now);
        }
        until.max(self.silent_until).since(now)
    }

    /// Forgets nodes that the registry no longer has.
    pub fn retain(&mut self, known: impl Fn(NodeId) -> bool) {
        self.promised.retain(|node, _| known(*node));
        self.ended.retain(|node, _| known(*node));
    }
}

/// An owner's side: until when a majority of the voters lets it act.
#[derive(Debug, Clone, Default)]
pub struct Lease {
    tenure: Tenure,
    voters: BTreeSet<NodeId>,
    until: BTreeMap<NodeId, Instant>,
}

impl Lease {
    /// Takes note of the voters and of the node's own tenure. A new tenure starts from nothing.
    pub fn set(&mut self, tenure: Tenure, voters: &BTreeSet<NodeId>) {
        if self.tenure != tenure {
            self.until.clear();
            self.tenure = tenure;
        }
        self.until.retain(|voter, _| voters.contains(voter));
        self.voters.clone_from(voters);
    }

    /// A voter's promise, counted from when it was asked for and shortened by what clocks may differ. Nothing else
    /// ever lengthens a lease.
    pub fn promised(&mut self, voter: NodeId, tenure: Tenure, asked_at: Instant, length: Span) {
        if tenure == self.tenure && self.voters.contains(&voter) {
            let until = asked_at + length.shortened(DRIFT_PPM);
            let held = self.until.entry(voter).or_insert(until);
            *held = (*held).max(until);
        }
    }

    /// Until when the node may act: the time up to which a majority of voters has promised. Zero without a majority.
    #[must_use]
    pub fn until(&self) -> Instant {
        let majority = self.voters.len() / 2 + 1;
        if self.voters.is_empty() || self.until.len() < majority {
            return Instant(0);
        }
        // The majority-th latest promise: few voters, so look for it by counting.
        let holds = |at: &Instant| self.until.values().filter(|until| *until >= at).count() >= majority;
        self.until
            .values()
            .filter(|at| holds(at))
            .copied()
            .max()
            .unwrap_or(Instant(0))
    }
}

/// The meta leader's wait before it declares a node lost.
#[derive(Debug, Clone)]
pub struct Gather {
    /// Tenure to end.
    pub tenure: Tenure,
    /// Per voter: when it answered last, and when its promise has run out by the asker's clock.
    answers: BTreeMap<NodeId, (Instant, Instant)>,
    /// Nothing is proposed before this: promises given under an older set of voters may still hold.
    not_before: Instant,
}

impl Gather {
    /// A gathering for `tenure` that ends no earlier than `not_before`.
    #[must_use]
    pub fn new(tenure: Tenure, not_before: Instant) -> Self {
        Self {
            tenure,
            answers: BTreeMap::new(),
            not_before,
        }
    }

    /// A voter ended its promises; the latest holds for `remaining`.
    pub fn answer(&mut self, now: Instant, voter: NodeId, remaining: Span) {
        let until = now + remaining.lengthened(DRIFT_PPM);
        let entry = self.answers.entry(voter).or_insert((now, until));
        *entry = (now, entry.1.max(until));
    }

    /// When the node may be declared lost; none while too few voters have answered. Answers older than `fresh` do not
    /// count: their voters may have restarted and forgotten.
    #[must_use]
    pub fn ready_at(&self, now: Instant, voters: &BTreeSet<NodeId>, fresh: Span) -> Option<Instant> {
        let counted = self
            .answers
            .iter()
            .filter(|(v, (at, _))| voters.contains(v) && now.since(*at) <= fresh);
        let (count, latest) = counted.fold((0, self.not_before), |(n, max), (_, (_, until))| {
            (n + 1, max.max(*until))
        });
        (!voters.is_empty() && count > voters.len() / 2).then_some(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Span = Span::from_ms(120);
    const X: NodeId = NodeId(7);

    fn voters(n: u64) -> BTreeSet<NodeId> {
        (1..=n).map(NodeId).collect()
    }

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1000)
    }

    #[test]
    fn a_fresh_voter_is_silent_for_a_promise_length_and_answers_for_its_past() {
        let mut voter = Voter::new(ms(0), LENGTH);
        assert_eq!(voter.ask(ms(1), X, Tenure(1), Some(Tenure(1))), Promise::Withheld);
        assert!(voter.end(ms(1), X, Tenure(1)) >= Span::from_ms(119));
        let mut voter = Voter::new(ms(0), LENGTH);
        assert_eq!(
            voter.ask(ms(122), X, Tenure(1), Some(Tenure(1))),
            Promise::Given(LENGTH)
        );
    }

    #[test]
    fn an_ended_tenure_gets_no_promise_and_the_next_one_does() {
        let mut voter = Voter::new(ms(0), LENGTH);
        voter.ask(ms(200), X, Tenure(1), Some(Tenure(1)));
        assert_eq!(voter.end(ms(250), X, Tenure(1)), Span::from_ms(70));
        assert_eq!(voter.ask(ms(260), X, Tenure(1), Some(Tenure(1))), Promise::Ended);
        assert_eq!(
            voter.ask(ms(260), X, Tenure(2), Some(Tenure(1))),
            Promise::Withheld
        );
        assert_eq!(
            voter.ask(ms(260), X, Tenure(2), Some(Tenure(2))),
            Promise::Given(LENGTH)
        );
    }

    #[test]
    fn a_lease_holds_as_long_as_a_majority_promised_counted_from_the_asking() {
        let mut lease = Lease::default();
        lease.set(Tenure(1), &voters(3));
        lease.promised(NodeId(1), Tenure(1), ms(1000), LENGTH);
        assert_eq!(lease.until(), Instant(0), "one of three is no majority");
        lease.promised(NodeId(2), Tenure(1), ms(1050), LENGTH);
        assert_eq!(lease.until(), ms(1000) + LENGTH.shortened(DRIFT_PPM));
        lease.promised(NodeId(3), Tenure(1), ms(1040), LENGTH);
        assert_eq!(lease.until(), ms(1040) + LENGTH.shortened(DRIFT_PPM));
        lease.promised(NodeId(9), Tenure(1), ms(9000), LENGTH);
        lease.promised(NodeId(1), Tenure(2), ms(9000), LENGTH);
        assert_eq!(
            lease.until(),
            ms(1040) + LENGTH.shortened(DRIFT_PPM),
            "neither a stranger nor another tenure counts"
        );
        lease.set(Tenure(2), &voters(3));
        assert_eq!(lease.until(), Instant(0));
    }

    #[test]
    fn the_wait_before_a_loss_outlasts_every_lease_of_the_lost() {
        let ids = voters(3);
        let (mut lease, mut gather) = (Lease::default(), Gather::new(Tenure(1), Instant(0)));
        lease.set(Tenure(1), &ids);
        let mut asked: BTreeMap<NodeId, Voter> =
            ids.iter().map(|id| (*id, Voter::new(ms(0), LENGTH))).collect();
        for (id, voter) in &mut asked {
            if let Promise::Given(length) = voter.ask(ms(1000 + id.0), X, Tenure(1), Some(Tenure(1))) {
                lease.promised(*id, Tenure(1), ms(1000), length);
            }
        }
        for id in [NodeId(1), NodeId(3)] {
            let remaining = asked.get_mut(&id).expect("a voter").end(ms(1010), X, Tenure(1));
            gather.answer(ms(1012), id, remaining);
        }
        let ready = gather
            .ready_at(ms(1012), &ids, LENGTH)
            .expect("two of three answered");
        assert!(ready > lease.until(), "{ready} must come after {}", lease.until());
    }

    #[test]
    fn a_gathering_needs_a_majority_of_fresh_answers() {
        let mut gather = Gather::new(Tenure(1), ms(5));
        gather.answer(ms(10), NodeId(1), Span::ZERO);
        assert_eq!(gather.ready_at(ms(10), &voters(3), LENGTH), None);
        gather.answer(ms(20), NodeId(2), Span::ZERO);
        assert!(gather.ready_at(ms(20), &voters(3), LENGTH).is_some());
        assert_eq!(
            gather.ready_at(ms(500), &voters(3), LENGTH),
            None,
            "both may have restarted since"
        );
        assert_eq!(gather.ready_at(ms(20), &voters(5), LENGTH), None);
    }
}
