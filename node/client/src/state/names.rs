//! Names the client has learned: numbers of exchanges, members and their addresses, nodes for pids that people read. All of
//! it is bounded.
//!
//! What does not live here: asking for any of it (`ask`, `connection`), and which address is tried next (`addresses`).

use squall_kernel::id::{ExchangeId, ExchangeName, NodeId, NodeName, Pid};
use squall_kernel::limits::NODES_MAX;
use squall_kernel::registry::Introduction;

use super::Shared;
use crate::limits;

impl Shared {
    pub(crate) fn cached(&self, name: &ExchangeName) -> Option<ExchangeId> {
        self.lock().names.get(name).copied()
    }

    pub(crate) fn cache(&self, name: &ExchangeName, exchange: ExchangeId) {
        let mut state = self.lock();
        if state.names.len() >= limits::NAMES_MAX {
            state.names.clear();
        }
        state.names.insert(name.clone(), exchange);
    }

    /// Takes note of the members. The node at the other end is always one of them, though it may leave itself out of
    /// its list; names are kept, because a handler that is gone still has to be named.
    pub(crate) fn learn(&self, members: &[Introduction]) {
        let peer = self.link.borrow().peer().map(|peer| peer.node.clone());
        let mut state = self.lock();
        state.addresses.learn(members);
        let members = members.iter().take(NODES_MAX).cloned().chain(peer);
        state.members = members.map(|member| (member.id, member)).collect();
        let known = state.node_names.len() + state.members.len();
        if known > limits::NODE_NAMES_MAX {
            state.node_names.clear();
        }
        let names: Vec<_> = state.members.values().map(|m| (m.id, m.name.clone())).collect();
        state.node_names.extend(names);
    }

    pub(crate) fn members(&self) -> Vec<Introduction> {
        self.lock().members.values().cloned().collect()
    }

    pub(crate) fn node_name(&self, node: NodeId) -> Option<NodeName> {
        self.lock().node_names.get(&node).cloned()
    }

    /// The pid as people read it.
    pub(crate) fn pid_text(&self, pid: Pid) -> String {
        self.node_name(pid.node)
            .map_or_else(|| pid.to_string(), |name| pid.text(name.as_str()))
    }
}
