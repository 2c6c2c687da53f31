//! Subscribers on this node, their attachments ("connections"), and the patterns of each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::slab::Slab;
use super::table::Table;
use crate::id::Pid;
use crate::keys::KeyPattern;
use crate::limits;
use crate::reason::SubscribeRefusal;

/// One attachment of one subscriber.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) subscriber: u32,
    pub(super) tag: Bytes,
    /// In order.
    patterns: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Subscriber {
    pid: Pid,
    /// Few: in no order.
    connections: Vec<u32>,
    subscriptions: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Locals {
    subscribers: Slab<Subscriber>,
    by_pid: BTreeMap<Pid, u32>,
    connections: Slab<Connection>,
    subscriptions: usize,
}

/// A subscription: numbers of its connection and its pattern.
pub(super) type Subscription = (u32, u32);

impl Locals {
    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    pub(super) fn connection(&self, at: u32) -> &Connection {
        self.connections.at(at)
    }

    pub(super) fn pid(&self, subscriber: u32) -> Pid {
        self.subscribers.at(subscriber).pid
    }

    /// Bounds of the numbers of subscribers and of connections.
    pub(super) fn numbers(&self) -> (usize, usize) {
        (self.subscribers.numbers(), self.connections.numbers())
    }

    pub(super) fn subscribe(
        &mut self,
        table: &mut Table,
        pid: Pid,
        tag: &[u8],
        pattern: &KeyPattern,
    ) -> Result<Subscription, SubscribeRefusal> {
        if let Some(there) = self.find(table, pid, tag, pattern) {
            return Ok(there);
        }
        self.check_bounds(pid, tag)?;
        let connection = self.open(pid, tag);
        let wanted = table.want(pattern, |wanted| {
            wanted.connections.insert(connection);
        });
        match wanted {
            Ok(at) => {
                let patterns = &mut self.connections.at_mut(connection).patterns;
                let place = patterns.partition_point(|it| *it < at);
                patterns.insert(place, at);
                let subscriber = self.connections.at(connection).subscriber;
                self.subscribers.at_mut(subscriber).subscriptions += 1;
                self.subscriptions += 1;
                Ok((connection, at))
            }
            Err(refusal) => {
                self.close_if_unused(connection);
                Err(refusal)
            }
        }
    }

    fn check_bounds(&self, pid: Pid, tag: &[u8]) -> Result<(), SubscribeRefusal> {
        let its = self
            .by_pid
            .get(&pid)
            .map(|at| self.subscribers.at(*at).subscriptions);
        if tag.len() > limits::TAG_BYTES_MAX {
            Err(SubscribeRefusal::ConnectionTag)
        } else if its.is_none() && self.subscribers.len() >= limits::SUBSCRIBERS_PER_NODE_MAX {
            Err(SubscribeRefusal::Subscribers)
        } else if its.is_some_and(|its| its >= limits::PATTERNS_PER_SUBSCRIBER_MAX) {
            Err(SubscribeRefusal::OfSubscriber)
        } else if self.subscriptions >= limits::SUBSCRIPTIONS_PER_NODE_MAX {
            Err(SubscribeRefusal::OfNode)
        } else {
            Ok(())
        }
    }

    /// A subscription that is there.
    pub(super) fn find(
        &self,
        table: &Table,
        pid: Pid,
        tag: &[u8],
        pattern: &KeyPattern,
    ) -> Option<Subscription> {
        let connection = self.find_connection(pid, tag)?;
        let at = table.find(pattern)?;
        let patterns = &self.connections.at(connection).patterns;
        patterns.binary_search(&at).ok().map(|_| (connection, at))
    }

    fn find_connection(&self, pid: Pid, tag: &[u8]) -> Option<u32> {
        let subscriber = self.subscribers.at(*self.by_pid.get(&pid)?);
        let mut connections = subscriber.connections.iter().copied();
        connections.find(|at| self.connections.at(*at).tag == tag)
    }

    /// Subscriptions of one connection.
    pub(super) fn of_connection(&self, pid: Pid, tag: &[u8]) -> Vec<Subscription> {
        let connection = self.find_connection(pid, tag);
        connection.map_or_else(Vec::new, |at| self.subscriptions_of(at).collect())
    }

    /// Subscriptions of one subscriber.
    pub(super) fn of_subscriber(&self, pid: Pid) -> Vec<Subscription> {
        let Some(at) = self.by_pid.get(&pid) else {
            return Vec::new();
        };
        let connections = &self.subscribers.at(*at).connections;
        connections
            .iter()
            .flat_map(|at| self.subscriptions_of(*at))
            .collect()
    }

    fn subscriptions_of(&self, connection: u32) -> impl Iterator<Item = Subscription> {
        let patterns = &self.connections.at(connection).patterns;
        patterns.iter().map(move |at| (connection, *at))
    }

    /// Ends a subscription that is there.
    pub(super) fn end(&mut self, table: &mut Table, (connection, at): Subscription) {
        let it = self.connections.at_mut(connection);
        it.patterns.retain(|pattern| *pattern != at);
        let subscriber = it.subscriber;
        self.subscribers.at_mut(subscriber).subscriptions -= 1;
        self.subscriptions -= 1;
        table.unwant(at, |wanted| {
            wanted.connections.remove(&connection);
        });
        self.close_if_unused(connection);
    }

    fn open(&mut self, pid: Pid, tag: &[u8]) -> u32 {
        if let Some(connection) = self.find_connection(pid, tag) {
            return connection;
        }
        let subscriber = *self.by_pid.entry(pid).or_insert_with(|| {
            self.subscribers.insert(Subscriber {
                pid,
                connections: Vec::new(),
                subscriptions: 0,
            })
        });
        // Copied: a tag must not hold on to the frame that it came with. Cloned once, so that later clones, which are
        // made for each publish, only count.
        let tag = Bytes::copy_from_slice(tag);
        let connection = self.connections.insert(Connection {
            subscriber,
            tag: tag.clone(),
            patterns: Vec::new(),
        });
        self.subscribers.at_mut(subscriber).connections.push(connection);
        connection
    }

    fn close_if_unused(&mut self, connection: u32) {
        let it = self.connections.at(connection);
        if !it.patterns.is_empty() {
            return;
        }
        let number = it.subscriber;
        self.connections.remove(connection);
        let subscriber = self.subscribers.at_mut(number);
        subscriber.connections.retain(|at| *at != connection);
        if subscriber.connections.is_empty() {
            let pid = subscriber.pid;
            self.subscribers.remove(number);
            self.by_pid.remove(&pid);
        }
    }
}
