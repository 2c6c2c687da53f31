//! Reads a scenario's file; what cannot be understood is told with its line, its column, and what was expected there. What does
//! not live here: the layout (`text`).

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use squall_kernel::fault::Share;
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::NODES_MAX;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Pattern, Strategy};
use toml::Spanned;

use super::text::{BlastText, ClusterText, ExchangeText, FileText, SteadyText, Text};
use super::{ExchangePlan, Scenario, Steady, Step};
use crate::radius::Budget;

mod expects;
mod steps;
mod values;

use expects::expect;
use steps::step;
use values::{or, share, some, time, within};

/// Files are a page or two.
const BYTES_MAX: usize = 256 * 1024;
/// Steps of one scenario.
const STEPS_MAX: usize = 1_000;
/// Longest run: a scenario that takes longer is a soak.
const LASTS_MAX: Duration = Duration::from_secs(24 * 3600);
/// Time between the last fault's end and the end of the run, unless it is said.
const REST: Duration = Duration::from_secs(2);
/// Handlers an exchange may have on each node.
const HANDLERS_MAX: u32 = 100;
/// Requests a second an exchange may be given.
const RATE_MAX: u32 = 20_000;

/// A file that is no scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub why: String,
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            why,
        } = self;
        write!(f, "{file}:{line}:{column}: {why}")
    }
}

/// What is wrong, and where in the text.
struct Wrong {
    at: Range<usize>,
    why: String,
}

type Read<T> = Result<T, Wrong>;

/// Reads the text of the file of that name.
///
/// # Errors
/// [`ScenarioError`] names the first mistake.
pub fn read(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let scenario = if text.len() > BYTES_MAX {
        Err(wrong(0..0, format!("a scenario has at most {BYTES_MAX} bytes")))
    } else {
        toml::from_str::<FileText>(text)
            .map_err(|error| wrong(error.span().unwrap_or(0..0), first_line(error.message())))
            .and_then(|layout| scenario(file, text, layout))
    };
    scenario.map_err(|Wrong { at, why }| {
        let (line, column) = place(text, at.start);
        ScenarioError {
            file: file.to_owned(),
            line,
            column,
            why,
        }
    })
}

fn wrong(at: Range<usize>, why: impl Into<String>) -> Wrong {
    Wrong { at, why: why.into() }
}

fn first_line(text: &str) -> String {
    text.trim().replace('\n', ", ")
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

fn scenario(file: &str, source: &str, layout: FileText) -> Read<Scenario> {
    let (nodes, profile) = cluster(&layout.cluster)?;
    let exchanges = exchanges(layout.exchange)?;
    let known: Vec<&str> = exchanges.iter().map(|plan| plan.name.as_str()).collect();
    if layout.step.len() > STEPS_MAX {
        return Err(wrong(
            layout.step[STEPS_MAX].span(),
            format!("a scenario has at most {STEPS_MAX} steps"),
        ));
    }
    let mut steps = Vec::new();
    for text in layout.step {
        steps.push(step(source, text, &known)?);
    }
    steps.sort_by_key(|step| step.at);
    let ends = steps.iter().map(Step::ends).max().unwrap_or_default();
    let expects = layout.expect.iter().map(|text| expect(text, &known));
    Ok(Scenario {
        name: name(file, layout.name)?,
        teaches: layout.teaches.trim().to_owned(),
        nodes,
        profile,
        lasts: lasts(layout.lasts, ends)?,
        steady: steady(&layout.steady)?,
        budget: budget(&layout.blast),
        steps,
        expects: expects.collect::<Read<_>>()?,
        skips: false,
        exchanges,
    })
}

/// Named like its file, unless it says another name.
fn name(file: &str, said: Option<Text>) -> Read<String> {
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.strip_suffix(".toml").unwrap_or(stem);
    let (at, name) = said.map_or((0..0, stem.to_owned()), |said| (said.span(), said.into_inner()));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
        return Err(wrong(
            at,
            "a scenario's name has 1 to 32 letters, digits and hyphens: say name = \"…\"",
        ));
    }
    Ok(name)
}

fn cluster(text: &ClusterText) -> Read<(usize, Profile)> {
    let nodes = text.nodes.as_ref().map_or(3, |nodes| *nodes.get_ref());
    let at = text.nodes.as_ref().map_or(0..0, Spanned::span);
    let nodes = usize::try_from(nodes).unwrap_or(usize::MAX);
    if nodes == 0 || nodes > NODES_MAX {
        return Err(wrong(at, format!("a cluster has 1 to {NODES_MAX} nodes")));
    }
    let profile = match &text.profile {
        None => Profile::Lan,
        Some(said) => Profile::parse(said.get_ref())
            .ok_or_else(|| wrong(said.span(), "expected \"lan\", \"wan\" or \"slow\""))?,
    };
    Ok((nodes, profile))
}

fn exchanges(texts: Vec<ExchangeText>) -> Read<Vec<ExchangePlan>> {
    let mut plans: Vec<ExchangePlan> = Vec::new();
    for text in texts {
        let at = text.name.span();
        let name =
            ExchangeName::new(text.name.get_ref()).map_err(|why| wrong(at.clone(), why.to_string()))?;
        if plans.iter().any(|plan| plan.name == name) {
            return Err(wrong(at, format!("there is an exchange '{name}' already")));
        }
        let pattern = pattern(text.pattern.as_ref())?;
        if let Some(said) = text.strategy.as_ref().filter(|_| !pattern.has_strategy()) {
            let why = format!("an exchange of the pattern {} has no strategy", pattern.as_str());
            return Err(wrong(said.span(), why));
        }
        plans.push(ExchangePlan {
            name,
            pattern,
            strategy: if pattern.has_strategy() {
                strategy(text.strategy.as_ref())?
            } else {
                Strategy::Default
            },
            handlers: within(text.handlers.as_ref(), 1, 1, HANDLERS_MAX)?,
            rate: within(text.rate.as_ref(), 200, 1, RATE_MAX)?,
            takes: or(text.takes.as_ref(), Duration::ZERO, time)?,
        });
    }
    if plans.is_empty() {
        return Err(wrong(
            0..0,
            "a scenario has work to do: expected an [[exchange]] with a name",
        ));
    }
    Ok(plans)
}

fn pattern(said: Option<&Text>) -> Read<Pattern> {
    let Some(said) = said else {
        return Ok(Pattern::RequestResponse);
    };
    let fit = [Pattern::RequestResponse, Pattern::PublishSubscribe, Pattern::Task];
    let found = fit.into_iter().find(|pattern| pattern.as_str() == said.get_ref());
    found.ok_or_else(|| {
        let words = fit.map(Pattern::as_str).join(", ");
        wrong(said.span(), format!("expected {words}"))
    })
}

fn strategy(said: Option<&Text>) -> Read<Strategy> {
    let Some(said) = said else {
        return Ok(Strategy::RoundRobin);
    };
    let fit = [
        Strategy::Default,
        Strategy::RoundRobin,
        Strategy::Consensus,
        Strategy::ConsensusRoundRobin,
        Strategy::Sticky,
    ];
    let found = fit
        .into_iter()
        .find(|strategy| strategy.as_str() == said.get_ref());
    let words = || fit.map(Strategy::as_str).join(", ");
    found.ok_or_else(|| wrong(said.span(), format!("expected one of {}", words())))
}

fn lasts(said: Option<Text>, ends: Duration) -> Read<Duration> {
    let Some(said) = said else {
        return Ok(ends + REST);
    };
    let time = time(&said)?;
    if time < ends {
        let why = format!(
            "the last fault ends {} s after the beginning, which is later than the scenario",
            ends.as_secs_f64()
        );
        return Err(wrong(said.span(), why));
    }
    Ok(time)
}

fn steady(text: &SteadyText) -> Read<Steady> {
    Ok(Steady {
        good: or(text.good.as_ref(), Share::from_percent(99), share)?,
        p99: or(text.p99.as_ref(), Duration::from_millis(500), time)?,
        recover: or(text.recover.as_ref(), Duration::from_secs(20), time)?,
        during: some(text.during.good.as_ref(), share)?,
    })
}

fn budget(text: &BlastText) -> Budget {
    let otherwise = Budget::default();
    Budget {
        nodes: text.nodes.unwrap_or(otherwise.nodes),
        links: text.links.unwrap_or(otherwise.links),
        exchanges: text.exchanges.unwrap_or(otherwise.exchanges),
        keep_quorum: text.keep_quorum.unwrap_or(otherwise.keep_quorum),
    }
}

#[cfg(test)]
#[path = "file_test.rs"]
mod tests;
