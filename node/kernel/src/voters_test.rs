use proptest::prelude::*;

use super::*;
use crate::id::{Boot, ClusterId, Incarnation, Revision, Tenure};
use crate::membership::MemberRefused;
use crate::profile::Profile;
use crate::reason::Lost;
use crate::registry::{Command, Introduction};

fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn name(node: u64) -> NodeName {
    NodeName::new(&alloc::format!("n{node}")).expect("a good name")
}

fn member(node: u64) -> Standing {
    Standing {
        name: name(node),
        address: alloc::format!("host-{node}:1"),
        live: true,
        down_for: None,
        duty: Duty::Full,
    }
}

/// Nodes 1 to `members`, all up; the first `voters` vote, 1 leads, the others have caught up.
fn cluster(voters: u64, members: u64) -> (Group, Roll) {
    let group = Group {
        leader: NodeId(1),
        voters: ids(1..=voters),
        addresses: (1..=members).map(|n| (NodeId(n), member(n).address)).collect(),
        ready: ids(voters + 1..=members),
    };
    let roll = Roll {
        members: (1..=members).map(|n| (NodeId(n), member(n))).collect(),
        ..Roll::default()
    };
    (group, roll)
}

fn on(roll: &mut Roll, node: u64) -> &mut Standing {
    roll.members.get_mut(&NodeId(node)).expect("a member")
}

fn down(group: &mut Group, roll: &mut Roll, node: u64, secs: u64) {
    let standing = on(roll, node);
    standing.live = false;
    standing.down_for = Some(Span::from_ms(secs * 1000));
    group.ready.remove(&NodeId(node));
}

fn ghost(group: &mut Group, roll: &mut Roll, node: u64) {
    roll.members.remove(&NodeId(node));
    roll.gone.insert(NodeId(node));
    group.ready.remove(&NodeId(node));
}

fn leaves(roll: &mut Roll, node: u64) {
    on(roll, node).duty = Duty::Draining { leave: true };
}

fn voters(adjustment: Option<Adjustment>) -> Option<BTreeSet<NodeId>> {
    match adjustment {
        Some(Adjustment::Voters(voters)) => Some(voters),
        _ => None,
    }
}

#[test]
fn voters_are_one_three_or_five() {
    let sizes: Vec<usize> = (0..=8).map(voters_for).collect();
    assert_eq!(sizes, [0, 1, 1, 3, 3, 5, 5, 5, 5]);
}

#[test]
fn learners_are_promoted_in_pairs() {
    for (have, members, want) in [
        (1, 1, None),
        (1, 2, None),
        (1, 3, Some(ids(1..=3))),
        (1, 4, Some(ids(1..=3))),
        (1, 5, Some(ids(1..=5))),
        (3, 4, None),
        (3, 5, Some(ids(1..=5))),
        (5, 9, None),
    ] {
        let (group, roll) = cluster(have, members);
        assert_eq!(voters(adjust(&group, &roll)), want, "{have} of {members}");
    }
}

#[test]
fn a_dead_voter_does_not_count_as_a_member() {
    let three = ids([1, 2, 3]);
    assert_eq!(promotions(&three, &ids([1, 2]), &ids([4, 5])), ids([]));
    assert_eq!(promotions(&three, &ids([1, 2]), &ids([4, 5, 6])), ids([4, 5]));
    assert_eq!(promotions(&three, &three, &ids([4, 5])), ids([4, 5]));
}

#[test]
fn a_cluster_of_four_founders_begins_with_three_voters() {
    assert_eq!(founding_voters(NodeId(4), &ids([4, 2, 9, 7])), ids([2, 4, 7]));
    assert_eq!(founding_voters(NodeId(9), &ids([4, 2, 9, 7])), ids([2, 4, 9]));
}

#[test]
fn a_voter_that_came_back_with_an_empty_disk_is_replaced_by_its_successor_and_forgotten() {
    let (mut group, mut roll) = cluster(3, 6);
    group.ready = ids([4]);
    ghost(&mut group, &mut roll, 3);
    group.ready = ids([4, 6]);
    group.addresses.insert(NodeId(6), "host-3:1".into());
    let next = voters(adjust(&group, &roll));
    assert_eq!(next, Some(ids([1, 2, 6])), "6 listens where 3 did");
    group.voters = ids([1, 2, 6]);
    group.ready = ids([4]);
    assert_eq!(adjust(&group, &roll), Some(Adjustment::Forget(ids([3]))));
}

#[test]
fn a_ghost_stays_while_nobody_can_vote_in_its_place() {
    let (mut group, mut roll) = cluster(3, 3);
    ghost(&mut group, &mut roll, 3);
    assert_eq!(adjust(&group, &roll), None);
}

#[test]
fn a_voter_that_is_down_is_replaced_only_by_the_explicit_rule() {
    let (mut group, mut roll) = cluster(3, 4);
    down(&mut group, &mut roll, 2, 61);
    assert_eq!(adjust(&group, &roll), None, "no rule");
    roll.replace_after = Some(Span::from_ms(61_000));
    assert_eq!(adjust(&group, &roll), None, "not longer than the rule");
    roll.replace_after = Some(Span::from_ms(60_000));
    assert_eq!(voters(adjust(&group, &roll)), Some(ids([1, 3, 4])));
}

#[test]
fn suspicion_alone_changes_no_voters() {
    let (group, mut roll) = cluster(3, 4);
    roll.replace_after = Some(Span::from_ms(1));
    on(&mut roll, 2).live = false;
    assert_eq!(adjust(&group, &roll), None);
}

#[test]
fn a_voter_that_leaves_is_replaced_or_takes_another_one_along() {
    let (group, mut roll) = cluster(3, 4);
    leaves(&mut roll, 2);
    assert_eq!(voters(adjust(&group, &roll)), Some(ids([1, 3, 4])));
    let (group, mut roll) = cluster(5, 5);
    leaves(&mut roll, 2);
    assert_eq!(
        voters(adjust(&group, &roll)),
        Some(ids([1, 3, 4])),
        "5 goes along"
    );
    let (mut group, mut roll) = cluster(5, 5);
    down(&mut group, &mut roll, 3, 1);
    leaves(&mut roll, 2);
    assert_eq!(
        voters(adjust(&group, &roll)),
        Some(ids([1, 4, 5])),
        "rather one that is down"
    );
    let (mut group, mut roll) = cluster(3, 3);
    leaves(&mut roll, 1);
    assert_eq!(adjust(&group, &roll), None, "the leader hands over first");
    group.leader = NodeId(2);
    assert_eq!(voters(adjust(&group, &roll)), Some(ids([2])));
    let (group, mut roll) = cluster(1, 2);
    leaves(&mut roll, 1);
    assert_eq!(voters(adjust(&group, &roll)), Some(ids([2])), "nobody could lead");
    let (group, mut roll) = cluster(1, 1);
    leaves(&mut roll, 1);
    assert_eq!(adjust(&group, &roll), None, "the last voter stays");
}

#[test]
fn a_leaving_learner_gets_no_vote() {
    let (group, mut roll) = cluster(1, 3);
    leaves(&mut roll, 3);
    assert_eq!(adjust(&group, &roll), None);
}

#[test]
fn a_member_without_a_copy_of_the_log_becomes_a_learner() {
    let (mut group, roll) = cluster(3, 4);
    group.addresses.remove(&NodeId(4));
    group.ready.clear();
    let learner = Adjustment::Learner {
        node: NodeId(4),
        address: "host-4:1".into(),
    };
    assert_eq!(adjust(&group, &roll), Some(learner));
}

#[test]
fn an_operator_promotes_a_learner_in_place_of_a_dead_voter_or_with_another_one() {
    let (mut group, mut roll) = cluster(3, 4);
    assert_eq!(
        promote(&group, &roll, &name(4)),
        Err(MemberRefused::NoPartner(name(4)))
    );
    assert_eq!(promote(&group, &roll, &name(3)), Ok(ids([1, 2, 3])));
    assert_eq!(
        promote(&group, &roll, &name(9)),
        Err(MemberRefused::UnknownNode("n9".into()))
    );
    down(&mut group, &mut roll, 2, 1);
    assert_eq!(promote(&group, &roll, &name(4)), Ok(ids([1, 3, 4])));
    assert_eq!(
        promote(&group, &roll, &name(2)),
        Ok(group.voters.clone()),
        "votes already, though down"
    );

    let (mut group, mut roll) = cluster(3, 6);
    assert_eq!(promote(&group, &roll, &name(6)), Ok(ids([1, 2, 3, 4, 6])));
    group.ready.remove(&NodeId(6));
    assert_eq!(
        promote(&group, &roll, &name(6)),
        Err(MemberRefused::Behind(name(6)))
    );
    leaves(&mut roll, 5);
    assert_eq!(
        promote(&group, &roll, &name(5)),
        Err(MemberRefused::Leaving(name(5)))
    );
    down(&mut group, &mut roll, 4, 1);
    assert_eq!(
        promote(&group, &roll, &name(4)),
        Err(MemberRefused::Down(name(4)))
    );
    let (group, roll) = cluster(5, 6);
    assert_eq!(
        promote(&group, &roll, &name(6)),
        Err(MemberRefused::Full { voters: 5 })
    );
}

#[test]
fn an_operator_demotes_a_voter_when_a_learner_takes_its_place() {
    let (group, roll) = cluster(3, 4);
    assert_eq!(demote(&group, &roll, &name(2)), Ok(ids([1, 3, 4])));
    assert_eq!(demote(&group, &roll, &name(4)), Ok(ids([1, 2, 3])));
    let (mut group, mut roll) = cluster(3, 3);
    assert_eq!(
        demote(&group, &roll, &name(2)),
        Err(MemberRefused::NoReplacement(name(2)))
    );
    down(&mut group, &mut roll, 3, 1);
    assert_eq!(demote(&group, &roll, &name(2)), Ok(ids([1])), "3 goes along");
    let (group, mut roll) = cluster(3, 3);
    leaves(&mut roll, 2);
    assert_eq!(
        demote(&group, &roll, &name(2)),
        Ok(ids([1])),
        "who leaves takes one along"
    );
    let (group, roll) = cluster(1, 1);
    assert_eq!(
        demote(&group, &roll, &name(1)),
        Err(MemberRefused::LastVoter(name(1)))
    );
}

#[test]
fn an_operator_removes_only_what_is_down() {
    let (mut group, mut roll) = cluster(3, 3);
    assert_eq!(remove(&group, &roll, &name(3)), Err(MemberRefused::Up(name(3))));
    down(&mut group, &mut roll, 3, 1);
    assert_eq!(remove(&group, &roll, &name(3)), Ok(ids([1])));
    on(&mut roll, 2).live = false;
    on(&mut roll, 1).live = false;
    assert_eq!(
        remove(&group, &roll, &name(3)),
        Err(MemberRefused::QuorumCritical(name(3)))
    );
    let (mut group, mut roll) = cluster(3, 4);
    down(&mut group, &mut roll, 3, 1);
    assert_eq!(remove(&group, &roll, &name(3)), Ok(ids([1, 2, 4])));
}

#[test]
fn a_roll_follows_the_registry() {
    let (_, mut roll) = cluster(3, 3);
    let mut registry = Registry::default();
    let mut at = 0;
    let mut apply = |command: &Command| {
        at += 1;
        registry.apply(Revision(at), command);
        registry.clone()
    };
    apply(&Command::Found {
        cluster: ClusterId(1),
        profile: Profile::Lan,
    });
    for node in [1, 2] {
        apply(&Command::NodeUp(Introduction {
            id: NodeId(node),
            name: name(node),
            incarnation: Incarnation(1),
            boot: Boot(1),
            mesh_addr: String::new(),
            grpc_addr: String::new(),
            functions: Vec::new(),
            zone: None,
        }));
    }
    apply(&Command::Drain {
        node: name(1),
        leave: true,
    });
    let now = apply(&Command::NodeLost {
        node: NodeId(2),
        tenure: Tenure(1),
        reason: Lost::Silent,
    });
    roll.renew(&now);
    assert!(roll.leaves(NodeId(1)) && roll.is_live(NodeId(1)));
    assert!(roll.is_out(NodeId(2)) && !roll.is_live(NodeId(2)));
    assert_eq!(roll.members.len(), 2, "3 was removed");
}

fn any_cluster() -> impl Strategy<Value = (Group, Roll)> {
    let node = (0u8..6, any::<bool>(), 0u64..100);
    let size = proptest::sample::select(alloc::vec![1u64, 3, 5]);
    let rule = proptest::option::of(0u64..100);
    (size, proptest::collection::vec(node, 10), rule).prop_map(|(voters, nodes, rule)| {
        let (mut group, mut roll) = cluster(voters, 10);
        roll.replace_after = rule.map(|s| Span::from_ms(s * 1000));
        for (n, (kind, caught_up, secs)) in (1..).zip(nodes) {
            if !caught_up {
                group.ready.remove(&NodeId(n));
            }
            match kind {
                0 if n > 1 => down(&mut group, &mut roll, n, secs),
                1 if n > 1 => ghost(&mut group, &mut roll, n),
                2 => leaves(&mut roll, n),
                3 if n > 1 => {
                    on(&mut roll, n).live = false;
                    group.ready.remove(&NodeId(n));
                }
                4 => on(&mut roll, n).duty = Duty::Weak,
                _ => {}
            }
        }
        (group, roll)
    })
}

/// What holds of every set of voters that is asked for.
fn assert_good(group: &Group, roll: &Roll, next: &BTreeSet<NodeId>) {
    assert!([1, 3, 5].contains(&next.len()), "{next:?}");
    let live = next.iter().filter(|id| roll.is_live(**id)).count();
    assert!(live > next.len() / 2, "{live} of {next:?} live");
    for new in next.difference(&group.voters) {
        assert!(group.ready.contains(new), "{new} has not caught up");
        assert!(!roll.leaves(*new), "{new} leaves");
    }
}

proptest! {
    #[test]
    fn the_rule_keeps_a_live_majority_of_one_three_or_five((group, roll) in any_cluster()) {
        if let Some(next) = voters(adjust(&group, &roll)) {
            assert_good(&group, &roll, &next);
            prop_assert_ne!(&next, &group.voters);
            let shrinks = next.len() < group.voters.len();
            let leaving = group.voters.difference(&next).any(|id| roll.leaves(*id));
            prop_assert!(!shrinks || leaving, "only a node that leaves makes them fewer");
            for out in group.voters.difference(&next) {
                let reason = roll.gone.contains(out) || roll.is_expired(*out) || roll.leaves(*out);
                prop_assert!(reason || shrinks, "{out} lost its vote for nothing");
            }
        }
    }

    #[test]
    fn the_rule_comes_to_rest((mut group, roll) in any_cluster()) {
        for _ in 0..8 {
            match adjust(&group, &roll) {
                None => return Ok(()),
                Some(Adjustment::Voters(next)) => {
                    let dropped: Vec<NodeId> = group.voters.difference(&next).copied().collect();
                    group.ready.retain(|id| !next.contains(id));
                    group.ready.extend(dropped.into_iter().filter(|id| roll.is_live(*id)));
                    group.voters = next;
                }
                Some(Adjustment::Learner { node, address }) => {
                    group.addresses.insert(node, address);
                }
                Some(Adjustment::Forget(gone)) => group.addresses.retain(|id, _| !gone.contains(id)),
            }
        }
        prop_assert!(false, "still changing: {:?}", adjust(&group, &roll));
    }

    #[test]
    fn an_operators_changes_keep_a_live_majority_of_one_three_or_five(
        (group, roll) in any_cluster(),
        node in 1u64..=10,
    ) {
        for asked in [promote, demote, remove] {
            if let Ok(next) = asked(&group, &roll, &name(node)) && next != group.voters {
                assert_good(&group, &roll, &next);
            }
        }
    }
}
