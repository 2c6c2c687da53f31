//! What a table tells the node above it, what that node answers, and going over from one to another.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::local::Subscription;
use super::{Interest, Previous, Stamp, SubscriptionEffect, Subscriptions, Upstream};
use crate::id::{Epoch, NodeId};
use crate::keys::KeyPattern;
use crate::limits;
use crate::reason::SubscribeRefusal;

impl Subscriptions {
    pub(super) fn retarget(&mut self, epoch: Epoch, upstream: Upstream, out: &mut Vec<SubscriptionEffect>) {
        if epoch < self.epoch || (epoch == self.epoch && upstream == self.upstream) {
            return;
        }
        // Announcements from nodes that know more may have raised the fence beyond this epoch already.
        let _ = self.admit(epoch);
        self.epoch = epoch;
        self.handed_off = false;
        let before = core::mem::replace(&mut self.upstream, upstream);
        if before == Upstream::Root && matches!(upstream, Upstream::At(_)) {
            // The next owner knows whom this one served, or asks them all. Passed on from here as well, what it sends them
            // would change its order.
            self.downstreams.give_up(&mut self.table, epoch);
        }
        if before != upstream {
            self.go_over(before, out);
        }
        match upstream {
            Upstream::At(node) => {
                self.snapshot(node, out);
                if before != upstream {
                    self.joins_at = self.counter;
                }
            }
            Upstream::Root | Upstream::Nowhere => {
                self.table.unannounce();
                self.downstreams.unowe();
            }
        }
    }

    /// Which node serves until the new one does: the one before, if it did; else the one before that.
    fn go_over(&mut self, before: Upstream, out: &mut Vec<SubscriptionEffect>) {
        let joined = !self.is_going_over();
        let mut leaving = Vec::new();
        if let Upstream::At(node) = before {
            if joined {
                leaving.extend(self.previous.replace(Previous { node, left: false }));
            } else {
                leaving.push(Previous { node, left: false });
            }
        }
        match self.upstream {
            Upstream::At(node) => self.previous = self.previous.filter(|it| it.node != node),
            Upstream::Root | Upstream::Nowhere => leaving.extend(self.previous.take()),
        }
        for it in leaving {
            if !it.left && self.upstream != Upstream::At(it.node) {
                self.leave(it.node, out);
            }
        }
    }

    /// A node may have missed something: it gets all of it, or that it is nothing.
    pub(super) fn tell(&mut self, node: NodeId, out: &mut Vec<SubscriptionEffect>) {
        // One that still serves until another takes over keeps what it has.
        let serves = self.previous.is_some_and(|it| it.node == node && !it.left);
        if self.upstream == Upstream::At(node) {
            self.snapshot(node, out);
        } else if !serves {
            self.leave(node, out);
        }
    }

    /// Nodes above know nothing of this one any more.
    pub(super) fn join_again(&mut self, out: &mut Vec<SubscriptionEffect>) {
        self.previous = None;
        if let Upstream::At(node) = self.upstream {
            self.snapshot(node, out);
            self.joins_at = self.counter;
        }
    }

    fn snapshot(&mut self, to: NodeId, out: &mut Vec<SubscriptionEffect>) {
        self.table.unannounce();
        self.downstreams.unowe();
        let mut first = true;
        loop {
            self.counter.0 += 1;
            let (patterns, _) = self.table.changes(limits::INTEREST_PATTERNS_MAX, self.counter);
            let last = !self.table.has_changes();
            self.announce(
                to,
                Interest::Snapshot {
                    first,
                    last,
                    patterns,
                },
                out,
            );
            if last {
                break;
            }
            first = false;
        }
        self.whole_at = self.counter;
        self.downstreams.owe(self.counter);
    }

    /// A node that does not serve this one any more needs to know nothing.
    fn leave(&self, node: NodeId, out: &mut Vec<SubscriptionEffect>) {
        self.announce(node, Interest::Leave, out);
    }

    pub(super) fn announce(&self, to: NodeId, interest: Interest, out: &mut Vec<SubscriptionEffect>) {
        let stamp = Stamp {
            incarnation: self.incarnation,
            epoch: self.epoch,
            counter: self.counter,
        };
        out.push(SubscriptionEffect::Announce { to, stamp, interest });
    }

    pub(super) fn confirmed(&mut self, by: NodeId, stamp: Stamp, out: &mut Vec<SubscriptionEffect>) {
        let of_now = (stamp.incarnation, stamp.epoch) == (self.incarnation, self.epoch);
        if self.upstream != Upstream::At(by) || !of_now {
            return;
        }
        self.confirmed = self.confirmed.max(stamp.counter.min(self.counter));
        self.settle(out);
        if !self.is_going_over()
            && let Some(previous) = &mut self.previous
            && !core::mem::replace(&mut previous.left, true)
        {
            let node = previous.node;
            self.leave(node, out);
        }
    }

    /// Tells everybody whose patterns are known all the way up.
    pub(super) fn settle(&mut self, out: &mut Vec<SubscriptionEffect>) {
        let waiting = core::mem::take(&mut self.waiting);
        let (ready, waiting) = waiting.into_iter().partition(|it| self.is_ready(*it));
        self.waiting = waiting;
        let ready: BTreeSet<Subscription> = ready;
        out.extend(ready.into_iter().map(|it| self.ready(it)));
        if self.confirms_itself() {
            self.downstreams.owe(self.confirmed);
        }
        self.downstreams.confirm(self.confirmed, out);
    }

    pub(super) fn refused(
        &mut self,
        by: NodeId,
        reason: SubscribeRefusal,
        patterns: &[KeyPattern],
        out: &mut Vec<SubscriptionEffect>,
    ) {
        if self.upstream != Upstream::At(by) {
            return;
        }
        let mut below: BTreeMap<NodeId, Vec<KeyPattern>> = BTreeMap::new();
        for pattern in patterns {
            let Some(at) = self.table.disown(pattern) else {
                continue;
            };
            let connections: Vec<u32> = self.table.at(at).connections.iter().copied().collect();
            // Nodes first: with its last subscriber the pattern's number ends.
            let has_subscribers = !connections.is_empty();
            for node in self.downstreams.refused(&mut self.table, at) {
                below.entry(node).or_default().push(pattern.clone());
            }
            if has_subscribers {
                self.refuse_locally(&connections, at, reason, out);
            }
        }
        out.extend(
            below
                .into_iter()
                .map(|(to, patterns)| SubscriptionEffect::RefuseInterest { to, reason, patterns }),
        );
    }

    fn refuse_locally(
        &mut self,
        connections: &[u32],
        pattern: u32,
        reason: SubscribeRefusal,
        out: &mut Vec<SubscriptionEffect>,
    ) {
        for at in connections {
            let connection = self.locals.connection(*at);
            out.push(SubscriptionEffect::Refuse {
                subscriber: self.locals.pid(connection.subscriber),
                connection: connection.tag.clone(),
                pattern: self.table.at(pattern).pattern.clone(),
                reason,
            });
            self.end(alloc::vec![(*at, pattern)]);
        }
    }
}
