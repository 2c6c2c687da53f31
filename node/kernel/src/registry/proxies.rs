//! Proxies of publish-subscribe exchanges: nodes that subscribe at the owner and pass publishes on to nodes near them.
//!
//! What does not live here: which of them a node chooses (`nearest`), and what passes through (`subscriptions`).

use super::{ExchangeRecord, NodeRecord, Pattern, Refused, Registry};
use crate::id::{ExchangeName, NodeId, NodeName};

impl Registry {
    pub(super) fn set_proxy(
        &mut self,
        exchange: &ExchangeName,
        node: &NodeName,
        on: bool,
    ) -> Result<bool, Refused> {
        let record = self
            .exchange(exchange)
            .ok_or_else(|| Refused::UnknownExchange(exchange.as_str().into()))?;
        let (id, pattern) = (record.id, record.pattern);
        if pattern != Pattern::PublishSubscribe {
            return Err(Refused::NoProxies {
                exchange: exchange.clone(),
                pattern,
            });
        }
        let node = self
            .node_named(node.as_str())
            .ok_or_else(|| Refused::UnknownNodeName(node.as_str().into()))?
            .id;
        let changed = self.exchanges.get_mut(&id).is_some_and(|record| {
            if on {
                record.proxies.insert(node)
            } else {
                record.proxies.remove(&node)
            }
        });
        Ok(changed)
    }

    /// The node is no member any more.
    pub(super) fn forget_proxy(&mut self, node: NodeId) {
        for record in self.exchanges.values_mut() {
            record.proxies.remove(&node);
        }
    }

    /// Where a node may get an exchange's publishes from: proxies that are up, and the owner.
    pub fn sources<'a>(&'a self, exchange: &'a ExchangeRecord) -> impl Iterator<Item = &'a NodeRecord> {
        let declared = exchange.proxies.iter().filter(|id| exchange.owner != Some(**id));
        let all = declared.chain(&exchange.owner);
        all.filter_map(|id| self.nodes.get(id))
            .filter(|node| node.is_up())
    }
}

#[cfg(test)]
#[path = "proxies_test.rs"]
mod tests;
