//! Functions of exchanges that route by one: which there are, what a declaration must say of them, and where an exchange
//! with a registered one may live.
//!
//! What does not live here: running them. The kernel never does; the shell evaluates them before it steps an exchange.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{ExchangeRecord, NodeRecord, Refused, Registry, Strategy};
use crate::exchange::fnv;
use crate::id::FunctionName;
use crate::limits::{FUNCTIONS_PER_NODE_MAX, SCRIPT_BYTES_MAX, SCRIPTS_BYTES_MAX};

/// What an exchange of the strategies `fun` and `sticky-fun` asks where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoutingFunction {
    /// A Rust function that nodes were started with. The exchange lives only on nodes that have it.
    Registered(FunctionName),
    /// A script that every node can run.
    Script {
        /// Its text, at most [`SCRIPT_BYTES_MAX`] bytes.
        source: String,
        /// FNV-1a of the text.
        hash: u64,
    },
}

impl RoutingFunction {
    /// The script with that text.
    #[must_use]
    pub fn script(source: &str) -> Self {
        Self::Script {
            source: source.into(),
            hash: fnv(source.as_bytes()),
        }
    }

    /// The registered function that it needs, if it is one.
    #[must_use]
    pub fn registered(&self) -> Option<&FunctionName> {
        match self {
            Self::Registered(name) => Some(name),
            Self::Script { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Registered(_) => 0,
            Self::Script { source, .. } => source.len(),
        }
    }

    fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Registered(_) => Ok(()),
            Self::Script { source, .. } if source.len() > SCRIPT_BYTES_MAX => Err(Refused::Full {
                what: "bytes of a script".into(),
                max: SCRIPT_BYTES_MAX as u64,
            }),
            Self::Script { source, hash } if *hash != fnv(source.as_bytes()) => {
                Err(Refused::Function("its hash is not that of its text".into()))
            }
            Self::Script { .. } => Ok(()),
        }
    }
}

impl fmt::Display for RoutingFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered(name) => write!(f, "function {name}"),
            Self::Script { hash, .. } => write!(f, "script {hash:016x}"),
        }
    }
}

/// How a declaration's function is told of.
pub(super) fn told(function: Option<&RoutingFunction>) -> String {
    function.map_or_else(|| "none".into(), |f| alloc::format!("{f}"))
}

impl ExchangeRecord {
    /// True when that node can evaluate the exchange's function, or it has none.
    #[must_use]
    pub fn can_live_on(&self, node: &NodeRecord) -> bool {
        let needed = self.function.as_ref().and_then(RoutingFunction::registered);
        needed.is_none_or(|name| node.functions.contains(name))
    }
}

impl Registry {
    /// The registered function for want of which an exchange has no owner: no node that may own it has that function.
    #[must_use]
    pub fn missing_function<'r>(&self, exchange: &'r ExchangeRecord) -> Option<&'r FunctionName> {
        let name = exchange.function.as_ref()?.registered()?;
        let anywhere = self
            .nodes
            .values()
            .any(|n| n.may_own() && n.functions.contains(name));
        (exchange.owner.is_none() && !anywhere).then_some(name)
    }

    /// What a declaration says of a function must fit its strategy and the bounds.
    pub(super) fn check_function(
        &self,
        strategy: Strategy,
        function: Option<&RoutingFunction>,
    ) -> Result<(), Refused> {
        let Some(function) = function else {
            return if strategy.has_function() {
                let why = alloc::format!("the strategy '{}' needs one", strategy.as_str());
                Err(Refused::Function(why))
            } else {
                Ok(())
            };
        };
        if !strategy.has_function() {
            let why = alloc::format!("the strategy '{}' takes none", strategy.as_str());
            return Err(Refused::Function(why));
        }
        function.check()?;
        let known = self.exchanges.values().filter_map(|e| e.function.as_ref());
        let all = known.map(RoutingFunction::bytes).sum::<usize>() + function.bytes();
        if all > SCRIPTS_BYTES_MAX {
            return Err(Refused::Full {
                what: "bytes of all scripts".into(),
                max: SCRIPTS_BYTES_MAX as u64,
            });
        }
        Ok(())
    }
}

/// The functions of a node, within their bound, sorted.
pub(super) fn bounded(functions: &[FunctionName]) -> Vec<FunctionName> {
    let mut kept: Vec<FunctionName> = functions.iter().take(FUNCTIONS_PER_NODE_MAX).cloned().collect();
    kept.sort();
    kept.dedup();
    kept
}

#[cfg(test)]
#[path = "function_test.rs"]
mod tests;
