//! Many seeds, on a few threads, each run judged: what broke first, with how few faults it still breaks, and what was
//! never seen.
//!
//! What does not live here: how it is told to a user (the command line), and one run (`world`).

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use squall_kernel::time::Span;

use super::Tier;
use super::outcome::Run;
use super::plan::{Plan, Wishes};
use crate::coverage::{Coverage, Sight};
use crate::history::Mark;
use crate::invariant::{self, Breach};
use crate::shrink;

/// Runs that shrinking a fault list may take: a list of ten needs some forty.
const SHRINK_TRIES: usize = 120;
/// Time it may take: whoever waits has a failure to look at already.
const SHRINK_WITHIN: Duration = Duration::from_secs(60);
/// A batch of so many seeds that never saw something did not test it.
pub const COVERAGE_SEEDS: u64 = 500;

/// What to run.
#[derive(Debug, Clone)]
pub struct Order {
    /// Each seed is run under all of these.
    pub tiers: Vec<Tier>,
    /// The first seed; the others follow it.
    pub first: u64,
    /// How many; none for as many as the time allows.
    pub count: Option<u64>,
    /// No new seed is begun after that time.
    pub within: Option<Duration>,
    /// What the user fixes.
    pub wishes: Wishes,
    /// Threads; a run is on one of them.
    pub threads: usize,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// An invariant was broken.
    Broken(Box<Breach>),
    /// An assertion of the nodes' own did not hold.
    Panicked(String),
}

impl Wrong {
    /// The same kind of failure, though perhaps of other events.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Broken(a), Self::Broken(b)) => a.id == b.id,
            (Self::Panicked(_), Self::Panicked(_)) => true,
            _ => false,
        }
    }
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How it was run.
    pub tier: Tier,
    /// What is wrong, in the run of the plan below.
    pub wrong: Wrong,
    /// The seed's plan, with as few faults as still fail.
    pub plan: Plan,
    /// Faults that were drawn.
    pub drawn: usize,
}

/// What a batch gave.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Runs that came to their end.
    pub runs: u64,
    /// Simulated time of all of them.
    pub simulated: Span,
    /// Steps of all of them.
    pub steps: u64,
    /// Real time.
    pub took: Duration,
    /// What was seen.
    pub coverage: Coverage,
    /// The first failure.
    pub finding: Option<Finding>,
}

impl Report {
    /// What a batch should have seen and did not. Nothing is asked of a small batch, nor of one whose clusters are all too
    /// small for a majority without one of them: those move and elect little.
    #[must_use]
    pub fn unseen(&self, tiers: &[Tier], wishes: &Wishes) -> BTreeSet<Sight> {
        if self.runs < COVERAGE_SEEDS || wishes.nodes.is_some_and(|nodes| nodes < 3) {
            return BTreeSet::new();
        }
        let never = |sight: &Sight| {
            self.coverage.count(*sight) == 0 && tiers.iter().any(|tier| can_see(*tier, *sight))
        };
        Sight::all().filter(never).collect()
    }

    /// Runs in a minute.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count of runs, for people")]
    pub fn per_minute(&self) -> f64 {
        self.runs as f64 * 60.0 / self.took.as_secs_f64().max(1e-9)
    }
}

/// The model of the log has neither changes of voters nor leaders that ask twice.
fn can_see(tier: Tier, sight: Sight) -> bool {
    !matches!(
        (tier, sight),
        (Tier::T1, Sight::Mark(Mark::VotersChanged | Mark::VoterReplaced))
            | (_, Sight::Mark(Mark::GatherRenewed))
    )
}

/// Runs a plan and judges it.
///
/// # Errors
/// [`Wrong`] when something broke, first thing first.
pub fn judge(tier: Tier, plan: &Plan) -> Result<Run, Wrong> {
    let run = catch_unwind(AssertUnwindSafe(|| super::run(tier, plan)));
    let run = run.map_err(|panic| Wrong::Panicked(words(panic.as_ref())))?;
    match invariant::first_breach(&run.history) {
        Some(breach) => Err(Wrong::Broken(Box::new(breach))),
        None => Ok(run),
    }
}

/// Runs a batch to its end or to the first failure. `heard` is told of each run that is done.
pub fn run(order: &Order, heard: impl Fn(&Report) + Sync) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    let work = || {
        while let Some(seed) = take(order, begun, &next, &stop) {
            for tier in &order.tiers {
                let done = one(*tier, &Plan::draw(seed, &order.wishes));
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                stop.fetch_or(done.is_err(), Ordering::Relaxed);
                add(&mut report, done);
                report.took = begun.elapsed();
                heard(&report);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..order.threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn take(order: &Order, begun: Instant, next: &AtomicU64, stop: &AtomicBool) -> Option<u64> {
    let late = order.within.is_some_and(|within| begun.elapsed() >= within);
    if late || stop.load(Ordering::Relaxed) {
        return None;
    }
    let n = next.fetch_add(1, Ordering::Relaxed);
    order
        .count
        .is_none_or(|count| n < count)
        .then(|| order.first.wrapping_add(n))
}

/// What is kept of a good run: its history is not.
struct Good {
    simulated: Span,
    steps: u64,
    coverage: Coverage,
}

fn one(tier: Tier, plan: &Plan) -> Result<Good, Box<Finding>> {
    match judge(tier, plan) {
        Ok(run) => Ok(Good {
            simulated: run.simulated,
            steps: run.steps,
            coverage: Coverage::of(&run.history),
        }),
        Err(wrong) => Err(Box::new(shrunk(tier, plan, &wrong))),
    }
}

/// What goes wrong with that plan, with as few faults as still bring it about; none where all holds.
#[must_use]
pub fn find(tier: Tier, plan: &Plan) -> Option<Finding> {
    judge(tier, plan).err().map(|wrong| shrunk(tier, plan, &wrong))
}

/// The failure with as few faults as still bring it about.
fn shrunk(tier: Tier, plan: &Plan, wrong: &Wrong) -> Finding {
    let mut last = wrong.clone();
    let begun = Instant::now();
    let faults = shrink::minimise(plan.faults.clone(), SHRINK_TRIES, |faults| {
        if begun.elapsed() >= SHRINK_WITHIN {
            return false;
        }
        match judge(tier, &plan.with_faults(faults.to_vec())) {
            Err(found) if found.is_like(wrong) => {
                last = found;
                true
            }
            _ => false,
        }
    });
    Finding {
        tier,
        wrong: last,
        drawn: plan.faults.len(),
        plan: plan.with_faults(faults),
    }
}

fn add(report: &mut Report, done: Result<Good, Box<Finding>>) {
    report.runs += 1;
    match done {
        Ok(good) => {
            report.simulated.0 += good.simulated.0;
            report.steps += good.steps;
            report.coverage.merge(&good.coverage);
        }
        Err(finding) => {
            report.finding.get_or_insert(*finding);
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
        .to_owned()
}
