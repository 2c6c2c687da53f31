//! What callers of the admin service write, checked; and exchanges as they are told of.

use squall_kernel::id::{ExchangeName, FunctionName, NodeName};
use squall_kernel::limits as bounds;
use squall_kernel::registry::{
    Command, ExchangeRecord, Pattern, Registry, RoutingFunction, Settings, Strategy, Takeover,
};
use squall_proto::v1;

use super::settings;
use crate::grpc::status::CallError;

/// A checked declaration.
#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) name: ExchangeName,
    pattern: Pattern,
    strategy: Strategy,
    function: Option<RoutingFunction>,
    settings: Settings,
    failover: Vec<NodeName>,
    takeover: Option<Takeover>,
}

impl Declaration {
    pub(super) fn parse(asked: &v1::DeclareExchangeRequest) -> Result<Self, CallError> {
        let name = exchange_name(&asked.name)?;
        let pattern = Pattern::parse(&asked.pattern).ok_or_else(|| CallError::Invalid {
            field: "pattern",
            reason: format!(
                "'{}' is none; there are {}",
                shown(&asked.pattern),
                Pattern::ALL.map(Pattern::as_str).join(", ")
            ),
        })?;
        let strategy = strategy(&asked.strategy, pattern)?;
        Ok(Self {
            name,
            pattern,
            strategy,
            function: function(asked)?,
            settings: settings(asked)?,
            failover: failover_list(&asked.failover)?,
            takeover: takeover(&asked.takeover)?,
        })
    }

    pub(super) fn command(&self) -> Command {
        Command::Declare {
            name: self.name.clone(),
            pattern: self.pattern,
            strategy: self.strategy,
            function: self.function.clone(),
            settings: self.settings.clone(),
            failover: self.failover.clone(),
            takeover: self.takeover,
        }
    }

    /// The exchange as declared, for when this node's registry lags behind.
    pub(super) fn info(&self) -> v1::ExchangeInfo {
        v1::ExchangeInfo {
            name: self.name.to_string(),
            pattern: self.pattern.as_str().to_owned(),
            strategy: if self.pattern.has_strategy() {
                self.strategy.as_str().to_owned()
            } else {
                String::new()
            },
            failover: self.failover.iter().map(ToString::to_string).collect(),
            takeover: self.takeover.unwrap_or_default().as_str().to_owned(),
            function: registered(self.function.as_ref()),
            script: script(self.function.as_ref()).0,
            script_hash: script(self.function.as_ref()).1,
            settings: Some(settings::told(&self.settings)),
            ..Default::default()
        }
    }
}

/// Left out where no strategy picks handlers, given everywhere else.
fn strategy(word: &str, pattern: Pattern) -> Result<Strategy, CallError> {
    let invalid = |reason| CallError::Invalid {
        field: "strategy",
        reason,
    };
    if !pattern.has_strategy() {
        let (word, pattern) = (shown(word), pattern.as_str());
        let none = || format!("'{word}' has no meaning with the pattern {pattern}: leave it out");
        return word
            .is_empty()
            .then_some(Strategy::Default)
            .ok_or_else(|| invalid(none()));
    }
    Strategy::parse(word).ok_or_else(|| {
        invalid(format!(
            "'{}' is none; there are {}",
            shown(word),
            Strategy::ALL.map(Strategy::as_str).join(", ")
        ))
    })
}

pub(super) fn exchange_name(text: &str) -> Result<ExchangeName, CallError> {
    ExchangeName::new(text).map_err(|e| CallError::Invalid {
        field: "name",
        reason: e.to_string(),
    })
}

pub(super) fn node_name(text: &str) -> Result<NodeName, CallError> {
    NodeName::new(text).map_err(|e| CallError::Invalid {
        field: "node",
        reason: e.to_string(),
    })
}

fn function(asked: &v1::DeclareExchangeRequest) -> Result<Option<RoutingFunction>, CallError> {
    let invalid = |field, reason: String| CallError::Invalid { field, reason };
    match (asked.function.as_str(), asked.script.as_str()) {
        ("", "") => Ok(None),
        (name, "") => FunctionName::new(name)
            .map(|name| Some(RoutingFunction::Registered(name)))
            .map_err(|error| invalid("function", error.to_string())),
        ("", source) => crate::script::check(source)
            .map(|()| Some(RoutingFunction::script(source)))
            .map_err(|error| invalid("script", error.to_string())),
        _ => {
            let both = "a registered function and a script: it takes one of them".into();
            Err(invalid("function", both))
        }
    }
}

fn settings(asked: &v1::DeclareExchangeRequest) -> Result<Settings, CallError> {
    asked
        .settings
        .as_ref()
        .map_or_else(|| Ok(Settings::default()), settings::parse)
}

fn takeover(word: &str) -> Result<Option<Takeover>, CallError> {
    if word.is_empty() {
        return Ok(None);
    }
    let invalid = || CallError::Invalid {
        field: "takeover",
        reason: format!(
            "'{}' is none; there are {}",
            shown(word),
            Takeover::ALL.map(Takeover::as_str).join(", ")
        ),
    };
    Takeover::parse(word).map(Some).ok_or_else(invalid)
}

fn failover_list(names: &[String]) -> Result<Vec<NodeName>, CallError> {
    let invalid = |reason| CallError::Invalid {
        field: "failover",
        reason,
    };
    if names.len() > bounds::FAILOVER_LIST_MAX {
        let max = bounds::FAILOVER_LIST_MAX;
        return Err(invalid(format!(
            "{} names, at most {max} are allowed",
            names.len()
        )));
    }
    let mut list: Vec<NodeName> = Vec::with_capacity(names.len());
    for name in names {
        let name = NodeName::new(name).map_err(|e| invalid(e.to_string()))?;
        if list.contains(&name) {
            return Err(invalid(format!("node '{name}' stands in it twice")));
        }
        list.push(name);
    }
    Ok(list)
}

/// A text of a caller as it can be given back: short and without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

pub(super) fn info(record: &ExchangeRecord, registry: &Registry) -> v1::ExchangeInfo {
    let node = |id| {
        registry
            .name_of(id)
            .map_or_else(|| format!("{:x}", id.0), ToString::to_string)
    };
    v1::ExchangeInfo {
        id: record.id.0,
        name: record.name.to_string(),
        pattern: record.pattern.as_str().to_owned(),
        strategy: record.strategy_word().to_owned(),
        owner: record.owner.map(node).unwrap_or_default(),
        epoch: record.epoch.0,
        failover: record.failover.iter().map(ToString::to_string).collect(),
        leader: record
            .leader
            .map(|l| l.pid.text(&node(l.pid.node)))
            .unwrap_or_default(),
        leader_epoch: record.leader.map_or(0, |l| l.epoch.0),
        takeover: record.takeover.as_str().to_owned(),
        moving_to: record.moving.map(|m| node(m.to)).unwrap_or_default(),
        moving_epoch: record.moving.map_or(0, |m| m.epoch.0),
        preferred: registry.preferred(record).map(node).unwrap_or_default(),
        held: record.held,
        function: registered(record.function.as_ref()),
        script: script(record.function.as_ref()).0,
        script_hash: script(record.function.as_ref()).1,
        proxies: record.proxies.iter().map(|id| node(*id)).collect(),
        controller: record
            .settings
            .controller
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        settings: Some(settings::told(&record.settings)),
    }
}

/// Name of a registered function.
fn registered(function: Option<&RoutingFunction>) -> String {
    let name = function.and_then(RoutingFunction::registered);
    name.map(ToString::to_string).unwrap_or_default()
}

/// Text and hash of a script.
fn script(function: Option<&RoutingFunction>) -> (String, String) {
    match function {
        Some(RoutingFunction::Script { source, hash }) => (source.clone(), format!("{hash:016x}")),
        _ => Default::default(),
    }
}
