//! One node's part in the modelled log: Raft (Ongaro and Ousterhout, "In search of an understandable consensus algorithm",
//! 2014, figure 2) with pre-vote, without snapshots and changes of voters, as a machine without IO.
//!
//! As with openraft, a leader that lost its quorum keeps saying that it leads until it hears of another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_kernel::id::{NodeId, Revision, Term};
use squall_kernel::message::ProposeResult;
use squall_kernel::planted::{self, Bug};
use squall_kernel::profile::Times;
use squall_kernel::registry::{Command, Introduction, Registry};
use squall_kernel::time::{Instant, Span};

use crate::sim::extract;
use crate::sim::log::{LogState, Ticket};
use crate::sim::rng::Rng;

/// Entries in one message, as in the live configuration.
const ENTRIES_MAX: usize = 64;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) body: Body,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// A leader's first.
    Blank,
    /// Who has a vote and who only listens.
    Members {
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    },
    /// A change of the registry.
    Command(Command),
}

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Talk {
    /// Asks for a vote, or whether there would be one.
    Ask {
        term: Term,
        last: (Term, u64),
        pre: bool,
    },
    /// The answer.
    Vote { term: Term, pre: bool, granted: bool },
    /// From the leader: entries after the first `after.1`, the last of which is of the term `after.0`.
    Append {
        term: Term,
        after: (Term, u64),
        entries: Vec<Entry>,
        commit: u64,
        sent_at: Instant,
    },
    /// The answer: durable up to there, or where to begin.
    Appended {
        term: Term,
        ok: bool,
        len: u64,
        sent_at: Instant,
    },
    /// Stand for election at once: the leader hands over.
    Lead { term: Term },
}

/// What must survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Durable {
    pub(super) term: Term,
    pub(super) voted: Option<NodeId>,
    pub(super) log: Vec<Entry>,
    pub(super) commit: usize,
}

/// A change of it.
#[derive(Debug, Clone)]
pub(super) struct Write {
    term: Term,
    voted: Option<NodeId>,
    keep: usize,
    entries: Vec<Entry>,
    commit: usize,
}

impl Durable {
    pub(super) fn take(&mut self, write: Write) {
        self.term = write.term;
        self.voted = write.voted;
        self.log.truncate(write.keep);
        self.log.extend(write.entries);
        self.commit = write.commit.min(self.log.len());
    }
}

/// What a replica wants done.
#[derive(Debug)]
pub(super) enum Act {
    Send {
        to: NodeId,
        talk: Talk,
    },
    /// Make this durable, then do the rest.
    Write {
        write: Write,
        then: Option<(NodeId, Talk)>,
    },
    Answer {
        ticket: Ticket,
        result: ProposeResult,
    },
    /// The registry as it is after that revision.
    Applied(Revision, Option<Command>, Arc<Registry>),
}

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

    fn asked(&mut self, now: Instant, from: NodeId, (term, last): (Term, (Term, u64)), pre: bool) {
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

    fn voted(&mut self, now: Instant, from: NodeId, (term, pre, granted): (Term, bool, bool)) {
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
    fn ask_for_votes(&mut self, now: Instant, pre: bool) {
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

    fn lead(&mut self, now: Instant) {
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.peers.clear();
        self.next_beat = now + self.times.heartbeat;
        self.append(vec![Body::Blank]);
        self.replicate_to_all(now);
    }

    fn follow(&mut self, now: Instant, term: Term, leader: Option<NodeId>) {
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

    fn told(
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

    fn answered(
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
            progress.next = len.max(progress.matched);
        }
        if !ok || progress.next < last {
            self.replicate(now, from);
        }
        self.count_commits(now);
    }

    fn replicate_to_all(&mut self, now: Instant) {
        let all = self.voters.union(&self.learners).copied();
        let others: Vec<NodeId> = all.filter(|to| *to != self.id).collect();
        for to in others {
            self.replicate(now, to);
        }
    }

    fn replicate(&mut self, now: Instant, to: NodeId) {
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
    fn count_commits(&mut self, now: Instant) {
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

    fn commit_to(&mut self, len: usize) {
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

    fn wait_for_leader(&mut self, now: Instant) {
        self.election_at = now + self.rng.span(self.times.election_min, self.times.election_max);
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
