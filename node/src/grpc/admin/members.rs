//! The admin service's part about nodes: listing, draining, voters. What does not live here: who may vote, and who takes
//! over (the meta plane and the registry).

use std::time::Duration;

use squall_kernel::membership::{MemberChange, MemberRefused, MemberResult};
use squall_kernel::registry::{Command, Outcome};
use squall_kernel::time::Span;
use squall_proto::v1;
use tokio::time::timeout;

use super::parse::node_name;
use super::{AdminService, Proposer};
use crate::grpc::limits;
use crate::grpc::membership::Membership;
use crate::grpc::status::CallError;
use crate::introspect::Sources;

impl<P: Proposer + Membership, S: Sources> AdminService<P, S> {
    pub(super) fn nodes(&self) -> v1::ListNodesResponse {
        let mut members = self.sources.hello().members;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let rule = self.registry.borrow().replace_voters_after;
        v1::ListNodesResponse {
            members,
            answered_by: self.sources.node().to_string(),
            quorum: self.sources.quorum(),
            replace_after_ms: rule.map_or(0, Span::as_ms),
        }
    }

    pub(super) async fn drain(
        &self,
        asked: &v1::DrainNodeRequest,
    ) -> Result<v1::DrainNodeResponse, CallError> {
        let node = node_name(&asked.node)?;
        if !asked.stay {
            may_leave(&self.sources.hello().members, asked)?;
        }
        let leave = !asked.stay;
        let (outcome, revision) = self.change(Command::Drain { node, leave }).await?;
        Ok(v1::DrainNodeResponse {
            revision: revision.0,
            begun: outcome == Outcome::Done,
        })
    }

    pub(super) async fn change_members(&self, change: MemberChange) -> Result<v1::MembersChanged, CallError> {
        let late = CallError::Late {
            seconds: limits::CHANGE_TIME_MAX.as_secs(),
        };
        let result = timeout(
            limits::CHANGE_TIME_MAX,
            Membership::change(&*self.proposer, change),
        )
        .await
        .map_err(|_| late)?;
        let (changed, voters) = match result {
            MemberResult::Done { voters } => (true, voters),
            MemberResult::Unchanged { voters } => (false, voters),
            MemberResult::NoQuorum => return Err(CallError::NoQuorum),
            MemberResult::Refused(refused) => return Err(refused.into()),
            MemberResult::Unknown { reason } => return Err(CallError::Unknown { reason }),
            MemberResult::Failed { reason } => return Err(CallError::Unavailable { reason }),
            MemberResult::NotLeader { .. } => {
                return Err(CallError::Unavailable {
                    reason: "the cluster has no meta leader now".into(),
                });
            }
        };
        let mut voters: Vec<String> = voters.iter().map(ToString::to_string).collect();
        voters.sort();
        Ok(v1::MembersChanged { changed, voters })
    }

    pub(super) async fn rule(&self, replace_after_ms: u64) -> Result<v1::SetVoterRuleResponse, CallError> {
        let replace_after = (replace_after_ms > 0).then(|| Duration::from_millis(replace_after_ms));
        let too_long = |_| CallError::Invalid {
            field: "replace_after_ms",
            reason: "longer than the clock of a node can count".into(),
        };
        let span = |after: Duration| u64::try_from(after.as_micros()).map(Span).map_err(too_long);
        let replace_after = replace_after.map(span).transpose()?;
        let (outcome, revision) = self.change(Command::SetVoterRule { replace_after }).await?;
        Ok(v1::SetVoterRuleResponse {
            revision: revision.0,
            changed: outcome == Outcome::Done,
        })
    }
}

/// A node that leaves takes its vote along: refused where nobody would be left to agree, asked about where the registry
/// would stand still. What nobody knows here, the registry refuses by itself.
fn may_leave(members: &[v1::Member], asked: &v1::DrainNodeRequest) -> Result<(), CallError> {
    let votes = |m: &&v1::Member| matches!(m.role(), v1::MetaRole::Voter | v1::MetaRole::Leader);
    let Some(leaving) = members.iter().find(|m| m.name == asked.node) else {
        return Ok(());
    };
    let others = members.iter().filter(votes).any(|m| m.name != leaving.name);
    if votes(&leaving) && !others {
        let name = node_name(&asked.node)?;
        return Err(MemberRefused::LastVoter(name).into());
    }
    if leaving.quorum_critical && !asked.anyway {
        return Err(CallError::Unsafe(format!(
            "node '{}' is quorum-critical: without it the voters that are up are no majority, and no exchange could be \
             declared, moved or failed over. Bring another voter back first, or say --yes",
            leaving.name
        )));
    }
    Ok(())
}
