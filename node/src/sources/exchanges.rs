//! The rows of exchanges: what the registry says of each, what this node has of it, and what it would do now.
//!
//! What does not live here: counting (`router`, `exchanges`), and one exchange's figures (`figures`).

use std::collections::HashMap;

use squall_kernel::id::ExchangeId;
use squall_kernel::registry::{ExchangeRecord, Registry};
use squall_proto::v1;

use super::NodeSources;
use crate::exchanges::OwnedExchange;
use crate::introspect::opinions::{leader_rows, name_or_empty};
use crate::router::ExchangeStats;

impl NodeSources {
    pub(super) fn exchange_rows(&self, registry: &Registry) -> Vec<v1::ExchangeRow> {
        let stats: HashMap<_, _> = self
            .data
            .router
            .stats()
            .into_iter()
            .map(|s| (s.exchange, s))
            .collect();
        let owned = self.owned();
        let row = |record: &ExchangeRecord| {
            self.exchange_row(registry, record, stats.get(&record.id), owned.get(&record.id))
        };
        registry.exchanges.values().map(row).collect()
    }

    fn exchange_row(
        &self,
        registry: &Registry,
        record: &ExchangeRecord,
        stats: Option<&ExchangeStats>,
        owned: Option<&OwnedExchange>,
    ) -> v1::ExchangeRow {
        let acts = owned.is_some_and(|o| o.acting) && self.data.context.lease.holds(self.now());
        let mut row = v1::ExchangeRow {
            name: record.name.as_str().into(),
            pattern: record.pattern.as_str().into(),
            strategy: record.strategy_word().into(),
            owner: name_or_empty(registry, record.owner),
            epoch: record.epoch.0,
            failover: record.failover.iter().map(|n| n.as_str().to_owned()).collect(),
            handlers: owned.map_or(0, |o| o.handlers),
            owned_here: acts,
            moving_to: name_or_empty(registry, record.moving.map(|m| m.to)),
            takeover: record.takeover.as_str().into(),
            prefers: name_or_empty(
                registry,
                registry.preferred(record).filter(|id| record.owner != Some(*id)),
            ),
            ..v1::ExchangeRow::default()
        };
        if let Some(stats) = stats {
            row.requests = stats.requests;
            row.replies = stats.replies;
            row.declined = stats.declined;
            row.refused = stats.refused + stats.timeouts + stats.interrupted;
            row.in_flight = stats.in_flight;
            row.p50_us = stats.p50.0;
            row.p99_us = stats.p99.0;
        }
        row
    }

    /// What this node would do now: as owner by its own process and lease, as router by where it would send a request.
    pub(super) fn leader_rows(&self, registry: &Registry) -> Vec<v1::LeaderRow> {
        let left = self.data.context.lease.left(self.now());
        let owned = self.owned();
        let holding = |id| owned.get(&id).map(OwnedExchange::holding);
        leader_rows(registry, &self.me.name, holding, left)
    }

    pub(super) fn owned(&self) -> HashMap<ExchangeId, OwnedExchange> {
        let owned = self.data.exchanges.owned().into_iter();
        owned.map(|o| (o.exchange, o)).collect()
    }
}
