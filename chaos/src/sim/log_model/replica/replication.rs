//! Replication: entries to the others, and what a majority has, committed.

use std::sync::Arc;

use squall_kernel::id::{NodeId, Revision, Term};
use squall_kernel::message::ProposeResult;
use squall_kernel::planted::{self, Bug};
use squall_kernel::time::Instant;

use super::super::talk::{Act, Body, Entry, Talk};
use super::{ENTRIES_MAX, Progress, Replica, Role};

impl Replica {
    pub(super) fn told(
        &mut self,
        now: Instant,
        from: NodeId,
        (term, after): (Term, (Term, u64)),
        entries: Vec<Entry>,
        (commit, sent_at): (usize, Instant),
    ) {
        let answer = |term, ok, len: usize| Talk::Appended {
            term,
            ok,
            len: len as u64,
            sent_at,
        };
        if term < self.term {
            return self.send(from, answer(self.term, false, self.log.len()));
        }
        self.follow(now, term, Some(from));
        self.heard = Some(now);
        let begin = usize::try_from(after.1).expect("a short log");
        let fits = begin == 0 || self.log.get(begin - 1).is_some_and(|e| e.term == after.0);
        if !fits {
            let hint = self.log.len().min(begin.saturating_sub(1));
            return self.send(from, answer(term, false, hint.max(self.commit.min(begin - 1))));
        }
        let end = begin + entries.len();
        let known = entries
            .iter()
            .zip(&self.log[begin..])
            .take_while(|(a, b)| a.term == b.term)
            .count();
        let new: Vec<Entry> = entries.into_iter().skip(known).collect();
        if new.is_empty() {
            let durable = end.min(self.durable_len);
            self.send(from, answer(term, true, durable));
        } else {
            let keep = begin + known;
            self.durable_len = self.durable_len.min(keep);
            self.log.truncate(keep);
            self.log.extend(new);
            self.find_members();
            self.write(keep, Some((from, answer(term, true, end))));
        }
        self.commit_to(commit.min(end));
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: NodeId,
        (term, ok, len): (Term, bool, usize),
        sent_at: Instant,
    ) {
        if term > self.term {
            return self.follow(now, term, None);
        }
        if self.role != Role::Leader || term < self.term {
            return;
        }
        let last = self.log.len();
        let progress = self.peers.entry(from).or_default();
        progress.acked = progress.acked.max(Some(sent_at));
        if ok {
            progress.matched = progress.matched.max(len);
            progress.next = progress.next.max(progress.matched);
        } else {
            // A follower that has less than it said has lost it: what else it had nobody knows.
            progress.matched = progress.matched.min(len);
            progress.next = len;
        }
        if !ok || progress.next < last {
            self.replicate(now, from);
        }
        self.count_commits(now);
    }

    pub(super) fn replicate_to_all(&mut self, now: Instant) {
        let all = self.voters.union(&self.learners).copied();
        let others: Vec<NodeId> = all.filter(|to| *to != self.id).collect();
        for to in others {
            self.replicate(now, to);
        }
    }

    pub(super) fn replicate(&mut self, now: Instant, to: NodeId) {
        let last = self.log.len();
        let patience = self.times.election_min;
        let fresh = Progress {
            next: last,
            ..Progress::default()
        };
        let progress = self.peers.entry(to).or_insert(fresh);
        // Nothing came back for long: what was sent may be lost.
        if progress.acked.is_some_and(|at| now.since(at) > patience) {
            progress.next = progress.matched;
        }
        let begin = progress.next.min(last);
        let end = last.min(begin + ENTRIES_MAX);
        progress.next = end;
        let after = (
            begin.checked_sub(1).map_or(Term(0), |place| self.log[place].term),
            begin as u64,
        );
        let talk = Talk::Append {
            term: self.term,
            after,
            entries: self.log[begin..end].to_vec(),
            commit: self.commit as u64,
            sent_at: now,
        };
        self.send(to, talk);
    }

    /// Commits what a majority has durably, if it is of this term.
    pub(super) fn count_commits(&mut self, now: Instant) {
        let own = if planted::is(Bug::AcknowledgeBeforeDurable) {
            self.log.len()
        } else {
            self.durable_len
        };
        let has = |voter: &NodeId| {
            if *voter == self.id {
                own
            } else {
                self.peers.get(voter).map_or(0, |p| p.matched)
            }
        };
        let mut lens: Vec<usize> = self.voters.iter().map(has).collect();
        lens.sort_unstable_by(|a, b| b.cmp(a));
        let Some(len) = lens.get(self.voters.len() / 2).copied() else {
            return;
        };
        if len > self.commit && self.log[len - 1].term == self.term {
            self.commit_to(len);
            // The others hear of it at once.
            self.replicate_to_all(now);
        }
    }

    pub(super) fn commit_to(&mut self, len: usize) {
        while self.commit < len.min(self.log.len()) {
            let entry = self.log[self.commit].clone();
            self.commit += 1;
            let revision = Revision(self.commit as u64);
            let registry = Arc::make_mut(&mut self.registry);
            let outcome = match &entry.body {
                Body::Command(command) => Some(registry.apply(revision, command)),
                Body::Blank | Body::Members { .. } => {
                    registry.skip(revision);
                    None
                }
            };
            let command = match entry.body {
                Body::Command(command) => Some(command),
                _ => None,
            };
            self.acts
                .push(Act::Applied(revision, command, Arc::clone(&self.registry)));
            if let (Some((ticket, _)), Some(outcome)) = (self.pending.remove(&self.commit), outcome) {
                let result = ProposeResult::Committed { outcome, revision };
                self.acts.push(Act::Answer { ticket, result });
            }
        }
    }
}
