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
    row(Bug::IgnoreEpoch, Tier::T1, &[3], (4, 11), 120),
    row(Bug::AcknowledgeBeforeDurable, Tier::T2, &[12], (2, 6), 50),
    row(Bug::ProposeWithoutGathering, Tier::T1, &[4], (4, 13), 80),
    row(Bug::RestartedVoterPromises, Tier::T1, &[4], (52, 87), 400),
    row(Bug::TrustLeaderWithoutQuorum, Tier::T1, &[12], (28, 39), 150),
    row(Bug::LengthenLease, Tier::T1, &[4], (8, 19), 150),
    row(Bug::ForgetEpochOnRestart, Tier::T1, &[3], (22, 41), 290),
    row(Bug::AnswerAfterMove, Tier::T1, &[1], (2, 4), 30),
    row(Bug::NoSlaveDown, Tier::T1, &[8, 11], (1, 2), 10),
    row(Bug::LyingProofOfDeath, Tier::T1, &[4], (27, 38), 170),
    row(Bug::TwoIncarnations, Tier::T1, &[8, 13], (1, 5), 20),
    row(Bug::LoseRoutesInMove, Tier::T1, &[5], (55, 322), 800),
    row(Bug::LoseBindingsInMove, Tier::T1, &[6], (1, 4), 60),
    row(Bug::LoseBindingsInCrash, Tier::T1, &[6], (6, 38), 100),
    row(Bug::AppointDuringLease, Tier::T1, &[4], (3, 3), 30),
    row(Bug::RetryInterrupted, Tier::T1, &[5], (1, 4), 30),
    row(Bug::SecondCompletionAccepted, Tier::T1, &[9], (3, 5), 30),
    row(Bug::AcknowledgeTaskBeforeBackup, Tier::T1, &[9], (52, 73), 220),
    row(Bug::TakeEventsTwice, Tier::T1, &[7], (30, 54), 150),
    row(Bug::LoseIdsInMove, Tier::T1, &[7], (22, 123), 360),
    row(Bug::EventsOnAnyLane, Tier::T1, &[10], (135, 407), 970),
    row(Bug::AcceptGaps, Tier::T1, &[5], (15, 54), 120),
    row(Bug::AcceptIncomplete, Tier::T1, &[5], (6, 19), 100),
];
