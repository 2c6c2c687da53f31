//! The invariants of the design, each a checker over the history of a run: the same for simulated and live runs, one
//! event at a time, in bounded memory.
//!
//! What does not live here: how events are collected, and what a batch of runs must have been through (`coverage`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::Event;

mod alive;
mod calm;
mod i01_one_owner_per_epoch;
mod i02_epochs_increase;
mod i03_no_stale_effect;
mod i04_leases_disjoint;
mod i05_one_outcome;
mod i06_sticky_keeps;
mod i07_one_copy;
mod i08_same_view;
mod i09_tasks_kept;
mod i10_order;
mod i11_round_robin;
mod i12_acknowledged_survives;
mod i13_same_revision;
mod i14_bounded;
mod i15_faults_end;
mod recent;

pub use i01_one_owner_per_epoch::OneOwnerPerEpoch;
pub use i02_epochs_increase::EpochsIncrease;
pub use i03_no_stale_effect::NoStaleEffect;
pub use i04_leases_disjoint::LeasesDisjoint;
pub use i05_one_outcome::OneOutcome;
pub use i06_sticky_keeps::StickyKeeps;
pub use i07_one_copy::OneCopy;
pub use i08_same_view::SameView;
pub use i09_tasks_kept::TasksKept;
pub use i10_order::Order;
pub use i11_round_robin::RoundRobin;
pub use i12_acknowledged_survives::AcknowledgedSurvives;
pub use i13_same_revision::SameRevision;
pub use i14_bounded::Bounded;
pub use i15_faults_end::FaultsEnd;

/// Number of an invariant in the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id(pub u8);

impl Id {
    /// Of no invariant: the run itself stopped with a panic.
    pub const PANIC: Self = Self(0);
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{}", self.0)
    }
}

/// Two events that cannot both be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// What is broken.
    pub id: Id,
    /// The earlier event, where there is one.
    pub first: Option<Box<Event>>,
    /// The event that broke it.
    pub second: Box<Event>,
    /// In words.
    pub text: String,
}

impl Breach {
    /// A breach of `id` by `second`, which contradicts `first`.
    #[must_use]
    pub fn new(id: Id, first: Option<&Event>, second: &Event, text: impl Into<String>) -> Self {
        Self {
            id,
            first: first.cloned().map(Box::new),
            second: Box::new(second.clone()),
            text: text.into(),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken: {}", self.id, self.text)?;
        if let Some(first) = &self.first {
            write!(f, "\n  {first}")?;
        }
        write!(f, "\n  {}", self.second)
    }
}

/// What a checker says of what it has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It held, and there was something to hold.
    Ok,
    /// It did not.
    Fail(Breach),
    /// Nobody can say.
    Unknown(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Fail(breach) => write!(f, "FAIL: {breach}"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

impl Verdict {
    /// Ok when something was judged, else unknown for that reason: what was never seen proves nothing.
    fn judged(judged: u64, otherwise: &str) -> Self {
        if judged > 0 {
            Self::Ok
        } else {
            Self::Unknown(otherwise.to_owned())
        }
    }
}

/// A checker. It is shown a history from its beginning, in order of time.
pub trait Invariant: Send {
    /// Which one.
    fn id(&self) -> Id;
    /// What must hold, in one sentence.
    fn claim(&self) -> &'static str;
    /// Takes the next event.
    ///
    /// # Errors
    /// [`Breach`] when it contradicts what was seen. A checker that has found one may find the same again.
    fn see(&mut self, event: &Event) -> Result<(), Breach>;
    /// What can be said of the events so far, of a run that goes on: what is under way is not held against it.
    fn so_far(&mut self) -> Verdict {
        self.end()
    }
    /// What can be said of the events so far, if they are all. May be asked at any time.
    fn end(&mut self) -> Verdict;
}

/// All checkers, fresh.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(OneOwnerPerEpoch::default()),
        Box::new(EpochsIncrease::default()),
        Box::new(NoStaleEffect::default()),
        Box::new(LeasesDisjoint::default()),
        Box::new(OneOutcome::default()),
        Box::new(StickyKeeps::default()),
        Box::new(OneCopy::default()),
        Box::new(SameView::default()),
        Box::new(TasksKept::default()),
        Box::new(Order::default()),
        Box::new(RoundRobin::default()),
        Box::new(AcknowledgedSurvives::default()),
        Box::new(SameRevision::default()),
        Box::new(Bounded::default()),
        Box::new(FaultsEnd::default()),
    ]
}

/// All checkers over a run that goes on.
pub struct Watch {
    checks: Vec<(Box<dyn Invariant>, Option<Breach>)>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            checks: all().into_iter().map(|check| (check, None)).collect(),
        }
    }
}

impl Watch {
    /// Shows the next event to all; gives what it broke. A broken invariant is not looked at again.
    pub fn see(&mut self, event: &Event) -> Vec<Breach> {
        let mut broken = Vec::new();
        for (check, breach) in self.checks.iter_mut().filter(|(_, breach)| breach.is_none()) {
            if let Err(found) = check.see(event) {
                broken.push(found.clone());
                *breach = Some(found);
            }
        }
        broken
    }

    /// The verdicts so far, in the order of the invariants.
    pub fn verdicts(&mut self) -> Vec<(Id, Verdict)> {
        let claimed = self.claimed(|check| check.end()).into_iter();
        claimed.map(|(id, _, verdict)| (id, verdict)).collect()
    }

    /// Number, claim and verdict of each: of the whole, or of a run that goes on.
    pub fn standing(&mut self, goes_on: bool) -> Vec<(Id, &'static str, Verdict)> {
        if goes_on {
            self.claimed(|check| check.so_far())
        } else {
            self.claimed(|check| check.end())
        }
    }

    fn claimed(
        &mut self,
        ask: impl Fn(&mut Box<dyn Invariant>) -> Verdict,
    ) -> Vec<(Id, &'static str, Verdict)> {
        let say = |(check, breach): &mut (Box<dyn Invariant>, Option<Breach>)| {
            let verdict = breach.clone().map_or_else(|| ask(check), Verdict::Fail);
            (check.id(), check.claim(), verdict)
        };
        self.checks.iter_mut().map(say).collect()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken: Vec<Id> = self
            .checks
            .iter()
            .filter_map(|(_, b)| b.as_ref().map(|b| b.id))
            .collect();
        f.debug_struct("Watch")
            .field("broken", &broken)
            .finish_non_exhaustive()
    }
}

/// Judges a whole history.
#[must_use]
pub fn check<'a>(history: impl IntoIterator<Item = &'a Event>) -> Vec<(Id, Verdict)> {
    let mut watch = Watch::default();
    for event in history {
        watch.see(event);
    }
    watch.verdicts()
}

/// The first breach of a history, if there is one.
#[must_use]
pub fn first_breach<'a>(history: impl IntoIterator<Item = &'a Event>) -> Option<Breach> {
    let mut watch = Watch::default();
    for event in history {
        if let Some(breach) = watch.see(event).into_iter().next() {
            return Some(breach);
        }
    }
    let end = watch.verdicts().into_iter();
    end.filter_map(|(_, verdict)| match verdict {
        Verdict::Fail(breach) => Some(breach),
        Verdict::Ok | Verdict::Unknown(_) => None,
    })
    .next()
}

#[cfg(test)]
pub(crate) mod story;

#[cfg(test)]
#[path = "invariant/invariant_test.rs"]
mod tests;
