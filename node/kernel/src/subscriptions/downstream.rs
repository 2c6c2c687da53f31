//! Nodes that get their publishes from this one, and what they want: announcements in order, gaps noticed and repaired
//! by a snapshot.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::slab::Slab;
use super::step::{Interest, MovedInterest, Stamp, SubscriptionEffect};
use super::table::Table;
use crate::id::{Counter, Epoch, Incarnation, NodeId};
use crate::keys::KeyPattern;
use crate::limits;
use crate::reason::SubscribeRefusal;

#[derive(Debug, Clone)]
struct Downstream {
    node: NodeId,
    /// The latest announcement taken in.
    stamp: Stamp,
    patterns: BTreeSet<u32>,
    state: State,
    /// Taken in here; what the node above has to know of it is not announced yet.
    taken: Option<Stamp>,
    /// Announced above with that counter; confirmed when the node above confirms that.
    owed: Option<(Stamp, Counter)>,
}

#[derive(Debug, Clone)]
enum State {
    /// Resumed from the owner before.
    Resumed,
    /// Something is missing, and a snapshot was asked for.
    Missing,
    /// A snapshot is coming in; so much of it is there.
    Renewing(BTreeSet<u32>),
    Whole,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Downstreams {
    nodes: Slab<Downstream>,
    by_node: BTreeMap<NodeId, u32>,
}

/// Patterns that were refused, by reason.
type Refused = Vec<(SubscribeRefusal, KeyPattern)>;

impl Downstreams {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Those that want something.
    pub(super) fn served(&self) -> usize {
        self.nodes
            .iter()
            .filter(|(_, it)| !it.patterns.is_empty())
            .count()
    }

    /// Nodes of the bits of `mask`, in the order of their ids.
    pub(super) fn nodes_of(&self, mask: u64, except: Option<NodeId>, out: &mut Vec<NodeId>) {
        let mut left = mask;
        while left != 0 {
            let node = self.nodes.at(left.trailing_zeros()).node;
            if Some(node) != except {
                out.push(node);
            }
            left &= left - 1;
        }
        out.sort_unstable();
    }

    /// Takes an announcement in. Nothing happens for one that was taken in before.
    pub(super) fn take(
        &mut self,
        table: &mut Table,
        node: NodeId,
        stamp: Stamp,
        interest: Interest,
        out: &mut Vec<SubscriptionEffect>,
    ) {
        if matches!(interest, Interest::Leave) {
            self.leave(table, node, stamp);
            return;
        }
        let Some(at) = self.enter(node, stamp.incarnation) else {
            refuse(node, &all_of(interest), out);
            return;
        };
        let it = self.nodes.at_mut(at);
        match it.fits(stamp, &interest) {
            Fit::Next => {}
            Fit::Old => return,
            Fit::Gap => {
                it.state = State::Missing;
                out.push(SubscriptionEffect::AskSnapshot { of: node });
                return;
            }
        }
        it.stamp = stamp;
        let refused = match interest {
            Interest::Snapshot {
                first,
                last,
                patterns,
            } => it.take_part(table, bit(at), (first, last), patterns),
            Interest::Delta { add, remove } => it.change(table, bit(at), add, &remove),
            Interest::Leave => Refused::new(),
        };
        refuse(node, &refused, out);
    }

    fn leave(&mut self, table: &mut Table, node: NodeId, stamp: Stamp) {
        if let Some(at) = self.by_node.get(&node).copied()
            && self.nodes.at(at).stamp <= stamp
        {
            self.remove(table, at);
        }
    }

    fn enter(&mut self, node: NodeId, incarnation: Incarnation) -> Option<u32> {
        if let Some(at) = self.by_node.get(&node) {
            return Some(*at);
        }
        if self.nodes.len() >= limits::NODES_MAX {
            return None;
        }
        let at = self.nodes.insert(Downstream {
            node,
            stamp: Stamp {
                incarnation,
                epoch: Epoch(0),
                counter: Counter(0),
            },
            patterns: BTreeSet::new(),
            state: State::Resumed,
            taken: None,
            owed: None,
        });
        self.by_node.insert(node, at);
        Some(at)
    }

    /// A run of a node has ended.
    pub(super) fn lost(&mut self, table: &mut Table, node: NodeId, incarnation: Incarnation) {
        if let Some(at) = self.by_node.get(&node).copied()
            && self.nodes.at(at).stamp.incarnation <= incarnation
        {
            self.remove(table, at);
        }
    }

    fn remove(&mut self, table: &mut Table, at: u32) {
        if let Some(it) = self.nodes.remove(at) {
            self.by_node.remove(&it.node);
            for pattern in it.patterns {
                table.unwant(pattern, |wanted| wanted.nodes &= !bit(at));
            }
        }
    }

    /// All get their publishes from elsewhere from that epoch on. What was told of it, or of a later one, stands.
    pub(super) fn give_up(&mut self, table: &mut Table, epoch: Epoch) {
        let before = |(at, it): (u32, &Downstream)| (it.stamp.epoch < epoch).then_some(at);
        let gone: Vec<u32> = self.nodes.iter().filter_map(before).collect();
        for at in gone {
            self.remove(table, at);
        }
    }

    /// The node above refused a pattern: nodes that wanted it do not get it.
    pub(super) fn refused(&mut self, table: &mut Table, pattern: u32) -> Vec<NodeId> {
        let mask = table.at(pattern).nodes;
        let mut nodes = Vec::new();
        self.nodes_of(mask, None, &mut nodes);
        for node in &nodes {
            let it = self.nodes.at_mut(self.by_node[node]);
            it.patterns.remove(&pattern);
            if let State::Renewing(seen) = &mut it.state {
                seen.remove(&pattern);
            }
        }
        if mask != 0 {
            table.unwant(pattern, |wanted| wanted.nodes = 0);
        }
        nodes
    }

    /// Everything taken in so far is announced above up to that counter.
    pub(super) fn owe(&mut self, counter: Counter) {
        self.nodes.for_each_mut(|it| {
            if it.owed.is_none() {
                it.owed = it.taken.take().map(|stamp| (stamp, counter));
            }
        });
    }

    /// The node above is another one, or forgot: what is owed has to be announced again.
    pub(super) fn unowe(&mut self) {
        self.nodes.for_each_mut(|it| {
            let owed = it.owed.take().map(|(stamp, _)| stamp);
            it.taken = it.taken.max(owed);
        });
    }

    /// The node above has everything up to that counter.
    pub(super) fn confirm(&mut self, confirmed: Counter, out: &mut Vec<SubscriptionEffect>) {
        self.nodes.for_each_mut(|it| {
            if let Some((stamp, counter)) = it.owed
                && counter <= confirmed
            {
                it.owed = None;
                out.push(SubscriptionEffect::Confirm { to: it.node, stamp });
            }
        });
    }

    pub(super) fn state(&self, table: &Table) -> Vec<MovedInterest> {
        let mut state = Vec::new();
        for (_, it) in self.nodes.iter() {
            let patterns: Vec<&KeyPattern> = it.patterns.iter().map(|at| &table.at(*at).pattern).collect();
            moved(it.node, it.stamp.incarnation, &patterns, &mut state);
        }
        state
    }

    /// Takes over what the owner before knew of a node, unless it has announced itself under that epoch. What is left here of
    /// an earlier one says nothing, and neither does a word of then that comes late.
    pub(super) fn resume(&mut self, table: &mut Table, epoch: Epoch, moved: MovedInterest) {
        let Some(at) = self.enter(moved.node, moved.incarnation) else {
            return;
        };
        let it = self.nodes.at_mut(at);
        let resumed = Stamp {
            incarnation: moved.incarnation,
            epoch,
            counter: Counter(0),
        };
        if it.stamp < resumed {
            (it.stamp, it.state) = (resumed, State::Resumed);
            (it.taken, it.owed) = (None, None);
        }
        if it.stamp == resumed {
            // What does not fit is refused when the node announces it.
            let _ = it.add(table, bit(at), moved.patterns);
        }
    }

    /// Nodes that have not announced themselves to this one.
    pub(super) fn unheard(&self) -> impl Iterator<Item = NodeId> {
        let resumed = self
            .nodes
            .iter()
            .filter(|(_, it)| matches!(it.state, State::Resumed));
        resumed.map(|(_, it)| it.node)
    }

    /// Whoever has not announced itself by now gets its publishes from elsewhere.
    pub(super) fn settled(&mut self, table: &mut Table) {
        let resumed = |(at, it): (u32, &Downstream)| matches!(it.state, State::Resumed).then_some(at);
        let gone: Vec<u32> = self.nodes.iter().filter_map(resumed).collect();
        for at in gone {
            self.remove(table, at);
        }
    }
}

/// Where an announcement stands among those taken in.
enum Fit {
    Next,
    /// Taken in before, or part of what a snapshot is asked for.
    Old,
    Gap,
}

impl Downstream {
    fn fits(&self, stamp: Stamp, interest: &Interest) -> Fit {
        let follows = stamp == next(self.stamp);
        let begins = matches!(interest, Interest::Snapshot { first: true, .. });
        match (&self.state, interest) {
            (State::Missing | State::Resumed, _) if begins && stamp >= self.stamp => Fit::Next,
            _ if begins && stamp > self.stamp => Fit::Next,
            (State::Renewing(_), Interest::Snapshot { .. }) if follows => Fit::Next,
            (State::Whole, Interest::Delta { .. }) if follows => Fit::Next,
            (State::Missing, _) => Fit::Old,
            (State::Whole | State::Renewing(_), _) if stamp <= self.stamp => Fit::Old,
            _ => Fit::Gap,
        }
    }

    fn take_part(
        &mut self,
        table: &mut Table,
        bit: u64,
        (first, last): (bool, bool),
        patterns: Vec<KeyPattern>,
    ) -> Refused {
        if first {
            self.state = State::Renewing(BTreeSet::new());
        }
        let refused = self.add(table, bit, patterns);
        if last {
            if let State::Renewing(seen) = core::mem::replace(&mut self.state, State::Whole) {
                for at in self.patterns.difference(&seen) {
                    table.unwant(*at, |wanted| wanted.nodes &= !bit);
                }
                self.patterns = seen;
            }
            self.taken = Some(self.stamp);
        }
        refused
    }

    fn change(
        &mut self,
        table: &mut Table,
        bit: u64,
        add: Vec<KeyPattern>,
        remove: &[KeyPattern],
    ) -> Refused {
        for pattern in remove {
            if let Some(at) = table.find(pattern)
                && self.patterns.remove(&at)
            {
                table.unwant(at, |wanted| wanted.nodes &= !bit);
            }
        }
        self.taken = Some(self.stamp);
        self.add(table, bit, add)
    }

    fn add(&mut self, table: &mut Table, bit: u64, patterns: Vec<KeyPattern>) -> Refused {
        let mut refused = Vec::new();
        for pattern in patterns {
            match table.want(&pattern, |wanted| wanted.nodes |= bit) {
                Ok(at) => {
                    self.patterns.insert(at);
                    if let State::Renewing(seen) = &mut self.state {
                        seen.insert(at);
                    }
                }
                Err(reason) => refused.push((reason, pattern)),
            }
        }
        refused
    }
}

/// Adds a node's patterns to a moving state, in parts.
pub(super) fn moved(
    node: NodeId,
    incarnation: Incarnation,
    patterns: &[&KeyPattern],
    state: &mut Vec<MovedInterest>,
) {
    state.extend(
        patterns
            .chunks(limits::INTEREST_PATTERNS_MAX)
            .map(|part| MovedInterest {
                node,
                incarnation,
                patterns: part.iter().copied().cloned().collect(),
            }),
    );
}

const fn bit(at: u32) -> u64 {
    1 << at
}

fn next(stamp: Stamp) -> Stamp {
    Stamp {
        counter: Counter(stamp.counter.0 + 1),
        ..stamp
    }
}

fn all_of(interest: Interest) -> Refused {
    let patterns = match interest {
        Interest::Snapshot { patterns, .. } | Interest::Delta { add: patterns, .. } => patterns,
        Interest::Leave => Vec::new(),
    };
    let refused = |pattern| (SubscribeRefusal::Nodes, pattern);
    patterns.into_iter().map(refused).collect()
}

fn refuse(to: NodeId, refused: &[(SubscribeRefusal, KeyPattern)], out: &mut Vec<SubscriptionEffect>) {
    for reason in SubscribeRefusal::ALL {
        let patterns = refused.iter().filter(|(why, _)| why == reason);
        let patterns: Vec<KeyPattern> = patterns.map(|(_, pattern)| pattern.clone()).collect();
        if !patterns.is_empty() {
            out.push(SubscriptionEffect::RefuseInterest {
                to,
                reason: *reason,
                patterns,
            });
        }
    }
}
