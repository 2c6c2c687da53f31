//! Elections: pre-votes, votes, and who follows whom.

use std::collections::BTreeSet;

use squall_kernel::id::{NodeId, Term};
use squall_kernel::time::Instant;

use super::super::talk::{Body, Talk};
use super::{Replica, Role};

impl Replica {
    pub(super) fn asked(&mut self, now: Instant, from: NodeId, (term, last): (Term, (Term, u64)), pre: bool) {
        let lately = |at: Instant| now.since(at) < self.times.election_min;
        let content = self.role == Role::Leader && self.has_quorum(now) || self.heard.is_some_and(lately);
        let up_to_date = last >= self.last();
        if pre {
            let granted = term > self.term && up_to_date && !content;
            return self.send(from, Talk::Vote { term, pre, granted });
        }
        if term > self.term {
            self.follow(now, term, None);
        }
        let granted = term == self.term && up_to_date && self.voted.is_none_or(|id| id == from);
        let answer = Talk::Vote { term, pre, granted };
        if granted {
            self.voted = Some(from);
            self.wait_for_leader(now);
            self.write(self.log.len(), Some((from, answer)));
        } else {
            self.send(from, answer);
        }
    }

    pub(super) fn voted(&mut self, now: Instant, from: NodeId, (term, pre, granted): (Term, bool, bool)) {
        let wanted = if pre { Term(self.term.0 + 1) } else { self.term };
        if self.role != Role::Candidate || term != wanted || !granted || pre != self.pre {
            return;
        }
        self.votes.insert(from);
        if self.is_majority(self.votes.len()) {
            if pre {
                self.ask_for_votes(now, false);
            } else {
                self.lead(now);
            }
        }
    }

    /// Asks all voters. A pre-vote changes nothing; a vote begins a new term, in which this node votes for itself.
    pub(super) fn ask_for_votes(&mut self, now: Instant, pre: bool) {
        self.role = Role::Candidate;
        let term = Term(self.term.0 + 1);
        self.pre = pre;
        if !pre {
            self.term = term;
            self.voted = Some(self.id);
            self.write(self.log.len(), None);
        }
        self.votes = BTreeSet::from([self.id]);
        let last = self.last();
        for to in self.voters.clone() {
            if to != self.id {
                self.send(to, Talk::Ask { term, last, pre });
            }
        }
        if self.is_majority(1) {
            if pre {
                self.ask_for_votes(now, false);
            } else {
                self.lead(now);
            }
        }
    }

    pub(super) fn lead(&mut self, now: Instant) {
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.peers.clear();
        self.next_beat = now + self.times.heartbeat;
        self.append(vec![Body::Blank]);
        self.replicate_to_all(now);
    }

    pub(super) fn follow(&mut self, now: Instant, term: Term, leader: Option<NodeId>) {
        if term > self.term {
            self.term = term;
            self.voted = None;
            self.write(self.log.len(), None);
        }
        if self.role == Role::Leader {
            for (ticket, _) in std::mem::take(&mut self.pending).into_values() {
                self.unknown(ticket);
            }
        }
        if self.role != Role::Follower || leader.is_some() {
            self.wait_for_leader(now);
        }
        self.role = Role::Follower;
        self.leader = leader;
    }

    pub(super) fn wait_for_leader(&mut self, now: Instant) {
        self.election_at = now + self.rng.span(self.times.election_min, self.times.election_max);
    }
}
