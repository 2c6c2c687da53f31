//! What the tables of one exchange on different nodes tell each other. As `squall_node::pubsub::neighbours` does it.

use squall_kernel::dedup::{DedupState, DedupWindow};
use squall_kernel::id::{Epoch, ExchangeId, NodeId};
use squall_kernel::limits::{ATTACH_CAP, INTEREST_PATTERNS_MAX};
use squall_kernel::message::{PeerMessage, SubscriptionNews as News};
use squall_kernel::registry::ExchangeRecord;
use squall_kernel::subscriptions::{
    Interest, MovedInterest, Stamp, SubscriptionEffect as Effect, SubscriptionInput as Input, Upstream,
};
use squall_kernel::time::Instant;
use squall_node::limits::SUBSCRIPTIONS_SETTLE;

use super::Table;
use crate::history::PublishEvent;
use crate::sim::host::Host;

impl Table {
    pub(super) fn dedup_window(&mut self) -> Option<&mut DedupWindow> {
        let span = self.settings.dedup?;
        Some(self.dedup.get_or_insert_with(|| DedupWindow::new(span)))
    }

    /// True while a move to this node is under way, as far as it knows.
    pub(super) fn is_heir(&self) -> bool {
        self.owns.is_none() && self.inherits.is_some_and(|epoch| epoch > self.core.epoch())
    }
}

impl Host {
    pub(super) fn carry_out_table(&mut self, now: Instant, id: ExchangeId, effect: Effect) {
        match effect {
            Effect::Ready {
                subscriber, pattern, ..
            } => {
                let pattern = pattern.as_str().to_owned();
                self.tell_of(id, PublishEvent::Subscribed { subscriber, pattern });
            }
            Effect::Refuse { subscriber, .. } => {
                self.count("subscriptions refused");
                let known = self
                    .tables
                    .get(id)
                    .is_some_and(|t| t.subscribers.remove(&subscriber));
                if known {
                    self.forget_subscriber(now, id, subscriber);
                }
            }
            Effect::Announce { to, stamp, interest } => self.announce(now, id, (to, stamp), interest),
            Effect::Confirm { to, stamp } => self.tell_table(now, id, to, News::Confirmed { stamp }),
            Effect::RefuseInterest { to, reason, patterns } => {
                self.tell_table(now, id, to, News::Refused { reason, patterns });
            }
            Effect::AskSnapshot { of } => self.tell_table(now, id, of, News::Asked),
            Effect::Fenced { to, seen } => self.tell_table(now, id, to, News::Fenced { seen }),
        }
    }

    /// Takes in what another node's table says.
    pub(in crate::sim::host) fn take_news(&mut self, now: Instant, from: NodeId, id: ExchangeId, news: News) {
        if self.tables.by_exchange.contains_key(&id) {
            return self.news(now, id, from, news);
        }
        match news {
            News::Interest { .. } | News::Moved { .. } => {
                if self.begin_table(now, id).is_some() {
                    self.news(now, id, from, news);
                }
            }
            News::Asked | News::Gather { .. } => {
                let what = match news {
                    News::Gather { revision } => News::Gathered { revision },
                    _ => News::Nothing,
                };
                let exchange = id;
                let _asker_goes_on = self.message(from, id, &PeerMessage::Subscriptions { exchange, what });
            }
            News::Confirmed { .. }
            | News::Refused { .. }
            | News::Nothing
            | News::Gathered { .. }
            | News::Fenced { .. } => {}
        }
    }

    fn news(&mut self, now: Instant, id: ExchangeId, from: NodeId, news: News) {
        let Some(table) = self.tables.get(id) else { return };
        match news {
            News::Interest { stamp, interest } => self.interest(now, id, (from, stamp), interest),
            News::Confirmed { stamp } => self.table_step(now, id, Input::Confirmed { by: from, stamp }),
            News::Refused { reason, patterns } => {
                let by = from;
                self.table_step(now, id, Input::Refused { by, reason, patterns });
            }
            News::Asked => {
                let nobody = table.subscribers.is_empty();
                self.table_step(now, id, Input::SnapshotAsked { by: from });
                if nobody {
                    self.tell_table(now, id, from, News::Nothing);
                }
            }
            News::Nothing => {}
            News::Gather { revision } => {
                let latest = table.asked.entry(from).or_default();
                *latest = revision.max(*latest);
                if table.core.upstream() == Upstream::At(from) {
                    self.table_step(now, id, Input::SnapshotAsked { by: from });
                }
            }
            News::Gathered { revision } => {
                if revision >= table.gathering {
                    table.awaited.remove(&from);
                }
            }
            News::Fenced { .. } => self.count("announcements fenced"),
            News::Moved {
                epoch,
                interest,
                ids,
                last,
            } => self.moved_in(now, id, (epoch, last), (interest, &ids)),
        }
    }

    fn interest(&mut self, now: Instant, id: ExchangeId, (from, stamp): (NodeId, Stamp), interest: Interest) {
        let known = self.registry.nodes.get(&from).map(|node| node.incarnation);
        if known.is_none_or(|known| stamp.incarnation > known) {
            // A run of which the registry does not know here: the next owner would not ask it.
            return self.table_missed(now, id, from);
        }
        self.table_step(
            now,
            id,
            Input::Downstream {
                node: from,
                stamp,
                interest,
            },
        );
    }

    pub(super) fn tell_table(&mut self, now: Instant, exchange: ExchangeId, to: NodeId, what: News) {
        let message = PeerMessage::Subscriptions { exchange, what };
        if self.message(to, exchange, &message).is_err() {
            self.table_missed(now, exchange, to);
        }
    }

    /// Something between that node and this one was lost, or may have been.
    pub(in crate::sim::host) fn table_missed(&mut self, now: Instant, id: ExchangeId, node: NodeId) {
        let me = self.id();
        if let Some(table) = self.tables.get(id).filter(|_| node != me) {
            table.missed.entry(node).or_insert(now + ATTACH_CAP);
        }
    }

    pub(super) fn mend(&mut self, now: Instant, id: ExchangeId, node: NodeId) {
        if self.registry.nodes.get(&node).is_some_and(|node| node.is_up()) {
            self.table_step(now, id, Input::Relinked { node });
            self.tell_table(now, id, node, News::Asked);
        }
    }

    /// From now on all publishes pass through here. Nodes that had subscribers under the owner before are asked for them.
    pub(super) fn begin_to_own(&mut self, now: Instant, id: ExchangeId, record: &ExchangeRecord) {
        let epoch = record.epoch;
        let Some(table) = self.tables.get(id) else { return };
        let before = table.owns.replace(epoch);
        // A move was cancelled: nobody else has owned it in between.
        let went_on = before.is_some_and(|before| record.is_still_of(before));
        table.dedup_window();
        table.awaited.clear();
        let whole = table.resumed == Some(epoch);
        if whole || went_on {
            self.tell_of(id, PublishEvent::Remembers { epoch });
        }
        if whole {
            self.settle_table_later(now, id);
        } else if epoch > Epoch(1) {
            self.gather(now, id);
        }
    }

    pub(super) fn cease_to_own(&mut self, now: Instant, id: ExchangeId) {
        if let Some(table) = self.tables.get(id)
            && table.owns.take().is_some()
        {
            table.awaited.clear();
            table.settles_at = Some(now + SUBSCRIPTIONS_SETTLE);
            // When it comes back at once, the ids may be here before the registry tells that it went.
            if table
                .inherits
                .is_none_or(|inherits| inherits <= table.core.epoch())
            {
                table.dedup = None;
            }
        }
    }

    /// Tells the next owner what is known here, once.
    pub(super) fn hand_table_off(&mut self, now: Instant, id: ExchangeId, to: NodeId, epoch: Epoch) {
        let Some(table) = self.tables.get(id) else { return };
        if table.handed.replace(epoch) == Some(epoch) {
            return;
        }
        let window = table.dedup.as_ref();
        let mut ids = window
            .map_or_else(Vec::new, |window| window.state(now, INTEREST_PATTERNS_MAX))
            .into_iter();
        let mut interest = table.core.state().into_iter();
        let whole = table.awaited.is_empty();
        self.table_step(now, id, Input::HandedOff);
        loop {
            let part: Vec<MovedInterest> = interest.next().into_iter().collect();
            let these: DedupState = ids.next().unwrap_or_default();
            let last = interest.len() == 0 && ids.len() == 0;
            let news = News::Moved {
                epoch,
                interest: part,
                ids: these,
                last: last && whole,
            };
            self.tell_table(now, id, to, news);
            if last {
                return;
            }
        }
    }

    fn moved_in(
        &mut self,
        now: Instant,
        id: ExchangeId,
        (epoch, last): (Epoch, bool),
        (interest, ids): (Vec<MovedInterest>, &DedupState),
    ) {
        let Some(table) = self.tables.get(id).filter(|table| table.core.epoch() <= epoch) else {
            return;
        };
        table.inherits = Some(epoch);
        if let Some(window) = table.dedup_window() {
            window.absorb(now, ids);
        }
        let state = interest;
        self.table_step(now, id, Input::Resume { epoch, state });
        self.settle_table_later(now, id);
        self.tell_of(id, PublishEvent::Inherits { epoch });
        let Some(table) = self.tables.get(id).filter(|_| last) else {
            return;
        };
        table.resumed = Some(epoch);
        if table.owns == Some(epoch) {
            table.awaited.clear();
            self.tell_of(id, PublishEvent::Remembers { epoch });
        }
    }
}
