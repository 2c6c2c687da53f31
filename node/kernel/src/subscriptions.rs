//! The subscriptions of one publish-subscribe exchange at one node, be it the owner, a proxy or a node with subscribers
//! only: who gets a publish, and what to ask the node above for (A30–A34). A pure state machine.
//!
//! Each node announces each pattern once, however many subscribers want it, to one node *above* it: a proxy or the owner.
//! So a publish goes to each node at most once (invariant I7). Going over to another node above, both send for a while:
//! the new one confirms before the old one is left, and events that came from both are taken once. What a proxy that is
//! left has itself not received when it hears of that is lost to this node, wherefore the shell tells it late; so is what is
//! on its way under an epoch that is over.
//!
//! What does not live here: which node is above (`nearest`), mailboxes, confirms to publishers, and frames. The shell
//! calls [`Subscriptions::flush`] after each batch of inputs, and says so when a link was made anew.

mod arrivals;
mod downstream;
mod fanout;
mod local;
mod slab;
mod step;
mod table;
mod upstream;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::fence::{Fence, Fenced, Pass};
use crate::id::{Counter, Epoch, Incarnation, LeaderEpoch, MessageId, NodeId, Pid};
use crate::keys::{Key, KeyPattern};
use crate::limits;
use crate::planted::{self, Bug};
use crate::time::Instant;

use arrivals::Arrivals;
use downstream::Downstreams;
pub use fanout::{Fanout, LocalCopy};
use local::{Locals, Subscription};
pub use step::{Interest, MovedInterest, Stamp, SubscriptionEffect, SubscriptionInput, Upstream};
use table::Table;

/// Subscriptions of an exchange at one node.
#[derive(Debug, Clone)]
pub struct Subscriptions {
    node: NodeId,
    incarnation: Incarnation,
    fence: Fence,
    epoch: Epoch,
    upstream: Upstream,
    /// Some node has got its publishes from here.
    has_passed_on: bool,
    /// The next owner was told all that is known here: what comes now is confirmed by that one, or once the move is cancelled.
    handed_off: bool,
    /// The node above before this one: its events still count.
    previous: Option<Previous>,
    /// Last announcement, to whomever.
    counter: Counter,
    /// Last announcement that the node above confirmed.
    confirmed: Counter,
    /// The announcement whose confirmation makes the node above the one that serves.
    joins_at: Counter,
    /// The last part of the latest snapshot: with its confirmation all that was wanted then is known all the way up.
    whole_at: Counter,
    table: Table,
    locals: Locals,
    downstreams: Downstreams,
    /// Subscriptions whose pattern the node above has not confirmed.
    waiting: BTreeSet<Subscription>,
    arrivals: Arrivals,
}

/// What an event is to the node it arrived at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// New: route it.
    First,
    /// It came before, by another way.
    Again,
    /// From a node that does not serve this one any more and has missed that. Give the table its
    /// [`SubscriptionInput::SnapshotAsked`]: the answer tells it.
    Stranger,
}

#[derive(Debug, Clone, Copy)]
struct Previous {
    node: NodeId,
    /// It was told that it is left.
    left: bool,
}

impl Subscriptions {
    /// Nothing subscribed, nothing above. Announcements are numbered from the microsecond of `now` on, so that a table
    /// made anew in the same run is never behind the one before it.
    #[must_use]
    pub fn new(now: Instant, node: NodeId, incarnation: Incarnation) -> Self {
        let start = Counter(now.0);
        Self {
            node,
            incarnation,
            fence: Fence::default(),
            epoch: Epoch(0),
            upstream: Upstream::Nowhere,
            has_passed_on: false,
            handed_off: false,
            previous: None,
            counter: start,
            confirmed: start,
            joins_at: start,
            whole_at: start,
            table: Table::default(),
            locals: Locals::default(),
            downstreams: Downstreams::default(),
            waiting: BTreeSet::new(),
            arrivals: Arrivals::default(),
        }
    }

    /// Takes one input; effects are added to `out`. What changes for the node above is told by [`Self::flush`].
    pub fn step(&mut self, input: SubscriptionInput, out: &mut Vec<SubscriptionEffect>) {
        use SubscriptionInput as In;
        match input {
            In::Subscribe {
                subscriber,
                connection,
                pattern,
            } => {
                self.subscribe(subscriber, &connection, pattern, out);
            }
            In::Unsubscribe {
                subscriber,
                connection,
                pattern,
            } => {
                let ending = match pattern {
                    Some(pattern) => {
                        let found = self.locals.find(&self.table, subscriber, &connection, &pattern);
                        found.into_iter().collect()
                    }
                    None => self.locals.of_connection(subscriber, &connection),
                };
                self.end(ending);
            }
            In::SubscriberGone { subscriber } => self.end(self.locals.of_subscriber(subscriber)),
            In::Downstream {
                node,
                stamp,
                interest,
            } => self.downstream(node, stamp, interest, out),
            In::NodeLost { node, incarnation } => self.node_lost(node, incarnation),
            In::Upstream { epoch, upstream } => self.retarget(epoch, upstream, out),
            In::Relinked { node } | In::SnapshotAsked { by: node } => self.tell(node, out),
            In::Forgotten => self.join_again(out),
            In::Confirmed { by, stamp } => self.confirmed(by, stamp, out),
            In::Refused { by, reason, patterns } => self.refused(by, reason, &patterns, out),
            In::Resume { epoch, state } => {
                let others = state.into_iter().filter(|moved| moved.node != self.node);
                others.for_each(|moved| self.downstreams.resume(&mut self.table, epoch, moved));
            }
            In::Settled => self.downstreams.settled(&mut self.table),
            In::HandedOff => self.handed_off = true,
        }
        if self.confirms_itself() {
            self.settle(out);
        }
    }

    /// Tells the node above what has changed since the last time: to be called after each batch of inputs, at most some
    /// milliseconds later.
    pub fn flush(&mut self, out: &mut Vec<SubscriptionEffect>) {
        let Upstream::At(to) = self.upstream else {
            return;
        };
        while self.table.has_changes() {
            self.counter.0 += 1;
            let (add, remove) = self.table.changes(limits::INTEREST_PATTERNS_MAX, self.counter);
            self.announce(to, Interest::Delta { add, remove }, out);
        }
        self.downstreams.owe(self.counter);
        self.downstreams.confirm(self.confirmed, out);
    }

    /// Lets a publish or an event of that epoch through, or refuses it because the epoch is over.
    ///
    /// # Errors
    /// [`Fenced`] with the highest epoch seen.
    pub fn admit(&mut self, epoch: Epoch) -> Result<Pass, Fenced> {
        self.fence.pass(epoch, LeaderEpoch(0))
    }

    /// Whether an event from that node is to be taken.
    pub fn arrive(&mut self, from: NodeId, publisher: Pid, message: MessageId) -> Arrival {
        let above = self.upstream == Upstream::At(from);
        if !above && self.previous.is_none_or(|it| it.node != from) {
            Arrival::Stranger
        } else if self.arrivals.first(publisher, message) || planted::is(Bug::TakeEventsTwice) {
            Arrival::First
        } else {
            Arrival::Again
        }
    }

    /// Finds who gets a publish with that key: each local subscriber once, each node once, except the one it came from.
    pub fn route(&self, _pass: &Pass, key: &Key, except: Option<NodeId>, fanout: &mut Fanout) {
        let Fanout {
            walk,
            nodes,
            receivers,
        } = fanout;
        nodes.clear();
        receivers.start(&self.locals);
        let mut mask = 0;
        self.table.matches(key, walk, |wanted| {
            mask |= wanted.nodes;
            for connection in &wanted.connections {
                receivers.add(&self.locals, *connection);
            }
        });
        self.downstreams.nodes_of(mask, except, nodes);
    }

    /// What the next owner needs to know, this node's own interest included.
    #[must_use]
    pub fn state(&self) -> Vec<MovedInterest> {
        let mut state = self.downstreams.state(&self.table);
        let own: Vec<&KeyPattern> = self.table.wanted_here().collect();
        downstream::moved(self.node, self.incarnation, &own, &mut state);
        state
    }

    /// Local subscribers.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.locals.subscribers()
    }

    /// Their subscriptions: tag and pattern.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.locals.subscriptions()
    }

    /// Different patterns, of local subscribers and of nodes.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.table.len()
    }

    /// Nodes that get their publishes from here.
    #[must_use]
    pub fn downstream_nodes(&self) -> usize {
        self.downstreams.len()
    }

    /// Those of them that want something now.
    #[must_use]
    pub fn served_nodes(&self) -> usize {
        self.downstreams.served()
    }

    /// Nodes of which only the owner before has told.
    pub fn unheard(&self) -> impl Iterator<Item = NodeId> {
        self.downstreams.unheard()
    }

    /// Where publishes come from.
    #[must_use]
    pub const fn upstream(&self) -> Upstream {
        self.upstream
    }

    /// True when the owner sends, by whatever way, all that was wanted here when this node last went over to another one,
    /// or to another epoch.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.upstream {
            _ if self.table.len() == 0 => true,
            Upstream::Root => true,
            Upstream::At(_) => self.confirmed >= self.whole_at,
            Upstream::Nowhere => false,
        }
    }

    /// True when some node above sends what is wanted here, and has heard of it from this run and since this node was last
    /// forgotten. What comes before that was meant for whoever was here before, and for nodes that have left since.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        !self.is_going_over() || self.previous.is_some_and(|it| !it.left)
    }

    /// True while the node above, gone over to, has not confirmed that it sends all that is wanted here.
    fn is_going_over(&self) -> bool {
        self.confirmed < self.joins_at
    }

    /// The node before the one above, while that has not confirmed: it serves until then.
    #[must_use]
    pub fn serves_meanwhile(&self) -> Option<NodeId> {
        self.previous.filter(|it| !it.left).map(|it| it.node)
    }

    /// True when some node has got its publishes from here, though it may have left.
    #[must_use]
    pub const fn has_passed_on(&self) -> bool {
        self.has_passed_on
    }

    /// Epoch of the exchange, as the registry has it.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn subscribe(
        &mut self,
        subscriber: Pid,
        connection: &bytes::Bytes,
        pattern: KeyPattern,
        out: &mut Vec<SubscriptionEffect>,
    ) {
        match self
            .locals
            .subscribe(&mut self.table, subscriber, connection, &pattern)
        {
            Ok(subscription) if self.is_ready(subscription) => out.push(self.ready(subscription)),
            Ok(subscription) => {
                self.waiting.insert(subscription);
            }
            Err(reason) => out.push(SubscriptionEffect::Refuse {
                subscriber,
                connection: connection.clone(),
                pattern,
                reason,
            }),
        }
    }

    fn is_ready(&self, (_, pattern): Subscription) -> bool {
        let announced = self.table.at(pattern).announced;
        self.confirms_itself() || announced.is_some_and(|counter| counter <= self.confirmed)
    }

    /// True at an owner that goes on: nobody above it has to know.
    fn confirms_itself(&self) -> bool {
        self.upstream == Upstream::Root && !self.handed_off
    }

    fn ready(&self, (connection, pattern): Subscription) -> SubscriptionEffect {
        let connection = self.locals.connection(connection);
        SubscriptionEffect::Ready {
            subscriber: self.locals.pid(connection.subscriber),
            connection: connection.tag.clone(),
            pattern: self.table.at(pattern).pattern.clone(),
        }
    }

    fn end(&mut self, subscriptions: Vec<Subscription>) {
        for subscription in subscriptions {
            self.waiting.remove(&subscription);
            self.locals.end(&mut self.table, subscription);
        }
    }

    fn downstream(
        &mut self,
        node: NodeId,
        stamp: Stamp,
        interest: Interest,
        out: &mut Vec<SubscriptionEffect>,
    ) {
        // Leaving is no effect to be fenced: it takes place under any epoch, and what the node has announced later stands.
        let leaves = interest == Interest::Leave;
        self.has_passed_on |= !leaves;
        match self.admit(stamp.epoch) {
            Ok(_pass) => self.downstreams.take(&mut self.table, node, stamp, interest, out),
            Err(_) if leaves => self.downstreams.take(&mut self.table, node, stamp, interest, out),
            Err(fenced) => out.push(SubscriptionEffect::Fenced {
                to: node,
                seen: fenced.epoch,
            }),
        }
    }

    fn node_lost(&mut self, node: NodeId, incarnation: Incarnation) {
        self.downstreams.lost(&mut self.table, node, incarnation);
        // The node above is not dropped here: the registry names another one at once, and until then nothing comes.
        if self.previous.is_some_and(|it| it.node == node) {
            self.previous = None;
        }
    }
}

#[cfg(test)]
#[path = "subscriptions/bounds_test.rs"]
mod bounds_tests;
#[cfg(test)]
#[path = "subscriptions_test.rs"]
mod tests;
#[cfg(test)]
#[path = "subscriptions/world_test.rs"]
mod world;
#[cfg(test)]
#[path = "subscriptions/runs_test.rs"]
mod world_tests;
