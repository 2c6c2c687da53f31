//! The control side: steps the core, carries out what it wants, brings the node into the cluster. As
//! `squall_node::control` and its `joining` do it.

use squall_kernel::core::{CoreEffect, CoreInput};
use squall_kernel::founding::{Founding, Step, decide};
use squall_kernel::id::NodeId;
use squall_kernel::message::{PeerMessage, ProposeResult};
use squall_kernel::registry::Outcome;
use squall_kernel::time::{Instant, Span};

use super::{Host, Output};
use crate::history::{Mark, What};

/// Between two tries to become a member, as in the live shell.
const TRY_AGAIN: Span = Span::from_ms(200);
/// Between two looks whether the node that is asked could answer: the live shell looks with every input.
const LINK_AGAIN: Span = Span::from_ms(20);
/// How long the voters may take to let a node go that leaves, as in the live shell.
const NO_VOTE: Span = Span::from_ms(3_000);

/// Becoming a member: one try at a time.
#[derive(Debug, Default)]
pub(super) struct Joining {
    running: bool,
    next: Instant,
    /// Who is asked next, by place among the neighbours.
    turn: usize,
    hint: Option<NodeId>,
    again: bool,
    /// True while nothing is left to do.
    settled: bool,
}

impl Joining {
    /// When something is to be tried again; nothing while a try runs, whose answer comes.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        (!self.running && !self.settled).then_some(self.next)
    }

    pub(super) fn finished(&mut self, now: Instant, result: &ProposeResult) {
        self.running = false;
        self.next = now + TRY_AGAIN;
        self.hint = None;
        match result {
            ProposeResult::Committed {
                outcome: Outcome::Refused(_),
                ..
            } => {}
            ProposeResult::Committed { .. } => self.again = false,
            ProposeResult::NotLeader { leader } => self.hint = *leader,
            ProposeResult::Unknown { .. } | ProposeResult::Failed { .. } | ProposeResult::NoQuorum => {}
        }
    }
}

impl Host {
    pub(super) fn step(&mut self, now: Instant, input: &CoreInput) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.step(now, input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(now, effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, now: Instant, effect: CoreEffect) {
        match effect {
            CoreEffect::Send { to, message } => {
                self.note_promise(now, &message);
                self.tell(to, &message);
            }
            CoreEffect::Propose(command) => self.propose_here(command, self.meta_view.voters.at),
            CoreEffect::Lease { until } => {
                self.lease_until = until;
                self.out.push(Output::Lease { until });
            }
            // It has run out by itself; the clock of the exchanges stands where it was.
            CoreEffect::LeaseLost => self.count("leases lost"),
            CoreEffect::Own { exchange, epoch } => self.own(now, exchange, epoch),
            CoreEffect::Disown { exchange, .. } => self.disown(now, exchange),
            CoreEffect::Suspect { suspect, .. } => {
                if suspect {
                    self.count("suspicions");
                }
            }
            CoreEffect::Rejoin => {
                self.joining.again = true;
                self.joining.settled = false;
                self.count("rejoins");
            }
            CoreEffect::Elections { allowed } => {
                if !allowed {
                    self.event(What::Mark(Mark::LateTimers));
                }
                self.out.push(Output::Elections { allowed });
            }
            CoreEffect::HandOver { to } => {
                self.event(What::Mark(Mark::HandedOver));
                self.out.push(Output::Transfer { to });
            }
            CoreEffect::HandOff { exchange, to, epoch } => self.hand_off(now, exchange, to, epoch),
            CoreEffect::Reach { node, reachable } => self.reach(now, node, reachable),
            CoreEffect::Isolated { isolated } => {
                if isolated {
                    self.count("nodes isolated");
                }
            }
            CoreEffect::Drained { leave } => {
                self.event(What::Mark(Mark::Drained));
                if leave {
                    self.leaves_by = Some(now + NO_VOTE);
                }
            }
        }
    }

    fn note_promise(&mut self, now: Instant, message: &PeerMessage) {
        let PeerMessage::HeartbeatAck {
            tenure,
            promise: Span::ZERO,
            ended: false,
            ..
        } = message
        else {
            return;
        };
        let fresh = now.since(self.started) <= self.times.promise;
        if fresh && tenure.0 > 0 && self.state.voters.contains(self.id()) {
            self.event(What::Mark(Mark::PromiseWithheld));
        }
    }

    /// Called after every input: cheap when there is nothing to do.
    pub(super) fn work_on_membership(&mut self, now: Instant) {
        self.keep_voters(now);
        if self.joining.running || now < self.joining.next {
            return;
        }
        let step = decide(
            Founding::Expect(self.config.expects),
            &self.config.me,
            self.state.initialized,
            &self.registry,
            &self.neighbours,
        );
        let alone = self.meta_view.leads;
        self.joining.settled = match step {
            Step::Member => !self.joining.again,
            Step::Wait { .. } => !self.joining.again && !alone,
            Step::Join | Step::Found { .. } => false,
        };
        match step {
            Step::Member if self.joining.again => self.ask_to_join(now),
            Step::Join => self.ask_to_join(now),
            // Its own majority: the only voter needs nobody to let it in.
            Step::Wait { .. } if alone => self.ask_to_join(now),
            Step::Found { .. } => {
                self.joining.next = now + TRY_AGAIN;
                self.out.push(Output::Found);
            }
            Step::Member | Step::Wait { .. } => {}
        }
    }

    fn ask_to_join(&mut self, now: Instant) {
        let me = self.id();
        let asked = self.joining.hint.or(self.state.leader);
        let asked = asked.filter(|id| *id == me || self.neighbours.contains_key(id));
        let turn = self.joining.turn;
        let Some(whom) = asked.or_else(|| self.neighbour(turn)) else {
            self.joining.next = now + TRY_AGAIN;
            return;
        };
        self.joining.turn = turn.wrapping_add(1);
        // The answer comes over the other node's own link: without that it is lost, and all its time is waited for.
        if whom != me && !self.linked_back.contains_key(&whom) {
            self.joining.next = now + LINK_AGAIN;
            return;
        }
        self.joining.running = true;
        self.join_through(now, whom);
    }

    fn neighbour(&self, turn: usize) -> Option<NodeId> {
        let count = self.neighbours.len();
        (count > 0).then(|| self.neighbours.keys().nth(turn % count).copied())?
    }

    fn keep_voters(&mut self, now: Instant) {
        if !self.attendance.is_due(now) {
            return;
        }
        let (me, neighbours) = (self.config.me.id, &self.neighbours);
        let linked = |id| id == me || neighbours.contains_key(&id);
        let members = self.state.members.iter().copied();
        self.attendance.look(now, &self.registry, members, linked);
        if self.meta_view.leads && self.meta_view.quorum {
            let roll = self
                .attendance
                .roll(now, &self.registry, |id| self.core.is_alive(id));
            self.out.push(Output::KeepVoters { roll });
        }
    }

    /// A node that leaves for good gives up its vote first, as far as the others let it, and lets another one lead: a sole
    /// voter that was replaced leads on without a vote until its successor takes over.
    pub(super) fn leave_without_vote(&mut self, now: Instant) {
        let bound = self.state.voters.contains(self.id()) || self.meta_view.leads;
        let waits = self.config.gives_up_vote && bound;
        if self.leaves_by.is_some_and(|by| now >= by || !waits) {
            self.leaves_by = None;
            self.out.push(Output::Leave);
        }
    }
}
