//! Where one publish goes: the caller's buffers, kept from publish to publish so that none allocates.

use alloc::vec::Vec;

use bytes::Bytes;

use super::local::Locals;
use crate::id::{NodeId, Pid};
use crate::keys::Walk;

/// One copy of a publish, for one local subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalCopy {
    /// Subscriber.
    pub subscriber: Pid,
    first: u32,
    last: u32,
}

/// Who gets a publish: filled by [`super::Subscriptions::route`].
#[derive(Debug, Clone, Default)]
pub struct Fanout {
    pub(super) walk: Walk,
    pub(super) nodes: Vec<NodeId>,
    pub(super) receivers: Receivers,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Receivers {
    copies: Vec<LocalCopy>,
    tags: Vec<Link>,
    /// Per subscriber and per connection, the publish in which it was met; for subscribers also its copy.
    subscribers_met: Vec<(u32, u32)>,
    connections_met: Vec<u32>,
    publish: u32,
}

/// A connection tag of a copy, and where the copy's next one is.
#[derive(Debug, Clone)]
struct Link {
    tag: Bytes,
    next: Option<u32>,
}

impl Fanout {
    /// One copy for each local subscriber.
    #[must_use]
    pub fn copies(&self) -> &[LocalCopy] {
        &self.receivers.copies
    }

    /// Nodes to send the publish to, each once, in the order of their ids.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Tags of the attachments that the publish matched, each once; there is at least one, and it may be empty (A26).
    pub fn connections(&self, copy: &LocalCopy) -> impl Iterator<Item = &Bytes> {
        let tags = &self.receivers.tags;
        let mut at = Some(copy.first);
        core::iter::from_fn(move || {
            let link = tags.get(at? as usize)?;
            at = link.next;
            Some(&link.tag)
        })
    }
}

impl Receivers {
    pub(super) fn start(&mut self, locals: &Locals) {
        let (subscribers, connections) = locals.numbers();
        self.copies.clear();
        self.tags.clear();
        if self.subscribers_met.len() < subscribers {
            self.subscribers_met.resize(subscribers, (0, 0));
        }
        if self.connections_met.len() < connections {
            self.connections_met.resize(connections, 0);
        }
        self.publish = self.publish.wrapping_add(1);
        if self.publish == 0 {
            self.subscribers_met.fill((0, 0));
            self.connections_met.fill(0);
            self.publish = 1;
        }
    }

    pub(super) fn add(&mut self, locals: &Locals, connection: u32) {
        let met = &mut self.connections_met[connection as usize];
        if *met == self.publish {
            return;
        }
        *met = self.publish;
        let it = locals.connection(connection);
        let link = u32::try_from(self.tags.len()).expect("bounded by SUBSCRIPTIONS_PER_NODE_MAX");
        self.tags.push(Link {
            tag: it.tag.clone(),
            next: None,
        });
        let met = &mut self.subscribers_met[it.subscriber as usize];
        if met.0 == self.publish {
            let copy = &mut self.copies[met.1 as usize];
            self.tags[copy.last as usize].next = Some(link);
            copy.last = link;
        } else {
            let copy = u32::try_from(self.copies.len()).expect("bounded by SUBSCRIBERS_PER_NODE_MAX");
            *met = (self.publish, copy);
            self.copies.push(LocalCopy {
                subscriber: locals.pid(it.subscriber),
                first: link,
                last: link,
            });
        }
    }
}
