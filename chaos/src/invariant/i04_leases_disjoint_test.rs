//! Tests of I4.

use super::super::story::{broken, disown, ended, holds, leads, lease, own, paused};
use super::*;

#[test]
fn owners_one_after_the_other_hold() {
    holds(
        LeasesDisjoint::default(),
        &[
            own(1, 1, 1),
            lease(1, 1, 10),
            lease(2, 2, 50),
            own(10, 2, 2),
            lease(11, 2, 60),
            // The old owner learns of it late: its lease has run out, so it does not matter.
            disown(12, 1, 1),
            lease(13, 1, 60),
        ],
    );
}

#[test]
fn an_owner_that_was_killed_believes_nothing() {
    holds(
        LeasesDisjoint::default(),
        &[
            own(1, 1, 1),
            lease(1, 1, 100),
            lease(1, 2, 100),
            ended(5, 1),
            own(6, 2, 2),
        ],
    );
}

#[test]
fn a_paused_owner_goes_on_believing() {
    let breach = broken(
        LeasesDisjoint::default(),
        &[
            own(1, 1, 1),
            lease(1, 1, 100),
            lease(1, 2, 100),
            paused(5, 1),
            own(6, 2, 2),
        ],
    );
    assert_eq!(
        breach.text,
        "#1 has two owners at 0.006000s: 1 under epoch 1 until 0.100000s, 2 under epoch 2 until 0.100000s"
    );
    assert_eq!(breach.first.map(|event| event.node), Some(NodeId(1)));
}

#[test]
fn a_lease_that_comes_back_while_another_owns_is_a_breach() {
    broken(
        LeasesDisjoint::default(),
        &[
            own(1, 1, 1),
            lease(1, 1, 5),
            own(6, 2, 2),
            lease(6, 2, 100),
            lease(7, 1, 50),
        ],
    );
}

#[test]
fn an_owner_that_hands_over_believes_no_longer() {
    holds(
        LeasesDisjoint::default(),
        &[
            own(1, 1, 1),
            lease(1, 1, 100),
            lease(1, 2, 100),
            disown(5, 1, 1),
            own(5, 2, 2),
        ],
    );
}

#[test]
fn leaders_one_after_the_other_hold() {
    holds(
        LeasesDisjoint::default(),
        &[
            leads(1, 1, 1, 10),
            leads(5, 1, 1, 15),
            leads(15, 2, 2, 30),
            leads(20, 2, 2, 20),
            leads(20, 3, 3, 90),
            ended(30, 3),
            leads(31, 1, 4, 90),
        ],
    );
}

#[test]
fn two_leaders_at_once_are_a_breach() {
    let breach = broken(
        LeasesDisjoint::default(),
        &[leads(1, 1, 1, 10), leads(9, 2, 2, 30)],
    );
    assert_eq!(
        breach.text,
        "#1 has two leaders at 0.009000s: <1.1:1> under leader epoch 1 until 0.010000s, <2.1:1> under leader epoch 2 \
         until 0.030000s"
    );
}

#[test]
fn a_later_leader_needs_a_higher_epoch() {
    let breach = broken(
        LeasesDisjoint::default(),
        &[leads(1, 1, 2, 10), leads(20, 2, 2, 30)],
    );
    assert_eq!(
        breach.text,
        "#1: <2.1:1> leads under leader epoch 2 after <1.1:1> led under 2"
    );
}
