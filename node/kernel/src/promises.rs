//! Promises: how a node comes to act as owner, and how the meta leader makes sure that it no longer does
//! (P2 of the design: at most one believer under a bounded clock rate).
//!
//! [`Voter`] gives promises and ends them, [`Lease`] is what an owner makes of a majority of them, [`Gather`] is the meta
//! leader's wait before a node is declared lost. What does not live here: who is suspected, and the messages.
//!
//! # While the voters change
//!
//! A majority of {1, 2, 3} and one of {1, 4, 5} need not share a voter, and an owner that is cut off from the leader may
//! go by the former for ever. So three things must hold beside those above:
//!
//! - (a) Every promise names the entry of the log by which its giver votes ([`VotersAt`]), and a lease counts only promises
//!   under one entry, which the owner itself has applied. It needs a majority of each half of it ([`Electorate`]).
//! - (b) A voter knows an entry, here, before the leader hears that it has it.
//! - (c) A verdict that rests on a gathering enters the log only while the leader's entry is the one it was gathered under.
//!
//! Let `e` be the entry of an owner's lease and `g` the leader's when it gathers, in the leader's log `c0 c1 .. ck = g`.
//! Raft writes `c(i+1)` only when a majority of each half of `ci` has `ci`, and consecutive entries share a half, so that
//! any of their majorities meet.
//!
//! 1. `e` is `g` or the one before it: both majorities share a voter. It has ended its promises, or given none before.
//! 2. `e = ci`, `i < k - 1`: when `c(i+1)` was committed, a majority of it had it, so one of any majority of `e` did. From
//!    then on that voter names a later entry (b), and no new lease comes to be under `e` (a). What was promised before has
//!    run out one promise after the leader saw `g`: `not_before` of [`Gather::ready_at`], also when the gathering began under other
//!    voters.
//! 3. `e` was written by an earlier leader and is not in this log: it follows some `ci` of it directly. Is `g` that one or
//!    `c(i+1)`, all share a half, the last of `ci`. Else `c(i+1)` is committed, and as in 2 a voter of every
//!    majority of `e` names it or a later one instead of `e`, whose term may well be higher: hence "one entry" in (a), not
//!    "no later one".
//! 4. `e` comes after `g` in the log: by (c) the verdict stands before the next entry but one. The owner has applied `e`,
//!    hence the verdict, and has no tenure any more; or `e` is the next entry, and 1 holds. The same where a later leader
//!    wrote `e`: either it has the verdict in its log, before `e`, or the verdict is void.
//!
//! So every change that Raft can make is safe: one of three replaced, 3 to 5, 5 to 3, 3 to 1, and any number in a row. An
//! owner that hears of an entry later than its voters goes without new promises in between; a lease that it has, it keeps.

mod electorate;

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use electorate::{Electorate, VotersAt};

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
    started: Instant,
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
            started: now,
            silent_until: now + length.lengthened(DRIFT_PPM),
            promised: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// Takes note of the cluster's own times: a node that joins may have been started with others, and everybody reckons
    /// with promises of one length. Promises given before keep theirs.
    pub fn set_length(&mut self, length: Span) {
        self.length = length;
        let silent_until = self.started + length.lengthened(DRIFT_PPM);
        self.silent_until = self.silent_until.max(silent_until);
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

    /// Forgets nodes that the registry no longer has; `used` is the highest tenure of those. What was ended above it stays:
    /// this voter's registry is behind the leader's that asked, and does not have the node *yet*.
    pub fn retain(&mut self, known: impl Fn(NodeId) -> bool, used: Tenure) {
        self.promised.retain(|node, _| known(*node));
        self.ended.retain(|node, ended| known(*node) || *ended > used);
    }
}

/// An owner's side: until when a majority of the voters lets it act.
#[derive(Debug, Clone, Default)]
pub struct Lease {
    tenure: Tenure,
    voters: Electorate,
    /// Per voter its latest promise: the entry by which it votes, and until when it holds.
    promises: BTreeMap<NodeId, (VotersAt, Instant)>,
    until: Instant,
}

impl Lease {
    /// Takes note of the node's own tenure. A new one starts from nothing.
    pub fn set_tenure(&mut self, tenure: Tenure) {
        if self.tenure != tenure {
            self.promises.clear();
            self.until = Instant(0);
            self.tenure = tenure;
        }
    }

    /// Takes note of voters whose entry this node has applied. A lease held already goes on to its end.
    pub fn set_voters(&mut self, voters: &Electorate) {
        if self.voters != *voters {
            self.voters.clone_from(voters);
            self.promises
                .retain(|voter, (at, _)| may_count(voters, *voter, *at));
            self.renew();
        }
    }

    /// A promise by a voter that votes by the entry `at`, counted from when it was asked for and shortened by what clocks
    /// may differ. Nothing else ever lengthens a lease.
    pub fn promised(&mut self, voter: NodeId, tenure: Tenure, at: VotersAt, asked_at: Instant, length: Span) {
        if tenure != self.tenure || !may_count(&self.voters, voter, at) {
            return;
        }
        let until = asked_at + length.shortened(DRIFT_PPM);
        let held = self.promises.entry(voter).or_insert((at, until));
        if until >= held.1 {
            *held = (at, until);
        }
        self.renew();
    }

    /// Until when the node may act: the time up to which a majority of voters has promised. Zero without a majority.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    fn renew(&mut self) {
        let counted = self.promises.iter().filter(|(_, (at, _))| *at == self.voters.at);
        let counted: BTreeMap<NodeId, Instant> = counted.map(|(v, (_, until))| (*v, *until)).collect();
        // Few voters, so look for the latest time by counting.
        let holds = |at: Instant| {
            self.voters
                .has_majority(|v| counted.get(&v).is_some_and(|until| *until >= at))
        };
        let latest = counted.values().copied().filter(|at| holds(*at)).max();
        self.until = self.until.max(latest.unwrap_or(Instant(0)));
    }
}

/// Of use now, or once this node has applied a later entry.
fn may_count(voters: &Electorate, voter: NodeId, at: VotersAt) -> bool {
    voters.contains(voter) || at > voters.at
}

/// The meta leader's wait before it declares a node lost.
#[derive(Debug, Clone)]
pub struct Gather {
    /// Tenure to end.
    pub tenure: Tenure,
    /// Per voter: when it answered last, and when its promise has run out by the asker's clock.
    answers: BTreeMap<NodeId, (Instant, Instant)>,
}

impl Gather {
    /// A gathering for `tenure`.
    #[must_use]
    pub fn new(tenure: Tenure) -> Self {
        Self {
            tenure,
            answers: BTreeMap::new(),
        }
    }

    /// A voter ended its promises; the latest holds for `remaining`.
    pub fn answer(&mut self, now: Instant, voter: NodeId, remaining: Span) {
        let until = now + remaining.lengthened(DRIFT_PPM);
        let entry = self.answers.entry(voter).or_insert((now, until));
        *entry = (now, entry.1.max(until));
    }

    /// A voter may have started again, and promised anew: it has to answer once more.
    pub fn forget(&mut self, voter: NodeId) {
        self.answers.remove(&voter);
    }

    /// When the node may be declared lost; none while too few voters have answered. Answers older than `fresh` do not
    /// count: their voters may have restarted and forgotten. Never before `not_before`, one promise after the asker saw
    /// these voters: what was promised under earlier ones may hold until then, and who promised it may not be asked any
    /// more.
    #[must_use]
    pub fn ready_at(
        &self,
        now: Instant,
        voters: &Electorate,
        fresh: Span,
        not_before: Instant,
    ) -> Option<Instant> {
        let counts = |v: NodeId| {
            let answer = self.answers.get(&v);
            answer.is_some_and(|(at, _)| now.since(*at) <= fresh)
        };
        if !voters.has_majority(counts) {
            return None;
        }
        let counted = self
            .answers
            .iter()
            .filter(|(v, _)| voters.contains(**v) && counts(**v));
        Some(counted.fold(not_before, |max, (_, (_, until))| max.max(*until)))
    }
}

#[cfg(test)]
#[path = "promises_test.rs"]
mod tests;
