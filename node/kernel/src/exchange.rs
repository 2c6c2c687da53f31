//! One exchange on its owner's node: who is attached, who leads, where a request goes. A pure state machine, one per
//! (exchange, epoch), stepped by the exchange's process.
//!
//! What does not live here: the requester's side (deadlines, retries, outcomes), mailboxes, and the owner's right to
//! act, which comes in with each request as `lease_until`.

mod attaching;
mod bindings;
mod choice;
mod explaining;
mod group;
mod leading;
mod moving;
mod operating;
mod roll;
mod routing;
mod showing;
mod step;
mod sticky;
mod wish;
mod words;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::{Counter, Epoch, NodeId, Pid};
use bindings::Bindings;
pub use choice::{Choice, Signature, fnv};
pub use explaining::{Basis, Explanation, Outcome, Verdict, Weighed};
use group::Group;
use operating::Changing;
use routing::{Asked, Target};
pub use showing::{Group as ShownGroup, Leading, Situation, Standing};
pub use step::{ExchangeConfig, ExchangeEffect, ExchangeInput, RequestKey};
pub use wish::{NotBindable, Noted, Unsure, Wish, WishAnswer};
use words::Words;

use crate::limits;
use crate::message::Servers;
use crate::planted::{self, Bug};
use crate::reason::NoReply;
use crate::registry::LeaderRecord;
use crate::time::Instant;

/// A route that the owner remembers.
#[derive(Debug, Clone, Copy)]
struct Route {
    request: RequestKey,
    handler: Pid,
    deadline: Instant,
    index: u32,
    count: u32,
}

/// The owner's right to act on one request: only [`Exchange::admit`] makes it, after it has compared epoch and lease.
struct Right(());

/// An exchange on its owner.
#[derive(Debug, Clone)]
pub struct Exchange {
    config: ExchangeConfig,
    settle_until: Instant,
    servers: Servers,
    /// How many of them are on which node.
    nodes: BTreeMap<NodeId, usize>,
    groups: BTreeMap<Bytes, Group>,
    bindings: Bindings,
    /// Changes of bindings that operators wait for. Bounded by [`limits::BINDING_CHANGES_MAX`].
    changing: BTreeMap<Signature, Changing>,
    words: Words,
    /// Nodes that have not told of all their handlers since this ownership began.
    awaited: BTreeSet<NodeId>,
    counter: Counter,
    leader: Option<LeaderRecord>,
    /// That leader will not attach again.
    leader_gone: bool,
    /// Leader proposed and not seen committed, since when.
    pending: Option<(Option<Pid>, Instant)>,
    routes: VecDeque<Route>,
    /// Next owner and its epoch, and when the state was last sent.
    leaving: Option<(NodeId, Epoch, Instant)>,
    /// Until when a lease granted to the leader may hold, by this node's clock.
    granted_until: Instant,
    /// To whom.
    granted_to: Option<Pid>,
}

impl Exchange {
    /// An exchange that starts to be owned here at `now`.
    #[must_use]
    pub fn new(now: Instant, config: ExchangeConfig) -> Self {
        let settle_until = if config.epoch > Epoch(1) {
            now + config.settle
        } else {
            now
        };
        let awaited = config.awaited.iter().copied().collect();
        let (leader, leader_gone) = (config.leader, config.leader_gone);
        // An earlier owner may have granted its leader a lease that outlives it, even when it has none any more.
        let granted_until = if config.epoch > Epoch(1) && config.strategy.has_leader() {
            now + config.promise.lengthened(limits::DRIFT_PPM)
        } else {
            now
        };
        Self {
            config,
            settle_until,
            servers: Servers::default(),
            nodes: BTreeMap::new(),
            groups: BTreeMap::new(),
            bindings: Bindings::default(),
            changing: BTreeMap::new(),
            words: Words::default(),
            awaited,
            counter: Counter(0),
            leader,
            leader_gone,
            pending: None,
            routes: VecDeque::new(),
            leaving: None,
            granted_until,
            granted_to: leader.map(|l| l.pid),
        }
    }

    /// Steps the exchange; effects are appended to `out`, which the caller empties and reuses.
    pub fn step(&mut self, now: Instant, input: &ExchangeInput, out: &mut Vec<ExchangeEffect>) {
        match input {
            ExchangeInput::Attach {
                handler,
                service_tag,
                bound,
                returned,
            } => {
                self.attach(now, *handler, service_tag, bound, out);
                returned.inspect(|returned| self.take_in(*handler, *returned, out));
            }
            ExchangeInput::Roll { node } => self.rolled(now, *node, out),
            ExchangeInput::Detach { handler, reason } => self.detach(now, *handler, *reason, out),
            ExchangeInput::NodeLost { node } => self.node_lost(now, *node, out),
            ExchangeInput::LeaderCommitted { leader } => self.leader_committed(now, *leader, out),
            ExchangeInput::Request {
                request,
                epoch,
                service_tag,
                key,
                choice,
                deadline,
                lease_until,
            } => {
                let asked = Asked {
                    request: *request,
                    service_tag,
                    key,
                    choice,
                    deadline: *deadline,
                };
                match self.admit(now, *epoch, *lease_until) {
                    Ok(right) => self.route(&right, now, &asked, out),
                    Err(reason) => out.push(ExchangeEffect::Refuse {
                        request: *request,
                        reason,
                    }),
                }
            }
            ExchangeInput::Wish {
                asked,
                signature,
                wish,
                lease_until,
            } => self.wish(now, *lease_until, (*asked, *signature), wish, out),
            ExchangeInput::Noted {
                handler,
                signature,
                number,
                noted,
            } => self.noted(now, (*signature, *handler), *number, *noted, out),
            ExchangeInput::Leave { to, epoch } => self.leave(now, *to, *epoch, out),
            ExchangeInput::Resume { state } => self.resume(now, state, out),
            ExchangeInput::LeaseAsk {
                handler,
                leader_epoch,
                asked_at,
                lease_until,
            } => self.grant(now, *handler, *leader_epoch, *asked_at, *lease_until, out),
            ExchangeInput::Tick => self.tick(now, out),
        }
    }

    /// Handlers attached.
    #[must_use]
    pub fn handlers(&self) -> usize {
        self.servers.len()
    }

    /// Handlers attached that are on a node.
    #[must_use]
    pub fn handlers_on(&self, node: NodeId) -> usize {
        self.nodes.get(&node).copied().unwrap_or_default()
    }

    /// Leader as committed and attached.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderRecord> {
        self.leader.filter(|l| self.servers.contains(l.pid))
    }

    /// Counts the changes among its handlers and of its leader.
    #[must_use]
    pub fn counter(&self) -> Counter {
        self.counter
    }

    /// Epoch of this ownership.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.config.epoch
    }

    /// When the exchange next needs a `Tick`, if it waits for something.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if let Some((_, _, sent)) = self.leaving {
            return Some(sent + self.config.settle);
        }
        let settling =
            (self.config.strategy.has_leader() && self.leader().is_none() && self.pending.is_none())
                .then_some(self.may_appoint_at());
        let leading = self
            .pending
            .map(|(_, since)| since + self.config.settle)
            .or(settling.filter(|_| !self.servers.is_empty()));
        leading.into_iter().chain(self.wishes_due()).min()
    }

    fn admit(&self, now: Instant, epoch: Epoch, lease_until: Instant) -> Result<Right, NoReply> {
        if self.leaving.is_some() && !planted::is(Bug::AnswerAfterMove) {
            return Err(NoReply::Moved);
        }
        if epoch > self.config.epoch {
            Err(NoReply::Moved)
        } else if epoch < self.config.epoch {
            Err(NoReply::Fenced)
        } else if now >= lease_until {
            Err(NoReply::NoQuorum)
        } else {
            Ok(Right(()))
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<ExchangeEffect>) {
        if let Some((_, _, sent)) = self.leaving {
            if now >= sent + self.config.settle {
                self.transfer(now, out);
            }
            return;
        }
        self.tend_wishes(now, out);
        while self.routes.front().is_some_and(|route| route.deadline <= now) {
            self.routes.pop_front();
        }
        match self.pending {
            Some((leader, since)) if now >= since + self.config.settle => {
                self.pending = Some((leader, now));
                out.push(ExchangeEffect::Appoint { leader });
            }
            Some(_) => {}
            None => self.appoint_if_needed(now, out),
        }
    }
}

fn remember(routes: &mut VecDeque<Route>, route: Route) {
    if routes.len() >= limits::RECENT_ROUTES_MAX {
        routes.pop_front();
    }
    routes.push_back(route);
}

#[cfg(test)]
#[path = "exchange_test.rs"]
mod tests;

#[cfg(test)]
#[path = "exchange/explaining_test.rs"]
mod explaining_tests;

#[cfg(test)]
#[path = "exchange/strategies_test.rs"]
mod strategies_tests;
