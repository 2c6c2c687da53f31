//! Declaring an exchange, once and again.
//!
//! What does not live here: who owns it then (`assign`), and what a function must be (`function`).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::{
    ExchangeRecord, Loads, Pattern, Refused, Registry, RoutingFunction, Settings, Strategy, Takeover,
    function,
};
use crate::id::{Epoch, ExchangeName, NodeName};
use crate::limits;

/// What is declared.
pub(super) struct Terms<'a> {
    pub(super) name: &'a ExchangeName,
    pub(super) pattern: Pattern,
    pub(super) strategy: Strategy,
    pub(super) function: Option<&'a RoutingFunction>,
    pub(super) settings: &'a Settings,
    pub(super) failover: &'a [NodeName],
    pub(super) takeover: Option<Takeover>,
}

impl Registry {
    pub(super) fn declare(&mut self, terms: &Terms<'_>) -> Result<bool, Refused> {
        if let Some(existing) = self.exchange(terms.name) {
            return same_declaration(existing, terms).map(|()| false);
        }
        if !terms.pattern.has_strategy() && terms.strategy != Strategy::Default {
            return Err(Refused::NoStrategy {
                exchange: terms.name.clone(),
                pattern: terms.pattern,
                strategy: terms.strategy,
            });
        }
        self.check_function(terms.strategy, terms.function)?;
        terms.settings.check(terms.name, terms.pattern)?;
        if terms.pattern == Pattern::InvertedPublishSubscribe && terms.strategy == Strategy::Default {
            let why = "an inverted publish-subscribe exchange gives each publish to one handler: it needs another strategy than default";
            return Err(Refused::Settings(why.into()));
        }
        if self.exchanges.len() >= limits::EXCHANGES_MAX {
            return Err(Refused::Full {
                what: "exchanges".into(),
                max: limits::EXCHANGES_MAX as u64,
            });
        }
        self.last_exchange.0 += 1;
        let id = self.last_exchange;
        let record = ExchangeRecord {
            id,
            name: terms.name.clone(),
            pattern: terms.pattern,
            strategy: terms.strategy,
            function: terms.function.cloned(),
            settings: terms.settings.clone(),
            failover: terms
                .failover
                .iter()
                .take(limits::FAILOVER_LIST_MAX)
                .cloned()
                .collect(),
            takeover: terms.takeover.unwrap_or_default(),
            held: false,
            owner: None,
            epoch: self.epochs_used.owner,
            first: Epoch(self.epochs_used.owner.0 + 1),
            backup: None,
            proxies: BTreeSet::new(),
            moving: None,
            since: Epoch(0),
            kept: false,
            leader: None,
            leader_epoch: self.epochs_used.leader,
        };
        self.exchanges.insert(id, record);
        self.names.insert(terms.name.clone(), id);
        self.assign(id, &mut Loads::default());
        Ok(true)
    }
}

fn same_declaration(existing: &ExchangeRecord, terms: &Terms<'_>) -> Result<(), Refused> {
    let Terms {
        pattern,
        strategy,
        function,
        settings,
        failover,
        takeover,
        ..
    } = *terms;
    let differs = |what: &str, existing_is: String, wanted: String| Refused::Differs {
        name: existing.name.clone(),
        what: what.into(),
        existing: existing_is,
        wanted,
    };
    if existing.pattern != pattern {
        return Err(differs(
            "pattern",
            existing.pattern.as_str().into(),
            pattern.as_str().into(),
        ));
    }
    if existing.strategy != strategy {
        return Err(differs(
            "strategy",
            existing.strategy.as_str().into(),
            strategy.as_str().into(),
        ));
    }
    if existing.function.as_ref() != function {
        return Err(differs(
            "function",
            function::told(existing.function.as_ref()),
            function::told(function),
        ));
    }
    if existing.settings != *settings {
        let (what, existing_is, wanted) = existing.settings.differences(settings);
        return Err(differs(&what, existing_is, wanted));
    }
    if !failover.is_empty() && existing.failover != failover {
        return Err(differs("failover list", list(&existing.failover), list(failover)));
    }
    if let Some(takeover) = takeover.filter(|t| *t != existing.takeover) {
        return Err(differs(
            "takeover",
            existing.takeover.as_str().into(),
            takeover.as_str().into(),
        ));
    }
    Ok(())
}

fn list(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(",")
}
