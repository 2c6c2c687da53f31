//! The node above, and what is done when somebody is lost who passed publishes on. As `squall_node::pubsub::upstream` does
//! it; round trips are not measured, so that zones decide.

use squall_kernel::id::{ExchangeId, NodeId};
use squall_kernel::message::SubscriptionNews as News;
use squall_kernel::nearest::{Candidate, Here, Nearest};
use squall_kernel::registry::{ExchangeRecord, NodeRecord, Registry};
use squall_kernel::subscriptions::{Interest, Stamp, SubscriptionInput as Input, Upstream};
use squall_kernel::time::Instant;
use squall_node::limits::LEAVE_AFTER;

use super::Table;
use crate::sim::host::Host;

/// What the choice depends on beside the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    settled: bool,
    passes_on: bool,
}

impl Host {
    /// Which node is to be above now.
    pub(super) fn choose_upstream(
        &self,
        id: ExchangeId,
        record: &ExchangeRecord,
        registry: &Registry,
    ) -> Upstream {
        let (me, Some(table)) = (self.id(), self.tables.by_exchange.get(&id)) else {
            return Upstream::Nowhere;
        };
        let owner = match record.owner {
            None => return Upstream::Nowhere,
            Some(owner) if owner == me => return self.as_owner(registry),
            Some(owner) => owner,
        };
        let passes_on = record.proxies.contains(&me) || table.core.downstream_nodes() > 0;
        let Upstream::At(current) = table.core.upstream() else {
            return Upstream::At(owner);
        };
        let served_by_owner = [Some(current), table.core.serves_meanwhile()].contains(&table.owner);
        if table.owner.is_some() && table.owner != Some(owner) && served_by_owner {
            return Upstream::At(owner);
        }
        let reaches = |node: &NodeRecord| !self.swallowing.contains(&node.id);
        let sources: Vec<&NodeRecord> = registry.sources(record).collect();
        let stands = sources.iter().any(|node| node.id == current && reaches(node));
        if passes_on || !stands {
            return Upstream::At(owner);
        }
        if !table.core.is_settled() || !table.leaving.is_empty() {
            return Upstream::At(current);
        }
        let candidate = |node: &&NodeRecord| (node.id, zone(node).map(str::to_owned), reaches(node));
        let sources: Vec<_> = sources.iter().map(candidate).collect();
        let candidates: Vec<Candidate<'_>> = sources
            .iter()
            .map(|(node, zone, reachable)| Candidate {
                node: *node,
                zone: zone.as_deref(),
                rtt: None,
                reachable: *reachable,
            })
            .collect();
        let here = Here {
            node: me,
            zone: registry.nodes.get(&me).and_then(zone),
        };
        let chosen = Nearest::at(Some(current)).choose(here, &candidates);
        Upstream::At(chosen.unwrap_or(owner))
    }

    /// Tells the node above what is wanted, or a node that it is left: a proxy not before what is on its way through it is
    /// here.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        id: ExchangeId,
        (to, stamp): (NodeId, Stamp),
        interest: Interest,
    ) {
        let Some(table) = self.tables.get(id) else { return };
        if interest != Interest::Leave {
            table.leaving.remove(&to);
            if table.owner != Some(to) {
                table.used.insert(to);
            }
        } else if table.used.remove(&to) {
            table.leaving.insert(to, (now + LEAVE_AFTER, stamp));
            return;
        } else {
            table.leaving.remove(&to);
        }
        self.tell_table(now, id, to, News::Interest { stamp, interest });
    }

    /// Leaves the proxies whose time has come.
    pub(super) fn leave_late(&mut self, now: Instant, id: ExchangeId) {
        let Some(table) = self.tables.get(id) else { return };
        let due = table.leaving.iter().filter(|(_, (at, _))| *at <= now);
        let due: Vec<(NodeId, Stamp)> = due.map(|(proxy, (_, stamp))| (*proxy, *stamp)).collect();
        for (proxy, stamp) in &due {
            if let Some(table) = self.tables.get(id) {
                table.leaving.remove(proxy);
            }
            let (stamp, interest) = (*stamp, Interest::Leave);
            self.tell_table(now, id, *proxy, News::Interest { stamp, interest });
        }
        if !due.is_empty() {
            // One that is nearer was not gone over to until now.
            self.follow_registry(now, id);
        }
    }

    /// Chooses anew where that may have another end than before.
    pub(super) fn keep_near(&mut self, now: Instant, id: ExchangeId) {
        let Some(table) = self.tables.by_exchange.get_mut(&id) else {
            return;
        };
        let standing = Standing {
            settled: table.core.is_settled(),
            passes_on: table.core.downstream_nodes() > 0,
        };
        if std::mem::replace(&mut table.standing, standing) != standing {
            self.follow_registry(now, id);
        }
        self.say_gathered(now, id);
    }

    /// A run that starts with what the one before knew is no owner yet, and may never be.
    fn as_owner(&self, registry: &Registry) -> Upstream {
        let me = registry.nodes.get(&self.id());
        if me.is_some_and(|me| me.is_up() && me.incarnation == self.config.me.incarnation) {
            Upstream::Root
        } else {
            Upstream::Nowhere
        }
    }

    /// Nodes were lost, and with them, perhaps, what they passed on.
    pub(super) fn others_lost(&mut self, now: Instant, id: ExchangeId, lost: &[NodeId]) {
        let Some(table) = self.tables.get(id).filter(|_| !lost.is_empty()) else {
            return;
        };
        if table.proxied && table.owns.is_some() {
            self.gather(now, id);
        }
        let Some(table) = self.tables.get(id) else { return };
        // A new run of the node above knows nothing.
        if let Upstream::At(above) = table.core.upstream()
            && lost.contains(&above)
        {
            self.table_step(now, id, Input::Forgotten);
        }
    }

    /// Asks all nodes to say so once their subscriptions are known here.
    pub(super) fn gather(&mut self, now: Instant, id: ExchangeId) {
        let me = self.id();
        let up = self.registry.nodes.values().filter(|node| node.is_up());
        let others: Vec<NodeId> = up.map(|node| node.id).filter(|node| *node != me).collect();
        let revision = self.registry.revision;
        let Some(table) = self.tables.get(id) else { return };
        table.awaited = others.iter().copied().collect();
        table.gathering = revision;
        for node in others {
            self.tell_table(now, id, node, News::Gather { revision });
        }
        self.settle_table_later(now, id);
    }

    fn say_gathered(&mut self, now: Instant, id: ExchangeId) {
        let settled = |table: &&mut Table| !table.asked.is_empty() && table.core.is_settled();
        let Some(table) = self.tables.by_exchange.get_mut(&id).filter(settled) else {
            return;
        };
        let known = table.followed;
        let due = table.asked.iter().filter(|(_, revision)| **revision <= known);
        let due: Vec<_> = due.map(|(owner, revision)| (*owner, *revision)).collect();
        for (owner, revision) in due {
            if let Some(table) = self.tables.by_exchange.get_mut(&id) {
                table.asked.remove(&owner);
            }
            self.tell_table(now, id, owner, News::Gathered { revision });
        }
    }
}

fn zone(node: &NodeRecord) -> Option<&str> {
    node.zone.as_ref().map(|zone| zone.as_str())
}
