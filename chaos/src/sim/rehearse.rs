//! Rehearses a scenario: the same file as live, in a simulated cluster, judged by the same invariants. What is broken is made
//! smaller.
//!
//! What does not live here: batches of drawn plans (`batch`).

use serde::Serialize;

use super::Tier;
use super::batch::{self, Finding};
use super::plan::Plan;
use crate::coverage::{Coverage, Sight};
use crate::invariant::{Id, Verdict, check};
use crate::scenario::Scenario;

/// What a rehearsal has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// How much of a node was real.
    pub tier: Tier,
    /// What was drawn from.
    pub seed: u64,
    /// What the invariants say.
    pub verdicts: Vec<(Id, Verdict)>,
    /// What happened.
    pub coverage: Coverage,
    /// Of what was expected to happen, what did not.
    pub unseen: Vec<Sight>,
    /// What went wrong, with as few faults as still bring it about.
    pub finding: Option<Finding>,
    /// The plan with whom its steps meant.
    pub plan: Plan,
}

/// A rehearsal in a line for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Tier.
    pub tier: String,
    /// Seed.
    pub seed: u64,
    /// Number of an invariant, and `ok`, `FAIL: …` or `unknown: …`.
    pub verdicts: Vec<(String, String)>,
    /// What was expected to happen and did not.
    pub unseen: Vec<String>,
    /// The faults that its steps came to.
    pub faults: Vec<String>,
}

impl Rehearsal {
    /// For machines.
    #[must_use]
    pub fn told(&self) -> Told {
        Told {
            tier: self.tier.to_string(),
            seed: self.seed,
            verdicts: self
                .verdicts
                .iter()
                .map(|(id, verdict)| (id.to_string(), verdict.to_string()))
                .collect(),
            unseen: self.unseen.iter().map(ToString::to_string).collect(),
            faults: self.plan.faults.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Rehearses it once.
#[must_use]
pub fn rehearse(scenario: &Scenario, tier: Tier, seed: u64) -> Rehearsal {
    let drawn = Plan::of_scenario(scenario, seed);
    let run = super::run(tier, &drawn);
    let coverage = Coverage::of(&run.history);
    let wanted = scenario
        .expects
        .iter()
        .flat_map(|expect| expect.seen.iter().copied());
    let verdicts = check(&run.history);
    let broken = verdicts
        .iter()
        .any(|(_, verdict)| matches!(verdict, Verdict::Fail(_)));
    // Whom the steps meant stays so while faults are left out.
    let resolved = run.plan.with_faults(run.plan.faults.clone());
    Rehearsal {
        tier,
        seed,
        unseen: coverage.missing(wanted),
        finding: broken.then(|| batch::find(tier, &resolved)).flatten(),
        verdicts,
        coverage,
        plan: resolved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::library::SHIPPED;
    use crate::scenario::read;

    #[test]
    fn the_same_seed_gives_the_same_rehearsal() {
        let scenario = read("kill-owner", SHIPPED[0].text).expect("what ships can be read");
        let first = rehearse(&scenario, Tier::T1, 3);
        assert_eq!(first, rehearse(&scenario, Tier::T1, 3));
        assert_ne!(first.plan, rehearse(&scenario, Tier::T1, 4).plan);
    }
}
