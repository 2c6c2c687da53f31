//! Records of what nodes show of one entity in detail: an exchange with its decisions explained, a process with its mailbox.

use serde::Serialize;
use squall_proto::v1;

use crate::cluster::Cluster;
use crate::cluster::details::Shown;
use crate::feed::{Detailed, Entity};
use crate::units::Moment;

/// What one node shows.
#[derive(Debug, Clone, Serialize)]
pub struct DetailFact {
    /// Node.
    pub node: String,
    /// Milliseconds since that came.
    pub age_ms: u64,
    /// Why it shows nothing, or nothing more.
    pub nothing: Option<String>,
    /// An exchange.
    pub exchange: Option<ExchangeDetail>,
    /// A process.
    pub process: Option<ProcessDetail>,
}

/// An exchange as one node knows it.
#[derive(Debug, Clone, Serialize)]
pub struct ExchangeDetail {
    /// The node owns it.
    pub owned_here: bool,
    /// Epoch of the ownership.
    pub epoch: u64,
    /// Requests that entered there and wait to be tried again.
    pub held: u64,
    /// What is not shown, and why.
    pub note: Option<String>,
    /// Handlers in the order in which they attached.
    pub handlers: Vec<HandlerDetail>,
    /// Handlers beyond what is shown.
    pub handlers_left_out: u64,
    /// Groups, and whose turn it is.
    pub groups: Vec<GroupDetail>,
    /// Who leads.
    pub leader: Option<LeaderDetail>,
    /// Signatures bound to handlers.
    pub bindings: u64,
    /// The first of them, with their handlers.
    pub bindings_sample: Vec<(String, String)>,
    /// Nodes that have not told yet which handlers they have.
    pub awaited: Vec<String>,
    /// Time that handlers have yet to attach again.
    pub settling_ms: u64,
    /// Where it moves to.
    pub moving_to: Option<String>,
    /// Requests decided since somebody watches.
    pub decided: u64,
    /// Some of those decisions, the newest first.
    pub decisions: Vec<DecisionDetail>,
}

/// A handler.
#[derive(Debug, Clone, Serialize)]
pub struct HandlerDetail {
    /// Pid.
    pub pid: String,
    /// Its group.
    pub service_tag: String,
    /// Requests given to it since somebody watches.
    pub given: u64,
    /// Signatures bound to it.
    pub bindings: u64,
}

/// A group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupDetail {
    /// Its tag; empty for all.
    pub service_tag: String,
    /// Members.
    pub members: u64,
    /// Place of whose turn it is, from 1.
    pub place: u64,
    /// Whose turn it is.
    pub next: String,
}

/// Who leads.
#[derive(Debug, Clone, Serialize)]
pub struct LeaderDetail {
    /// Pid, or none.
    pub leader: Option<String>,
    /// Its epoch.
    pub epoch: u64,
    /// It is attached.
    pub attached: bool,
    /// Who was proposed.
    pub proposed: Option<String>,
    /// Who was granted a lease last.
    pub granted_to: Option<String>,
    /// How long a lease may still hold.
    pub lease_left_ms: u64,
}

/// A decision.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionDetail {
    /// Counts them.
    pub number: u64,
    /// When, by the node's clock.
    pub unix_ms: u64,
    /// Node where the request entered the cluster.
    pub origin: String,
    /// Its number there.
    pub message: u64,
    /// Its trace, in hexadecimal.
    pub trace_id: Option<String>,
    /// Its key.
    pub key: String,
    /// Wanted group.
    pub service_tag: String,
    /// What decided, in words.
    pub decided_by: String,
    /// What became of it, in words.
    pub outcome: String,
    /// It was given to a handler.
    pub delivered: bool,
    /// Candidates in the order in which they attached.
    pub candidates: Vec<CandidateDetail>,
    /// Candidates beyond what is shown.
    pub candidates_left_out: u64,
}

/// A candidate.
#[derive(Debug, Clone, Serialize)]
pub struct CandidateDetail {
    /// Pid.
    pub pid: String,
    /// It got the request.
    pub picked: bool,
    /// Why it did not.
    pub why: Option<String>,
}

/// A process.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessDetail {
    /// What it is attached to, in words.
    pub attached_to: Vec<String>,
    /// The first messages in its mailbox that came while somebody watches.
    pub head: Vec<MailDetail>,
    /// Messages before them.
    pub head_unseen: u64,
    /// Why the head is not shown.
    pub head_note: Option<String>,
    /// Times in the mailbox.
    pub wait: TimesDetail,
    /// Times of work.
    pub work: TimesDetail,
}

/// A message without its body.
#[derive(Debug, Clone, Serialize)]
pub struct MailDetail {
    /// Kind.
    pub kind: String,
    /// Exchange it is about.
    pub exchange: String,
    /// Key.
    pub key: String,
    /// Size of its body.
    pub bytes: u64,
    /// How long it has waited.
    pub age_us: u64,
    /// Who sent it.
    pub from: String,
}

/// Times, counted since somebody watches.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TimesDetail {
    /// How many.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// From, below, how many.
    pub buckets: Vec<(u64, u64, u64)>,
}

/// What nodes show of an entity, by node.
#[must_use]
pub fn details(cluster: &Cluster, entity: &Entity, now: Moment) -> Vec<DetailFact> {
    let all = cluster.details.of(entity);
    all.map(|(node, shown)| detail(node, shown, now)).collect()
}

fn detail(node: &str, shown: &Shown, now: Moment) -> DetailFact {
    let mut fact = DetailFact {
        node: node.to_owned(),
        age_ms: now.since(shown.heard),
        nothing: None,
        exchange: None,
        process: None,
    };
    match &shown.what {
        Detailed::Exchange(detail) => fact.exchange = Some(exchange(detail)),
        Detailed::Process(detail) => fact.process = Some(process(detail)),
        Detailed::Nothing(why) => fact.nothing = Some(why.clone()),
    }
    fact
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn exchange(d: &v1::ExchangeDetail) -> ExchangeDetail {
    ExchangeDetail {
        owned_here: d.owned_here,
        epoch: d.epoch,
        held: d.held,
        note: known(&d.note),
        handlers: d.handlers.iter().map(handler).collect(),
        handlers_left_out: d.handlers_left_out,
        groups: d.groups.iter().map(group).collect(),
        leader: d.leader.as_ref().map(leader),
        bindings: d.bindings,
        bindings_sample: d
            .bindings_sample
            .iter()
            .map(|b| (b.signature.clone(), b.handler.clone()))
            .collect(),
        awaited: d.awaited.clone(),
        settling_ms: d.settling_ms,
        moving_to: known(&d.moving_to),
        decided: d.decided,
        decisions: d.decisions.iter().map(decision).collect(),
    }
}

fn handler(h: &v1::DetailHandler) -> HandlerDetail {
    HandlerDetail {
        pid: h.pid.clone(),
        service_tag: h.service_tag.clone(),
        given: h.given,
        bindings: h.bindings,
    }
}

fn group(g: &v1::DetailGroup) -> GroupDetail {
    GroupDetail {
        service_tag: g.service_tag.clone(),
        members: g.members,
        place: g.place,
        next: g.next.clone(),
    }
}

fn leader(l: &v1::DetailLeader) -> LeaderDetail {
    LeaderDetail {
        leader: known(&l.leader),
        epoch: l.epoch,
        attached: l.attached,
        proposed: known(&l.proposed),
        granted_to: known(&l.granted_to),
        lease_left_ms: l.lease_left_ms,
    }
}

fn decision(d: &v1::RoutingDecision) -> DecisionDetail {
    let candidate = |c: &v1::RoutingCandidate| CandidateDetail {
        pid: c.pid.clone(),
        picked: c.picked,
        why: known(&c.why),
    };
    DecisionDetail {
        number: d.number,
        unix_ms: d.unix_ms,
        origin: d.origin.clone(),
        message: d.message,
        trace_id: known(&d.trace_id),
        key: d.key.clone(),
        service_tag: d.service_tag.clone(),
        decided_by: d.decided_by.clone(),
        outcome: d.outcome.clone(),
        delivered: d.delivered,
        candidates: d.candidates.iter().map(candidate).collect(),
        candidates_left_out: d.candidates_left_out,
    }
}

fn process(d: &v1::ProcessDetail) -> ProcessDetail {
    let mail = |m: &v1::MailEnvelope| MailDetail {
        kind: m.kind.clone(),
        exchange: m.exchange.clone(),
        key: m.key.clone(),
        bytes: m.bytes,
        age_us: m.age_us,
        from: m.from.clone(),
    };
    ProcessDetail {
        attached_to: d.attached_to.clone(),
        head: d.head.iter().map(mail).collect(),
        head_unseen: d.head_unseen,
        head_note: known(&d.head_note),
        wait: d.wait.as_ref().map(times).unwrap_or_default(),
        work: d.work.as_ref().map(times).unwrap_or_default(),
    }
}

fn times(h: &v1::LatencyHistogram) -> TimesDetail {
    TimesDetail {
        count: h.count,
        p50_us: h.p50_us,
        p99_us: h.p99_us,
        buckets: h
            .buckets
            .iter()
            .map(|b| (b.from_us, b.below_us, b.count))
            .collect(),
    }
}
