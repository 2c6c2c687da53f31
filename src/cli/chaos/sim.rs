//! `squall chaos sim`: simulated clusters, seed by seed, with the same checkers as live ones.

use std::collections::BTreeMap;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use squall_chaos::corpus::{self, Entry};
use squall_chaos::coverage::Sight;
use squall_chaos::invariant::{Id, Verdict};
use squall_chaos::sim::Tier;
use squall_chaos::sim::batch::{self, Finding, Order, Report, Wrong};
use squall_chaos::sim::plan::{Plan, Wishes};
use squall_chaos::sim::rehearse::{Rehearsal, rehearse};

use super::super::exit::{Exit, Quiet, Usage};
use super::super::values::counted;

/// Seeds of a batch that names no number and no time.
const SEEDS_DEFAULT: u64 = 100;
/// Simulations use all of a processor each: as many as a small machine has.
const THREADS: usize = 2;
/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Version of the JSON.
const SCHEMA: u32 = 1;

/// Run simulated clusters with faults and check the invariants
///
/// Exit code 0: all held; 1: one was broken, or something was never seen in a large batch; 2: wrong arguments.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SimArgs {
    /// First seed; without it a fresh one is drawn
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds [default: 1 with --seed, as many as fit with --minutes, else 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Nodes, instead of what the seeds draw
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: Option<u8>,
    /// Begin new seeds for so many minutes
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: Option<u64>,
    /// How much of a node is real: t1 the kernel, t2 also Raft and storage
    #[arg(long, value_enum, default_value_t = TierArg::T1)]
    tier: TierArg,
    /// Rehearse a scenario, in place of what seeds draw: the name of one that ships, or a file
    #[arg(long, value_name = "SCENARIO", conflicts_with_all = ["minutes", "nodes", "keep", "trace"])]
    scenario: Option<String>,
    /// Print every event
    #[arg(long)]
    pub(super) trace: bool,
    /// Trace a kept run, in place of what a seed draws
    #[arg(long, value_name = "FILE", requires = "trace", conflicts_with_all = ["seed", "seeds", "minutes", "nodes"])]
    entry: Option<PathBuf>,
    /// Where to keep a failed run, shrunk, as a JSON file
    #[arg(long, value_name = "DIR", conflicts_with = "trace")]
    keep: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TierArg {
    T1,
    T2,
    Both,
}

impl TierArg {
    fn tiers(self) -> Vec<Tier> {
        match self {
            Self::T1 => vec![Tier::T1],
            Self::T2 => vec![Tier::T2],
            Self::Both => vec![Tier::T1, Tier::T2],
        }
    }
}

/// On a thread of its own: inside of a tokio task every channel of a simulated node would share the task's budget, and
/// keep it waiting once that is used up.
pub(crate) fn run(args: &SimArgs) -> Result<()> {
    let run = std::thread::scope(|scope| scope.spawn(|| run_here(args)).join());
    run.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run_here(args: &SimArgs) -> Result<()> {
    let order = order(args);
    if let Some(name) = &args.scenario {
        return rehearsed(name, args, &order);
    }
    if let Some(path) = &args.entry {
        let entry = corpus::read(path).map_err(|error| Usage(error.to_string()))?;
        let plan = entry
            .plan
            .unwrap_or_else(|| Plan::draw(entry.seed, &Wishes::default()));
        return trace(&[entry.tier], &plan);
    }
    if let Some(dir) = args.keep.as_ref().filter(|dir| !dir.is_dir()) {
        return Err(Usage(format!("--keep: {} is no directory", dir.display())).into());
    }
    if args.trace {
        if order.count != Some(1) {
            let words = "--trace prints one run: name its --seed, and no --seeds or --minutes";
            return Err(Usage(words.to_owned()).into());
        }
        return trace(&order.tiers, &Plan::draw(order.first, &order.wishes));
    }
    if !args.json {
        writeln!(stdout(), "{}", announced(&order))?;
    }
    // A panic in a run is a finding, told once when it is shrunk; a single traced run tells where it was.
    std::panic::set_hook(Box::new(|_| {}));
    let said = Mutex::new(Instant::now());
    let report = batch::run(&order, |report| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if !args.json && said.elapsed() >= PROGRESS_EVERY {
            *said = Instant::now();
            // A reader that is gone does not stop a batch.
            let _gone = writeln!(stdout(), "{}", progress(report));
        }
    });
    if args.json {
        writeln!(stdout(), "{}", as_json(&order, &report))?;
    } else {
        write!(stdout(), "{}", told(&order, &report))?;
    }
    if let (Some(dir), Some(finding)) = (&args.keep, &report.finding) {
        let path = entry_of(finding).write(dir)?;
        writeln!(stderr(), "kept: {}", path.display())?;
    }
    if report.finding.is_some() || !report.unseen(&order.tiers, &order.wishes).is_empty() {
        return Err(Quiet(Exit::Failed).into());
    }
    Ok(())
}

/// The scenario with each seed, in each tier. What it is to show must be shown by one of the seeds.
fn rehearsed(name: &str, args: &SimArgs, order: &Order) -> Result<()> {
    let (scenario, _) = super::run::find(name)?;
    let count = args.seeds.unwrap_or(1);
    let mut failed = false;
    for tier in &order.tiers {
        let mut unseen: Option<Vec<Sight>> = None;
        for seed in (0..count).map(|number| order.first.wrapping_add(number)) {
            let rehearsal = rehearse(&scenario, *tier, seed);
            failed |= rehearsal.finding.is_some();
            let still = |sight: &Sight| rehearsal.unseen.contains(sight);
            unseen = Some(match unseen {
                None => rehearsal.unseen.clone(),
                Some(before) => before.into_iter().filter(still).collect(),
            });
            if args.json {
                writeln!(stdout(), "{}", serde_json::to_string(&rehearsal.told())?)?;
            } else {
                write!(stdout(), "{}", told_of(name, &rehearsal))?;
            }
        }
        let unseen = unseen.unwrap_or_default();
        failed |= !unseen.is_empty();
        if !args.json {
            for sight in unseen {
                writeln!(stdout(), "{tier}: never seen: {sight}")?;
            }
        }
    }
    if failed {
        return Err(Quiet(Exit::Failed).into());
    }
    Ok(())
}

fn told_of(name: &str, rehearsal: &Rehearsal) -> String {
    let (tier, seed) = (rehearsal.tier, rehearsal.seed);
    let mut text = String::new();
    for fault in &rehearsal.plan.faults {
        text += &format!("  {fault}\n");
    }
    if let Some(finding) = &rehearsal.finding {
        let what = match &finding.wrong {
            Wrong::Broken(breach) => breach.to_string(),
            Wrong::Panicked(words) => format!("panicked: {words}"),
        };
        text += &format!(
            "{what}\n{} of {} faults are enough:\n",
            finding.plan.faults.len(),
            finding.drawn
        );
        for fault in &finding.plan.faults {
            text += &format!("  {fault}\n");
        }
    }
    let held = rehearsal
        .verdicts
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Ok)
        .count();
    let verdict = if rehearsal.finding.is_none() {
        "passed"
    } else {
        "FAILED"
    };
    format!("{text}{tier} seed {seed}: {name}: {held} invariants held: {verdict}\n")
}

/// A run that stopped with a panic broke no invariant: it never came to its end.
fn entry_of(finding: &Finding) -> Entry {
    let (found, by) = match &finding.wrong {
        Wrong::Broken(breach) => (breach.id, breach.text.clone()),
        Wrong::Panicked(words) => (Id::PANIC, words.clone()),
    };
    Entry {
        seed: finding.plan.seed,
        tier: finding.tier,
        found,
        by,
        plan: Some(finding.plan.clone()),
    }
}

fn order(args: &SimArgs) -> Order {
    let count = match (args.seeds, args.minutes, args.seed) {
        (Some(seeds), _, _) => Some(seeds),
        (None, Some(_), _) => None,
        (None, None, Some(_)) => Some(1),
        (None, None, None) => Some(SEEDS_DEFAULT),
    };
    Order {
        tiers: args.tier.tiers(),
        // Small numbers are easier to type again.
        first: args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
        count,
        within: args.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        wishes: Wishes { nodes: args.nodes },
        threads: THREADS,
    }
}

fn announced(order: &Order) -> String {
    let tiers: Vec<&str> = order.tiers.iter().map(|tier| tier.as_str()).collect();
    let many = match (order.count, order.within) {
        (Some(1), _) => String::new(),
        (Some(count), _) => format!(", {}", counted(count, "seed", "seeds")),
        (None, within) => format!(", for {} s", within.unwrap_or_default().as_secs()),
    };
    format!("{} from seed {}{many}", tiers.join(" and "), order.first)
}

fn progress(report: &Report) -> String {
    format!(
        "{}, {:.0} a minute, {} s simulated",
        counted(report.runs, "run", "runs"),
        report.per_minute(),
        report.simulated.as_ms() / 1000
    )
}

fn told(order: &Order, report: &Report) -> String {
    let mut text = String::new();
    if let Some(finding) = &report.finding {
        text += &found(finding, order);
    }
    for sight in report.unseen(&order.tiers, &order.wishes) {
        text += &format!("never seen: {sight}\n");
    }
    let verdict = if text.is_empty() { "all held" } else { "FAILED" };
    format!("{text}{}: {verdict}\n", progress(report))
}

fn found(finding: &Finding, order: &Order) -> String {
    let plan = &finding.plan;
    let mut text = match &finding.wrong {
        Wrong::Broken(breach) => format!("seed {}: {breach}\n", plan.seed),
        Wrong::Panicked(words) => format!("seed {}: panicked: {words}\n", plan.seed),
    };
    text += &format!(
        "{}, {}, {}; {} of {} faults are enough:\n",
        counted(plan.nodes.len(), "node", "nodes"),
        counted(plan.voters, "voter", "voters"),
        plan.profile.as_str(),
        plan.faults.len(),
        finding.drawn
    );
    for fault in &plan.faults {
        text += &format!("  {fault}\n");
    }
    format!("{text}replay: {}\n", replay(finding, order))
}

fn replay(finding: &Finding, order: &Order) -> String {
    let nodes = order
        .wishes
        .nodes
        .map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    format!(
        "squall chaos sim --tier {} --seed {}{nodes}",
        finding.tier, finding.plan.seed
    )
}

fn as_json(order: &Order, report: &Report) -> serde_json::Value {
    let finding = report.finding.as_ref().map(|finding| {
        let (broken, panicked) = match &finding.wrong {
            Wrong::Broken(breach) => (Some(breach), None),
            Wrong::Panicked(words) => (None, Some(words)),
        };
        json!({
            "tier": finding.tier.as_str(),
            "seed": finding.plan.seed,
            "broken": broken,
            "panicked": panicked,
            "faults": finding.plan.faults,
            "faults_drawn": finding.drawn,
            "replay": replay(finding, order),
        })
    });
    let unseen: Vec<String> = report
        .unseen(&order.tiers, &order.wishes)
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "schema": SCHEMA,
        "tiers": order.tiers.iter().map(|tier| tier.as_str()).collect::<Vec<_>>(),
        "first_seed": order.first,
        "runs": report.runs,
        "seconds": report.took.as_secs_f64(),
        "runs_per_minute": report.per_minute(),
        "simulated_seconds": report.simulated.as_ms() / 1000,
        "steps": report.steps,
        "seen": report.coverage.iter().map(|(sight, count)| (sight.to_string(), count)).collect::<BTreeMap<_, _>>(),
        "never_seen": unseen,
        "passed": report.finding.is_none() && unseen.is_empty(),
        "finding": finding,
    })
}

/// One run, each event on a line, then what became of it.
fn trace(tiers: &[Tier], plan: &Plan) -> Result<()> {
    let mut out = stdout().lock();
    let mut failed = false;
    for tier in tiers {
        let run = squall_chaos::sim::run(*tier, plan);
        for event in &run.history {
            writeln!(out, "{event}")?;
        }
        let breach = squall_chaos::invariant::first_breach(&run.history);
        failed |= breach.is_some();
        if let Some(breach) = breach {
            writeln!(out, "{breach}")?;
        }
        writeln!(
            out,
            "{tier} seed {}: {}, {}, digest {:016x}",
            plan.seed,
            counted(run.history.len(), "event", "events"),
            counted(run.steps, "step", "steps"),
            run.digest
        )?;
    }
    if failed {
        return Err(Quiet(Exit::Failed).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        sim: SimArgs,
    }

    fn parsed(line: &str) -> SimArgs {
        Cli::try_parse_from(line.split(' ')).unwrap().sim
    }

    #[test]
    fn a_seed_alone_is_one_run_and_nothing_is_a_hundred_fresh_ones() {
        let one = order(&parsed("sim --seed 7"));
        assert_eq!((one.first, one.count), (7, Some(1)));
        assert_eq!(order(&parsed("sim")).count, Some(SEEDS_DEFAULT));
        let timed = order(&parsed("sim --minutes 2"));
        assert_eq!(
            (timed.count, timed.within),
            (None, Some(Duration::from_secs(120)))
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "sim --nodes 8",
            "sim --nodes 0",
            "sim --seeds 0",
            "sim --tier t3",
            "sim --minutes 0",
            "sim --entry f",
            "sim --trace --entry f --seed 3",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        assert!(run(&parsed("sim --seeds 2 --trace")).is_err());
    }
}
