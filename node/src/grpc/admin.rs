//! The admin service: exchanges and members. What does not live here: carrying a change to the meta leader (see
//! [`Proposer`]) and deciding on it, which is the registry's.

use std::sync::Arc;

use futures::future::BoxFuture;
use squall_kernel::id::{ExchangeName, NodeName, Revision};
use squall_kernel::limits as bounds;
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, ExchangeRecord, Outcome, Pattern, Registry, Strategy};
use squall_proto::v1;
use squall_proto::v1::admin_server::Admin;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::limits;
use super::status::CallError;
use crate::introspect::Sources;

/// Brings a command to the meta leader, wherever it is, and its result back.
pub trait Proposer: Send + Sync + 'static {
    /// Proposes, and tries again for a few seconds while the command certainly was not carried out, as during an
    /// election. `NotLeader` and `Failed` say that it was not in the end either.
    fn propose(&self, command: Command) -> BoxFuture<'_, ProposeResult>;
}

/// The service.
#[derive(Debug)]
pub struct AdminService<P, S> {
    proposer: Arc<P>,
    registry: watch::Receiver<Arc<Registry>>,
    sources: Arc<S>,
}

impl<P: Proposer, S: Sources> AdminService<P, S> {
    /// A service that proposes through `proposer` and reads `registry`.
    #[must_use]
    pub fn new(proposer: Arc<P>, registry: watch::Receiver<Arc<Registry>>, sources: Arc<S>) -> Self {
        Self {
            proposer,
            registry,
            sources,
        }
    }

    async fn change(&self, command: Command) -> Result<(Outcome, Revision), CallError> {
        let late = CallError::Late {
            seconds: limits::CHANGE_TIME_MAX.as_secs(),
        };
        let result = timeout(limits::CHANGE_TIME_MAX, self.proposer.propose(command))
            .await
            .map_err(|_| late)?;
        Err(match result {
            ProposeResult::Committed {
                outcome: Outcome::Refused(refused),
                ..
            } => refused.into(),
            ProposeResult::Committed { outcome, revision } => return Ok((outcome, revision)),
            ProposeResult::Unknown { reason } => CallError::Unknown { reason },
            ProposeResult::Failed { reason } => CallError::Unavailable { reason },
            ProposeResult::NotLeader { .. } => CallError::Unavailable {
                reason: "the cluster has no meta leader now".into(),
            },
        })
    }

    /// This node's registry once it shows `revision`, or as it is when that takes too long.
    async fn registry_at(&self, revision: Revision) -> Arc<Registry> {
        let mut registry = self.registry.clone();
        let applied = registry.wait_for(|r| r.revision >= revision);
        if let Ok(Ok(registry)) = timeout(limits::APPLY_TIME_MAX, applied).await {
            return Arc::clone(&registry);
        }
        Arc::clone(&self.registry.borrow())
    }
}

#[tonic::async_trait]
impl<P: Proposer, S: Sources> Admin for AdminService<P, S> {
    async fn declare_exchange(
        &self,
        request: Request<v1::DeclareExchangeRequest>,
    ) -> Result<Response<v1::DeclareExchangeResponse>, Status> {
        let declaration = Declaration::parse(&request.into_inner())?;
        let (outcome, revision) = self.change(declaration.command()).await?;
        let registry = self.registry_at(revision).await;
        let exchange = match registry.exchange(&declaration.name) {
            Some(record) => info(record, &registry),
            None => declaration.info(),
        };
        let created = outcome == Outcome::Done;
        Ok(Response::new(v1::DeclareExchangeResponse {
            exchange: Some(exchange),
            created,
            revision: revision.0,
        }))
    }

    async fn list_exchanges(
        &self,
        _: Request<v1::ListExchangesRequest>,
    ) -> Result<Response<v1::ListExchangesResponse>, Status> {
        let registry = Arc::clone(&self.registry.borrow());
        let of_id = |id| registry.exchanges.get(id);
        let exchanges = registry
            .names
            .values()
            .filter_map(of_id)
            .map(|record| info(record, &registry))
            .collect();
        Ok(Response::new(v1::ListExchangesResponse {
            exchanges,
            revision: registry.revision.0,
        }))
    }

    async fn delete_exchange(
        &self,
        request: Request<v1::DeleteExchangeRequest>,
    ) -> Result<Response<v1::DeleteExchangeResponse>, Status> {
        let name = exchange_name(&request.get_ref().name)?;
        let (_, revision) = self.change(Command::Delete { name }).await?;
        self.registry_at(revision).await;
        Ok(Response::new(v1::DeleteExchangeResponse { revision: revision.0 }))
    }

    async fn list_nodes(
        &self,
        _: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        let mut members = self.sources.hello().members;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let answered_by = self.sources.node().to_string();
        Ok(Response::new(v1::ListNodesResponse { members, answered_by }))
    }
}

/// A checked declaration.
#[derive(Debug)]
struct Declaration {
    name: ExchangeName,
    pattern: Pattern,
    strategy: Strategy,
    failover: Vec<NodeName>,
}

impl Declaration {
    fn parse(asked: &v1::DeclareExchangeRequest) -> Result<Self, CallError> {
        let name = exchange_name(&asked.name)?;
        let pattern = Pattern::parse(&asked.pattern).ok_or_else(|| CallError::Invalid {
            field: "pattern",
            reason: format!("'{}' is none; there is request-response", shown(&asked.pattern)),
        })?;
        let strategy = Strategy::parse(&asked.strategy).ok_or_else(|| CallError::Invalid {
            field: "strategy",
            reason: format!(
                "'{}' is none; there are {}",
                shown(&asked.strategy),
                Strategy::ALL.map(Strategy::as_str).join(", ")
            ),
        })?;
        Ok(Self {
            name,
            pattern,
            strategy,
            failover: failover_list(&asked.failover)?,
        })
    }

    fn command(&self) -> Command {
        Command::Declare {
            name: self.name.clone(),
            pattern: self.pattern,
            strategy: self.strategy,
            failover: self.failover.clone(),
            takeover: None,
        }
    }

    /// The exchange as declared, for when this node's registry lags behind.
    fn info(&self) -> v1::ExchangeInfo {
        v1::ExchangeInfo {
            name: self.name.to_string(),
            pattern: self.pattern.as_str().to_owned(),
            strategy: self.strategy.as_str().to_owned(),
            failover: self.failover.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }
    }
}

fn exchange_name(text: &str) -> Result<ExchangeName, CallError> {
    ExchangeName::new(text).map_err(|e| CallError::Invalid {
        field: "name",
        reason: e.to_string(),
    })
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
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

fn info(record: &ExchangeRecord, registry: &Registry) -> v1::ExchangeInfo {
    let node = |id| {
        registry
            .name_of(id)
            .map_or_else(|| format!("{:x}", id.0), ToString::to_string)
    };
    v1::ExchangeInfo {
        name: record.name.to_string(),
        pattern: record.pattern.as_str().to_owned(),
        strategy: record.strategy.as_str().to_owned(),
        owner: record.owner.map(node).unwrap_or_default(),
        epoch: record.epoch.0,
        failover: record.failover.iter().map(ToString::to_string).collect(),
        leader: record
            .leader
            .map(|l| l.pid.text(&node(l.pid.node)))
            .unwrap_or_default(),
        leader_epoch: record.leader.map_or(0, |l| l.epoch.0),
    }
}

#[cfg(test)]
#[path = "admin_test.rs"]
mod tests;
