//! Tests of moves, drains and weak nodes in the registry.

use alloc::string::ToString as _;

use super::super::tests::{Log, declare, lost, name, node};
use super::super::{Command, Duty, Outcome, Refused, Takeover};
use crate::id::{Epoch, ExchangeId, NodeId, NodeName, Tenure};
use crate::registry::Strategy;

fn named(text: &str) -> NodeName {
    NodeName::new(text).expect("a good name")
}

fn to(node: &str) -> Command {
    Command::Move {
        exchange: name("x"),
        to: Some(named(node)),
        epoch: None,
    }
}

fn owned(epoch: u64, to: u64) -> Command {
    Command::Owned {
        exchange: ExchangeId(1),
        epoch: Epoch(epoch),
        to: NodeId(to),
        doubled: false,
    }
}

/// `x` is owned by node 1 under epoch 1, of nodes a, b, c.
fn owned_by_a() -> Log {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::RoundRobin, &["a", "b"]));
    assert_eq!(log.owner("x"), (Some(NodeId(1)), Epoch(1)));
    log
}

#[test]
fn a_move_changes_the_owner_only_when_the_next_one_has_the_state() {
    let mut log = owned_by_a();
    assert_eq!(log.run(&to("b")), Outcome::Done);
    assert_eq!(log.owner("x"), (Some(NodeId(1)), Epoch(1)));
    assert_eq!(
        log.run(&owned(2, 3)),
        Outcome::Refused(Refused::Fenced { seen: 1 })
    );
    assert_eq!(log.run(&owned(2, 2)), Outcome::Done);
    assert_eq!(log.owner("x"), (Some(NodeId(2)), Epoch(2)));
    assert_eq!(
        log.run(&owned(2, 2)),
        Outcome::Refused(Refused::Fenced { seen: 2 })
    );
}

#[test]
fn a_move_that_cannot_be_is_refused_with_the_reason() {
    let mut log = owned_by_a();
    let why = |log: &mut Log, command: &Command| match log.run(command) {
        Outcome::Refused(refused) => alloc::format!("{refused}"),
        other => panic!("{other:?}"),
    };
    assert!(why(&mut log, &to("z")).contains("no node 'z'"));
    assert!(why(&mut log, &to("a")).contains("owns 'x' already"));
    log.run(&lost(3, 1));
    assert_eq!(why(&mut log, &to("c")), "node 'c' is down");
    log.run(&Command::Drain {
        node: named("b"),
        leave: false,
    });
    assert!(why(&mut log, &to("b")).contains("draining"));
    log.run(&node(3, "c", 11));
    log.run(&to("c"));
    assert!(why(&mut log, &to("c")).contains("is moving to 'c' already"));
    let stale = Command::Move {
        exchange: name("x"),
        to: Some(named("c")),
        epoch: Some(Epoch(7)),
    };
    let mut log = owned_by_a();
    assert_eq!(log.run(&stale), Outcome::Refused(Refused::Fenced { seen: 1 }));
}

#[test]
fn a_move_without_a_node_needs_a_list_with_somebody_fit() {
    let preferred = |exchange: &str| Command::Move {
        exchange: name(exchange),
        to: None,
        epoch: None,
    };
    let mut log = owned_by_a();
    log.run(&declare("y", Strategy::RoundRobin, &[]));
    log.run(&declare("z", Strategy::RoundRobin, &["gone"]));
    let mut why = |exchange: &str| match log.run(&preferred(exchange)) {
        Outcome::Refused(refused) => refused.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        why("y"),
        "'y' has no node to move to: it has no failover list; name one"
    );
    assert_eq!(
        why("z"),
        "'z' has no node to move to: no node of its failover list can own it now; name one"
    );
}

#[test]
fn whatever_ends_a_move_otherwise_grants_the_epoch_after_the_moves() {
    for end in [
        lost(2, 1),
        node(2, "b", 11),
        Command::CancelMove {
            exchange: ExchangeId(1),
            epoch: Epoch(2),
        },
        Command::NodeWeak {
            node: NodeId(2),
            tenure: Tenure(1),
        },
    ] {
        let mut log = owned_by_a();
        log.run(&to("b"));
        assert_eq!(log.run(&end), Outcome::Done, "{end}");
        assert_eq!(log.owner("x"), (Some(NodeId(1)), Epoch(3)), "{end}");
        assert!(log.0.exchange(&name("x")).is_some_and(|e| e.kept), "{end}");
        assert!(matches!(log.run(&owned(2, 2)), Outcome::Refused(_)), "{end}");
    }
    let mut log = owned_by_a();
    log.run(&to("b"));
    log.run(&lost(1, 1));
    assert_eq!(log.owner("x"), (Some(NodeId(2)), Epoch(3)), "the owner was lost");
    assert!(log.0.exchange(&name("x")).is_some_and(|e| !e.kept));
}

#[test]
fn a_weak_node_gives_its_exchanges_away_and_gets_none_until_it_is_fit() {
    let mut log = owned_by_a();
    let weak = Command::NodeWeak {
        node: NodeId(1),
        tenure: Tenure(1),
    };
    assert_eq!(log.run(&weak), Outcome::Done);
    assert_eq!(log.owner("x"), (Some(NodeId(2)), Epoch(2)));
    assert_eq!(log.0.nodes[&NodeId(1)].tenure, Tenure(2));
    assert!(matches!(
        log.run(&to("a")),
        Outcome::Refused(Refused::NotFit { .. })
    ));
    log.run(&Command::NodeFit {
        node: NodeId(1),
        tenure: Tenure(2),
    });
    assert_eq!(log.0.nodes[&NodeId(1)].duty, Duty::Full);
    assert_eq!(log.run(&to("a")), Outcome::Done);
}

#[test]
fn a_draining_node_that_cannot_act_loses_what_it_could_not_hand_over() {
    let mut log = owned_by_a();
    log.run(&Command::Drain {
        node: named("a"),
        leave: true,
    });
    let weak = Command::NodeWeak {
        node: NodeId(1),
        tenure: Tenure(1),
    };
    assert_eq!(log.run(&weak), Outcome::Done);
    assert_eq!(log.owner("x"), (Some(NodeId(2)), Epoch(2)));
    assert_eq!(log.0.nodes[&NodeId(1)].duty, Duty::Draining { leave: true });
}

#[test]
fn the_last_node_that_may_own_is_neither_weak_nor_drained() {
    let mut log = owned_by_a();
    log.run(&lost(2, 1));
    log.run(&lost(3, 1));
    let drain = Command::Drain {
        node: named("a"),
        leave: true,
    };
    assert!(matches!(
        log.run(&drain),
        Outcome::Refused(Refused::NobodyElse(_))
    ));
    let weak = Command::NodeWeak {
        node: NodeId(1),
        tenure: Tenure(1),
    };
    assert!(matches!(log.run(&weak), Outcome::Refused(Refused::NobodyElse(_))));
}

#[test]
fn only_a_node_that_is_down_is_removed() {
    let mut log = owned_by_a();
    let remove = Command::RemoveNode { node: named("b") };
    assert!(matches!(log.run(&remove), Outcome::Refused(Refused::NodeUp(_))));
    log.run(&lost(2, 1));
    assert_eq!(log.run(&remove), Outcome::Done);
    assert!(log.0.node_named("b").is_none());
    log.run(&node(2, "b", 12));
    assert_eq!(
        log.0.nodes[&NodeId(2)].tenure,
        Tenure(3),
        "after the one it was lost under"
    );
}

#[test]
fn takeover_is_part_of_the_declaration() {
    let mut log = owned_by_a();
    let declare = |takeover| Command::Declare {
        name: name("x"),
        pattern: crate::registry::Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        function: None,
        settings: crate::registry::Settings::default(),
        failover: alloc::vec![],
        takeover,
    };
    assert_eq!(log.run(&declare(None)), Outcome::Unchanged);
    assert_eq!(log.run(&declare(Some(Takeover::Auto))), Outcome::Unchanged);
    assert!(matches!(
        log.run(&declare(Some(Takeover::Never))),
        Outcome::Refused(Refused::Differs { .. })
    ));
}
