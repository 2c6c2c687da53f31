//! How each planted bug is found. The table of docs/simulator.md is this one.

use squall_chaos::sim::Tier;
use squall_chaos::sim::batch::Wrong;
use squall_kernel::planted::Bug;

/// How a bug is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) bug: Bug,
    pub(crate) tier: Tier,
    /// The invariants that it breaks, one or the other first.
    pub(crate) by: &'static [u8],
    /// Seeds until found, over five series: the one in the middle, and the most.
    pub(crate) measured: (u64, u64),
    /// Found within so many seeds from the first.
    pub(crate) within: u64,
}

impl Row {
    /// True when that is how the bug shows itself: another failure would not say that this bug is found.
    pub(crate) fn expects(&self, wrong: &Wrong) -> bool {
        matches!(wrong, Wrong::Broken(breach) if self.by.contains(&breach.id.0))
    }
}

const fn row(bug: Bug, tier: Tier, by: &'static [u8], measured: (u64, u64), within: u64) -> Row {
    Row {
        bug,
        tier,
        by,
        measured,
        within,
    }
}

/// A row for each.
pub(crate) const ROWS: &[Row] = &[
    row(Bug::IgnoreEpoch, Tier::T1, &[3], (13, 22), 80),
    row(Bug::AcknowledgeBeforeDurable, Tier::T2, &[12], (7, 14), 50),
    row(Bug::ProposeWithoutGathering, Tier::T1, &[4], (6, 20), 80),
    row(Bug::RestartedVoterPromises, Tier::T1, &[4], (21, 165), 400),
    row(Bug::TrustLeaderWithoutQuorum, Tier::T1, &[12], (16, 42), 150),
    row(Bug::LengthenLease, Tier::T1, &[4], (28, 45), 150),
    row(Bug::ForgetEpochOnRestart, Tier::T1, &[3], (32, 87), 270),
    row(Bug::AnswerAfterMove, Tier::T1, &[1], (3, 9), 30),
    row(Bug::NoSlaveDown, Tier::T1, &[8, 11], (1, 1), 10),
    row(Bug::LyingProofOfDeath, Tier::T1, &[4], (25, 29), 100),
    row(Bug::TwoIncarnations, Tier::T1, &[8, 13], (2, 3), 20),
    row(Bug::LoseRoutesInMove, Tier::T1, &[5], (55, 102), 310),
    row(Bug::LoseBindingsInMove, Tier::T1, &[6], (23, 27), 90),
    row(Bug::LoseBindingsInCrash, Tier::T1, &[6], (5, 9), 30),
    row(Bug::AppointDuringLease, Tier::T1, &[4], (1, 2), 10),
    row(Bug::RetryInterrupted, Tier::T1, &[5], (3, 5), 20),
];
