//! What nodes of the made-up cluster show in detail of the exchange `orders` and of a process, after b was killed.

use squall_observer::feed::{Detailed, Entity, Update};
use squall_observer::model::{Message, Model};
use squall_observer::update::update;
use squall_proto::v1;

use super::scene::START;

/// The model has heard what nodes show of `orders`.
pub(crate) fn orders(model: &mut Model) {
    for (node, detail) in [("c", owner()), ("a", other())] {
        fed(
            model,
            node,
            Entity::Exchange("orders".to_owned()),
            Detailed::Exchange(Box::new(detail)),
        );
    }
}

/// The model has heard what its node shows of a process.
pub(crate) fn process(model: &mut Model, node: &str, pid: &str) {
    let entity = Entity::Process {
        node: node.to_owned(),
        pid: pid.to_owned(),
    };
    fed(model, node, entity, Detailed::Process(Box::new(inside())));
}

fn fed(model: &mut Model, node: &str, of: Entity, what: Detailed) {
    let node = node.to_owned();
    drop(update(
        model,
        Message::Fed(vec![Update::Detail { node, of, what }]),
    ));
    let now = model.now;
    drop(update(model, Message::Tick(now)));
}

fn other() -> v1::ExchangeDetail {
    v1::ExchangeDetail {
        name: "orders".to_owned(),
        owner: "c".to_owned(),
        held: 3,
        note: "not the owner: handlers and decisions are known at c".to_owned(),
        ..Default::default()
    }
}

fn owner() -> v1::ExchangeDetail {
    let handler = |pid: &str, service_tag: &str, given, bindings| v1::DetailHandler {
        pid: pid.to_owned(),
        service_tag: service_tag.to_owned(),
        given,
        bindings,
    };
    let group = |service_tag: &str, members, place, next: &str| v1::DetailGroup {
        service_tag: service_tag.to_owned(),
        members,
        place,
        next: next.to_owned(),
    };
    v1::ExchangeDetail {
        name: "orders".to_owned(),
        pattern: "request-response".to_owned(),
        strategy: "sticky".to_owned(),
        owner: "c".to_owned(),
        owned_here: true,
        epoch: 8,
        handlers: vec![
            handler("<a.12>", "eu", 12, 2),
            handler("<c.14>", "eu", 4, 1),
            handler("<c.15>", "us", 0, 0),
        ],
        groups: vec![
            group("", 3, 1, "<a.12>"),
            group("eu", 2, 2, "<c.14>"),
            group("us", 1, 1, "<c.15>"),
        ],
        bindings: 3,
        bindings_sample: vec![v1::DetailBinding {
            signature: "00c5f1de2b7a9d10".to_owned(),
            handler: "<a.12>".to_owned(),
        }],
        awaited: vec!["b".to_owned()],
        settling_ms: 80,
        decided: 16,
        decisions: vec![unknown_key(), bound_key()],
        ..Default::default()
    }
}

fn decision(number: u64, key: &str) -> v1::RoutingDecision {
    v1::RoutingDecision {
        number,
        unix_ms: START + 149_000 + number,
        origin: "a".to_owned(),
        message: 17_592_186_044_500 + number,
        key: key.to_owned(),
        service_tag: "eu".to_owned(),
        ..Default::default()
    }
}

fn unknown_key() -> v1::RoutingDecision {
    v1::RoutingDecision {
        decided_by:
            "signature 91ab00cd22ef4410 is not known, and not all handlers are: node b has yet to tell"
                .to_owned(),
        outcome: "refused: the owner has just started".to_owned(),
        ..decision(16, "customer-9")
    }
}

fn bound_key() -> v1::RoutingDecision {
    let candidate = |pid: &str, why: &str| v1::RoutingCandidate {
        pid: pid.to_owned(),
        picked: why.is_empty(),
        why: why.to_owned(),
    };
    v1::RoutingDecision {
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        decided_by: "signature 00c5f1de2b7a9d10 is bound to <a.12>".to_owned(),
        candidates: vec![
            candidate("<a.12>", ""),
            candidate("<c.14>", "bound to <a.12>"),
            candidate("<c.15>", "other group"),
        ],
        outcome: "given to <a.12>".to_owned(),
        delivered: true,
        ..decision(15, "\u{1b}[2Jcustomer-7")
    }
}

fn inside() -> v1::ProcessDetail {
    let mail = |key: &str, bytes, age_us| v1::MailEnvelope {
        kind: "request".to_owned(),
        exchange: "users".to_owned(),
        key: key.to_owned(),
        bytes,
        age_us,
        from: "<a.13>".to_owned(),
    };
    let bucket = |from_us, below_us, count| v1::LatencyBucket {
        from_us,
        below_us,
        count,
    };
    v1::ProcessDetail {
        attached_to: vec!["exchange users, as its owner's process".to_owned()],
        head: vec![mail("k1", 312, 2_300), mail("", 40_960, 1_100)],
        head_unseen: 4,
        wait: Some(v1::LatencyHistogram {
            buckets: vec![bucket(96, 112, 40), bucket(112, 128, 25), bucket(1_024, 1_280, 6)],
            p50_us: 112,
            p99_us: 1_280,
            count: 71,
        }),
        work: Some(v1::LatencyHistogram {
            buckets: vec![bucket(2, 3, 71)],
            p50_us: 3,
            p99_us: 3,
            count: 71,
        }),
        ..Default::default()
    }
}
