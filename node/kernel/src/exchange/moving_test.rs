//! Tests of an exchange that moves, and of its leader's leases.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::{Choice, Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput, RequestKey};
use crate::id::{Boot, Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use crate::message::{MoveState, System};
use crate::reason::{DetachReason, NoReply};
use crate::registry::{LeaderRecord, Strategy};
use crate::time::{Instant, Span};

const FAR: Instant = Instant(u64::MAX / 2);
const PROMISE: Span = Span::from_ms(120);

fn pid(node: u64) -> Pid {
    Pid::new(NodeId(node), Boot(1), 1)
}

fn exchange(strategy: Strategy, epoch: u64, leader: Option<LeaderRecord>) -> Exchange {
    let config = ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch: Epoch(epoch),
        leader,
        leader_gone: false,
        settle: PROMISE,
        awaited: Vec::new(),
        promise: PROMISE,
    };
    Exchange::new(Instant(0), config)
}

fn step(exchange: &mut Exchange, now: u64, input: &ExchangeInput) -> Vec<ExchangeEffect> {
    let mut out = Vec::new();
    exchange.step(Instant(now), input, &mut out);
    out
}

fn attach(exchange: &mut Exchange, handler: Pid) -> Vec<ExchangeEffect> {
    step(
        exchange,
        0,
        &ExchangeInput::Attach {
            handler,
            service_tag: String::new(),
            bound: Vec::new(),
            returned: None,
        },
    )
}

fn request(message: u64, epoch: u64) -> ExchangeInput {
    ExchangeInput::Request {
        request: RequestKey {
            origin: NodeId(9),
            message: MessageId(message),
        },
        epoch: Epoch(epoch),
        service_tag: Bytes::new(),
        key: Bytes::new(),
        choice: Choice::None,
        deadline: FAR,
        lease_until: FAR,
    }
}

fn picked(exchange: &mut Exchange, now: u64, message: u64, epoch: u64) -> Option<Pid> {
    match step(exchange, now, &request(message, epoch)).as_slice() {
        [ExchangeEffect::Deliver { handler, .. }] => Some(*handler),
        _ => None,
    }
}

fn leave(exchange: &mut Exchange, now: u64) -> MoveState {
    let (to, epoch) = (NodeId(2), Epoch(2));
    match step(exchange, now, &ExchangeInput::Leave { to, epoch }).as_slice() {
        [ExchangeEffect::Transfer { state, .. }] => state.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exchange_that_leaves_refuses_everything_as_moved_and_sends_its_state_until_it_is_stopped() {
    let mut old = exchange(Strategy::RoundRobin, 1, None);
    attach(&mut old, pid(1));
    leave(&mut old, 10);
    let refused = step(&mut old, 11, &request(1, 1));
    assert!(
        matches!(
            refused.as_slice(),
            [ExchangeEffect::Refuse {
                reason: NoReply::Moved,
                ..
            }]
        ),
        "{refused:?}"
    );
    assert_eq!(old.next_timeout(), Some(Instant(10) + PROMISE));
    let again = step(&mut old, 130_000, &ExchangeInput::Tick);
    assert!(matches!(again.as_slice(), [ExchangeEffect::Transfer { .. }]));
    assert!(
        attach(&mut old, pid(3)).is_empty(),
        "a newcomer attaches with the next owner"
    );
}

#[test]
fn the_next_owner_goes_on_with_whose_turn_it_was_and_tells_every_handler() {
    let mut old = exchange(Strategy::RoundRobin, 1, None);
    for node in 1..=3 {
        attach(&mut old, pid(node));
    }
    assert_eq!(picked(&mut old, 1, 1, 1), Some(pid(1)));
    let state = leave(&mut old, 2);
    let mut new = exchange(Strategy::RoundRobin, 2, None);
    let told = step(&mut new, 5, &ExchangeInput::Resume { state });
    let announced: Vec<NodeId> = told
        .iter()
        .filter_map(|e| match e {
            ExchangeEffect::Announce {
                node,
                what: System::Leader { servers, .. },
                ..
            } if servers.len() == 3 => Some(*node),
            _ => None,
        })
        .collect();
    assert_eq!(announced, [NodeId(1), NodeId(2), NodeId(3)]);
    assert_eq!(picked(&mut new, 6, 2, 2), Some(pid(2)));
    assert_eq!(
        picked(&mut new, 6, 3, 1),
        None,
        "under the old epoch nothing is routed"
    );
}

#[test]
fn requests_passed_on_before_the_move_are_ended_by_the_next_owner_when_their_node_is_lost() {
    let mut old = exchange(Strategy::RoundRobin, 1, None);
    attach(&mut old, pid(1));
    picked(&mut old, 1, 7, 1);
    let state = leave(&mut old, 2);
    let mut new = exchange(Strategy::RoundRobin, 2, None);
    step(&mut new, 5, &ExchangeInput::Resume { state });
    let lost = step(&mut new, 6, &ExchangeInput::NodeLost { node: NodeId(1) });
    let ended = |e: &ExchangeEffect| matches!(e, ExchangeEffect::Interrupt { request, .. } if request.message == MessageId(7));
    assert!(lost.iter().any(ended), "{lost:?}");
}

/// A consensus exchange whose handlers are `leader` and `other`, the first of which leads.
fn led() -> (Exchange, Pid, Pid) {
    let (leader, other) = (pid(1), pid(2));
    let mut exchange = exchange(Strategy::Consensus, 1, None);
    attach(&mut exchange, leader);
    attach(&mut exchange, other);
    let record = LeaderRecord {
        pid: leader,
        epoch: LeaderEpoch(1),
    };
    let committed = ExchangeInput::LeaderCommitted { leader: Some(record) };
    step(&mut exchange, 1, &committed);
    (exchange, leader, other)
}

fn ask(handler: Pid, leader_epoch: u64, lease_until: u64) -> ExchangeInput {
    ExchangeInput::LeaseAsk {
        handler,
        leader_epoch: LeaderEpoch(leader_epoch),
        asked_at: Instant(77),
        lease_until: Instant(lease_until),
    }
}

#[test]
fn the_leader_alone_gets_a_lease_and_never_a_longer_one_than_the_owner_has() {
    let (mut exchange, leader, other) = led();
    let granted = step(&mut exchange, 1000, &ask(leader, 1, 51_000));
    assert_eq!(
        granted,
        [ExchangeEffect::GrantLease {
            handler: leader,
            leader_epoch: LeaderEpoch(1),
            asked_at: Instant(77),
            remaining: Span(50_000),
        }]
    );
    assert!(step(&mut exchange, 1000, &ask(other, 1, 51_000)).is_empty());
    assert!(step(&mut exchange, 1000, &ask(leader, 0, 51_000)).is_empty());
    assert!(step(&mut exchange, 51_000, &ask(leader, 1, 51_000)).is_empty());
}

#[test]
fn no_other_leader_is_appointed_while_a_lease_may_hold_unless_its_holder_gave_it_up() {
    for (reason, waits) in [
        (DetachReason::ClientGone, true),
        (DetachReason::NodeLost, true),
        (DetachReason::Asked, false),
    ] {
        let (mut exchange, leader, other) = led();
        step(&mut exchange, 1000, &ask(leader, 1, 51_000));
        let appointed =
            |effects: &[ExchangeEffect]| effects.contains(&ExchangeEffect::Appoint { leader: Some(other) });
        let detach = ExchangeInput::Detach {
            handler: leader,
            reason,
        };
        assert_eq!(appointed(&step(&mut exchange, 2000, &detach)), !waits, "{reason}");
        if waits {
            let at = exchange.next_timeout().expect("it waits");
            assert!(at > Instant(51_000), "{at}");
            assert!(
                appointed(&step(&mut exchange, at.0, &ExchangeInput::Tick)),
                "{reason}"
            );
        }
    }
}

#[test]
fn the_next_owner_waits_for_leases_of_the_one_before_although_the_registry_has_no_leader_any_more() {
    let mut new = exchange(Strategy::Consensus, 2, None);
    let appointed = |effects: &[ExchangeEffect]| {
        effects
            .iter()
            .any(|e| matches!(e, ExchangeEffect::Appoint { .. }))
    };
    assert!(!appointed(&attach(&mut new, pid(1))));
    let at = new.next_timeout().expect("it waits");
    assert!(at > Instant(PROMISE.0), "{at}");
    assert!(appointed(&step(&mut new, at.0, &ExchangeInput::Tick)));
}

#[test]
fn a_leader_that_was_appointed_late_waits_for_the_lease_of_the_one_before_here_and_after_a_move() {
    let (mut old, leader, other) = led();
    step(&mut old, 1000, &ask(leader, 1, 51_000));
    let late = LeaderRecord {
        pid: other,
        epoch: LeaderEpoch(2),
    };
    let grants = |effects: &[ExchangeEffect]| {
        let grant = |e: &ExchangeEffect| matches!(e, ExchangeEffect::GrantLease { .. });
        effects.iter().any(grant)
    };
    let state = leave(&mut old.clone(), 2000);
    step(
        &mut old,
        2000,
        &ExchangeInput::LeaderCommitted { leader: Some(late) },
    );
    assert!(!grants(&step(&mut old, 3000, &ask(other, 2, 53_000))));
    assert!(grants(&step(&mut old, 60_000, &ask(other, 2, 110_000))));
    let mut new = exchange(Strategy::Consensus, 2, Some(late));
    step(&mut new, 3000, &ExchangeInput::Resume { state });
    assert!(!grants(&step(&mut new, 4000, &ask(other, 2, 54_000))));
    assert!(grants(&step(&mut new, 60_000, &ask(other, 2, 110_000))));
}

#[test]
fn a_lease_granted_before_a_move_is_waited_for_by_the_next_owner() {
    let (mut old, leader, other) = led();
    step(&mut old, 1000, &ask(leader, 1, 51_000));
    let state = leave(&mut old, 2000);
    assert!(state.granted > Span(48_000), "{}", state.granted);
    let record = LeaderRecord {
        pid: leader,
        epoch: LeaderEpoch(1),
    };
    let mut new = exchange(Strategy::Consensus, 2, Some(record));
    step(&mut new, 3000, &ExchangeInput::Resume { state });
    let detach = ExchangeInput::Detach {
        handler: leader,
        reason: DetachReason::ClientGone,
    };
    let effects = step(&mut new, 4000, &detach);
    assert!(!effects.contains(&ExchangeEffect::Appoint { leader: Some(other) }));
    assert!(new.next_timeout().is_some_and(|at| at > Instant(51_000)));
}
