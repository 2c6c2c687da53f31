//! One exchange in detail, as this node knows it.

use squall_kernel::exchange::{Leading, Outcome, Situation, Verdict};
use squall_kernel::id::{ExchangeId, ExchangeName, Pid};
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_proto::v1;

use super::words;
use crate::data::{DataContext, DataPlane};
use crate::exchanges::{Decision, Seen};
use crate::introspect::opinions::name_or_empty;
use crate::telemetry::context::trace_id_text;

/// None once there is no such exchange any more.
pub(super) fn detail(
    data: &DataPlane,
    name: &ExchangeName,
    id: ExchangeId,
    seen: Option<Seen>,
) -> Option<v1::ExchangeDetail> {
    let context = &data.context;
    let registry = context.registry_kept();
    let record = registry
        .exchanges
        .get(&id)
        .filter(|record| record.name == *name)?;
    let mut detail = v1::ExchangeDetail {
        name: name.as_str().to_owned(),
        pattern: record.pattern.as_str().to_owned(),
        strategy: record.strategy_word().to_owned(),
        owner: name_or_empty(&registry, record.owner),
        owned_here: seen.is_some(),
        epoch: record.epoch.0,
        held: data.router.held(id),
        ..v1::ExchangeDetail::default()
    };
    detail.note = note(record, seen.as_ref(), &detail.owner);
    if let Some(seen) = seen {
        detail.epoch = seen.epoch.0;
        detail.decided = seen.decided;
        let decisions = seen.decisions.iter().rev();
        detail.decisions = decisions.map(|decision| decided(context, decision)).collect();
        if let Some((at, situation)) = &seen.situation {
            detail.state_age_ms = context.clock.now().since(*at).as_ms();
            stands(context, &mut detail, situation, &seen);
        }
    }
    Some(detail)
}

fn note(record: &ExchangeRecord, seen: Option<&Seen>, owner: &str) -> String {
    match (record.pattern, seen) {
        (Pattern::PublishSubscribe, _) => {
            "publish-subscribe: each subscriber with a pattern that matches gets a publish; nothing is chosen"
                .into()
        }
        (_, None) if owner.is_empty() => "nobody owns it now".into(),
        (_, None) => format!("not the owner: handlers and decisions are known at {owner}"),
        (_, Some(seen)) if seen.situation.is_none() => "its process has yet to show how it stands".into(),
        (Pattern::Task, _) => {
            "tasks are given out by its queue as workers ask for them: no decision is explained".into()
        }
        _ => String::new(),
    }
}

fn stands(context: &DataContext, detail: &mut v1::ExchangeDetail, situation: &Situation, seen: &Seen) {
    let text = |pid: Pid| context.pid_text(pid);
    let handlers = situation.handlers.iter();
    detail.handlers = handlers
        .map(|handler| v1::DetailHandler {
            pid: text(handler.handler),
            service_tag: handler.service_tag.clone(),
            given: seen.given.get(&handler.handler).copied().unwrap_or_default(),
            bindings: handler.bindings as u64,
        })
        .collect();
    let left_out = situation.handlers_all.saturating_sub(situation.handlers.len());
    detail.handlers_left_out = left_out as u64;
    let groups = situation.groups.iter();
    detail.groups = groups
        .map(|group| v1::DetailGroup {
            service_tag: group.service_tag.clone(),
            members: group.members as u64,
            place: group.place as u64 + 1,
            next: group.next.map(text).unwrap_or_default(),
        })
        .collect();
    detail.leader = situation.leading.map(|leading| leader(context, leading));
    detail.bindings = situation.bindings as u64;
    let bound = situation.bound.iter();
    detail.bindings_sample = bound
        .map(|(signature, handler)| v1::DetailBinding {
            signature: signature.to_string(),
            handler: text(*handler),
        })
        .collect();
    detail.awaited = situation
        .awaited
        .iter()
        .map(|node| context.node_text(*node))
        .collect();
    detail.settling_ms = situation.settling.as_ms();
    detail.moving_to = situation
        .leaving
        .map(|to| context.node_text(to))
        .unwrap_or_default();
}

fn leader(context: &DataContext, leading: Leading) -> v1::DetailLeader {
    let text = |pid: Option<Pid>| pid.map(|pid| context.pid_text(pid)).unwrap_or_default();
    v1::DetailLeader {
        leader: text(leading.leader),
        epoch: leading.epoch.0,
        attached: leading.attached,
        proposed: text(leading.proposed),
        granted_to: text(leading.granted_to),
        lease_left_ms: leading.lease_left.as_ms(),
    }
}

fn decided(context: &DataContext, decision: &Decision) -> v1::RoutingDecision {
    let explanation = &decision.explanation;
    let candidates = explanation.candidates.iter();
    let delivered = matches!(decision.outcome, Outcome::Given { .. });
    // What is neither drawn nor at its end by this decision is in nobody's traces.
    let traced = decision.trace.sampled || !delivered;
    let trace_id = traced.then(|| trace_id_text(&decision.trace)).flatten();
    v1::RoutingDecision {
        number: decision.number,
        unix_ms: decision.unix_ms,
        origin: context.node_text(decision.request.origin),
        message: decision.request.message.0,
        trace_id: trace_id.unwrap_or_default(),
        key: words::readable(&decision.key),
        service_tag: words::readable(&decision.service_tag),
        decided_by: words::basis(explanation, context),
        candidates: candidates
            .map(|candidate| v1::RoutingCandidate {
                pid: context.pid_text(candidate.handler),
                picked: candidate.verdict == Verdict::Picked,
                why: words::verdict(candidate.verdict, context),
            })
            .collect(),
        candidates_left_out: explanation.left_out as u64,
        outcome: words::outcome(&decision.outcome, context),
        delivered,
    }
}
