//! I10: order per publisher and key.
//!
//! A subscriber gets what one publisher published under one key in the order in which it was published, with three
//! exceptions: a degraded publish, which no owner took, goes to the subscribers of its publisher's node at once; a publish that had to be tried again may come after one that was published before it went out for the last
//! time; and while a node gets its publishes through a proxy, and for some time after that, what comes by the two ways may
//! change its order: the owner sends by the new way as soon as it knows of it, and not before. A
//! change of owners alone excuses nothing: what the one before sent is refused by then.

use std::collections::BTreeMap;

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::time::{Instant, Span};
use squall_node::limits::LEAVE_AFTER;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, PublishEvent, What};
use crate::limits::REQUESTS_REMEMBERED;

/// So long after a node has left a proxy for the owner publishes may come by both ways: the proxy goes on sending, and the
/// owner hears late of it.
const TWO_WAYS: Span = Span(2 * LEAVE_AFTER.0);

/// Number of whoever publishes without a process of its own, several things at once: nothing is said of their order.
const NOBODY: u64 = 0;

/// Exchange, publisher and key.
type Of = (ExchangeId, Pid, String);

/// A publish; its times are numbers of events.
#[derive(Debug, Clone)]
struct Publish {
    of: Of,
    at: Instant,
    begun: u64,
    last_try: u64,
    taken: bool,
}

/// The checker of I10.
#[derive(Debug)]
pub struct Order {
    events: u64,
    publishes: Recent<RequestKey, Publish>,
    /// What each subscriber has, of which the latest was published last.
    latest: Recent<(Pid, Of), (u64, Event)>,
    /// Until when what is published may come to a node by more than one way.
    ways: BTreeMap<(ExchangeId, NodeId), Instant>,
    judged: u64,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            events: 0,
            publishes: Recent::new(REQUESTS_REMEMBERED),
            latest: Recent::new(REQUESTS_REMEMBERED),
            ways: BTreeMap::new(),
            judged: 0,
        }
    }
}

impl Order {
    fn got(&mut self, event: &Event, publish: RequestKey, subscriber: Pid) -> Result<(), Breach> {
        let taken = self.publishes.get(&publish).filter(|publish| publish.taken);
        let Some(publish_of) = taken.cloned() else {
            return Ok(());
        };
        self.judged += 1;
        let place = (subscriber, publish_of.of.clone());
        let Some((later, before)) = self.latest.get(&place).filter(|(n, _)| *n > publish_of.begun) else {
            let news = (publish_of.begun, event.clone());
            self.latest.insert(place, news);
            return Ok(());
        };
        let ways = self.ways.get(&(publish_of.of.0, event.node));
        let went_over = ways.is_some_and(|until| publish_of.at < *until);
        if publish_of.last_try >= *later || went_over {
            return Ok(());
        }
        let text = format!(
            "{subscriber} got publish {publish} of '{}' after a later one of the same publisher",
            publish_of.of.2
        );
        Err(Breach::new(Id(10), Some(before), event, text))
    }

    /// From the owner to the next owner is no other way: what one publishes comes by the one or is refused.
    fn above(&mut self, event: &Event, exchange: ExchangeId, through_proxy: bool) {
        let ever = Instant(u64::MAX);
        let until = self.ways.entry((exchange, event.node)).or_default();
        if through_proxy {
            *until = ever;
        } else if *until == ever {
            *until = event.at + TWO_WAYS;
        }
    }
}

impl Invariant for Order {
    fn id(&self) -> Id {
        Id(10)
    }

    fn claim(&self) -> &'static str {
        "order per publisher and key"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.events += 1;
        let now = self.events;
        let What::Publish { exchange, what } = &event.what else {
            return Ok(());
        };
        match what {
            PublishEvent::Begun {
                publish,
                publisher,
                key,
                ..
            } => {
                if publisher.serial == NOBODY {
                    return Ok(());
                }
                let of = (*exchange, *publisher, key.clone());
                let (begun, last_try, at) = (now, now, event.at);
                self.publishes.insert(
                    *publish,
                    Publish {
                        of,
                        at,
                        begun,
                        last_try,
                        taken: false,
                    },
                );
            }
            PublishEvent::Taken { publish, .. } => {
                if let Some(publish) = self.publishes.get_mut(publish) {
                    publish.taken = true;
                }
            }
            PublishEvent::Again { publish } => {
                if let Some(publish) = self.publishes.get_mut(publish) {
                    publish.last_try = now;
                }
            }
            PublishEvent::Got { publish, subscriber } => {
                return self.got(event, *publish, *subscriber);
            }
            PublishEvent::Above { .. } => self.above(event, *exchange, what.is_through_proxy()),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "nothing was published")
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::Epoch;
    use squall_kernel::publishing::Confirm;

    use super::super::story::{at, broken, granted, handler, holds, request, unknown};
    use super::*;

    fn news(ms: u64, node: u64, what: PublishEvent) -> Event {
        let exchange = ExchangeId(1);
        at(ms, node, What::Publish { exchange, what })
    }

    fn taken(n: u64) -> Event {
        let what = PublishEvent::Taken {
            publish: request(n),
            epoch: Epoch(1),
            id: None,
            known: false,
        };
        news(4, 1, what)
    }

    fn begun(ms: u64, n: u64, key: &str) -> Event {
        let what = PublishEvent::Begun {
            publish: request(n),
            publisher: handler(9),
            key: key.to_owned(),
            confirm: Confirm::Accepted,
            to_one: false,
        };
        news(ms, 9, what)
    }

    fn got(ms: u64, n: u64) -> Event {
        let (publish, subscriber) = (request(n), handler(2));
        news(ms, 2, PublishEvent::Got { publish, subscriber })
    }

    fn above(ms: u64, node: u64, owner: u64) -> Event {
        let (node, owner) = (Some(NodeId(node)), Some(NodeId(owner)));
        news(ms, 2, PublishEvent::Above { node, owner })
    }

    fn published() -> Vec<Event> {
        vec![
            granted(0, 1, 1, 1),
            above(1, 1, 1),
            begun(2, 1, "k"),
            begun(3, 2, "k"),
        ]
    }

    #[test]
    fn an_earlier_one_after_a_later_one_is_a_breach() {
        let mut story = published();
        story.extend([taken(1), taken(2), got(4, 1), got(5, 2)]);
        holds(Order::default(), &story);
        let mut story = published();
        story.extend([taken(1), taken(2), got(4, 2), got(5, 1)]);
        let text = broken(Order::default(), &story).text;
        assert!(text.contains("after a later one"), "{text}");
    }

    #[test]
    fn other_keys_and_what_was_tried_again_or_degraded_may_change_their_order() {
        let mut story = published();
        story.extend([begun(4, 3, "other"), taken(1), taken(2), taken(3)]);
        story.extend([got(5, 3), got(6, 1), got(7, 2)]);
        holds(Order::default(), &story);
        let mut story = published();
        let again = news(4, 9, PublishEvent::Again { publish: request(1) });
        story.extend([again, taken(1), taken(2), got(5, 2), got(6, 1)]);
        holds(Order::default(), &story);
        let mut story = published();
        story.extend([taken(1), got(5, 2), got(6, 1)]);
        holds(Order::default(), &story);
    }

    #[test]
    fn a_proxy_excuses_and_the_next_owner_does_not() {
        let late = [taken(1), taken(2), got(6, 2), got(7, 1)];
        let mut story = published();
        story.push(above(4, 3, 1));
        story.extend(late.clone());
        holds(Order::default(), &story);
        let mut story = published();
        story.push(above(4, 3, 3));
        story.extend(late);
        broken(Order::default(), &story);
    }

    /// A node may follow the registry before it tells of it, and one that lags behind tells late of an owner that was.
    #[test]
    fn the_next_owner_is_no_proxy_whatever_is_told_of_owners() {
        let late = [taken(1), taken(2), got(6, 2), got(7, 1)];
        let mut story = published();
        story.extend([above(4, 3, 3), granted(5, 2, 2, 3), granted(5, 4, 1, 1)]);
        story.extend(late.clone());
        broken(Order::default(), &story);
        let mut story = published();
        story.extend([granted(4, 2, 2, 3), granted(4, 4, 1, 1), above(5, 3, 3)]);
        story.extend(late);
        broken(Order::default(), &story);
    }

    #[test]
    fn of_what_nobody_publishes_one_after_the_other_no_order_is_asked() {
        let nobody = |mut event: Event| {
            if let What::Publish {
                what: PublishEvent::Begun { publisher, .. },
                ..
            } = &mut event.what
            {
                publisher.serial = NOBODY;
            }
            event
        };
        let story: Vec<Event> = published().into_iter().map(nobody).collect();
        unknown(
            Order::default(),
            &[story, vec![taken(1), taken(2), got(4, 2), got(5, 1)]].concat(),
        );
    }

    #[test]
    fn without_publishes_nothing_is_said() {
        unknown(Order::default(), &published());
    }
}
