//! What the tables of one exchange on different nodes tell each other: interest up, confirmations down, and all of it to
//! the next owner.
//!
//! What does not live here: what is told (the kernel's machine decides).

use squall_kernel::dedup::{DedupState, DedupWindow};
use squall_kernel::id::{Epoch, NodeId};
use squall_kernel::limits::INTEREST_PATTERNS_MAX;
use squall_kernel::message::{PeerMessage, SubscriptionNews as News};
use squall_kernel::registry::ExchangeRecord;
use squall_kernel::subscriptions::{
    Interest, MovedInterest, Stamp, SubscriptionEffect as Effect, SubscriptionInput as Input, Upstream,
};

use super::table::Running;
use crate::journal::PublishEvent;
use crate::limits::ATTACH_CAP;

impl Running {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Ready {
                subscriber,
                connection,
                pattern,
            } => self.ready(subscriber, &connection, &pattern),
            Effect::Refuse {
                subscriber,
                connection,
                pattern,
                reason,
            } => self.refused(subscriber, &connection, pattern, reason),
            Effect::Announce { to, stamp, interest } => self.announce(to, stamp, interest),
            Effect::Confirm { to, stamp } => self.tell(to, News::Confirmed { stamp }),
            Effect::RefuseInterest { to, reason, patterns } => {
                self.tell(to, News::Refused { reason, patterns });
            }
            Effect::AskSnapshot { of } => self.tell(of, News::Asked),
            Effect::Fenced { to, seen } => self.tell(to, News::Fenced { seen }),
        }
    }

    pub(super) fn news(&mut self, from: NodeId, news: News) {
        match news {
            News::Interest { stamp, interest } => {
                self.interest(from, stamp, interest);
            }
            News::Confirmed { stamp } => self.step(Input::Confirmed { by: from, stamp }),
            News::Refused { reason, patterns } => self.step(Input::Refused {
                by: from,
                reason,
                patterns,
            }),
            News::Asked => {
                self.step(Input::SnapshotAsked { by: from });
                if self.subscribers.is_empty() {
                    self.tell(from, News::Nothing);
                }
            }
            News::Nothing => {}
            News::Gather { revision } => {
                let latest = self.asked.entry(from).or_default();
                *latest = revision.max(*latest);
                if self.core.upstream() == Upstream::At(from) {
                    self.step(Input::SnapshotAsked { by: from });
                }
            }
            News::Gathered { revision } => {
                if revision >= self.gathering {
                    self.awaited.remove(&from);
                }
            }
            News::Fenced { seen } => {
                tracing::debug!(exchange = %self.name, %seen, "the registry here is behind; announced again with it");
            }
            News::Moved {
                epoch,
                interest,
                ids,
                last,
            } => self.moved_in(epoch, interest, &ids, last),
        }
    }

    fn interest(&mut self, from: NodeId, stamp: Stamp, interest: Interest) {
        let registry = self.context.registry();
        let known = registry.nodes.get(&from).map(|node| node.incarnation);
        if known.is_none_or(|known| stamp.incarnation > known) {
            // A run of which the registry does not know here. The next owner would not ask it for what it wants; and what
            // the run before passed on would be forgotten before anybody is asked for that.
            drop(registry);
            return self.miss(from);
        }
        drop(registry);
        self.step(Input::Downstream {
            node: from,
            stamp,
            interest,
        });
    }

    pub(super) fn tell(&mut self, to: NodeId, what: News) {
        let exchange = self.id;
        let message = PeerMessage::Subscriptions { exchange, what };
        if self.context.wire.message(to, exchange, message).is_err() {
            self.miss(to);
        }
    }

    /// Something between that node and this one was lost, or may have been.
    pub(super) fn miss(&mut self, node: NodeId) {
        let due = self.context.clock.now() + ATTACH_CAP;
        if node != self.context.node {
            self.missed.entry(node).or_insert(due);
        }
    }

    /// A node is up: what it said before is asked for now.
    pub(super) fn asks_at_once(&mut self, node: NodeId) {
        let now = self.context.clock.now();
        if let Some(due) = self.missed.get_mut(&node) {
            *due = now;
        }
    }

    pub(super) fn mend(&mut self, node: NodeId) {
        let registry = self.context.registry();
        if !registry.nodes.get(&node).is_some_and(|node| node.is_up()) {
            return;
        }
        drop(registry);
        self.step(Input::Relinked { node });
        self.tell(node, News::Asked);
    }

    /// From now on all publishes pass through here. Nodes that had subscribers under the owner before are asked for them.
    pub(super) fn begin_to_own(&mut self, record: &ExchangeRecord) {
        let epoch = record.epoch;
        let before = self.owns.replace(epoch);
        // A move was cancelled: nobody else has owned it in between.
        let went_on = before.is_some_and(|before| record.is_still_of(before));
        self.dedup_window();
        self.awaited.clear();
        let whole = self.resumed == Some(epoch);
        if whole || went_on {
            self.tell_journal(|| PublishEvent::Remembers { epoch });
        }
        if whole {
            // From now on nodes hear that it is the owner, and announce themselves.
            self.settle_later();
        } else if epoch > Epoch(1) {
            self.gather();
        }
    }

    /// True while a move to this node is under way, as far as it knows: what it was told of then holds, however long it takes.
    pub(super) fn is_heir(&self) -> bool {
        self.owns.is_none() && self.inherits.is_some_and(|epoch| epoch > self.core.epoch())
    }

    pub(super) fn cease_to_own(&mut self) {
        if self.owns.take().is_some() {
            self.awaited.clear();
            self.settle_later();
            // When it comes back at once, the ids may be here before the registry tells that it went.
            if self.inherits.is_none_or(|inherits| inherits <= self.core.epoch()) {
                self.dedup = None;
            }
        }
    }

    fn dedup_window(&mut self) -> Option<&mut DedupWindow> {
        let span = self.settings.dedup?;
        Some(self.dedup.get_or_insert_with(|| DedupWindow::new(span)))
    }

    /// Tells the next owner what is known here, once. What is lost of it is told by the nodes themselves.
    pub(super) fn hand_off(&mut self, to: NodeId, epoch: Epoch) {
        if self.handed.replace(epoch) == Some(epoch) {
            return;
        }
        let now = self.context.clock.now();
        let mut ids = match &self.dedup {
            Some(window) => window.state(now, INTEREST_PATTERNS_MAX),
            None => Vec::new(),
        }
        .into_iter();
        let mut interest = self.core.state().into_iter();
        // Who has not heard from all nodes leaves it to the next owner to ask them.
        let whole = self.awaited.is_empty();
        self.step(Input::HandedOff);
        loop {
            let (part, these): (Vec<MovedInterest>, DedupState) = (
                interest.next().into_iter().collect(),
                ids.next().unwrap_or_default(),
            );
            let last = interest.len() == 0 && ids.len() == 0;
            self.tell(
                to,
                News::Moved {
                    epoch,
                    interest: part,
                    ids: these,
                    last: last && whole,
                },
            );
            if last {
                return;
            }
        }
    }

    fn moved_in(&mut self, epoch: Epoch, interest: Vec<MovedInterest>, ids: &DedupState, last: bool) {
        if self.core.epoch() > epoch {
            return;
        }
        self.inherits = Some(epoch);
        let now = self.context.clock.now();
        if let Some(window) = self.dedup_window() {
            window.absorb(now, ids);
        }
        let state = interest;
        self.step(Input::Resume { epoch, state });
        self.settle_later();
        self.tell_journal(|| PublishEvent::Inherits { epoch });
        if last {
            self.resumed = Some(epoch);
            if self.owns == Some(epoch) {
                self.awaited.clear();
                self.tell_journal(|| PublishEvent::Remembers { epoch });
            }
        }
    }
}
