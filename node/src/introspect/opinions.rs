//! What a node would do now with a request for each exchange, as rows: as owner by its own machine and lease, as router by
//! where it would send it. Pure: the live node and the simulated one make their rows here.
//!
//! What does not live here: who owns what (`exchanges`), and the lease (`lease`).

use squall_kernel::id::{Epoch, ExchangeId, NodeId, NodeName};
use squall_kernel::registry::{ExchangeRecord, Registry};
use squall_kernel::time::Span;
use squall_proto::v1;

/// An exchange for which a node has a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Under which epoch.
    pub epoch: Epoch,
    /// True unless the right to act was taken away, or is being handed over.
    pub acting: bool,
}

/// A row for each exchange of the registry. `holding` says what `me` holds of it, `lease_left` for how long it may act: zero
/// for not at all.
pub fn leader_rows(
    registry: &Registry,
    me: &NodeName,
    holding: impl Fn(ExchangeId) -> Option<Holding>,
    lease_left: Span,
) -> Vec<v1::LeaderRow> {
    let row = |record: &ExchangeRecord| leader_row(registry, record, me, holding(record.id), lease_left);
    registry.exchanges.values().map(row).collect()
}

fn leader_row(
    registry: &Registry,
    record: &ExchangeRecord,
    me: &NodeName,
    holding: Option<Holding>,
    lease_left: Span,
) -> v1::LeaderRow {
    let acting = holding.is_some_and(|h| h.acting) && lease_left > Span::ZERO;
    let role = match (holding, acting) {
        (Some(_), true) => v1::LeaderRole::Owner,
        (Some(_), false) => v1::LeaderRole::OwnerNoLease,
        (None, _) => v1::LeaderRole::Router,
    };
    let believed_owner = match role {
        v1::LeaderRole::Owner => me.as_str().to_owned(),
        v1::LeaderRole::OwnerNoLease => String::new(),
        _ => name_or_empty(registry, record.owner),
    };
    let leader = record.leader;
    v1::LeaderRow {
        exchange: record.name.as_str().into(),
        role: role as i32,
        epoch: holding.map_or(record.epoch.0, |h| h.epoch.0),
        leader: leader
            .map(|l| l.pid.text(&name_or_empty(registry, Some(l.pid.node))))
            .unwrap_or_default(),
        leader_epoch: leader.map_or(0, |l| l.epoch.0),
        believed_owner,
        lease_left_ms: if acting { lease_left.as_ms() } else { 0 },
        moving_to: name_or_empty(registry, record.moving.map(|m| m.to)),
    }
}

/// A node's name as the registry has it; empty for none.
pub(crate) fn name_or_empty(registry: &Registry, node: Option<NodeId>) -> String {
    node.and_then(|id| registry.name_of(id))
        .map(|n| n.as_str().to_owned())
        .unwrap_or_default()
}
