//! Tests of coverage.

use squall_kernel::id::Term;

use super::*;
use crate::invariant::story::{
    at, begun, ended, fenced, granted, handled, leads, lease, outcome, own, paused, reply, routed, started,
};

fn had(story: &[Event], sight: Sight) -> u64 {
    Coverage::of(story).count(sight)
}

#[test]
fn an_owner_that_is_killed_with_a_request_open_is_seen_and_one_without_is_not() {
    let story = [begun(1, 7, false), routed(2, 7, "", 2), ended(3, 1)];
    assert_eq!(had(&story, Sight::OwnerKilledInFlight), 1);
    let story = [
        begun(1, 7, false),
        routed(2, 7, "", 2),
        outcome(3, 7, reply(2), false),
        ended(4, 1),
    ];
    assert_eq!(had(&story, Sight::OwnerKilledInFlight), 0);
}

#[test]
fn a_lease_that_is_renewed_does_not_run_out() {
    let story = [own(1, 1, 1), lease(1, 1, 10), lease(9, 1, 20), started(15, 2)];
    assert_eq!(had(&story, Sight::LeaseRanOut), 0);
    let mut longer = story.to_vec();
    longer.push(started(21, 3));
    assert_eq!(had(&longer, Sight::LeaseRanOut), 1);
    let killed = [own(1, 1, 1), lease(1, 1, 10), ended(5, 1), started(21, 3)];
    assert_eq!(had(&killed, Sight::LeaseRanOut), 0);
}

#[test]
fn a_paused_owner_that_wakes_after_another_took_over_is_seen() {
    let story = |epoch| {
        [
            own(1, 1, 1),
            granted(1, 1, 1, 1),
            paused(2, 1),
            granted(3, 2, epoch, 2),
            at(4, 1, What::Resumed),
        ]
    };
    assert_eq!(had(&story(2), Sight::OwnerWokeLate), 1);
    assert_eq!(had(&story(1), Sight::OwnerWokeLate), 0);
}

#[test]
fn two_leaders_of_the_log_at_once_are_seen() {
    let leads = |t, node, term, leads| {
        at(
            t,
            node,
            What::MetaLeader {
                term: Term(term),
                leads,
            },
        )
    };
    let story = [leads(1, 1, 1, true), leads(2, 2, 2, true)];
    assert_eq!(had(&story, Sight::StaleMetaLeader), 1);
    let story = [
        leads(1, 1, 1, true),
        leads(2, 1, 1, false),
        leads(3, 2, 2, true),
        ended(4, 2),
    ];
    assert_eq!(had(&story, Sight::StaleMetaLeader), 0);
    assert_eq!(had(&story, Sight::MetaLeaderKilled), 1);
}

#[test]
fn leaders_restarts_and_later_epochs_are_seen() {
    let story = [
        started(0, 1),
        leads(1, 1, 1, 10),
        ended(5, 1),
        started(6, 1),
        leads(12, 2, 2, 20),
        handled(13, 2, 7, 2, 2),
        fenced(14, 2, 1, 2),
    ];
    let coverage = Coverage::of(&story);
    for sight in [
        Sight::LeaderKilled,
        Sight::NodeRestarted,
        Sight::LeaderChanged,
        Sight::HandledAfterFailover,
        Sight::StaleFenced,
    ] {
        assert_eq!(coverage.count(sight), 1, "{sight}");
    }
}

#[test]
fn what_a_batch_never_had_is_named() {
    let mut batch = Coverage::of(&[fenced(1, 1, 1, 2)]);
    batch.merge(&Coverage::of(&[
        at(1, 1, What::Mark(Mark::Drained)),
        fenced(1, 1, 1, 2),
    ]));
    assert_eq!(batch.count(Sight::StaleFenced), 2);
    let wanted = [Sight::StaleFenced, Sight::Mark(Mark::Drained), Sight::LateAnswer];
    let missing: Vec<&str> = batch.missing(wanted).into_iter().map(Sight::as_str).collect();
    assert_eq!(missing, ["a late answer was dropped"]);
    assert_eq!(batch.to_string().lines().count(), 2);
    assert_eq!(batch.missing(Sight::all()).len(), Sight::all().count() - 2);
}
