//! The node above: which one it is, and what is done when somebody is lost who passed publishes on (A31–A33, A38).
//!
//! Whoever has nobody above it, or loses whom it had, first goes to the owner; once the owner knows all that is wanted
//! here, to the nearest proxy, and leaves the owner when that one has confirmed. So nothing is lost on the way. A node that
//! passes publishes on to others stays at the owner: no proxy is behind another one for long, and none feeds itself.
//!
//! What does not live here: what nearest means (the kernel), and how one node is left for another (the kernel's machine).

use squall_kernel::id::NodeId;
use squall_kernel::message::SubscriptionNews as News;
use squall_kernel::nearest::{Candidate, Here, Nearest};
use squall_kernel::registry::{ExchangeRecord, NodeRecord, Registry};
use squall_kernel::subscriptions::{Interest, Stamp, SubscriptionInput as Input, Upstream};
use squall_kernel::time::Instant;

use super::table::Running;
use crate::limits::LEAVE_AFTER;

/// What the choice depends on beside the registry and the round trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    settled: bool,
    passes_on: bool,
}

impl Running {
    /// Which node is to be above now.
    pub(super) fn choose_upstream(&self, record: &ExchangeRecord, registry: &Registry) -> Upstream {
        let here = self.context.node;
        let owner = match record.owner {
            None => return Upstream::Nowhere,
            Some(owner) if owner == here => return self.as_owner(registry),
            Some(owner) => owner,
        };
        let passes_on = record.proxies.contains(&here) || self.core.downstream_nodes() > 0;
        let Upstream::At(current) = self.core.upstream() else {
            return Upstream::At(owner);
        };
        let served_by_owner = [Some(current), self.core.serves_meanwhile()].contains(&self.owner);
        if self.owner.is_some() && self.owner != Some(owner) && served_by_owner {
            // The next owner has this node's interest from the one before, and sends at once; the one before leaves it to
            // that, also where this node is just going over to a proxy.
            return Upstream::At(owner);
        }
        let reaches = |node: &NodeRecord| self.context.wire.reaches(node.id);
        let sources: Vec<&NodeRecord> = registry.sources(record).collect();
        let stands = sources.iter().any(|node| node.id == current && reaches(node));
        if passes_on || !stands {
            return Upstream::At(owner);
        }
        if !self.core.is_settled() || !self.leaving.is_empty() {
            return Upstream::At(current);
        }
        let candidates: Vec<Candidate<'_>> = sources
            .iter()
            .map(|node| Candidate {
                node: node.id,
                zone: zone(node),
                rtt: self.context.round_trip(node.id),
                reachable: reaches(node),
            })
            .collect();
        let here = Here {
            node: here,
            zone: registry.nodes.get(&here).and_then(zone),
        };
        let chosen = Nearest::at(Some(current)).choose(here, &candidates);
        Upstream::At(chosen.unwrap_or(owner))
    }

    /// A run that starts with what the one before knew is no owner yet, and may never be.
    fn as_owner(&self, registry: &Registry) -> Upstream {
        let me = registry.nodes.get(&self.context.node);
        if me.is_some_and(|me| me.is_up() && me.incarnation == self.context.incarnation) {
            Upstream::Root
        } else {
            Upstream::Nowhere
        }
    }

    /// Tells the node above what is wanted, or a node that it is left: a proxy not before what is on its way through it is
    /// here. The owner sends by the next way all that it does not send by the old one.
    pub(super) fn announce(&mut self, to: NodeId, stamp: Stamp, interest: Interest) {
        if interest != Interest::Leave {
            self.leaving.remove(&to);
            if self.owner != Some(to) {
                self.used.insert(to);
            }
        } else if self.used.remove(&to) {
            let due = self.context.clock.now() + LEAVE_AFTER;
            self.leaving.insert(to, (due, stamp));
            return;
        } else {
            self.leaving.remove(&to);
        }
        self.tell(to, News::Interest { stamp, interest });
    }

    /// Leaves the proxies whose time has come.
    pub(super) fn leave_late(&mut self, now: Instant) {
        let due: Vec<_> = self
            .leaving
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(proxy, (_, stamp))| (*proxy, *stamp))
            .collect();
        for (proxy, stamp) in &due {
            self.leaving.remove(proxy);
            let (stamp, interest) = (*stamp, Interest::Leave);
            self.tell(*proxy, News::Interest { stamp, interest });
        }
        if !due.is_empty() {
            // One that is nearer was not gone over to until now.
            self.follow_registry();
        }
    }

    /// Chooses anew where that may have another end than before.
    pub(super) fn keep_near(&mut self) {
        let now = Standing {
            settled: self.core.is_settled(),
            passes_on: self.core.downstream_nodes() > 0,
        };
        if std::mem::replace(&mut self.standing, now) != now {
            // An exchange that is deleted by now says so by an order.
            self.follow_registry();
        }
        self.catch_up();
        self.say_gathered();
    }

    /// Nodes were lost, and with them, perhaps, what they passed on: no publish is taken before all others have said that
    /// what they want is known here.
    pub(super) fn others_lost(&mut self, lost: &[NodeId]) {
        if lost.is_empty() {
            return;
        }
        if self.proxied && self.owns.is_some() {
            self.gather();
        }
        // A new run of the node above knows nothing.
        if let Upstream::At(above) = self.core.upstream()
            && lost.contains(&above)
        {
            self.step(Input::Forgotten);
        }
    }

    /// Asks all nodes to say so once their subscriptions are known here.
    pub(super) fn gather(&mut self) {
        let registry = self.context.registry_kept();
        let up = registry.nodes.values().filter(|node| node.is_up());
        let others = up.map(|node| node.id).filter(|node| *node != self.context.node);
        self.awaited = others.collect();
        let revision = registry.revision;
        self.gathering = revision;
        for node in self.awaited.clone() {
            self.tell(node, News::Gather { revision });
        }
        self.settle_later();
    }

    /// Follows the registry as far as an owner that asks has it. Steps that do not concern this exchange are not told.
    fn catch_up(&mut self) {
        let followed = self.followed;
        if self.asked.values().any(|revision| *revision > followed) {
            // First: a step that comes after the look at the registry finds it entered.
            self.behind.enter(self.id);
            if self.context.registry().revision > followed {
                self.follow_registry();
            }
        }
    }

    fn say_gathered(&mut self) {
        if self.asked.is_empty() || !self.core.is_settled() {
            return;
        }
        let known = self.followed;
        let due: Vec<_> = self
            .asked
            .iter()
            .filter(|(_, revision)| **revision <= known)
            .map(|(owner, revision)| (*owner, *revision))
            .collect();
        for (owner, revision) in due {
            self.asked.remove(&owner);
            self.tell(owner, News::Gathered { revision });
        }
    }
}

fn zone(node: &NodeRecord) -> Option<&str> {
    node.zone.as_ref().map(|zone| zone.as_str())
}
