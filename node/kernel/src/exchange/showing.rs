//! How an exchange stands, for people: who is attached in which order, whose turn it is, who leads for how long, what is bound to
//! whom, and whom the owner still waits for.
//!
//! What does not live here: why a request went where it went (`explaining`).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Exchange, Signature};
use crate::id::{LeaderEpoch, NodeId, Pid};
use crate::time::{Instant, Span};

/// How an exchange stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Situation {
    /// Handlers in the order in which they attached, as many as were asked for.
    pub handlers: Vec<Standing>,
    /// All of them.
    pub handlers_all: usize,
    /// Groups, the one of all handlers first, as many as were asked for; empty where turns decide nothing.
    pub groups: Vec<Group>,
    /// Who leads, where the strategy has a leader.
    pub leading: Option<Leading>,
    /// Bindings there are.
    pub bindings: usize,
    /// The first of them by signature, as many as were asked for.
    pub bound: Vec<(Signature, Pid)>,
    /// Nodes that have not told yet which handlers they have.
    pub awaited: Vec<NodeId>,
    /// How long handlers have yet to attach again after a failover.
    pub settling: Span,
    /// Where it moves to.
    pub leaving: Option<NodeId>,
}

/// A handler of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Handler.
    pub handler: Pid,
    /// Its service tag.
    pub service_tag: String,
    /// Signatures bound to it.
    pub bindings: usize,
}

/// A group of handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Service tag; empty for all.
    pub service_tag: String,
    /// Members.
    pub members: usize,
    /// Place of whose turn it is, from 0, in the order in which they attached.
    pub place: usize,
    /// Whose turn it is.
    pub next: Option<Pid>,
}

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leading {
    /// The registry's leader.
    pub leader: Option<Pid>,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// It is attached.
    pub attached: bool,
    /// Who was proposed and is not committed yet.
    pub proposed: Option<Pid>,
    /// Who was granted a lease last.
    pub granted_to: Option<Pid>,
    /// How long that lease, or one of an owner before, may still hold.
    pub lease_left: Span,
}

impl Exchange {
    /// How it stands, with at most `most` handlers and groups, and `sample` bindings.
    #[must_use]
    pub fn situation(&self, now: Instant, most: usize, sample: usize) -> Situation {
        let all = self.groups.get(&Bytes::new());
        let handlers = all.into_iter().flat_map(|all| all.members.iter().copied());
        let standing = |handler| Standing {
            handler,
            service_tag: self.servers.tag(handler).unwrap_or_default().into(),
            bindings: self.bindings.load(handler),
        };
        let group = |(tag, group): (&Bytes, &super::Group)| Group {
            service_tag: String::from_utf8_lossy(tag).into_owned(),
            members: group.members.len(),
            place: group.place(),
            next: group.next(),
        };
        Situation {
            handlers: handlers.take(most).map(standing).collect(),
            handlers_all: self.servers.len(),
            groups: self.groups.iter().take(most).map(group).collect(),
            leading: self.config.strategy.has_leader().then(|| self.leading(now)),
            bindings: self.bindings.len(),
            bound: self.bindings.after(None, None, sample),
            awaited: self.awaited().collect(),
            settling: self.settle_until.since(now),
            leaving: self.leaving.map(|(to, ..)| to),
        }
    }

    fn leading(&self, now: Instant) -> Leading {
        Leading {
            leader: self.leader.map(|leader| leader.pid),
            epoch: self.leader.map_or(LeaderEpoch(0), |leader| leader.epoch),
            attached: self.leader().is_some(),
            proposed: self.pending.and_then(|(leader, _)| leader),
            granted_to: self.granted_to,
            lease_left: self.granted_until.since(now),
        }
    }
}
