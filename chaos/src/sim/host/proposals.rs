//! Getting commands into the log from any node: here when this node leads, else through the node that does. As
//! `squall_node::control::proposals` does it, with a table in place of tasks.

use std::collections::BTreeMap;

use squall_kernel::id::{Boot, NodeId};
use squall_kernel::message::{Call, PeerMessage, ProposeResult, calls_begin_after};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Command, Outcome, Refused};
use squall_kernel::time::{Instant, Span};

use super::{Host, Output};
use crate::history::What;
use crate::sim::log::Ticket;
use crate::sim::outcome::Digest;

/// How long a proposal looks for a leader, as in the live shell.
const PROPOSE_WITHIN: Span = Span::from_ms(5_000);
/// How long one node may take to answer, as in the live shell.
const ANSWER_WITHIN: Span = Span::from_ms(1_500);
/// Between two looks for a leader, as in the live shell.
const LOOK_AGAIN: Span = Span::from_ms(50);

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    last: Ticket,
    open: BTreeMap<Ticket, Proposal>,
    /// Questions of other nodes that the log here answers.
    asked: BTreeMap<Ticket, (NodeId, Call)>,
    /// The try to become a member that waits for an answer, and until when.
    joining: Option<(Ticket, Instant)>,
}

#[derive(Debug)]
struct Proposal {
    command: Command,
    deadline: Instant,
    /// True when an earlier try may have succeeded.
    uncertain: bool,
    /// True when whoever asked is told.
    told: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Tried again then, or when the log moves.
    Waiting { next: Instant },
    /// Under way; given up then.
    Out { until: Instant },
}

impl Proposals {
    pub(super) fn of_run(boot: Boot) -> Self {
        Self {
            last: calls_begin_after(boot),
            ..Self::default()
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        self.last
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let open = self.open.values().map(|p| match p.stage {
            Stage::Waiting { next } => next,
            Stage::Out { until } => until,
        });
        open.chain(self.joining.map(|(_, until)| until)).min()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len() + self.asked.len()
    }
}

impl Host {
    /// Proposes wherever the leader is, for at most five seconds.
    pub(super) fn propose(&mut self, now: Instant, command: Command, told: bool) {
        let ticket = self.proposals.ticket();
        let proposal = Proposal {
            command,
            deadline: now + PROPOSE_WITHIN,
            uncertain: false,
            told,
            stage: Stage::Waiting { next: now },
        };
        self.proposals.open.insert(ticket, proposal);
        self.attempt(now, ticket);
    }

    /// Proposes as the leader what the core decided, once, under these voters; what is lost is proposed again by the core.
    pub(super) fn propose_here(&mut self, command: Command, voters: VotersAt) {
        let ticket = self.proposals.ticket();
        let under = command.rests_on_promises().then_some(voters);
        self.out.push(Output::Propose {
            ticket,
            command,
            under,
        });
    }

    pub(super) fn join_through(&mut self, now: Instant, whom: NodeId) {
        let ticket = self.proposals.ticket();
        self.proposals.joining = Some((ticket, now + ANSWER_WITHIN));
        let introduction = self.config.me.clone();
        if whom == self.id() {
            self.out.push(Output::Admit { ticket, introduction });
        } else {
            self.tell(
                whom,
                &PeerMessage::Join {
                    call: ticket,
                    introduction,
                },
            );
        }
    }

    fn attempt(&mut self, now: Instant, ticket: Ticket) {
        let (me, leader) = (self.id(), self.state.leader);
        let Some(open) = self.proposals.open.get_mut(&ticket) else {
            return;
        };
        let command = open.command.clone();
        let reachable = leader.filter(|leader| *leader == me || self.lanes.contains(leader));
        open.stage = match reachable {
            Some(_) => Stage::Out {
                until: now + ANSWER_WITHIN,
            },
            None => Stage::Waiting {
                next: now + LOOK_AGAIN,
            },
        };
        match reachable {
            Some(leader) if leader == me => self.out.push(ask(ticket, command)),
            Some(leader) => self.tell(
                leader,
                &PeerMessage::Propose {
                    call: ticket,
                    command,
                },
            ),
            None => {}
        }
    }

    pub(super) fn look_for_leader_again(&mut self, now: Instant) {
        let waiting = |p: &Proposal| matches!(p.stage, Stage::Waiting { .. });
        let tickets: Vec<Ticket> = self.waiting_proposals(waiting);
        for ticket in tickets {
            self.attempt(now, ticket);
        }
    }

    fn waiting_proposals(&self, wanted: impl Fn(&Proposal) -> bool) -> Vec<Ticket> {
        let open = self.proposals.open.iter();
        open.filter(|(_, p)| wanted(p)).map(|(t, _)| *t).collect()
    }

    pub(super) fn tick_proposals(&mut self, now: Instant) {
        if let Some((ticket, _)) = self.proposals.joining.filter(|(_, until)| *until <= now) {
            self.proposal_answered(now, ticket, late());
        }
        for ticket in self.waiting_proposals(|p| p.deadline <= now) {
            self.proposals.open.remove(&ticket);
        }
        let due = |p: &Proposal| matches!(p.stage, Stage::Out { until } if until <= now);
        for ticket in self.waiting_proposals(due) {
            self.proposal_answered(now, ticket, late());
        }
        let due = |p: &Proposal| matches!(p.stage, Stage::Waiting { next } if next <= now);
        for ticket in self.waiting_proposals(due) {
            self.attempt(now, ticket);
        }
    }

    /// The log here, or another node, answered a question.
    pub(super) fn proposal_answered(&mut self, now: Instant, ticket: Ticket, result: ProposeResult) {
        if let Some((from, call)) = self.proposals.asked.remove(&ticket) {
            return self.tell(from, &PeerMessage::Proposed { call, result });
        }
        if self
            .proposals
            .joining
            .is_some_and(|(joining, _)| joining == ticket)
        {
            self.proposals.joining = None;
            return self.joining.finished(now, &result);
        }
        let Some(open) = self.proposals.open.get_mut(&ticket) else {
            return;
        };
        open.stage = Stage::Waiting {
            next: now + LOOK_AGAIN,
        };
        match result {
            ProposeResult::Committed { outcome, revision } => {
                let done = self.proposals.open.remove(&ticket).expect("found above");
                let twice = done.uncertain && is_second_deletion(&done.command, &outcome);
                if done.told && !twice {
                    let digest = digest(&done.command);
                    self.event(What::Acknowledged { revision, digest });
                }
            }
            ProposeResult::Unknown { .. } => open.uncertain = true,
            ProposeResult::NotLeader { .. } | ProposeResult::Failed { .. } | ProposeResult::NoQuorum => {}
        }
    }

    /// Another node asks this one's log, or answers.
    pub(super) fn take_call(&mut self, now: Instant, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Propose { call, command } => {
                let ticket = self.proposals.ticket();
                self.proposals.asked.insert(ticket, (from, call));
                self.out.push(ask(ticket, command));
            }
            PeerMessage::Join { call, introduction } => {
                // Who is let in must be heard: a node that reaches only others would be lost again at once.
                if !self.core.is_alive(introduction.id) {
                    let reason = "there is no link to the meta leader".into();
                    let result = ProposeResult::Failed { reason };
                    return self.tell(from, &PeerMessage::Proposed { call, result });
                }
                let ticket = self.proposals.ticket();
                self.proposals.asked.insert(ticket, (from, call));
                self.out.push(Output::Admit { ticket, introduction });
            }
            PeerMessage::Proposed { call, result } => self.proposal_answered(now, call, result),
            _ => {}
        }
    }
}

fn ask(ticket: Ticket, command: Command) -> Output {
    Output::Propose {
        ticket,
        command,
        under: None,
    }
}

fn late() -> ProposeResult {
    ProposeResult::Unknown {
        reason: "the meta leader did not answer in time".into(),
    }
}

/// A deletion whose first try may have succeeded finds nothing to delete: that revision is not the one that did it.
fn is_second_deletion(command: &Command, outcome: &Outcome) -> bool {
    matches!(
        (command, outcome),
        (
            Command::Delete { .. },
            Outcome::Refused(Refused::UnknownExchange(_))
        )
    )
}

/// Hash of a command, as the history tells it.
#[must_use]
pub(in crate::sim) fn digest(command: &Command) -> u64 {
    let mut digest = Digest::default();
    digest.display(command);
    digest.value()
}
