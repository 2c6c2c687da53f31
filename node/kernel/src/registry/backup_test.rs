//! Tests of who is named as the backup of an exchange with tasks.

use super::super::tests::{Log, lost, name, node};
use super::super::{Command, Moving, Outcome, Pattern, Settings, Strategy};
use crate::id::{Epoch, ExchangeId, NodeId, NodeName, Tenure};

fn named(text: &str) -> NodeName {
    NodeName::new(text).expect("a good name")
}

/// `x`, with tasks, is owned by node 1 of nodes a, b, c; its list is a, c.
fn owned_by_a() -> Log {
    let mut log = Log::of_three();
    let outcome = log.run(&Command::Declare {
        name: name("x"),
        pattern: Pattern::Task,
        strategy: Strategy::Default,
        function: None,
        settings: Settings::default(),
        failover: alloc::vec![named("a"), named("c")],
        takeover: None,
    });
    assert_eq!(outcome, Outcome::Done);
    log
}

fn stands(log: &Log) -> (Option<NodeId>, Option<NodeId>) {
    let record = log.0.exchange(&name("x")).expect("declared");
    (record.owner, record.backup)
}

#[test]
fn the_next_node_of_the_list_is_the_backup_and_takes_over() {
    let mut log = owned_by_a();
    assert_eq!(stands(&log), (Some(NodeId(1)), Some(NodeId(3))));
    log.run(&lost(1, 1));
    assert_eq!(stands(&log), (Some(NodeId(3)), Some(NodeId(2))), "least loaded");
    log.run(&lost(2, 1));
    assert_eq!(stands(&log), (Some(NodeId(3)), None), "there is nobody else");
    log.run(&node(1, "a", 11));
    assert_eq!(stands(&log), (Some(NodeId(3)), Some(NodeId(1))));
}

#[test]
fn a_backup_that_is_up_is_kept_and_outranks_the_failover_list() {
    let mut log = owned_by_a();
    log.run(&lost(3, 1));
    assert_eq!(stands(&log), (Some(NodeId(1)), Some(NodeId(2))));
    log.run(&node(3, "c", 11));
    assert_eq!(
        stands(&log),
        (Some(NodeId(1)), Some(NodeId(2))),
        "it has the copy"
    );
    log.run(&lost(1, 1));
    assert_eq!(
        stands(&log),
        (Some(NodeId(2)), Some(NodeId(3))),
        "not c, which has none"
    );
}

#[test]
fn a_move_to_the_backup_makes_the_old_owner_the_backup() {
    let mut log = owned_by_a();
    log.run(&move_to("c"));
    log.run(&owned(2, 3, true));
    assert_eq!(stands(&log), (Some(NodeId(3)), Some(NodeId(1))));
    log.run(&move_to("b"));
    log.run(&owned(3, 2, true));
    assert_eq!(
        stands(&log),
        (Some(NodeId(2)), Some(NodeId(1))),
        "it keeps its copy"
    );
}

#[test]
fn a_move_makes_the_old_owner_the_backup_where_the_backup_has_not_all() {
    let mut log = owned_by_a();
    log.run(&move_to("b"));
    log.run(&owned(2, 2, false));
    assert_eq!(
        stands(&log),
        (Some(NodeId(2)), Some(NodeId(1))),
        "by the owner's word"
    );

    let mut log = owned_by_a();
    log.run(&move_to("b"));
    log.run(&node(3, "c", 11));
    log.run(&owned(2, 2, true));
    assert_eq!(
        stands(&log),
        (Some(NodeId(2)), Some(NodeId(1))),
        "what the backup had ended with its run"
    );
}

#[test]
fn an_exchange_without_tasks_has_no_backup() {
    let mut log = Log::of_three();
    log.run(&super::super::tests::declare("x", Strategy::RoundRobin, &["a"]));
    assert_eq!(stands(&log), (Some(NodeId(1)), None));
}

fn move_to(node: &str) -> Command {
    Command::Move {
        exchange: name("x"),
        to: Some(named(node)),
        epoch: None,
    }
}

fn owned(epoch: u64, to: u64, doubled: bool) -> Command {
    Command::Owned {
        exchange: ExchangeId(1),
        epoch: Epoch(epoch),
        to: NodeId(to),
        doubled,
    }
}

fn weak(node: u64) -> Command {
    let (node, tenure) = (NodeId(node), Tenure(1));
    Command::NodeWeak { node, tenure }
}

fn moves(log: &Log) -> Option<Moving> {
    log.0.exchange(&name("x")).expect("declared").moving
}

#[test]
fn the_tasks_of_a_weak_owner_move_for_it_may_have_the_only_copy() {
    let mut log = owned_by_a();
    let (to, epoch, backup) = (NodeId(3), Epoch(2), Some(NodeId(3)));
    assert_eq!(log.run(&weak(1)), Outcome::Done);
    assert_eq!(stands(&log), (Some(NodeId(1)), Some(NodeId(3))));
    assert_eq!(moves(&log), Some(Moving { to, epoch, backup }));
}

#[test]
fn a_weak_backup_has_the_tasks_and_hands_them_on() {
    let mut log = owned_by_a();
    assert_eq!(log.run(&weak(3)), Outcome::Done);
    log.run(&lost(1, 1));
    let (to, epoch, backup) = (NodeId(2), Epoch(3), Some(NodeId(3)));
    assert_eq!(stands(&log), (Some(NodeId(3)), Some(NodeId(2))));
    assert_eq!(moves(&log), Some(Moving { to, epoch, backup }));
}
