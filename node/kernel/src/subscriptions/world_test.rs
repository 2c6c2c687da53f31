//! Five tables and the links between them, for tests: what they send is delivered, lost or late as the test says, and
//! each copy of a publish is compared with a list of who subscribed.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};

use bytes::Bytes;

use super::SubscriptionEffect as Out;
use super::SubscriptionInput as In;
use super::*;
use crate::id::Boot;

pub(super) const NODES: u64 = 5;
/// Declared as proxy; others subscribe there or at the owner.
const PROXY: u64 = 2;
pub(super) const KEYS: [&str; 5] = ["a", "b", "a.b", "a.c", "b.a.c"];
pub(super) const PATTERNS: [&str; 8] = ["a", "b", "a.*", "a.#", "#", "*.b", "#.c", "a.b"];

#[derive(Debug, Clone)]
enum Message {
    Announce(Stamp, Interest),
    Ask,
    Confirm(Stamp),
    Event {
        epoch: Epoch,
        publisher: Pid,
        id: u64,
        key: &'static str,
    },
}

struct Place {
    table: Subscriptions,
    incarnation: u64,
    via_proxy: bool,
    /// Subscriber, tag and pattern; whether it was told to be ready.
    model: BTreeMap<(u32, &'static str, &'static str), bool>,
}

pub(super) struct World {
    places: BTreeMap<u64, Place>,
    links: BTreeMap<(u64, u64), VecDeque<Message>>,
    broken: BTreeSet<(u64, u64)>,
    owner: u64,
    epoch: Epoch,
    events: u64,
    /// Event frames to a node, by event.
    frames: BTreeMap<(u64, u64), u32>,
    pub(super) copies: BTreeSet<(u64, u32, u64)>,
    /// Who was ready when the event was published.
    pub(super) expected: BTreeSet<(u64, u32, u64)>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Subscribe {
        node: u64,
        who: u32,
        tag: &'static str,
        pattern: &'static str,
    },
    Unsubscribe {
        node: u64,
        nth: usize,
    },
    Gone {
        node: u64,
        who: u32,
    },
    Publish {
        key: &'static str,
    },
    Deliver {
        nth: usize,
    },
    Flush {
        node: u64,
    },
    Use {
        node: u64,
        proxy: bool,
    },
    // From here on, publishes may be lost.
    Lose {
        nth: usize,
    },
    Restart {
        node: u64,
        told_at_once: bool,
    },
    Owner {
        node: u64,
        all_know: bool,
    },
    Learn {
        node: u64,
    },
}

impl World {
    pub(super) fn new() -> Self {
        let place = |node| Place {
            table: Subscriptions::new(Instant(0), NodeId(node), Incarnation(1)),
            incarnation: 1,
            via_proxy: false,
            model: BTreeMap::new(),
        };
        let mut world = Self {
            places: (1..=NODES).map(|node| (node, place(node))).collect(),
            links: BTreeMap::new(),
            broken: BTreeSet::new(),
            owner: 1,
            epoch: Epoch(1),
            events: 0,
            frames: BTreeMap::new(),
            copies: BTreeSet::new(),
            expected: BTreeSet::new(),
        };
        (1..=NODES).for_each(|node| world.learn(node));
        world
    }

    pub(super) fn run(&mut self, step: &Step) {
        match *step {
            Step::Subscribe {
                node,
                who,
                tag,
                pattern,
            } => {
                self.place(node).model.entry((who, tag, pattern)).or_insert(false);
                let input = In::Subscribe {
                    subscriber: pid(node, who),
                    connection: Bytes::from_static(tag.as_bytes()),
                    pattern: KeyPattern::new(pattern).unwrap(),
                };
                self.step(node, input);
            }
            Step::Unsubscribe { node, nth } => self.unsubscribe(node, nth),
            Step::Gone { node, who } => {
                self.place(node).model.retain(|it, _| it.0 != who);
                self.expected.retain(|it| (it.0, it.1) != (node, who));
                self.step(
                    node,
                    In::SubscriberGone {
                        subscriber: pid(node, who),
                    },
                );
            }
            Step::Publish { key } => self.publish(key),
            Step::Deliver { nth } => {
                if let Some((link, message)) = self.take(nth) {
                    self.deliver(link, message);
                }
            }
            Step::Flush { node } => self.flush(node),
            Step::Use { node, proxy } => {
                self.place(node).via_proxy = proxy;
                self.learn(node);
            }
            Step::Lose { nth } => {
                if let Some((link, _)) = self.take(nth) {
                    self.broken.insert(link);
                }
            }
            Step::Restart { node, told_at_once } => self.restart(node, told_at_once),
            Step::Owner { node, all_know } => {
                self.give_to(node);
                if all_know {
                    (1..=NODES).for_each(|node| self.learn(node));
                }
            }
            Step::Learn { node } => self.learn(node),
        }
    }

    fn place(&mut self, node: u64) -> &mut Place {
        self.places.get_mut(&node).unwrap()
    }

    fn unsubscribe(&mut self, node: u64, nth: usize) {
        let Some((who, tag, pattern)) = self.place(node).model.keys().nth(nth).copied() else {
            return;
        };
        self.place(node).model.remove(&(who, tag, pattern));
        self.expected.retain(|it| (it.0, it.1) != (node, who));
        let input = In::Unsubscribe {
            subscriber: pid(node, who),
            connection: Bytes::from_static(tag.as_bytes()),
            pattern: Some(KeyPattern::new(pattern).unwrap()),
        };
        self.step(node, input);
    }

    /// The node hears from the registry where the exchange is.
    fn learn(&mut self, node: u64) {
        let (owner, epoch) = (self.owner, self.epoch);
        let upstream = if node == owner {
            Upstream::Root
        } else if node != PROXY && self.place(node).via_proxy {
            Upstream::At(NodeId(PROXY))
        } else {
            Upstream::At(NodeId(owner))
        };
        self.step(node, In::Upstream { epoch, upstream });
    }

    fn give_to(&mut self, node: u64) {
        self.owner = node;
        self.epoch.0 += 1;
    }

    fn restart(&mut self, node: u64, told_at_once: bool) {
        let place = self.place(node);
        let lost = Incarnation(place.incarnation);
        place.incarnation += 1;
        place.table = Subscriptions::new(Instant(0), NodeId(node), Incarnation(lost.0 + 1));
        place.model.clear();
        self.links.retain(|(from, to), _| *from != node && *to != node);
        for other in (1..=NODES).filter(|other| *other != node) {
            self.broken.insert((node, other));
            if told_at_once {
                self.step(
                    other,
                    In::NodeLost {
                        node: NodeId(node),
                        incarnation: lost,
                    },
                );
            }
        }
        if self.owner == node {
            self.give_to(node % NODES + 1);
            (1..=NODES).for_each(|node| self.learn(node));
        }
        self.learn(node);
        if !told_at_once {
            for other in (1..=NODES).filter(|other| *other != node) {
                self.step(
                    other,
                    In::NodeLost {
                        node: NodeId(node),
                        incarnation: lost,
                    },
                );
            }
        }
    }

    fn step(&mut self, node: u64, input: In) {
        let mut out = Vec::new();
        self.place(node).table.step(input, &mut out);
        self.act(node, out);
    }

    fn flush(&mut self, node: u64) {
        let mut out = Vec::new();
        self.place(node).table.flush(&mut out);
        self.act(node, out);
    }

    fn act(&mut self, node: u64, effects: Vec<Out>) {
        for effect in effects {
            match effect {
                Out::Ready {
                    subscriber,
                    connection,
                    pattern,
                } => {
                    let who = u32::try_from(subscriber.serial & 0xffff_ffff).unwrap();
                    let found = self.place(node).model.iter_mut().find(|((w, tag, text), _)| {
                        (*w, tag.as_bytes(), *text) == (who, &connection[..], pattern.as_str())
                    });
                    *found.expect("ready means there").1 = true;
                }
                Out::Announce { to, stamp, interest } => {
                    self.send(node, to.0, Message::Announce(stamp, interest));
                }
                Out::Confirm { to, stamp } => self.send(node, to.0, Message::Confirm(stamp)),
                Out::AskSnapshot { of } => self.send(node, of.0, Message::Ask),
                Out::Fenced { .. } => {}
                Out::Refuse { .. } | Out::RefuseInterest { .. } => panic!("nothing is full"),
            }
        }
    }

    fn send(&mut self, from: u64, to: u64, message: Message) {
        self.links.entry((from, to)).or_default().push_back(message);
    }

    fn take(&mut self, nth: usize) -> Option<((u64, u64), Message)> {
        let busy: Vec<(u64, u64)> = self
            .links
            .iter()
            .filter(|(_, q)| !q.is_empty())
            .map(|(l, _)| *l)
            .collect();
        let link = *busy.get(nth % busy.len().max(1))?;
        Some((link, self.links.get_mut(&link)?.pop_front()?))
    }

    fn deliver(&mut self, (from, to): (u64, u64), message: Message) {
        let node = NodeId(from);
        match message {
            Message::Announce(stamp, interest) => {
                self.step(
                    to,
                    In::Downstream {
                        node,
                        stamp,
                        interest,
                    },
                );
            }
            Message::Ask => self.step(to, In::SnapshotAsked { by: node }),
            Message::Confirm(stamp) => self.step(to, In::Confirmed { by: node, stamp }),
            Message::Event {
                epoch,
                publisher,
                id,
                key,
            } => {
                *self.frames.entry((to, id)).or_default() += 1;
                let Ok(pass) = self.place(to).table.admit(epoch) else {
                    return;
                };
                match self.place(to).table.arrive(node, publisher, MessageId(id)) {
                    Arrival::First => self.route(to, &pass, (publisher, id, key), Some(node)),
                    Arrival::Again => {}
                    Arrival::Stranger => self.step(to, In::SnapshotAsked { by: node }),
                }
            }
        }
    }

    pub(super) fn publish(&mut self, key: &'static str) {
        let (owner, epoch) = (self.owner, self.epoch);
        self.events += 1;
        let id = self.events;
        let Ok(pass) = self.place(owner).table.admit(epoch) else {
            return;
        };
        if self.place(owner).table.upstream() != Upstream::Root {
            return;
        }
        for (node, place) in &self.places {
            for ((who, _, pattern), ready) in &place.model {
                if *ready && matches(pattern, key) {
                    self.expected.insert((*node, *who, id));
                }
            }
        }
        self.route(owner, &pass, (pid(owner, 0), id, key), None);
    }

    fn route(
        &mut self,
        at: u64,
        pass: &Pass,
        (publisher, id, key): (Pid, u64, &'static str),
        except: Option<NodeId>,
    ) {
        let mut fanout = Fanout::default();
        let place = &self.places[&at];
        place
            .table
            .route(pass, &Key::new(key).unwrap(), except, &mut fanout);
        let mut told: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for copy in fanout.copies() {
            let who = u32::try_from(copy.subscriber.serial & 0xffff_ffff).unwrap();
            assert!(self.copies.insert((at, who, id)), "a second copy");
            let tags = fanout
                .connections(copy)
                .map(|tag| String::from_utf8(tag.to_vec()).unwrap());
            let tags: Vec<String> = tags.collect();
            let unique: BTreeSet<String> = tags.iter().cloned().collect();
            assert_eq!(unique.len(), tags.len(), "a tag twice");
            assert!(told.insert(who, unique).is_none());
        }
        let mut wanted: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for (who, tag, pattern) in place.model.keys() {
            if matches(pattern, key) {
                wanted.entry(*who).or_default().insert((*tag).to_string());
            }
        }
        assert_eq!(told, wanted);
        for to in fanout.nodes() {
            let epoch = place.table.epoch();
            let event = Message::Event {
                epoch,
                publisher,
                id,
                key,
            };
            self.links.entry((at, to.0)).or_default().push_back(event);
        }
    }

    /// Everything that is on its way arrives, all nodes know what the registry holds, links that lost something were
    /// made anew.
    pub(super) fn settle(&mut self) {
        (1..=NODES).for_each(|node| self.learn(node));
        for (a, b) in core::mem::take(&mut self.broken) {
            self.step(a, In::Relinked { node: NodeId(b) });
            self.step(b, In::Relinked { node: NodeId(a) });
        }
        for round in 0.. {
            assert!(round < 1000, "it never ends");
            (1..=NODES).for_each(|node| self.flush(node));
            let mut quiet = true;
            while let Some((link, message)) = self.take(0) {
                quiet = false;
                self.deliver(link, message);
            }
            if quiet {
                return;
            }
        }
    }

    pub(super) fn check_quiet(&mut self) {
        for place in self.places.values() {
            assert!(place.model.values().all(|ready| *ready), "all are ready");
        }
        for key in KEYS {
            self.publish(key);
            self.settle();
            let id = self.events;
            let wants = |node: u64| self.places[&node].model.keys().any(|it| matches(it.2, key));
            for node in 1..=NODES {
                let mut needs = wants(node);
                if node == PROXY {
                    needs |= (1..=NODES).any(|n| self.places[&n].via_proxy && n != self.owner && wants(n));
                }
                let frames = self.frames.get(&(node, id)).copied().unwrap_or(0);
                let expected = u32::from(needs && node != self.owner);
                assert_eq!(frames, expected, "frames to {node} for {key}");
            }
            let missing: Vec<_> = self
                .expected
                .iter()
                .filter(|it| it.2 == id && !self.copies.contains(it))
                .collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }
}

fn pid(node: u64, who: u32) -> Pid {
    Pid::new(NodeId(node), Boot(1), who)
}

fn matches(pattern: &str, key: &str) -> bool {
    KeyPattern::new(pattern).unwrap().matches(&Key::new(key).unwrap())
}
