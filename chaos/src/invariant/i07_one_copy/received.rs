//! What `received` promises: whoever was told that it gets everything, before the publish began, has it when its publisher is
//! told so.
//!
//! Nothing is promised to subscribers on nodes that ended, were held for lost, or were given up waiting for by an owner. Of a
//! publish that is forgotten nothing is said: it is forgotten together with who has it.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{ExchangeId, NodeId, Pid, Revision};
use squall_kernel::keys::{Key, KeyPattern};

use super::super::recent::Recent;
use crate::history::Event;
use crate::limits::{COPIES_REMEMBERED, HANDLERS_REMEMBERED, REQUESTS_REMEMBERED};

/// Told to a subscriber that runs.
#[derive(Debug)]
struct Promise {
    /// How many events had been seen.
    since: u64,
    pattern: KeyPattern,
    told: Event,
}

/// A publish whose publisher waits for that word.
#[derive(Debug)]
struct Open {
    begun: u64,
    key: Key,
    got: BTreeSet<Pid>,
}

/// Promises to subscribers, and publishes they are for.
#[derive(Debug)]
pub(super) struct Received {
    seen: u64,
    promises: Recent<(ExchangeId, Pid), Vec<Promise>>,
    open: Recent<RequestKey, Open>,
    /// Who has those, in all, and how many of them there may be.
    copies: usize,
    copies_max: usize,
    /// Nodes that are held for lost, by whom.
    lost: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// How far each node's registry is, and how far that of a node must be which was held for lost: until then it does not know.
    applied: BTreeMap<NodeId, Revision>,
    knows_from: BTreeMap<NodeId, Revision>,
    /// Nodes that an owner waits for no longer, until they get their publishes from it.
    unheard: BTreeSet<(ExchangeId, NodeId)>,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            seen: 0,
            promises: Recent::new(HANDLERS_REMEMBERED),
            open: Recent::new(REQUESTS_REMEMBERED),
            copies: 0,
            copies_max: COPIES_REMEMBERED,
            lost: BTreeMap::new(),
            applied: BTreeMap::new(),
            knows_from: BTreeMap::new(),
            unheard: BTreeSet::new(),
        }
    }
}

impl Received {
    /// One more event happens.
    pub(super) fn goes_on(&mut self) {
        self.seen += 1;
    }

    pub(super) fn begun(&mut self, publish: RequestKey, key: Key) {
        let open = Open {
            begun: self.seen,
            key,
            got: BTreeSet::new(),
        };
        let forgotten = self.open.insert(publish, open);
        self.without(forgotten);
    }

    pub(super) fn got(&mut self, publish: RequestKey, subscriber: Pid) {
        let open = self.open.get_mut(&publish);
        let is_news = open.is_some_and(|open| open.got.insert(subscriber));
        self.copies += usize::from(is_news);
        while self.copies > self.copies_max {
            let forgotten = self.open.forget_oldest();
            self.without(forgotten);
        }
    }

    /// Its publisher waits no longer.
    pub(super) fn over(&mut self, publish: RequestKey) {
        let open = self.open.remove(&publish);
        self.without(open);
    }

    fn without(&mut self, open: Option<Open>) {
        self.copies -= open.map_or(0, |open| open.got.len());
    }

    pub(super) fn subscribed(&mut self, event: &Event, exchange: ExchangeId, subscriber: Pid, pattern: &str) {
        let pattern = match KeyPattern::new(pattern) {
            // A node that knows nothing of what became of it, or of the exchange, says what it cannot keep.
            Ok(pattern) if self.is_known(exchange, event.node) => pattern,
            _ => return,
        };
        let of = (exchange, subscriber);
        let promise = Promise {
            since: self.seen,
            pattern,
            told: event.clone(),
        };
        match self.promises.get_mut(&of) {
            Some(promises) => promises.push(promise),
            None => {
                self.promises.insert(of, vec![promise]);
            }
        }
    }

    fn is_known(&self, exchange: ExchangeId, node: NodeId) -> bool {
        let knows = self
            .knows_from
            .get(&node)
            .is_none_or(|from| self.applied.get(&node) >= Some(from));
        knows && !self.lost.contains_key(&node) && !self.unheard.contains(&(exchange, node))
    }

    pub(super) fn unheard(&mut self, exchange: ExchangeId, node: NodeId) {
        self.unheard.insert((exchange, node));
        self.gone(node, Some(exchange));
    }

    /// The node follows the exchange to where it is now.
    pub(super) fn follows(&mut self, exchange: ExchangeId, node: NodeId) {
        self.unheard.remove(&(exchange, node));
    }

    pub(super) fn unsubscribed(&mut self, exchange: ExchangeId, subscriber: Pid) {
        self.promises.remove(&(exchange, subscriber));
    }

    pub(super) fn lost(&mut self, lost: NodeId, says: NodeId) {
        self.lost.entry(lost).or_default().insert(says);
        if let Some(at) = self.applied.get(&says) {
            let from = self.knows_from.entry(lost).or_default();
            *from = (*from).max(*at);
        }
        self.gone(lost, None);
    }

    pub(super) fn up(&mut self, up: NodeId, says: NodeId) {
        if let Some(by) = self.lost.get_mut(&up) {
            by.remove(&says);
            if by.is_empty() {
                self.lost.remove(&up);
            }
        }
    }

    pub(super) fn applied(&mut self, node: NodeId, revision: Revision) {
        self.applied.insert(node, revision);
    }

    /// A run has ended, and with it what it held for true.
    pub(super) fn ended(&mut self, node: NodeId) {
        let held: Vec<NodeId> = self.lost.keys().copied().collect();
        for lost in held {
            self.up(lost, node);
        }
        self.applied.remove(&node);
        self.unheard.retain(|(_, unheard)| *unheard != node);
        self.gone(node, None);
    }

    /// Nothing is promised there any more: on all exchanges, or on one.
    pub(super) fn gone(&mut self, node: NodeId, exchange: Option<ExchangeId>) {
        self.promises
            .retain(|(of, subscriber), _| subscriber.node != node || exchange.is_some_and(|it| it != *of));
    }

    pub(super) fn deleted(&mut self, exchange: ExchangeId) {
        self.promises.retain(|(of, _), _| *of != exchange);
        self.unheard.retain(|(of, _)| *of != exchange);
    }

    /// The publisher was told. Gives who should have the publish and has not, and what that one was told.
    pub(super) fn confirmed(&self, exchange: ExchangeId, publish: RequestKey) -> Option<(Pid, Event)> {
        let open = self.open.get(&publish)?;
        let mut all = self.promises.iter().filter(|((of, _), _)| *of == exchange);
        all.find_map(|((_, subscriber), promises)| {
            let mut meant = promises
                .iter()
                .filter(|it| it.since < open.begun && it.pattern.matches(&open.key));
            let promise = meant.next().filter(|_| !open.got.contains(subscriber))?;
            Some((*subscriber, promise.told.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::story::{at, handler, request};
    use super::*;
    use crate::history::What;

    const EXCHANGE: ExchangeId = ExchangeId(1);

    #[test]
    fn of_a_publish_that_is_forgotten_nothing_is_said() {
        let mut received = Received {
            copies_max: 2,
            ..Received::default()
        };
        for subscriber in [handler(1), handler(2)] {
            received.subscribed(&at(0, 1, What::Paused), EXCHANGE, subscriber, "#");
        }
        received.goes_on();
        let key = || Key::new("k").expect("a key");
        received.begun(request(1), key());
        received.begun(request(2), key());
        received.got(request(1), handler(1));
        assert!(
            received.confirmed(EXCHANGE, request(1)).is_some(),
            "one has not got it"
        );
        received.got(request(2), handler(1));
        received.got(request(2), handler(2));
        assert_eq!(
            received.confirmed(EXCHANGE, request(1)),
            None,
            "too many have others"
        );
        assert_eq!(received.confirmed(EXCHANGE, request(2)), None, "all have it");
        received.over(request(2));
        assert_eq!(received.copies, 0);
    }
}
