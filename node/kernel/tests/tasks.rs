//! The task queue under crashes of owner and backup, moves, lost and late messages, in every order that is drawn.

#[path = "tasks/plan.rs"]
mod plan;
#[path = "tasks/world.rs"]
mod world;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngAlgorithm, TestRng, TestRunner};

use world::{Shape, World};

proptest! {
    // Beside the sources a failure is kept in `tasks.proptest-regressions`, and tried first from then on.
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]
    #[test]
    fn an_acknowledged_task_is_not_lost_with_one_node_and_is_completed_at_most_once(
        shape in plan::shape(),
        ops in plan::ops(false),
    ) {
        World::new(shape).run(&ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_task_is_completed_twice_even_when_both_copies_are_lost(
        shape in plan::shape(),
        ops in plan::ops(true),
    ) {
        World::new(shape).run(&ops).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn a_batch_of_runs_goes_through_failovers_and_moves() {
    let (failovers, moves) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&plan::ops(false), |ops| {
        let mut world = World::new(Shape::default());
        world.run(&ops).map_err(TestCaseError::fail)?;
        failovers.set(failovers.get() + world.failovers);
        moves.set(moves.get() + world.moves);
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(failovers.get() > 50, "{} failovers", failovers.get());
    assert!(moves.get() > 50, "{} moves", moves.get());
}
