//! "Why this handler": how the exchange would decide a request now, said candidate by candidate (C3). Nothing changes by it,
//! and it reads the state that [`Exchange::step`] is about to act on: asked right before a step, it says what the step does.
//!
//! What does not live here: the decision itself (`routing`, `sticky`), words for people, and who wants to know.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Asked, Choice, Exchange, ExchangeEffect, ExchangeInput, Signature};
use crate::id::{ExchangeName, NodeId, Pid};
use crate::limits::CANDIDATES_SHOWN_MAX;
use crate::reason::NoReply;
use crate::registry::{LeaderRecord, Strategy};
use crate::time::Instant;

/// How a request is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What decides.
    pub basis: Basis,
    /// The exchange's function had a say.
    pub function: bool,
    /// Handlers in the order in which they attached; at most [`CANDIDATES_SHOWN_MAX`], and whoever is picked beyond. Empty where
    /// the request ends before handlers are looked at.
    pub candidates: Vec<Weighed>,
    /// Handlers that are not among them.
    pub left_out: usize,
}

/// One candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighed {
    /// Handler.
    pub handler: Pid,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Why a candidate gets the request, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It gets it.
    Picked,
    /// It is of another group than the request wants.
    OtherGroup,
    /// It is another one's turn in the group.
    NotItsTurn,
    /// The request's signature is bound to that other one.
    BoundTo(Pid),
    /// It has more bindings than the one that is picked: so many.
    HasMore(usize),
    /// Only the leader gets requests.
    NotTheLeader,
    /// The exchange's function picked another one.
    NotChosen,
    /// It is known, but not attached, or not again yet.
    NotAttached,
}

/// What decides a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// The owner may not act on it, or it is too late.
    Refused(NoReply),
    /// Every handler of the group gets it.
    Everybody,
    /// The turn inside a group.
    Turn {
        /// The group's service tag; empty for all handlers.
        group: Bytes,
        /// Place of whose turn it is, from 0.
        place: usize,
        /// Members of the group; 0 when there is no such group.
        of: usize,
    },
    /// Who leads.
    Leader {
        /// The registry's leader.
        leader: Option<LeaderRecord>,
        /// It is attached.
        attached: bool,
        /// Another appointment is under way.
        appointing: bool,
    },
    /// The signature is bound.
    Bound {
        /// Signature, within its group.
        signature: Signature,
        /// To whom.
        handler: Pid,
    },
    /// The signature is new: it is bound to the member of the group that has the fewest bindings, among equals by turn.
    NewBinding {
        /// Signature, within its group.
        signature: Signature,
        /// Bindings of the one with the fewest.
        fewest: usize,
        /// Place of whose turn it is, from 0.
        place: usize,
        /// Members of the group; 0 when there is no such group.
        of: usize,
    },
    /// An operator moves the binding from one handler to another at this moment.
    GoesOver {
        /// Signature, within its group.
        signature: Signature,
    },
    /// The signature is new here, and nodes have not told yet what their handlers have.
    Rolling {
        /// Signature, within its group.
        signature: Signature,
        /// Those nodes.
        awaited: Vec<NodeId>,
    },
    /// The signature is new, and there is no room for one more.
    Full {
        /// Signature, within its group.
        signature: Signature,
    },
    /// A sticky exchange needs a key.
    NoKey,
    /// The exchange's function picked that handler.
    Chosen(Pid),
    /// The exchange's function declined it, sent it on, or chose nothing of use.
    NotRouted,
}

/// What became of a request, as the step's effects have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Given to handlers.
    Given {
        /// The first of them, at most [`CANDIDATES_SHOWN_MAX`].
        to: Vec<Pid>,
        /// All of them.
        count: usize,
    },
    /// Ended without delivery.
    Refused(NoReply),
    /// Declined, and why.
    Declined(String),
    /// Goes on at another exchange.
    Redirected(ExchangeName),
    /// The step ended without a word about it.
    Nothing,
}

impl Outcome {
    /// What the effects of one request's step mean for it.
    #[must_use]
    pub fn of(effects: &[ExchangeEffect]) -> Self {
        let (mut to, mut given) = (Vec::new(), 0);
        for effect in effects {
            match effect {
                ExchangeEffect::Deliver { handler, .. } => {
                    given += 1;
                    if to.len() < CANDIDATES_SHOWN_MAX {
                        to.push(*handler);
                    }
                }
                ExchangeEffect::Refuse { reason, .. } => return Self::Refused(*reason),
                ExchangeEffect::Decline { reason, .. } => return Self::Declined(reason.clone()),
                ExchangeEffect::Redirect { to, .. } => return Self::Redirected(to.clone()),
                _ => {}
            }
        }
        match given {
            0 => Self::Nothing,
            count => Self::Given { to, count },
        }
    }
}

impl Exchange {
    /// How a request would be decided by a step with that input at that time; none for any other input.
    #[must_use]
    pub fn explain(&self, now: Instant, input: &ExchangeInput) -> Option<Explanation> {
        let ExchangeInput::Request {
            request,
            epoch,
            service_tag,
            key,
            choice,
            deadline,
            lease_until,
        } = input
        else {
            return None;
        };
        let asked = Asked {
            request: *request,
            service_tag,
            key,
            choice,
            deadline: *deadline,
        };
        let refused = match self.admit(now, *epoch, *lease_until) {
            Err(reason) => Some(reason),
            Ok(_) if now >= asked.deadline => Some(NoReply::Timeout),
            Ok(_) => None,
        };
        let basis = refused.map_or_else(|| self.basis(&asked), Basis::Refused);
        let (candidates, left_out) = self.weigh(&asked, &basis);
        Some(Explanation {
            basis,
            function: *choice != Choice::None,
            candidates,
            left_out,
        })
    }

    fn basis(&self, asked: &Asked<'_>) -> Basis {
        match self.config.strategy {
            Strategy::Default => Basis::Everybody,
            Strategy::RoundRobin | Strategy::ConsensusRoundRobin => self.turn_in(asked.service_tag),
            Strategy::Consensus => Basis::Leader {
                leader: self.leader,
                attached: self.leader().is_some(),
                appointing: self.pending.is_some(),
            },
            Strategy::Sticky if asked.key.is_empty() => Basis::NoKey,
            Strategy::Sticky => self.basis_of(Signature::of_key(asked.key), asked.service_tag),
            Strategy::StickyFun => match asked.choice {
                Choice::Signature(signature) => self.basis_of(*signature, asked.service_tag),
                _ => Basis::NotRouted,
            },
            Strategy::Fun => match asked.choice {
                Choice::Pick(handler) => Basis::Chosen(*handler),
                Choice::Group(tag) => self.turn_in(tag),
                _ => Basis::NotRouted,
            },
        }
    }

    fn turn_in(&self, tag: &Bytes) -> Basis {
        let group = self.groups.get(tag);
        Basis::Turn {
            group: tag.clone(),
            place: group.map_or(0, super::Group::place),
            of: group.map_or(0, |group| group.members.len()),
        }
    }

    fn basis_of(&self, signature: Signature, tag: &Bytes) -> Basis {
        let signature = signature.within(tag);
        let bound = self.bindings.handler(signature);
        if bound.is_some() && self.goes_over(signature) {
            return Basis::GoesOver { signature };
        }
        if let Some(handler) = bound {
            return Basis::Bound { signature, handler };
        }
        if self.is_rolling() {
            let awaited = self.awaited().collect();
            return Basis::Rolling { signature, awaited };
        }
        let group = self.groups.get(tag);
        if group.is_some() && self.bindings.is_full() {
            return Basis::Full { signature };
        }
        let load = |pid| self.bindings.load(pid);
        let least = group.and_then(|group| Some(group.members[group.least(load)?]));
        Basis::NewBinding {
            signature,
            fewest: least.map_or(0, load),
            place: group.map_or(0, super::Group::place),
            of: group.map_or(0, |group| group.members.len()),
        }
    }

    /// Every handler with its verdict, in the order they attached.
    fn weigh(&self, asked: &Asked<'_>, basis: &Basis) -> (Vec<Weighed>, usize) {
        let picked = match basis {
            Basis::Refused(_)
            | Basis::GoesOver { .. }
            | Basis::Rolling { .. }
            | Basis::Full { .. }
            | Basis::NoKey
            | Basis::NotRouted => return (Vec::new(), 0),
            Basis::Everybody => None,
            basis => self.picked(asked, basis),
        };
        let (mut shown, mut left_out) = (Vec::new(), 0);
        let mut show = |handler, verdict| {
            let room = CANDIDATES_SHOWN_MAX + usize::from(verdict == Verdict::Picked);
            if shown.len() < room {
                shown.push(Weighed { handler, verdict });
            } else {
                left_out += 1;
            }
        };
        let absent = match basis {
            Basis::Leader { leader, .. } => leader.map(|leader| leader.pid),
            Basis::Chosen(handler) => Some(*handler),
            _ => None,
        };
        if let Some(absent) = absent.filter(|pid| !self.servers.contains(*pid)) {
            show(absent, Verdict::NotAttached);
        }
        let all = self.groups.get(&Bytes::new());
        for handler in all.into_iter().flat_map(|all| all.members.iter().copied()) {
            show(handler, self.verdict(asked, basis, picked, handler));
        }
        (shown, left_out)
    }

    /// The one that gets it, where only one does.
    fn picked(&self, asked: &Asked<'_>, basis: &Basis) -> Option<Pid> {
        match basis {
            Basis::Turn { group, .. } => self.groups.get(group).and_then(super::Group::next),
            Basis::Leader { .. } => {
                let leader = self.acting_leader().map(|leader| leader.pid);
                leader.filter(|pid| self.is_of_group(*pid, asked.service_tag))
            }
            Basis::Bound { handler, .. } => Some(*handler),
            Basis::NewBinding { .. } => {
                let group = self.groups.get(asked.service_tag)?;
                let place = group.least(|pid| self.bindings.load(pid))?;
                Some(group.members[place])
            }
            Basis::Chosen(handler) => Some(*handler).filter(|pid| self.servers.contains(*pid)),
            _ => None,
        }
    }

    fn verdict(&self, asked: &Asked<'_>, basis: &Basis, picked: Option<Pid>, handler: Pid) -> Verdict {
        if picked == Some(handler) {
            return Verdict::Picked;
        }
        let tag = match basis {
            Basis::Turn { group, .. } => group,
            _ => asked.service_tag,
        };
        let in_group = self.is_of_group(handler, tag);
        match basis {
            Basis::Chosen(_) => Verdict::NotChosen,
            Basis::Leader { leader, .. } if leader.is_none_or(|leader| leader.pid != handler) => {
                Verdict::NotTheLeader
            }
            _ if !in_group => Verdict::OtherGroup,
            Basis::Everybody => Verdict::Picked,
            Basis::Leader { .. } => Verdict::NotTheLeader,
            Basis::Bound { handler, .. } => Verdict::BoundTo(*handler),
            Basis::NewBinding { fewest, .. } if self.bindings.load(handler) > *fewest => {
                Verdict::HasMore(self.bindings.load(handler))
            }
            _ => Verdict::NotItsTurn,
        }
    }
}
