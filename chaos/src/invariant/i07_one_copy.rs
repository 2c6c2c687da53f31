//! I7: a subscriber gets at most one copy of a publish, and frames between nodes = nodes with a subscriber.
//!
//! Whatever becomes of owner, proxies and links: nobody gets a publish twice, and an id that the owner remembers is taken
//! once, by the next owner too where it knows what the one before remembered. One node passes a publish on to another once,
//! and two do so only where that one goes over from one to the other. No frame goes to a node that never had a subscriber
//! for it, unless there are proxies or it was to be the owner. And what is confirmed as received is with every subscriber that
//! was told, before it was published, that it gets everything. A publish that goes to one handler goes to no other one, and is
//! with it when it is confirmed as received: unless a node was killed, of whose end not all may be told.

mod asked;
mod ids;
mod killed;
mod one_handler;
mod passed;
mod received;

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::keys::Key;
use squall_kernel::publishing::Confirm;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, PublishEvent, What};
use crate::limits::{GRANTS_REMEMBERED, REQUESTS_REMEMBERED};
use asked::Asked;
use ids::Ids;
use killed::Killed;
use one_handler::OneHandler;
use passed::Passed;
use received::Received;

/// The subscribers of an exchange.
#[derive(Debug, Default)]
struct Subscribers {
    /// Patterns that nodes ever asked for.
    asked: BTreeMap<NodeId, Asked>,
    /// Some node got its publishes from another one than the owner.
    proxied: bool,
    /// Nodes that went over from one node to another.
    went_over: BTreeSet<NodeId>,
    /// Nodes that were given the exchange, or were to be: such a one wants for a while what the others want.
    heirs: BTreeSet<NodeId>,
}

/// The checker of I7.
#[derive(Debug)]
pub struct OneCopy {
    keys: Recent<RequestKey, Key>,
    got: Recent<(RequestKey, Pid), Event>,
    passed: Passed,
    subscribers: Recent<ExchangeId, Subscribers>,
    killed: Killed,
    ids: Ids,
    received: Received,
    one_handler: OneHandler,
    judged: u64,
}

impl Default for OneCopy {
    fn default() -> Self {
        Self {
            keys: Recent::new(REQUESTS_REMEMBERED),
            got: Recent::new(REQUESTS_REMEMBERED),
            passed: Passed::default(),
            subscribers: Recent::new(GRANTS_REMEMBERED),
            killed: Killed::default(),
            ids: Ids::default(),
            received: Received::default(),
            one_handler: OneHandler::default(),
            judged: 0,
        }
    }
}

impl OneCopy {
    fn of(&mut self, exchange: ExchangeId) -> &mut Subscribers {
        if self.subscribers.get(&exchange).is_none() {
            self.subscribers.insert(exchange, Subscribers::default());
        }
        self.subscribers.get_mut(&exchange).expect("inserted above")
    }

    fn got(&mut self, event: &Event, publish: RequestKey, subscriber: Pid) -> Result<(), Breach> {
        self.judged += 1;
        if let Some(before) = self.got.get(&(publish, subscriber)) {
            let text = format!("{subscriber} got publish {publish} twice");
            return Err(Breach::new(self.id(), Some(before), event, text));
        }
        self.got.insert((publish, subscriber), event.clone());
        self.received.got(publish, subscriber);
        Ok(())
    }

    fn passed(
        &mut self,
        event: &Event,
        exchange: ExchangeId,
        publish: RequestKey,
        to: NodeId,
    ) -> Result<(), Breach> {
        let (id, from) = (self.id(), event.node);
        let key = self.keys.get(&publish).cloned();
        let killed = self.killed.is_down(to);
        let of = self.of(exchange);
        let went_over = of.went_over.contains(&to);
        let wants = |key: Key| of.asked.get(&to).is_some_and(|asked| asked.may_want(&key));
        let passes_on = of.proxied || of.heirs.contains(&to) || killed;
        if !passes_on && key.is_some_and(|key| !wants(key)) {
            let text = format!(
                "publish {publish} went to {:x}, which has no subscriber for it",
                to.0
            );
            return Err(Breach::new(id, None, event, text));
        }
        if let Some(before) = self.passed.before(publish, (from, to), went_over) {
            let text = format!("publish {publish} went to {:x} in two frames", to.0);
            return Err(Breach::new(id, Some(before), event, text));
        }
        self.passed.note(publish, (from, to), event);
        Ok(())
    }

    fn confirmed(&mut self, event: &Event, exchange: ExchangeId, publish: RequestKey) -> Result<(), Breach> {
        self.one_handler.confirmed(event, publish, &self.killed)?;
        let missing = self.received.confirmed(exchange, publish);
        self.received.over(publish);
        let Some((subscriber, told)) = missing else {
            return Ok(());
        };
        let text = format!("publish {publish} was confirmed as received, and {subscriber} has not got it");
        Err(Breach::new(self.id(), Some(&told), event, text))
    }

    /// Nobody has got what is tried again.
    fn again(&mut self, publish: RequestKey) {
        self.one_handler.again(publish);
        self.passed.again(publish);
    }

    fn above(&mut self, at: NodeId, exchange: ExchangeId, through_proxy: bool) {
        let of = self.of(exchange);
        of.went_over.insert(at);
        of.proxied |= through_proxy;
    }

    fn publish(&mut self, event: &Event, exchange: ExchangeId, what: &PublishEvent) -> Result<(), Breach> {
        match what {
            PublishEvent::Begun {
                publish,
                to_one: true,
                confirm,
                ..
            } => self.one_handler.begun(*publish, *confirm, self.killed.now()),
            PublishEvent::Begun {
                publish,
                key,
                confirm,
                ..
            } => {
                if let Ok(key) = Key::new(key) {
                    self.keys.insert(*publish, key.clone());
                    if *confirm == Confirm::Received {
                        self.received.begun(*publish, key);
                    }
                }
            }
            PublishEvent::Again { publish } => self.again(*publish),
            PublishEvent::Taken {
                epoch,
                id: Some(id),
                known,
                ..
            } => return self.ids.taken(event, (exchange, *epoch), id, *known),
            PublishEvent::Remembers { epoch } => self.ids.remembers(exchange, *epoch),
            PublishEvent::Inherits { .. } => {
                self.of(exchange).heirs.insert(event.node);
            }
            PublishEvent::Passed { publish, to } => return self.passed(event, exchange, *publish, *to),
            PublishEvent::Handed { publish, handler } => {
                self.judged += 1;
                return self.one_handler.handed(event, *publish, *handler);
            }
            PublishEvent::GivenUp { id } => self.ids.given_up(exchange, id),
            PublishEvent::Got { publish, subscriber } => return self.got(event, *publish, *subscriber),
            PublishEvent::Asked { pattern, .. } => {
                let asked = &mut self.of(exchange).asked;
                asked.entry(event.node).or_default().add(pattern);
            }
            PublishEvent::Above { .. } => {
                self.received.follows(exchange, event.node);
                self.above(event.node, exchange, what.is_through_proxy());
            }
            PublishEvent::Subscribed { subscriber, pattern } => {
                self.received.subscribed(event, exchange, *subscriber, pattern);
            }
            PublishEvent::Unsubscribed { subscriber } => self.received.unsubscribed(exchange, *subscriber),
            PublishEvent::Unheard { nodes } => {
                for node in nodes {
                    self.received.unheard(exchange, *node);
                }
            }
            PublishEvent::Confirmed {
                publish,
                known: false,
            } => return self.confirmed(event, exchange, *publish),
            PublishEvent::Taken { id: None, .. } | PublishEvent::Confirmed { known: true, .. } => {}
        }
        Ok(())
    }
}

impl Invariant for OneCopy {
    fn id(&self) -> Id {
        Id(7)
    }

    fn claim(&self) -> &'static str {
        "a subscriber gets at most one copy of a publish, and frames between nodes = nodes with a subscriber"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.received.goes_on();
        self.killed.goes_on();
        match &event.what {
            What::Publish { exchange, what } => return self.publish(event, *exchange, what),
            What::Own { exchange, epoch } => self.ids.owned(*exchange, *epoch),
            What::Granted { exchange, owner, .. } => {
                self.of(*exchange).heirs.insert(*owner);
            }
            What::Applied { revision, .. } => self.received.applied(event.node, *revision),
            What::Outcome {
                request, more: false, ..
            } => self.received.over(*request),
            What::Routed { request, handler, .. } => self.one_handler.routed(*request, event.node, *handler),
            What::Started { .. } => self.killed.started(event.node),
            What::Ended { graceful } => {
                if !graceful {
                    self.killed.killed(event.node);
                }
                self.received.ended(event.node);
            }
            What::Lost { lost, .. } => self.received.lost(*lost, event.node),
            What::Up { node } => self.received.up(*node, event.node),
            What::Deleted { exchange } => {
                self.received.deleted(*exchange);
                self.ids.deleted(*exchange);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "nothing was published")
    }
}

#[cfg(test)]
#[path = "i07_one_copy_test.rs"]
mod tests;
