//! Tests of what the meta leader does about the dead, the weak and the draining, and of what a node says of itself.

use super::super::tests::Cluster;
use super::super::*;
use crate::id::NodeName;
use crate::reason::Lost;
use crate::time::Span;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// Three nodes with leases; node 1 is the meta leader.
fn settled(owner: &str) -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(400));
    cluster.declare(owner);
    cluster.run(Span::from_ms(100));
    cluster.take_seen();
    cluster
}

fn proposed(cluster: &mut Cluster) -> Vec<Command> {
    let commands = cluster.take_seen().into_iter().filter_map(|(_, e)| match e {
        CoreEffect::Propose(command) => Some(command),
        _ => None,
    });
    commands.collect()
}

fn owner(cluster: &Cluster) -> (Option<NodeId>, Epoch) {
    let exchange = cluster.registry.exchanges.values().next().expect("declared");
    (exchange.owner, exchange.epoch)
}

#[test]
fn an_end_that_any_member_saw_is_declared_at_once() {
    let mut cluster = settled("b");
    cluster.dead.insert(B);
    let died = CoreInput::Died {
        node: B,
        incarnation: Incarnation(10),
    };
    cluster.input(C, &died);
    assert_eq!(
        proposed(&mut cluster),
        [Command::NodeLost {
            node: B,
            tenure: Tenure(1),
            reason: Lost::Died
        }],
        "the meta leader heard of it from the one who saw it"
    );
    assert_eq!(owner(&cluster).1, Epoch(2));
}

#[test]
fn a_run_that_was_called_dead_and_is_let_in_again_is_not_dead() {
    let mut cluster = settled("b");
    let died = CoreInput::Died {
        node: B,
        incarnation: Incarnation(10),
    };
    cluster.input(A, &died);
    assert!(!cluster.registry.nodes[&B].is_up());
    cluster.propose(&Command::NodeUp(super::super::tests::introduction(2)));
    cluster.run(Span::from_ms(1000));
    assert!(cluster.registry.nodes[&B].is_up() && cluster.holds_lease(2));
}

#[test]
fn the_end_of_an_earlier_run_proves_nothing_about_this_one() {
    let mut cluster = settled("b");
    let died = CoreInput::Died {
        node: B,
        incarnation: Incarnation(9),
    };
    cluster.input(C, &died);
    assert!(proposed(&mut cluster).is_empty());
    assert!(cluster.cores[&A].is_alive(B));
}

#[test]
fn an_owner_that_is_heard_but_gets_no_promises_is_replaced_once_and_comes_back_when_it_is_well() {
    let mut cluster = settled("b");
    cluster.swallows = |_, to, message| to == B && matches!(message, PeerMessage::HeartbeatAck { .. });
    cluster.run(Span::from_ms(1500));
    assert_eq!(
        owner(&cluster),
        (Some(A), Epoch(2)),
        "the first of the least loaded"
    );
    assert_eq!(cluster.registry.nodes[&B].duty, Duty::Weak);
    assert!(cluster.registry.nodes[&B].is_up());
    let commands = proposed(&mut cluster);
    let weak = commands
        .iter()
        .filter(|c| matches!(c, Command::NodeWeak { .. }))
        .count();
    assert_eq!(weak, 1, "{commands:?}");
    cluster.swallows = |_, _, _| false;
    cluster.run(Span::from_ms(4500));
    assert_eq!(
        cluster.registry.nodes[&B].duty,
        Duty::Weak,
        "not yet: it may flap"
    );
    cluster.run(Span::from_ms(1500));
    assert_eq!(cluster.registry.nodes[&B].duty, Duty::Full);
}

#[test]
fn a_raft_leader_without_a_lease_gives_the_lead_to_a_voter_that_has_one() {
    let mut cluster = settled("a");
    cluster.swallows = |_, to, message| to == A && matches!(message, PeerMessage::HeartbeatAck { .. });
    cluster.run(Span::from_ms(600));
    let seen = cluster.take_seen();
    let asked: Vec<_> = seen
        .iter()
        .filter(|(_, e)| matches!(e, CoreEffect::HandOver { .. }))
        .collect();
    assert_eq!(
        asked,
        [&(A, CoreEffect::HandOver { to: B })],
        "once, not with every beat"
    );
}

#[test]
fn a_node_whose_heartbeats_are_not_acknowledged_says_so_and_that_it_is_isolated() {
    let mut cluster = settled("a");
    cluster.swallows = |_, to, message| to == C && matches!(message, PeerMessage::HeartbeatAck { .. });
    cluster.run(Span::from_ms(500));
    let seen = cluster.take_seen();
    for effect in [
        CoreEffect::Reach {
            node: A,
            reachable: false,
        },
        CoreEffect::Isolated { isolated: true },
    ] {
        assert!(seen.contains(&(C, effect.clone())), "{effect}");
    }
    cluster.swallows = |_, _, _| false;
    cluster.run(Span::from_ms(300));
    let seen = cluster.take_seen();
    for effect in [
        CoreEffect::Reach {
            node: A,
            reachable: true,
        },
        CoreEffect::Isolated { isolated: false },
    ] {
        assert!(seen.contains(&(C, effect.clone())), "{effect}");
    }
}

#[test]
fn promises_ended_for_a_leader_that_came_to_nothing_are_given_again_under_a_new_tenure() {
    let mut cluster = settled("b");
    let ask = PeerMessage::GatherAsk {
        node: B,
        tenure: Tenure(1),
        term: crate::id::Term(1),
    };
    for voter in [A, C] {
        cluster.input(
            voter,
            &CoreInput::Message {
                from: C,
                message: ask.clone(),
            },
        );
    }
    cluster.run(Span::from_ms(300));
    assert!(cluster.holds_lease(2));
    assert_eq!(cluster.registry.nodes[&B].tenure, Tenure(2));
    assert_eq!(owner(&cluster), (Some(B), Epoch(1)), "nothing moved");
}

#[test]
fn a_meta_leader_whose_own_promises_were_ended_takes_a_new_tenure_too() {
    let mut cluster = settled("a");
    let message = PeerMessage::GatherAsk {
        node: A,
        tenure: Tenure(1),
        term: crate::id::Term(1),
    };
    for voter in [B, C] {
        let message = message.clone();
        cluster.input(voter, &CoreInput::Message { from: B, message });
    }
    cluster.run(Span::from_ms(300));
    assert!(cluster.holds_lease(1));
}

#[test]
fn a_draining_node_hands_over_what_it_owns_and_then_says_so() {
    let mut cluster = settled("b");
    let node = NodeName::new("b").expect("a good name");
    cluster.propose(&Command::Drain { node, leave: true });
    cluster.run(Span::from_ms(120));
    let seen = cluster.take_seen();
    let moves = seen
        .iter()
        .filter(|(_, e)| matches!(e, CoreEffect::Propose(Command::Move { .. })))
        .count();
    assert_eq!(moves, 1, "{seen:?}");
    let (exchange, epoch) = (crate::id::ExchangeId(1), Epoch(2));
    let to = cluster.registry.exchanges[&exchange].moving.expect("it moves").to;
    assert!(seen.contains(&(B, CoreEffect::HandOff { exchange, to, epoch })));
    cluster.propose(&Command::Owned {
        exchange,
        epoch,
        to,
        doubled: false,
    });
    let seen = cluster.take_seen();
    assert!(
        seen.contains(&(B, CoreEffect::Drained { leave: true })),
        "{seen:?}"
    );
    assert!(seen.contains(&(to, CoreEffect::Own { exchange, epoch })));
}

#[test]
fn a_move_whose_state_does_not_arrive_is_cancelled() {
    let mut cluster = settled("b");
    cluster.propose(&Command::Move {
        exchange: crate::id::ExchangeName::new("x").expect("a good name"),
        to: Some(NodeName::new("c").expect("a good name")),
        epoch: None,
    });
    cluster.run(Span::from_ms(2500));
    assert_eq!(owner(&cluster), (Some(B), Epoch(3)));
}

#[test]
fn an_exchange_goes_back_to_its_preferred_node_after_a_while_unless_it_was_moved_by_hand() {
    let mut cluster = settled("b");
    cluster.propose(&Command::NodeLost {
        node: B,
        tenure: Tenure(1),
        reason: Lost::Silent,
    });
    assert_eq!(owner(&cluster), (Some(A), Epoch(2)));
    let up = super::super::tests::introduction(2);
    cluster.propose(&Command::NodeUp(up.clone()));
    cluster.input(B, &CoreInput::Connected { node: A });
    cluster.run(Span::from_ms(4000));
    assert!(
        cluster.registry.exchanges.values().all(|e| e.moving.is_none()),
        "too soon"
    );
    cluster.run(Span::from_ms(2000));
    let moves = proposed(&mut cluster);
    assert!(
        moves.iter().any(|c| matches!(
            c,
            Command::Move {
                epoch: Some(Epoch(2)),
                ..
            }
        )),
        "{moves:?}"
    );
}
