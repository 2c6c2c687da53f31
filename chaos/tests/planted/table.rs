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
    row(Bug::IgnoreEpoch, Tier::T1, &[3], (3, 11), 120),
    row(Bug::AcknowledgeBeforeDurable, Tier::T2, &[12], (2, 7), 50),
    row(Bug::ProposeWithoutGathering, Tier::T1, &[4], (5, 13), 80),
    row(Bug::RestartedVoterPromises, Tier::T1, &[4], (18, 79), 400),
    row(Bug::TrustLeaderWithoutQuorum, Tier::T1, &[12], (16, 39), 150),
    row(Bug::LengthenLease, Tier::T1, &[4], (11, 23), 150),
    row(Bug::ForgetEpochOnRestart, Tier::T1, &[3], (15, 39), 290),
    row(Bug::AnswerAfterMove, Tier::T1, &[1], (2, 4), 30),
    row(Bug::NoSlaveDown, Tier::T1, &[8, 11], (1, 2), 10),
    row(Bug::LyingProofOfDeath, Tier::T1, &[4], (28, 55), 170),
    row(Bug::TwoIncarnations, Tier::T1, &[8, 13], (2, 3), 20),
    row(Bug::LoseRoutesInMove, Tier::T1, &[5], (55, 166), 420),
    row(Bug::LoseBindingsInMove, Tier::T1, &[6], (1, 13), 60),
    row(Bug::LoseBindingsInCrash, Tier::T1, &[6], (5, 9), 30),
    row(Bug::AppointDuringLease, Tier::T1, &[4], (1, 3), 30),
    row(Bug::RetryInterrupted, Tier::T1, &[5], (5, 5), 30),
    row(Bug::SecondCompletionAccepted, Tier::T1, &[9], (3, 5), 30),
    row(Bug::AcknowledgeTaskBeforeBackup, Tier::T1, &[9], (18, 110), 220),
    row(Bug::TakeEventsTwice, Tier::T1, &[7], (35, 54), 150),
    row(Bug::LoseIdsInMove, Tier::T1, &[7], (10, 68), 360),
    row(Bug::EventsOnAnyLane, Tier::T1, &[10], (209, 409), 970),
    row(Bug::AcceptGaps, Tier::T1, &[5], (22, 35), 120),
    row(Bug::AcceptIncomplete, Tier::T1, &[5], (15, 35), 100),
];
