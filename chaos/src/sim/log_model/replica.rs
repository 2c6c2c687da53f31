//! One node's part in the modelled log: Raft (Ongaro and Ousterhout, "In search of an understandable consensus algorithm",
//! 2014, figure 2) with pre-vote, without snapshots and changes of voters, as a machine without IO.
//!
//! As with openraft, a leader that lost its quorum keeps saying that it leads until it hears of another one.

mod election;
mod replication;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use squall_kernel::id::{NodeId, Revision, Term};
use squall_kernel::message::ProposeResult;
use squall_kernel::planted::{self, Bug};
use squall_kernel::profile::Times;
use squall_kernel::registry::{Command, Introduction, Outcome, Registry};
use squall_kernel::time::{Instant, Span};

use super::talk::{Act, Body, Durable, Entry, Talk, Write};
use crate::sim::extract;
use crate::sim::log::{LogState, Ticket};
use crate::sim::rng::Rng;

/// Entries in one message, as in the live configuration.
const ENTRIES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Follower,
    Candidate,
    Leader,
}

/// What a leader knows of another replica.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    next: usize,
    matched: usize,
    /// When the latest message that it answered was sent.
    acked: Option<Instant>,
}

/// A replica.
pub(super) struct Replica {
    id: NodeId,
    times: Times,
    rng: Rng,
    term: Term,
    voted: Option<NodeId>,
    log: Vec<Entry>,
    durable_len: usize,
    commit: usize,
    pub(super) registry: Arc<Registry>,
    role: Role,
    leader: Option<NodeId>,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    heard: Option<Instant>,
    next_beat: Instant,
    election_at: Instant,
    pub(super) elections: bool,
    votes: BTreeSet<NodeId>,
    /// True while those are asked whether they would vote.
    pre: bool,
    peers: BTreeMap<NodeId, Progress>,
    /// Proposals under way, by the place of their entry.
    pending: BTreeMap<usize, (Ticket, Instant)>,
    pub(super) acts: Vec<Act>,
}

impl Replica {
    pub(super) fn new(now: Instant, id: NodeId, times: Times, durable: &Durable, rng: Rng) -> Self {
        let mut replica = Self {
            id,
            times,
            rng,
            term: durable.term,
            voted: durable.voted,
            log: durable.log.clone(),
            durable_len: durable.log.len(),
            commit: 0,
            registry: Arc::default(),
            role: Role::Follower,
            leader: None,
            voters: BTreeSet::new(),
            learners: BTreeSet::new(),
            heard: None,
            next_beat: now,
            election_at: now,
            elections: true,
            votes: BTreeSet::new(),
            pre: false,
            peers: BTreeMap::new(),
            pending: BTreeMap::new(),
            acts: Vec::new(),
        };
        replica.find_members();
        replica.wait_for_leader(now);
        replica.commit_to(durable.commit);
        // A registry that is read from the disk is there at once, not step by step.
        if let Some(Act::Applied(revision, _, registry)) = replica.acts.pop() {
            replica.acts = vec![Act::Applied(revision, None, registry)];
        }
        replica
    }

    pub(super) fn state(&self, now: Instant) -> LogState {
        let leads = self.role == Role::Leader;
        LogState {
            term: self.term,
            voters: self.voters.clone().into(),
            members: self.voters.union(&self.learners).copied().collect(),
            leader: self.leader,
            leads,
            quorum: leads && self.has_quorum(now),
            initialized: !self.log.is_empty(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.role {
            Role::Leader => Some(self.next_beat),
            _ => (self.elections && self.voters.contains(&self.id)).then_some(self.election_at),
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.role == Role::Leader {
            if now >= self.next_beat {
                self.next_beat = now + self.times.heartbeat;
                self.give_up_late(now);
                self.replicate_to_all(now);
            }
        } else if self.next_timeout().is_some_and(|at| now >= at) {
            self.wait_for_leader(now);
            self.role = Role::Candidate;
            self.leader = None;
            self.ask_for_votes(now, true);
        }
    }

    /// Becomes the first of a cluster with these voters, unless it has a log already.
    pub(super) fn found(&mut self, now: Instant, voters: &BTreeSet<NodeId>) {
        if self.log.is_empty() {
            let body = Body::Members {
                voters: voters.clone(),
                learners: BTreeSet::new(),
            };
            self.append(vec![body]);
            self.election_at = now;
        }
    }

    pub(super) fn propose(&mut self, now: Instant, ticket: Ticket, command: Command) {
        if let Err(result) = self.may_propose(now) {
            return self.acts.push(Act::Answer { ticket, result });
        }
        self.append(vec![Body::Command(command)]);
        self.await_commit(now, ticket);
    }

    pub(super) fn admit(&mut self, now: Instant, ticket: Ticket, introduction: Introduction) {
        if let Err(result) = self.may_propose(now) {
            return self.acts.push(Act::Answer { ticket, result });
        }
        let id = introduction.id;
        if !self.voters.contains(&id) && !self.learners.contains(&id) {
            let mut learners = self.learners.clone();
            learners.insert(id);
            let voters = self.voters.clone();
            self.append(vec![Body::Members { voters, learners }]);
        }
        self.append(vec![Body::Command(Command::NodeUp(introduction))]);
        self.await_commit(now, ticket);
    }

    fn may_propose(&self, now: Instant) -> Result<(), ProposeResult> {
        if self.role != Role::Leader {
            return Err(ProposeResult::NotLeader { leader: self.leader });
        }
        if !self.has_quorum(now) && !planted::is(Bug::TrustLeaderWithoutQuorum) {
            let reason = "no quorum".into();
            return Err(ProposeResult::Failed { reason });
        }
        Ok(())
    }

    fn await_commit(&mut self, now: Instant, ticket: Ticket) {
        if planted::is(Bug::TrustLeaderWithoutQuorum) && !self.has_quorum(now) {
            let (outcome, revision) = (Outcome::Done, Revision(self.log.len() as u64));
            let result = ProposeResult::Committed { outcome, revision };
            return self.acts.push(Act::Answer { ticket, result });
        }
        let until = now + Span(self.times.election_max.0 * 4);
        self.pending.insert(self.log.len(), (ticket, until));
        self.replicate_to_all(now);
        self.count_commits(now);
    }

    /// The link to a peer stands anew: what was under way on it is lost.
    pub(super) fn linked(&mut self, peer: NodeId) {
        if let Some(progress) = self.peers.get_mut(&peer) {
            progress.next = progress.matched;
        }
    }

    pub(super) fn hand_over(&mut self, to: NodeId) {
        if self.role == Role::Leader && self.voters.contains(&to) {
            let talk = Talk::Lead { term: self.term };
            self.acts.push(Act::Send { to, talk });
        }
    }

    /// The durable log is that long by now, its last entry of that term.
    pub(super) fn synced(&mut self, now: Instant, len: usize, last: Option<Term>) {
        let same = len
            .checked_sub(1)
            .is_none_or(|place| self.log.get(place).map(|e| e.term) == last);
        if same {
            self.durable_len = len;
        }
        if self.role == Role::Leader {
            self.count_commits(now);
        }
    }

    pub(super) fn hear(&mut self, now: Instant, from: NodeId, talk: Talk) {
        match talk {
            Talk::Ask { term, last, pre } => self.asked(now, from, (term, last), pre),
            Talk::Vote { term, pre, granted } => self.voted(now, from, (term, pre, granted)),
            Talk::Append {
                term,
                after,
                entries,
                commit,
                sent_at,
            } => {
                let commit = usize::try_from(commit).expect("a short log");
                self.told(now, from, (term, after), entries, (commit, sent_at));
            }
            Talk::Appended {
                term,
                ok,
                len,
                sent_at,
            } => {
                let len = usize::try_from(len).expect("a short log");
                self.answered(now, from, (term, ok, len), sent_at);
            }
            Talk::Lead { term } => {
                if term == self.term && self.voters.contains(&self.id) {
                    self.ask_for_votes(now, false);
                }
            }
        }
    }

    fn append(&mut self, bodies: Vec<Body>) {
        let keep = self.log.len();
        let term = self.term;
        self.log
            .extend(bodies.into_iter().map(|body| Entry { term, body }));
        self.find_members();
        self.write(keep, None);
    }

    fn write(&mut self, keep: usize, then: Option<(NodeId, Talk)>) {
        let write = Write {
            term: self.term,
            voted: self.voted,
            keep,
            entries: self.log[keep..].to_vec(),
            commit: self.commit,
        };
        if planted::is(Bug::AcknowledgeBeforeDurable)
            && let Some((to, talk)) = then
        {
            self.send(to, talk);
            return self.acts.push(Act::Write { write, then: None });
        }
        self.acts.push(Act::Write { write, then });
    }

    fn find_members(&mut self) {
        let members = self.log.iter().rev().find_map(|entry| match &entry.body {
            Body::Members { voters, learners } => Some((voters.clone(), learners.clone())),
            _ => None,
        });
        (self.voters, self.learners) = members.unwrap_or_default();
    }

    fn has_quorum(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.since(at) < self.times.election_min;
        let acked = self
            .voters
            .iter()
            .filter(|v| **v == self.id || self.peers.get(v).and_then(|p| p.acked).is_some_and(lately));
        self.is_majority(acked.count())
    }

    fn is_majority(&self, count: usize) -> bool {
        count > self.voters.len() / 2
    }

    fn last(&self) -> (Term, u64) {
        (self.log.last().map_or(Term(0), |e| e.term), self.log.len() as u64)
    }

    fn give_up_late(&mut self, now: Instant) {
        for (ticket, _) in extract(&mut self.pending, |_, (_, until)| *until <= now)
            .into_iter()
            .map(|(_, p)| p)
        {
            self.unknown(ticket);
        }
    }

    fn unknown(&mut self, ticket: Ticket) {
        let reason = "the leadership was lost, or no majority answered".into();
        let result = ProposeResult::Unknown { reason };
        self.acts.push(Act::Answer { ticket, result });
    }

    fn send(&mut self, to: NodeId, talk: Talk) {
        self.acts.push(Act::Send { to, talk });
    }
}
