//! Tests of who can end an open request after a change of the registry.

use squall_kernel::id::{ClusterId, Epoch, ExchangeName, Incarnation, NodeName, Revision, Tenure};
use squall_kernel::profile::Profile;
use squall_kernel::reason::Lost;
use squall_kernel::registry::{Command, Introduction, Pattern, Strategy};

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const X: ExchangeId = ExchangeId(1);

fn after(before: &Arc<Registry>, commands: &[Command]) -> Arc<Registry> {
    let mut registry = Registry::clone(before);
    for command in commands {
        registry.apply(Revision(registry.revision.0 + 1), command);
    }
    Arc::new(registry)
}

fn name(id: NodeId) -> NodeName {
    NodeName::new(&format!("n{}", id.0)).expect("a good name")
}

fn introduction(id: u64) -> Introduction {
    Introduction {
        id: NodeId(id),
        name: name(NodeId(id)),
        incarnation: Incarnation(1),
        boot: Boot(1),
        mesh_addr: String::new(),
        grpc_addr: String::new(),
        functions: Vec::new(),
        zone: None,
    }
}

/// Three nodes; the first owns the exchange.
fn cluster() -> Arc<Registry> {
    let found = Command::Found {
        cluster: ClusterId(1),
        profile: Profile::Lan,
    };
    let up = |id: u64| Command::NodeUp(introduction(id));
    let declare = Command::Declare {
        name: ExchangeName::new("x").expect("a good name"),
        pattern: Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        function: None,
        settings: squall_kernel::registry::Settings::default(),
        failover: vec![name(A), name(B)],
        takeover: None,
    };
    after(&Arc::default(), &[found, up(1), up(2), up(3), declare])
}

fn moved(epoch: u64) -> [Command; 2] {
    let begun = Command::Move {
        exchange: ExchangeName::new("x").expect("a good name"),
        to: Some(name(B)),
        epoch: None,
    };
    [begun, owned(epoch, B)]
}

fn owned(epoch: u64, to: NodeId) -> Command {
    Command::Owned {
        exchange: X,
        epoch: Epoch(epoch),
        to,
        doubled: false,
    }
}

fn lost(node: NodeId) -> Command {
    let (tenure, reason) = (Tenure(1), Lost::Died);
    Command::NodeLost { node, tenure, reason }
}

fn keeper(before: &Arc<Registry>, now: &Arc<Registry>, keeper: NodeId) -> Option<NodeId> {
    Change::between(Arc::clone(before), Arc::clone(now), NodeId(3)).keeper(X, keeper)
}

#[test]
fn a_request_follows_its_exchange_and_is_lost_with_the_owner_that_had_it_last() {
    let first = cluster();
    let second = after(&first, &moved(2));
    assert_eq!(keeper(&first, &second, A), Some(B));
    let third = after(&second, &[lost(B)]);
    assert_eq!(third.exchanges[&X].owner, Some(A));
    assert_eq!(keeper(&second, &third, B), None);
    // What was sent to the owner before, and not handed on, is not touched by the loss.
    assert_eq!(keeper(&second, &third, A), Some(A));
}

#[test]
fn a_move_and_the_loss_of_its_next_owner_seen_as_one_change_lose_it_too() {
    let first = cluster();
    let third = after(&after(&first, &moved(2)), &[lost(B)]);
    // Back at the first node it begins anew: what the second had is nowhere.
    let record = &third.exchanges[&X];
    assert_eq!((record.owner, record.epoch), (Some(A), Epoch(3)));
    assert_eq!(keeper(&first, &third, A), None);
}

#[test]
fn a_move_that_is_cancelled_leaves_it_where_it_was() {
    let first = cluster();
    let [begun, _] = moved(2);
    let moving = after(&first, &[begun]);
    assert_eq!(keeper(&first, &moving, A), Some(A));
    let (exchange, epoch) = (X, Epoch(2));
    let kept = after(&moving, &[Command::CancelMove { exchange, epoch }]);
    assert_eq!(keeper(&moving, &kept, A), Some(A));
    // The next owner was lost before it had anything.
    let gone = after(&moving, &[lost(B)]);
    assert_eq!(keeper(&moving, &gone, A), Some(A));
    assert_eq!(keeper(&first, &gone, A), Some(A));
}

/// Its next owner was told nothing: when a handler is lost nobody else could end what it has.
#[test]
fn what_a_weak_owner_knew_is_lost_although_it_lives_on() {
    let (first, weak) = (cluster(), |tenure: u64| Command::NodeWeak {
        node: A,
        tenure: Tenure(tenure),
    });
    let taken = after(&first, &[weak(1)]);
    assert_eq!(taken.exchanges[&X].owner, Some(B));
    assert_eq!(keeper(&first, &taken, A), None);
    // In the middle of a move, too.
    let [begun, _] = moved(2);
    let moving = after(&first, &[begun]);
    let taken = after(&moving, &[weak(1)]);
    assert_eq!(keeper(&moving, &taken, A), None);
    // Seen as one change with what came before and after.
    let fit = Command::NodeFit {
        node: A,
        tenure: Tenure(2),
    };
    let back = Command::Move {
        exchange: ExchangeName::new("x").expect("a good name"),
        to: Some(name(A)),
        epoch: None,
    };
    let back = after(&first, &[weak(1), fit, back, owned(3, A)]);
    assert_eq!(
        (back.exchanges[&X].owner, back.exchanges[&X].kept),
        (Some(A), true)
    );
    assert_eq!(keeper(&first, &back, A), None);
}

#[test]
fn a_node_that_comes_up_is_told_once_and_owners_that_changed_are_found_side_by_side() {
    let mut registry = Registry::default();
    let mut at = 0;
    let mut apply = |command: &Command| {
        at += 1;
        let before = Arc::new(registry.clone());
        registry.apply(squall_kernel::id::Revision(at), command);
        Change::between(before, Arc::new(registry.clone()), NodeId(1))
    };
    apply(&Command::Found {
        cluster: squall_kernel::id::ClusterId(1),
        profile: squall_kernel::profile::Profile::Lan,
    });
    let up = Command::NodeUp(Introduction {
        id: NodeId(1),
        name: "a".parse().expect("a good name"),
        incarnation: squall_kernel::id::Incarnation(1),
        boot: Boot(1),
        mesh_addr: "a:1".into(),
        grpc_addr: "a:2".into(),
        functions: Vec::new(),
        zone: None,
    });
    assert_eq!(apply(&up).came_up().collect::<Vec<_>>(), [NodeId(1)]);
    assert_eq!(apply(&up).came_up().count(), 0);
    for (name, changed) in [("x", 1), ("y", 2), ("x", 0)] {
        let declared = apply(&Command::Declare {
            name: name.parse().expect("a good name"),
            pattern: squall_kernel::registry::Pattern::RequestResponse,
            strategy: squall_kernel::registry::Strategy::RoundRobin,
            function: None,
            settings: squall_kernel::registry::Settings::default(),
            failover: Vec::new(),
            takeover: None,
        });
        let ids: Vec<u32> = declared.owners_changed().map(|record| record.id.0).collect();
        assert_eq!(ids, if changed == 0 { vec![] } else { vec![changed] });
    }
}

#[test]
fn a_run_that_was_lost_is_told_from_one_that_was_weak_also_when_it_has_joined_again() {
    let before = cluster();
    let (node, tenure) = (B, before.nodes[&B].tenure);
    let lost = Command::NodeLost {
        node,
        tenure,
        reason: Lost::Died,
    };
    let again = Command::NodeUp(introduction(2));
    let lost_here = |old: &Arc<Registry>, new: &Arc<Registry>, boot| {
        Change::between(Arc::clone(old), Arc::clone(new), B).was_lost(B, Boot(boot))
    };
    let weak = after(&before, &[Command::NodeWeak { node, tenure }]);
    assert!(!lost_here(&before, &weak, 1), "a weak node goes on");
    let down = after(&before, std::slice::from_ref(&lost));
    assert!(lost_here(&before, &down, 1));
    assert!(!lost_here(&before, &down, 2), "that was the run before");
    let back = after(&before, &[lost, again]);
    assert!(lost_here(&before, &back, 1), "both in one step");
    assert!(
        !lost_here(&down, &back, 1),
        "that was when it went: an owner may have given it something since"
    );
    assert!(!lost_here(&down, &down, 1));
    let tenure = back.nodes[&B].tenure;
    let reason = Lost::Died;
    let gone = after(&back, &[Command::NodeLost { node, tenure, reason }]);
    assert!(lost_here(&down, &gone, 1), "it joined and was lost once more");
}
