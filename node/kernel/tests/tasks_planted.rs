//! The property of `tests/tasks.rs` fails with each bug that is planted in the task queue. A test binary of its own: a planted
//! bug is one for the whole process.

#[path = "tasks/plan.rs"]
mod plan;
#[path = "tasks/world.rs"]
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use squall_kernel::planted::{self, Bug};

use world::World;

/// What the first run that breaks says, without looking for a shorter one.
fn first_breach() -> Option<String> {
    let config = Config {
        cases: 500,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&(plan::shape(), plan::ops(false)), |(shape, ops)| {
        World::new(shape).run(&ops).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, _) | TestError::Abort(reason)) => Some(reason.to_string()),
    }
}

#[test]
fn each_planted_bug_breaks_the_property() {
    assert_eq!(first_breach(), None, "without a bug it holds");
    for (bug, word) in [
        (Bug::SecondCompletionAccepted, "completed by"),
        (Bug::AcknowledgeTaskBeforeBackup, "was acknowledged and is gone"),
    ] {
        planted::plant(Some(bug));
        let breach = first_breach();
        planted::plant(None);
        let found = breach.as_ref().is_some_and(|breach| breach.contains(word));
        assert!(found, "{}: {breach:?}", bug.as_str());
    }
}
