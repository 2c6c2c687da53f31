//! `squall chaos run`: scenarios on a cluster of their own.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use squall_chaos::client::ChaosClient;
use squall_chaos::run::score::Score;
use squall_chaos::run::{Ended, On, Progress, Report, RunOptions, report_dir, save, summary};
use squall_chaos::scenario::game::{Game, draw};
use squall_chaos::scenario::{self, Scenario, library};
use squall_kernel::profile::Profile;

use super::super::exit::{Exit, Quiet, Usage, one_line};
use super::super::signals;
use super::super::values;

/// Run a scenario on a cluster of its own, or on one that runs already, and judge it
///
/// SCENARIO is the name of one that ships with Squall, or a TOML file; `squall chaos run` alone lists those that ship.
/// Exit code 0: passed; 1: failed; 2: a bad file or wrong arguments; 3: halted before its end; 4: unknown.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct RunArgs {
    /// Name or file
    scenario: Option<String>,
    /// Run it on the cluster that runs already, --connect says which, with exchanges of its own; its invariants are judged
    /// when it was started with --judge
    #[arg(long, conflicts_with_all = ["profile", "keep", "show"])]
    running: bool,
    /// Timer profile of the nodes, in place of the scenario's
    #[arg(long, value_parser = values::profile())]
    profile: Option<Profile>,
    /// Print the scenario's file and what it teaches, and do nothing
    #[arg(long, requires = "scenario")]
    show: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Play a game day: random faults within a budget, with a score
///
/// The seed draws the faults; the same one gives the same steps. Exit codes are those of `squall chaos run`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct GameArgs {
    /// Draws the faults; without it a fresh one is drawn
    #[arg(long)]
    seed: Option<u64>,
    /// How long it lasts
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", value_parser = values::some_time)]
    lasts: Duration,
    /// Nodes
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Requests a second
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(4..=20_000))]
    rate: u32,
    /// Timer profile of the nodes
    #[arg(long, value_parser = values::profile(), default_value = "lan")]
    profile: Profile,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is made of a run.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct OutputArgs {
    /// Where the report goes: report.html and report.json
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Judge what holds on any machine, and not how long things take
    #[arg(long)]
    untimed: bool,
    /// Keep what the nodes wrote, their journals above all, beside the report
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON instead of progress
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// True when it needs no cluster of its own.
    pub(super) const fn on_running(&self) -> bool {
        self.running
    }
}

pub(super) async fn run(args: &RunArgs, chaos: Option<(ChaosClient, Option<Vec<u8>>)>) -> Result<()> {
    let Some(name) = &args.scenario else {
        return listed();
    };
    let (scenario, text) = find(name)?;
    if args.show {
        return Ok(write!(stdout(), "{text}")?);
    }
    let running = chaos.map(|(chaos, cookie)| On::Running {
        chaos: Arc::new(chaos),
        cookie,
    });
    ended(&ran(scenario, text, args.profile, running, &args.output).await?)
}

pub(super) async fn game(args: &GameArgs) -> Result<()> {
    // Small numbers are easier to type again.
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let scenario = draw(&Game {
        seed,
        lasts: args.lasts,
        nodes: usize::from(args.nodes),
        profile: args.profile,
        rate: args.rate,
    });
    let steps: Vec<String> = scenario
        .steps
        .iter()
        .map(|step| format!("{:.1?}  {} for {:.1?}", step.at, step.deed, step.ttl))
        .collect();
    let text = format!("seed {seed}\n{}", steps.join("\n"));
    if !args.output.json {
        writeln!(
            stdout(),
            "game day of seed {seed}: {} faults in {:?}",
            steps.len(),
            args.lasts
        )?;
    }
    let report = ran(scenario, text, None, None, &args.output).await?;
    if !args.output.json {
        writeln!(
            stdout(),
            "{}\nagain: squall chaos game --seed {seed} --for {}s",
            Score::of(&report),
            args.lasts.as_secs()
        )?;
    }
    ended(&report)
}

async fn ran(
    scenario: Scenario,
    text: String,
    profile: Option<Profile>,
    running: Option<On>,
    output: &OutputArgs,
) -> Result<Report> {
    let dir = output
        .report
        .clone()
        .unwrap_or_else(|| report_dir(&scenario.name));
    std::fs::create_dir_all(&dir).with_context(|| format!("--report {}", dir.display()))?;
    let (on, scenario) = match running {
        Some(on) => (on, scenario.beside_others()),
        None => {
            let program = std::env::current_exe().context("this program's path")?;
            let keep = output.keep.then(|| dir.join("nodes"));
            (On::Own { program, keep }, scenario)
        }
    };
    let options = RunOptions {
        on,
        scenario,
        text,
        profile,
        untimed: output.untimed,
    };
    let json = output.json;
    let told = squall_chaos::run::run(&options, signals::ended(), |progress| {
        if !json {
            // A reader that is gone does not stop a run.
            let _gone = tell(&progress);
        }
    });
    let report = told.await?;
    let page = save(&dir, &report)
        .map_err(|(path, error)| anyhow::Error::new(error).context(path.display().to_string()))?;
    if json {
        writeln!(stdout(), "{}", serde_json::to_string(&report)?)?;
    } else {
        writeln!(stdout(), "{}report: {}", summary(&report), page.display())?;
    }
    Ok(report)
}

fn ended(report: &Report) -> Result<()> {
    match report.ended {
        Ended::Passed => Ok(()),
        Ended::Failed => Err(Quiet(Exit::Failed).into()),
        Ended::Halted => Err(Quiet(Exit::HALTED).into()),
        Ended::Unknown => Err(Quiet(Exit::UNKNOWN).into()),
    }
}

pub(super) fn find(name: &str) -> Result<(Scenario, String)> {
    let path = Path::new(name);
    let (file, text) = match library::find(name) {
        Some(shipped) if !path.exists() => (format!("{name}.toml"), shipped.text.to_owned()),
        _ => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Usage(format!(
                    "{}: {error}; it is no scenario that ships with Squall either: there are {}",
                    one_line(name),
                    names().join(", ")
                ))
            })?;
            (name.to_owned(), text)
        }
    };
    let scenario = scenario::read(&file, &text).map_err(|error| Usage(error.to_string()))?;
    Ok((scenario, text))
}

fn names() -> Vec<&'static str> {
    library::SHIPPED.iter().map(|shipped| shipped.name).collect()
}

fn listed() -> Result<()> {
    let mut out = stdout().lock();
    for shipped in library::SHIPPED {
        let scenario =
            scenario::read(shipped.name, shipped.text).map_err(|error| Usage(error.to_string()))?;
        writeln!(out, "{}\n{}\n", shipped.name, indented(&scenario.teaches))?;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn tell(progress: &Progress) -> std::io::Result<()> {
    let mut out = stdout().lock();
    match progress {
        Progress::Stage(what) => writeln!(out, "-- {what}"),
        Progress::Step { at, text } => writeln!(out, "{:>6.1} s  {}", at.as_secs_f64(), one_line(text)),
        Progress::Figures { at, text } => writeln!(out, "{:>6.1} s    {text}", at.as_secs_f64()),
        Progress::Breach(text) => writeln!(out, "{text}"),
    }
}
