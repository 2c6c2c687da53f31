//! The admin service: exchanges and members. What does not live here: carrying a change to the meta leader (see
//! [`Proposer`] and [`Membership`]) and deciding on it, which is the registry's and the meta plane's.

mod bindings;
mod members;
mod parse;
mod settings;
mod tasks;
mod traces;

use std::sync::Arc;

use futures::future::BoxFuture;
use squall_kernel::id::{ExchangeName, NodeName, Revision};
use squall_kernel::membership::MemberChange;
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, Outcome, Refused, Registry};
use squall_proto::v1;
use squall_proto::v1::admin_server::Admin;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::limits;
use super::membership::Membership;
use super::status::CallError;
use crate::introspect::Sources;
use parse::{Declaration, exchange_name, info, node_name};

/// Brings a command to the meta leader, wherever it is, and its result back.
pub trait Proposer: Send + Sync + 'static {
    /// Proposes, and tries again for a few seconds while the command certainly was not carried out, as during an
    /// election. `NotLeader` and `Failed` say that it was not in the end either, `NoQuorum` that nobody could.
    fn propose(&self, command: Command) -> BoxFuture<'_, ProposeResult>;
}

/// The service.
#[derive(Debug)]
pub struct AdminService<P, S> {
    proposer: Arc<P>,
    registry: watch::Receiver<Arc<Registry>>,
    sources: Arc<S>,
}

impl<P: Proposer + Membership, S: Sources> AdminService<P, S> {
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
            ProposeResult::NoQuorum => CallError::NoQuorum,
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
impl<P: Proposer + Membership, S: Sources> Admin for AdminService<P, S> {
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

    async fn move_exchange(
        &self,
        request: Request<v1::MoveExchangeRequest>,
    ) -> Result<Response<v1::MoveExchangeResponse>, Status> {
        let asked = request.into_inner();
        let exchange = exchange_name(&asked.name)?;
        let to = (!asked.node.is_empty())
            .then(|| node_name(&asked.node))
            .transpose()?;
        let from = self.registry.borrow().clone();
        let (_, revision) = self
            .change(Command::Move {
                exchange: exchange.clone(),
                to: to.clone(),
                epoch: None,
            })
            .await?;
        let registry = self.registry_at(revision).await;
        Ok(Response::new(begun(&exchange, to, &from, &registry, revision)))
    }

    async fn set_proxy(
        &self,
        request: Request<v1::SetProxyRequest>,
    ) -> Result<Response<v1::SetProxyResponse>, Status> {
        let asked = request.into_inner();
        let command = Command::SetProxy {
            exchange: exchange_name(&asked.name)?,
            node: node_name(&asked.node)?,
            on: asked.on,
        };
        let (outcome, revision) = self.change(command).await?;
        self.registry_at(revision).await;
        Ok(Response::new(v1::SetProxyResponse {
            changed: outcome == Outcome::Done,
            revision: revision.0,
        }))
    }

    async fn exchange_figures(
        &self,
        request: Request<v1::ExchangeFiguresRequest>,
    ) -> Result<Response<v1::ExchangeFiguresResponse>, Status> {
        let name = exchange_name(&request.get_ref().name)?;
        let unknown = || Refused::UnknownExchange(name.as_str().into());
        let figures = self
            .sources
            .figures(&name)
            .ok_or_else(|| CallError::from(unknown()))?;
        Ok(Response::new(figures))
    }

    async fn tracing(
        &self,
        request: Request<v1::TracingRequest>,
    ) -> Result<Response<v1::TracingResponse>, Status> {
        Ok(Response::new(self.traced(request.into_inner())?))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        Ok(Response::new(self.tasks(request.get_ref())?))
    }

    async fn bind_key(
        &self,
        request: Request<v1::BindKeyRequest>,
    ) -> Result<Response<v1::BindKeyResponse>, Status> {
        Ok(Response::new(self.bind(request.into_inner()).await?))
    }

    async fn unbind_key(
        &self,
        request: Request<v1::UnbindKeyRequest>,
    ) -> Result<Response<v1::UnbindKeyResponse>, Status> {
        Ok(Response::new(self.unbind(request.into_inner()).await?))
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Result<Response<v1::ListBindingsResponse>, Status> {
        Ok(Response::new(self.bindings(request.into_inner()).await?))
    }

    async fn list_nodes(
        &self,
        _: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        Ok(Response::new(self.nodes()))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        Ok(Response::new(self.drain(&request.into_inner()).await?))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::MembersChanged>, Status> {
        let change = MemberChange::Remove(node_name(&request.get_ref().node)?);
        Ok(Response::new(self.change_members(change).await?))
    }

    async fn promote_node(
        &self,
        request: Request<v1::PromoteNodeRequest>,
    ) -> Result<Response<v1::MembersChanged>, Status> {
        let change = MemberChange::Promote(node_name(&request.get_ref().node)?);
        Ok(Response::new(self.change_members(change).await?))
    }

    async fn demote_node(
        &self,
        request: Request<v1::DemoteNodeRequest>,
    ) -> Result<Response<v1::MembersChanged>, Status> {
        let change = MemberChange::Demote(node_name(&request.get_ref().node)?);
        Ok(Response::new(self.change_members(change).await?))
    }

    async fn set_voter_rule(
        &self,
        request: Request<v1::SetVoterRuleRequest>,
    ) -> Result<Response<v1::SetVoterRuleResponse>, Status> {
        let ms = request.get_ref().replace_after_ms;
        Ok(Response::new(self.rule(ms).await?))
    }
}

/// What the answering node knows of a move that has just begun. It may be over already: then its epoch is the owner's.
fn begun(
    exchange: &ExchangeName,
    to: Option<NodeName>,
    before: &Registry,
    after: &Registry,
    revision: Revision,
) -> v1::MoveExchangeResponse {
    let text = |name: Option<&NodeName>| name.map(ToString::to_string).unwrap_or_default();
    let old = before.exchange(exchange);
    let new = after.exchange(exchange);
    let moving = new.and_then(|e| e.moving);
    let next = moving.map(|m| m.to).or_else(|| new.and_then(|e| e.owner));
    v1::MoveExchangeResponse {
        from: text(old.and_then(|e| e.owner).and_then(|id| before.name_of(id))),
        to: to.map_or_else(
            || text(next.and_then(|id| after.name_of(id))),
            |name| name.to_string(),
        ),
        epoch: moving
            .map(|m| m.epoch)
            .or_else(|| new.map(|e| e.epoch))
            .map_or(0, |e| e.0),
        revision: revision.0,
    }
}

#[cfg(test)]
#[path = "admin_test.rs"]
mod tests;
