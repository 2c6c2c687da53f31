use squall_kernel::time::{Instant, Span};

use super::*;
use crate::sim::fault::PlannedFault;
use crate::sim::plan::{Plan, Wishes};
use crate::sim::{Tier, world};

const A: Seat = Seat(0);
const B: Seat = Seat(1);

/// A quiet cluster of three under these faults, from then to then in milliseconds.
fn plan(faults: &[(u64, u64, SimFault)]) -> Plan {
    let drawn = Plan::draw(1, &Wishes { nodes: Some(3) });
    let numbered = (1..).zip(faults).map(|(id, (from, to, what))| PlannedFault {
        id,
        at: Instant(from * 1_000),
        lasts: Span::from_ms(to - from),
        what: what.clone(),
    });
    let mut plan = drawn.with_faults(numbered.collect());
    plan.work.change_every = Span::from_ms(3_600_000);
    plan
}

/// When, in milliseconds, a way was first seen cut, and open, and so on.
fn changes(plan: &Plan, way: Way) -> Vec<u64> {
    let mut changes = Vec::new();
    let _run = world(Tier::T1, plan).run_seen(|world| {
        if world.cut(way) == changes.len().is_multiple_of(2) {
            changes.push(world.now.0 / 1_000);
        }
    });
    changes
}

#[test]
fn a_cut_acts_one_way_and_for_its_time() {
    let plan = plan(&[(1_000, 1_500, SimFault::Cut { from: A, to: B })]);
    let way = Way { from: A, to: B };
    assert_eq!(changes(&plan, way), [1_000, 1_500]);
    assert!(changes(&plan, way.back()).is_empty());
}

#[test]
fn a_node_that_starts_again_starts_without_faults_and_those_of_others_go_on() {
    let plan = plan(&[
        (1_000, 2_000, SimFault::CutBoth { a: A, b: B }),
        (1_200, 1_300, SimFault::Crash { node: A }),
    ]);
    let way = Way { from: A, to: B };
    assert_eq!(changes(&plan, way), [1_000, 1_300], "held until it starts again");
    assert_eq!(changes(&plan, way.back()), [1_000, 2_000]);
}

#[test]
fn a_reset_breaks_a_connection_and_the_next_one_goes_on() {
    let every = Span::from_ms(100);
    let plan = plan(&[(
        1_000,
        2_000,
        SimFault::Reset {
            from: A,
            to: B,
            every,
        },
    )]);
    let run = world(Tier::T1, &plan).run();
    // At its beginning, and each time after; a connection takes some time to stand again.
    let (broken, resumed) = (
        run.counts["connections broken by faults"],
        run.counts["links resumed"],
    );
    assert!((8..=10).contains(&broken), "{broken}");
    assert_eq!(resumed, broken);
}
