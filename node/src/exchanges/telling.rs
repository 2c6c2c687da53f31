//! System messages on their way to the nodes: the first goes at once, and so does who leads; others that follow within
//! [`TELL_EVERY`] travel together, in order, and those of an exchange with very many handlers within longer. Whoever is to be told the
//! whole picture gets the one of when it is sent, one message for all of a node; and where more handlers came or went than
//! are told of one by one ([`TELL_NOTICES_MAX`]), it travels in front of what has changed, and the node gives each handler what is less:
//! one inside the node the picture, which all of them share, one of a client seldom. So what it costs to attach very many handlers
//! inside a node grows with their number, not with its square.
//!
//! What does not live here: what is told (the kernel), who gets the picture (`handlers/notice`), and the view of a handler that missed
//! something.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::id::{NodeId, Pid};
use squall_kernel::message::{PeerMessage, System, SystemMessage};
use squall_kernel::time::{Instant, Span};

use super::run::Running;
use crate::limits::{ATTACH_CAP, TELL_EACH, TELL_EVERY, TELL_NEWS_MAX, TELL_NOTICES_MAX};

/// Messages for handlers on one node, each for some of them or for all of the exchange.
pub(super) type Batch = Vec<(Option<Vec<Pid>>, SystemMessage)>;

/// What a node is to be told. Bounded by [`TELL_NEWS_MAX`] and the handlers of an exchange.
#[derive(Default)]
struct Untold {
    /// Who came and went, for all. Empty when `beyond`.
    news: Vec<SystemMessage>,
    /// That is more than is told one by one: the whole picture comes first.
    whole: bool,
    /// There is more than is kept: only the whole picture tells.
    beyond: bool,
    /// Who gets the whole picture in any case.
    newcomers: BTreeSet<Pid>,
}

impl Untold {
    fn is_empty(&self) -> bool {
        self.news.is_empty() && !self.whole && self.newcomers.is_empty()
    }

    /// For so many handlers of the node.
    fn add(&mut self, message: SystemMessage, handlers: usize) {
        self.beyond |= self.news.len() >= TELL_NEWS_MAX;
        if self.beyond {
            self.news = Vec::new();
        } else {
            self.news.push(message);
        }
        let room = (TELL_NOTICES_MAX / handlers.max(1)).max(1);
        self.whole |= self.beyond || self.news.len() > room;
    }

    /// As messages; `whole` gives the whole picture as it is now. It comes first: what is told of behind it is in it, and nothing new
    /// to whoever has it, which newcomers do.
    fn into_batch(self, whole: impl FnOnce() -> SystemMessage) -> Batch {
        if self.beyond {
            return vec![(None, whole())];
        }
        let mut batch = Batch::new();
        if self.whole || !self.newcomers.is_empty() {
            let picture = whole();
            if !self.newcomers.is_empty() {
                batch.push((Some(self.newcomers.into_iter().collect()), picture.clone()));
            }
            if self.whole {
                batch.push((None, picture));
            }
        }
        batch.extend(self.news.into_iter().map(|message| (None, message)));
        batch
    }
}

struct Waiting {
    due: Instant,
    untold: Untold,
}

/// What waits to be told, by node.
#[derive(Default)]
pub(super) struct Telling(BTreeMap<NodeId, Waiting>);

impl Telling {
    /// What the node is to be told, where it is told that now; `pause` is how long it is told nothing then.
    fn put(
        &mut self,
        (now, pause): (Instant, Span),
        node: NodeId,
        add: impl FnOnce(&mut Untold),
    ) -> Option<Untold> {
        if let Some(waiting) = self.0.get_mut(&node) {
            add(&mut waiting.untold);
            return None;
        }
        let due = now + pause;
        let untold = Untold::default();
        self.0.insert(node, Waiting { due, untold });
        let mut at_once = Untold::default();
        add(&mut at_once);
        Some(at_once)
    }

    /// What a node is to be told, without waiting any longer.
    fn take(&mut self, node: NodeId) -> Untold {
        let waiting = self.0.get_mut(&node);
        waiting.map_or_else(Untold::default, |waiting| std::mem::take(&mut waiting.untold))
    }

    /// The same for every node that is to be told something.
    fn take_all(&mut self) -> Vec<(NodeId, Untold)> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.map(|(node, waiting)| (node, waiting.untold))
            .filter(|(_, untold)| !untold.is_empty())
            .collect()
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|waiting| waiting.due).min()
    }

    /// What is due. A node for which nothing came is told the next message at once again.
    fn take_due(&mut self, now: Instant, pause: Span) -> Vec<(NodeId, Untold)> {
        self.0
            .retain(|_, waiting| waiting.due > now || !waiting.untold.is_empty());
        if self.0.is_empty() {
            // An empty map keeps its room.
            self.0 = BTreeMap::new();
        }
        let due = self.0.iter_mut().filter(|(_, waiting)| waiting.due <= now);
        due.map(|(node, waiting)| {
            waiting.due = now + pause;
            (*node, std::mem::take(&mut waiting.untold))
        })
        .collect()
    }

    /// The node's run is over: nobody is there to be told.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }
}

/// How long a node is told nothing after it was told something by an exchange with so many handlers.
fn pause(handlers: usize) -> Span {
    let all = TELL_EACH.0.saturating_mul(handlers as u64);
    TELL_EVERY.max(Span(all))
}

impl Running {
    /// Tells all handlers on a node: at once where that is who leads from now on, behind what they were to be told before.
    pub(super) fn announce(&mut self, node: NodeId, message: SystemMessage) {
        if !matches!(message.what, System::Leader { .. }) {
            let handlers = self.core.handlers_on(node);
            return self.tell(node, |untold| untold.add(message, handlers));
        }
        let now = self.context.clock.now();
        let at_once = (now, pause(self.core.handlers()));
        let _begins_a_pause = self.telling.put(at_once, node, |_| {});
        let before = self.telling.take(node);
        let mut batch = Batch::new();
        // Who leads comes with the whole picture.
        if !before.whole {
            batch.extend(before.news.into_iter().map(|news| (None, news)));
        }
        batch.push((None, message));
        self.send_batch(now, node, batch);
    }

    /// Tells a handler the whole picture.
    pub(super) fn tell_whole(&mut self, handler: Pid) {
        self.tell(handler.node, |untold| {
            untold.newcomers.insert(handler);
        });
    }

    fn tell(&mut self, node: NodeId, add: impl FnOnce(&mut Untold)) {
        let now = self.context.clock.now();
        let pause = pause(self.core.handlers());
        if let Some(untold) = self.telling.put((now, pause), node, add) {
            self.send(now, node, untold);
        }
    }

    pub(super) fn tell_due(&mut self, now: Instant) {
        if self.telling.0.is_empty() {
            return;
        }
        let pause = pause(self.core.handlers());
        for (node, untold) in self.telling.take_due(now, pause) {
            self.send(now, node, untold);
        }
        if self.telling.0.is_empty() {
            // Handlers came or went, as they do together, and all is told: the room that it took is not needed now.
            self.inbox.trim();
            self.effects = Vec::new();
        }
    }

    /// Nothing waits any longer.
    pub(super) fn tell_now(&mut self, now: Instant) {
        for (node, untold) in self.telling.take_all() {
            self.send(now, node, untold);
        }
    }

    fn send(&mut self, now: Instant, node: NodeId, untold: Untold) {
        let whole = || self.system(self.core.counter(), self.core.snapshot());
        let batch = untold.into_batch(whole);
        self.send_batch(now, node, batch);
    }

    /// A message that is lost leaves a gap in that node's view: it is told again, until it is told or lost.
    fn send_batch(&mut self, now: Instant, node: NodeId, messages: Batch) {
        self.process.count_sent(messages.len() as u64);
        let message = PeerMessage::Systems { messages };
        if let Err(error) = self.context.wire.message(node, self.id, message) {
            tracing::debug!(exchange = %self.name, %node, %error, "system messages lost");
            self.missed.insert(node, now + ATTACH_CAP);
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Boot, Counter, Epoch, ExchangeId};
    use squall_kernel::message::Server;

    use super::*;

    const HERE: NodeId = NodeId(1);
    const WHOLE: u64 = 1_000;

    fn pid(n: u32) -> Pid {
        Pid::new(HERE, Boot(1), n)
    }

    fn up(counter: u64) -> SystemMessage {
        SystemMessage {
            exchange: ExchangeId(1),
            epoch: Epoch(1),
            counter: Counter(counter),
            what: System::SlaveUp(Server {
                pid: pid(5),
                service_tag: String::new(),
            }),
        }
    }

    /// For how many a message is, none for all, and its counter.
    fn told(untold: Untold) -> Vec<(Option<usize>, u64)> {
        let batch = untold.into_batch(|| up(WHOLE));
        let each = batch.into_iter();
        each.map(|(to, message)| (to.map(|to| to.len()), message.counter.0))
            .collect()
    }

    fn put(telling: &mut Telling, now: Instant, add: impl FnOnce(&mut Untold)) -> Option<Untold> {
        telling.put((now, TELL_EVERY), HERE, add)
    }

    #[test]
    fn the_first_goes_at_once_and_the_rest_together_in_order() {
        let mut telling = Telling::default();
        let start = Instant(5);
        let first = put(&mut telling, start, |untold| untold.add(up(1), 1)).unwrap();
        assert_eq!(told(first), [(None, 1)]);
        assert!(put(&mut telling, start, |untold| untold.add(up(2), 1)).is_none());
        assert!(put(&mut telling, start, |untold| untold.add(up(3), 1)).is_none());
        let due = telling.next_due().unwrap();
        assert_eq!(due, start + TELL_EVERY);
        assert!(telling.take_due(start, TELL_EVERY).is_empty());
        let (node, sent) = telling.take_due(due, TELL_EVERY).pop().unwrap();
        assert_eq!((node, told(sent)), (HERE, vec![(None, 2), (None, 3)]));
        let quiet = telling.next_due().unwrap();
        assert!(telling.take_due(quiet, TELL_EVERY).is_empty());
        assert_eq!(telling.next_due(), None);
        let next = put(&mut telling, quiet, |untold| untold.add(up(4), 1));
        assert!(next.is_some(), "quiet again");
    }

    #[test]
    fn newcomers_share_one_whole_picture_and_it_comes_before_the_news() {
        let mut telling = Telling::default();
        let newcomer = |n| {
            move |untold: &mut Untold| {
                untold.newcomers.insert(pid(n));
            }
        };
        assert!(put(&mut telling, Instant(0), newcomer(1)).is_some());
        for n in [2, 3, 3] {
            put(&mut telling, Instant(0), |untold| untold.add(up(u64::from(n)), 3));
            put(&mut telling, Instant(0), newcomer(n));
        }
        let sent = told(telling.take(HERE));
        assert_eq!(sent, [(Some(2), WHOLE), (None, 2), (None, 3), (None, 3)]);
        assert!(telling.take(HERE).is_empty());
    }

    #[test]
    fn of_very_many_the_whole_picture_tells_in_front_of_them_or_alone() {
        let mut telling = Telling::default();
        put(&mut telling, Instant(0), |_| {});
        let handlers = 100;
        let some = (TELL_NOTICES_MAX / handlers) as u64;
        for n in 1..=some {
            put(&mut telling, Instant(0), |untold| untold.add(up(n), handlers));
        }
        let all = told(telling.take(HERE));
        assert_eq!(all, (1..=some).map(|n| (None, n)).collect::<Vec<_>>());
        for n in 1..=2 * some {
            put(&mut telling, Instant(0), |untold| untold.add(up(n), handlers));
        }
        let (node, untold) = telling.take_all().pop().unwrap();
        let all = [(None, WHOLE)]
            .into_iter()
            .chain((1..=2 * some).map(|n| (None, n)));
        assert_eq!((node, told(untold)), (HERE, all.collect()));
        assert_eq!(telling.next_due(), None);
        let mut untold = Untold::default();
        for n in 1..=TELL_NEWS_MAX as u64 {
            untold.add(up(n), 1);
        }
        assert!(!untold.whole, "one handler is told of each");
        untold.newcomers.insert(pid(1));
        untold.add(up(1), 1);
        untold.add(up(2), 1);
        assert_eq!(told(untold), [(None, WHOLE)], "newcomers are among all");
    }

    #[test]
    fn an_exchange_with_very_many_handlers_tells_them_less_often() {
        assert_eq!(pause(0), TELL_EVERY);
        assert_eq!(pause(1_000), TELL_EVERY);
        assert_eq!(pause(10_000), Span::from_ms(100));
    }
}
