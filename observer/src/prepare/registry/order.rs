//! The order of what exists by one column. There may be a hundred thousand attached processes, which come and go less often
//! than their figures change: they are put in order when they do. Nodes and exchanges are few.

use std::cmp::Ordering;

use squall_filter::Filter;

use super::{COLUMNS, line};
use crate::cluster::Cluster;
use crate::cluster::node::Node;
use crate::cluster::process::Process;
use crate::facts::{self, RegistryFact};
use crate::prepare::least;
use crate::table::{Sort, wants};
use crate::units::Moment;

/// What the order was made of; the same again makes the same order.
#[derive(Debug, Clone, PartialEq)]
struct Made {
    /// Of each node which processes it has.
    sets: Vec<u64>,
    /// The version of the cluster, where the order depends on figures, or on the moment in the past that is shown.
    version: Option<u64>,
    sort: Sort,
    filter: Filter,
}

/// The order, kept from frame to frame.
#[derive(Debug, Clone, Default)]
pub struct RegistryOrder {
    made: Option<Made>,
    attached: Vec<Key>,
    /// Attached processes there are, whatever the filter says.
    all: usize,
    named: Vec<(Key, RegistryFact)>,
    window: Option<(usize, usize)>,
    shown: Vec<Key>,
}

/// What a row is sorted by, and where it is.
#[derive(Debug, Clone, Copy)]
struct Key {
    value: u64,
    /// The text goes on here.
    more: u64,
    number: u64,
    of: Of,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Named(u32),
    Attached { node: u32, place: u32 },
}

/// What exists, under an order.
pub struct Ordered<'o, 'a> {
    order: &'o mut RegistryOrder,
    nodes: Vec<&'a Node>,
    sort: Sort,
    now: Moment,
    /// Rows there are, whatever the filter says.
    pub unfiltered: usize,
}

/// The column of ages.
const AGE: usize = 5;

impl RegistryOrder {
    /// Brings the order up to date.
    pub fn of<'o, 'a>(
        &'o mut self,
        cluster: &'a Cluster,
        now: Moment,
        sort: Sort,
        filter: &Filter,
    ) -> Ordered<'o, 'a> {
        let nodes: Vec<&Node> = cluster.nodes.values().collect();
        let figures = sort.column == AGE || !filter.is_all() || cluster.is_past();
        let made = Made {
            sets: nodes.iter().map(|node| node.processes.set()).collect(),
            version: figures.then_some(cluster.version),
            sort,
            filter: filter.clone(),
        };
        if self.made.as_ref() != Some(&made) {
            self.window = None;
            self.attached.clear();
            self.all = 0;
            for (i, node) in nodes.iter().enumerate() {
                let all = node.processes.all().iter().enumerate();
                let count = &mut self.all;
                let keys = all.filter_map(|(place, process)| {
                    let kind = facts::attached_kind(process)?;
                    *count += 1;
                    let wanted = || {
                        let fact = facts::attached(node, process, now);
                        fact.is_some_and(|fact| wants(filter, COLUMNS, &line(&fact)))
                    };
                    let of = Of::Attached {
                        node: i as u32,
                        place: place as u32,
                    };
                    (filter.is_all() || wanted()).then(|| key_of_attached(sort, kind, (node, process), of))
                });
                self.attached.extend(keys);
            }
            self.made = Some(made);
        }
        let all = facts::named(cluster, now);
        let unfiltered = all.len() + self.all;
        let named: Vec<(Key, RegistryFact)> = all
            .into_iter()
            .filter(|fact| filter.is_all() || wants(filter, COLUMNS, &line(fact)))
            .enumerate()
            .map(|(i, fact)| (key_of_named(sort, &nodes, &fact, Of::Named(i as u32)), fact))
            .collect();
        let same = |(a, b): (&(Key, RegistryFact), &(Key, RegistryFact))| {
            let place = |of: &(Key, RegistryFact)| (of.0.value, of.0.more);
            place(a) == place(b) && (a.1.kind, &a.1.name) == (b.1.kind, &b.1.name)
        };
        if named.len() != self.named.len() || !named.iter().zip(&self.named).all(same) {
            self.window = None;
        }
        self.named = named;
        Ordered {
            order: self,
            nodes,
            sort,
            now,
            unfiltered,
        }
    }
}

impl Ordered<'_, '_> {
    /// Rows that match the filter.
    #[must_use]
    pub fn total(&self) -> usize {
        self.order.attached.len() + self.order.named.len()
    }

    /// Where a row stands: as many as come before it.
    #[must_use]
    pub fn rank(&self, is: impl Fn(&RegistryFact) -> bool, process: Option<(&str, &str)>) -> Option<usize> {
        let order = &*self.order;
        let own = match process {
            None => order.named.iter().find(|(_, fact)| is(fact)).map(|(key, _)| *key),
            Some((name, pid)) => {
                let (i, node) = self.nodes.iter().enumerate().find(|(_, n)| n.name == name)?;
                let place = node.processes.place(pid)?;
                let of = Of::Attached {
                    node: i as u32,
                    place: place as u32,
                };
                order.attached.iter().find(|key| key.of == of).copied()
            }
        }?;
        let text = Text::of(order, &self.nodes, self.sort);
        let before = |key: &Key| text.compare(key, &own) == Ordering::Less;
        let named = order.named.iter().filter(|(key, _)| before(key)).count();
        Some(named + order.attached.iter().filter(|key| before(key)).count())
    }

    /// The rows from `first` on, at most `count`, in order.
    #[must_use]
    pub fn window(&mut self, first: usize, count: usize) -> Vec<RegistryFact> {
        let total = self.total();
        let first = first.min(total);
        let end = first.saturating_add(count).min(total);
        if self.order.window != Some((first, end)) {
            let mut shown = std::mem::take(&mut self.order.shown);
            let text = Text::of(self.order, &self.nodes, self.sort);
            let named = self.order.named.iter().map(|(key, _)| *key);
            let all = named.chain(self.order.attached.iter().copied());
            least::window(all, (first, end), &mut shown, |a, b| text.compare(a, b));
            self.order.shown = shown;
            self.order.window = Some((first, end));
        }
        let fact = |key: &Key| match key.of {
            Of::Named(i) => self.order.named.get(i as usize).map(|(_, fact)| fact.clone()),
            Of::Attached { node, place } => {
                let node = self.nodes.get(node as usize)?;
                facts::attached(node, node.processes.all().get(place as usize)?, self.now)
            }
        };
        self.order.shown.iter().filter_map(fact).collect()
    }
}

/// Compares rows whose keys are equal by the words that the keys were made of.
struct Text<'t> {
    named: &'t [(Key, RegistryFact)],
    nodes: &'t [&'t Node],
    sort: Sort,
}

impl<'t> Text<'t> {
    fn of(order: &'t RegistryOrder, nodes: &'t [&'t Node], sort: Sort) -> Self {
        Self {
            named: &order.named,
            nodes,
            sort,
        }
    }

    fn compare(&self, a: &Key, b: &Key) -> Ordering {
        (a.value, a.more)
            .cmp(&(b.value, b.more))
            .then_with(|| {
                let order = match self.sort.column {
                    0 | 1 | 4 => self.name(a).cmp(self.name(b)),
                    _ => Ordering::Equal,
                };
                if self.sort.descending {
                    order.reverse()
                } else {
                    order
                }
            })
            // Equal keys keep an order of their own, so that rows do not jump about.
            .then_with(|| node_of(a.of).cmp(&node_of(b.of)))
            .then_with(|| (a.number, a.of).cmp(&(b.number, b.of)))
    }

    fn name(&self, key: &Key) -> &str {
        match key.of {
            Of::Named(i) => self.named.get(i as usize).map_or("", |(_, fact)| &fact.name),
            Of::Attached { node, place } => {
                let node = self.nodes.get(node as usize);
                let process = node.and_then(|node| node.processes.all().get(place as usize));
                process.map_or("", |process| &process.row.name)
            }
        }
    }
}

fn node_of(of: Of) -> Option<u32> {
    match of {
        Of::Named(_) => None,
        Of::Attached { node, .. } => Some(node),
    }
}

fn key_of_attached(sort: Sort, kind: facts::Attached, (on, process): (&Node, &Process), of: Of) -> Key {
    let Of::Attached { node, .. } = of else {
        return key(sort, (0, 0), process.number, of);
    };
    let name = process.row.name.as_str();
    let place = match sort.column {
        0 => kind_and(kind.word, name),
        1 => text(name),
        2 => (u64::from(node), 0),
        3 => text("attached"),
        4 => text(&kind.what(name)),
        // What is not known comes before all that is.
        _ => (process.age_ms(on.processes_ms()).saturating_add(1), 0),
    };
    key(sort, place, process.number, of)
}

fn key_of_named(sort: Sort, nodes: &[&Node], fact: &RegistryFact, of: Of) -> Key {
    let place = match sort.column {
        0 => kind_and(fact.kind, &fact.name),
        1 => text(&fact.name),
        2 => {
            let node = fact.node.as_ref();
            let node = node.and_then(|name| nodes.iter().position(|node| node.name == *name));
            (node.map_or(u64::MAX, |i| i as u64), 0)
        }
        3 => text(fact.state),
        4 => text(&fact.what),
        _ => (fact.age_ms.map_or(0, |ms| ms.saturating_add(1)), 0),
    };
    key(sort, place, 0, of)
}

fn key(sort: Sort, (value, more): (u64, u64), number: u64, of: Of) -> Key {
    let turn = |v: u64| if sort.descending { !v } else { v };
    Key {
        value: turn(value),
        more: turn(more),
        number,
        of,
    }
}

/// The first bytes of a kind are enough to tell it from the others.
fn kind_and(kind: &str, name: &str) -> (u64, u64) {
    let mut bytes = [0; 16];
    fill(&mut bytes[..2], kind);
    fill(&mut bytes[2..], name);
    halves(bytes)
}

fn text(text: &str) -> (u64, u64) {
    let mut bytes = [0; 16];
    fill(&mut bytes, text);
    halves(bytes)
}

fn fill(to: &mut [u8], text: &str) {
    for (to, from) in to.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

fn halves(bytes: [u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(bytes);
    ((whole >> 64) as u64, whole as u64)
}

#[cfg(test)]
#[path = "order_test.rs"]
mod tests;
