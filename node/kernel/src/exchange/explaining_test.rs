//! C3: what an explanation says is what the step does, for every strategy and in any state.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::{
    Basis, Choice, Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput, Explanation, Outcome, RequestKey,
    Signature, Verdict, Wish,
};
use crate::id::{Boot, Epoch, ExchangeId, ExchangeName, LeaderEpoch, MessageId, NodeId, Pid};
use crate::limits::CANDIDATES_SHOWN_MAX;
use crate::reason::{DetachReason, NoReply};
use crate::registry::{LeaderRecord, Strategy};
use crate::time::{Instant, Span};

const TAGS: [&str; 3] = ["", "eu", "us"];
const FAR: Instant = Instant(u64::MAX / 2);

fn pid(n: u8) -> Pid {
    Pid::new(NodeId(u64::from(n % 3) + 1), Boot(1), u32::from(n))
}

fn exchange(strategy: Strategy, epoch: u64, awaited: Vec<NodeId>, leader: Option<LeaderRecord>) -> Exchange {
    let config = ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch: Epoch(epoch),
        leader,
        leader_gone: false,
        settle: Span::from_ms(1),
        awaited,
        promise: Span::from_ms(1),
    };
    Exchange::new(Instant(0), config)
}

fn request(tag: &str, key: u8, choice: Choice, epoch: u64) -> ExchangeInput {
    ExchangeInput::Request {
        request: RequestKey {
            origin: NodeId(9),
            message: MessageId(1),
        },
        epoch: Epoch(epoch),
        service_tag: Bytes::copy_from_slice(tag.as_bytes()),
        key: if key == 0 {
            Bytes::new()
        } else {
            Bytes::from(vec![key])
        },
        choice,
        deadline: FAR,
        lease_until: FAR,
    }
}

fn attach(n: u8, tag: &str) -> ExchangeInput {
    ExchangeInput::Attach {
        handler: pid(n),
        service_tag: tag.into(),
        bound: Vec::new(),
        returned: None,
    }
}

fn choice() -> impl proptest::strategy::Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::None),
        (0u64..5).prop_map(|n| Choice::Signature(Signature::new(n))),
        (0u8..12).prop_map(|n| Choice::Pick(pid(n))),
        (0usize..3).prop_map(|tag| Choice::Group(Bytes::from_static(TAGS[tag].as_bytes()))),
        Just(Choice::Redirect(ExchangeName::new("other").expect("a name"))),
        Just(Choice::Decline("no".into())),
    ]
}

fn input() -> impl proptest::strategy::Strategy<Value = ExchangeInput> {
    prop_oneof![
        4 => (0u8..12, 0usize..3).prop_map(|(n, tag)| attach(n, TAGS[tag])),
        1 => (0u8..12).prop_map(|n| ExchangeInput::Detach { handler: pid(n), reason: DetachReason::Asked }),
        1 => (1u64..4).prop_map(|n| ExchangeInput::NodeLost { node: NodeId(n) }),
        1 => (1u64..4).prop_map(|n| ExchangeInput::Roll { node: NodeId(n) }),
        1 => (any::<bool>(), 0u8..12, 1u64..4).prop_map(|(there, n, epoch)| ExchangeInput::LeaderCommitted {
            leader: there.then(|| LeaderRecord { pid: pid(n), epoch: LeaderEpoch(epoch) }),
        }),
        1 => (0u64..5, 0u8..12).prop_map(|(n, handler)| ExchangeInput::Wish {
            asked: 1,
            signature: Signature::new(n),
            wish: Wish::Bind { handler: pid(handler), service_tag: Bytes::new(), rebind: true },
            lease_until: FAR,
        }),
        1 => (0u64..5).prop_map(|n| ExchangeInput::Wish {
            asked: 1,
            signature: Signature::new(n),
            wish: Wish::Unbind,
            lease_until: FAR,
        }),
        1 => Just(ExchangeInput::Tick),
        10 => (0usize..3, 0u8..5, choice(), 0u64..8).prop_map(|(tag, key, choice, off)| {
            request(TAGS[tag], key, choice, if off == 0 { 3 } else { 2 })
        }),
    ]
}

fn picked(explanation: &Explanation) -> Vec<Pid> {
    let picked = explanation
        .candidates
        .iter()
        .filter(|c| c.verdict == Verdict::Picked);
    picked.map(|c| c.handler).collect()
}

fn given(effects: &[ExchangeEffect]) -> Vec<Pid> {
    let to = effects.iter().filter_map(|effect| match effect {
        ExchangeEffect::Deliver { handler, .. } => Some(*handler),
        _ => None,
    });
    to.collect()
}

proptest! {
    /// C3: whom the explanation picks gets the request, and nobody else; nobody is picked where it ends without delivery.
    #[test]
    fn the_explanation_picks_whom_the_step_delivers_to(
        inputs in proptest::collection::vec(input(), 1..80), strategy in 0usize..7, awaited in 0u64..3, led: bool
    ) {
        let awaited = (1..=awaited).map(NodeId).collect();
        let leader = led.then(|| LeaderRecord { pid: pid(3), epoch: LeaderEpoch(1) });
        let mut exchange = exchange(Strategy::ALL[strategy], 2, awaited, leader);
        let mut now = Instant(0);
        for input in &inputs {
            now = now + Span::from_ms(1);
            let explained = exchange.explain(now, input);
            let mut out = Vec::new();
            exchange.step(now, input, &mut out);
            prop_assert_eq!(explained.is_some(), matches!(input, ExchangeInput::Request { .. }));
            let Some(explained) = explained else { continue };
            prop_assert_eq!(picked(&explained), given(&out), "{:?} {:?}", explained, out);
            prop_assert_eq!(explained.left_out, 0);
            if let Outcome::Given { to, count } = Outcome::of(&out) {
                prop_assert_eq!((&to, count), (&given(&out), to.len()));
            }
            if let Basis::Refused(reason) = explained.basis {
                prop_assert_eq!(Outcome::of(&out), Outcome::Refused(reason));
                prop_assert!(explained.candidates.is_empty());
            }
        }
    }
}

fn verdicts(exchange: &Exchange, input: &ExchangeInput) -> Vec<(u8, Verdict)> {
    let explained = exchange.explain(Instant(5_000), input).expect("a request");
    let number = |pid: Pid| u8::try_from(pid.serial & 0xff).expect("a small number");
    let all = explained.candidates.iter();
    all.map(|c| (number(c.handler), c.verdict)).collect()
}

fn with(strategy: Strategy, handlers: &[(u8, &str)]) -> Exchange {
    let mut exchange = exchange(strategy, 2, Vec::new(), None);
    for (n, tag) in handlers {
        exchange.step(Instant(2_000), &attach(*n, tag), &mut Vec::new());
    }
    exchange
}

/// C3.
#[test]
fn each_candidate_that_is_not_picked_has_its_reason() {
    let turns = with(Strategy::RoundRobin, &[(1, "eu"), (2, "us"), (3, "eu")]);
    let asked = request("eu", 0, Choice::None, 2);
    let expected = [
        (1, Verdict::Picked),
        (2, Verdict::OtherGroup),
        (3, Verdict::NotItsTurn),
    ];
    assert_eq!(verdicts(&turns, &asked), expected);

    let mut sticky = with(Strategy::Sticky, &[(1, "eu"), (2, "us"), (3, "eu")]);
    let asked = request("eu", 7, Choice::None, 2);
    sticky.step(Instant(5_000), &asked, &mut Vec::new());
    let expected = [
        (1, Verdict::Picked),
        (2, Verdict::OtherGroup),
        (3, Verdict::BoundTo(pid(1))),
    ];
    assert_eq!(verdicts(&sticky, &asked), expected);
    let other = request("", 9, Choice::None, 2);
    let expected = [
        (1, Verdict::HasMore(1)),
        (2, Verdict::NotItsTurn),
        (3, Verdict::NotItsTurn),
    ];
    let said = verdicts(&sticky, &other);
    assert_eq!(said[0], expected[0], "{said:?}");
    assert_eq!(
        said.iter().filter(|(_, v)| *v == Verdict::Picked).count(),
        1,
        "{said:?}"
    );

    let fun = with(Strategy::Fun, &[(1, ""), (2, "")]);
    let gone = request("", 0, Choice::Pick(pid(8)), 2);
    let expected = [
        (8, Verdict::NotAttached),
        (1, Verdict::NotChosen),
        (2, Verdict::NotChosen),
    ];
    assert_eq!(verdicts(&fun, &gone), expected);
}

/// C3: right after a failover the leader that is awaited is named as one that has not attached again.
#[test]
fn a_leader_that_has_not_attached_again_is_a_candidate_with_that_reason() {
    let leader = Some(LeaderRecord {
        pid: pid(8),
        epoch: LeaderEpoch(4),
    });
    let mut exchange = exchange(Strategy::Consensus, 2, Vec::new(), leader);
    exchange.step(Instant(1), &attach(1, ""), &mut Vec::new());
    let asked = request("", 0, Choice::None, 2);
    let explained = exchange.explain(Instant(2), &asked).expect("a request");
    let said: Vec<_> = explained
        .candidates
        .iter()
        .map(|c| (c.handler, c.verdict))
        .collect();
    assert_eq!(
        said,
        [(pid(8), Verdict::NotAttached), (pid(1), Verdict::NotTheLeader)]
    );
    let mut out = Vec::new();
    exchange.step(Instant(2), &asked, &mut out);
    assert_eq!(Outcome::of(&out), Outcome::Refused(NoReply::NoLeader));
}

#[test]
fn of_many_candidates_the_picked_one_is_always_shown_and_the_others_are_counted() {
    let handlers: Vec<(u8, &str)> = (1..=40).map(|n| (n, "")).collect();
    let mut exchange = with(Strategy::RoundRobin, &handlers);
    let asked = request("", 0, Choice::None, 2);
    for _ in 0..30 {
        exchange.step(Instant(5_000), &asked, &mut Vec::new());
    }
    let explained = exchange.explain(Instant(5_000), &asked).expect("a request");
    assert_eq!(picked(&explained), [pid(31)]);
    assert_eq!(
        (explained.candidates.len(), explained.left_out),
        (CANDIDATES_SHOWN_MAX + 1, 40 - CANDIDATES_SHOWN_MAX - 1)
    );
}

#[test]
fn the_situation_tells_order_turns_and_bindings() {
    let mut exchange = with(Strategy::Sticky, &[(1, "eu"), (2, "us"), (3, "eu")]);
    exchange.step(
        Instant(5_000),
        &request("eu", 7, Choice::None, 2),
        &mut Vec::new(),
    );
    let shown = exchange.situation(Instant(5_000), 2, 8);
    let order: Vec<Pid> = shown.handlers.iter().map(|h| h.handler).collect();
    assert_eq!((order, shown.handlers_all), (vec![pid(1), pid(2)], 3));
    assert_eq!(
        (shown.bindings, shown.bound.len(), shown.bound[0].1),
        (1, 1, pid(1))
    );
    let eu = &shown.groups[1];
    assert_eq!(
        (eu.service_tag.as_str(), eu.members, eu.place, eu.next),
        ("eu", 2, 1, Some(pid(3)))
    );
    assert_eq!(shown.leading, None);
}
