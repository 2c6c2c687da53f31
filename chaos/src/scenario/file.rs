//! Reads a scenario's file; what cannot be understood is told with its line, its column, and what was expected there. What does
//! not live here: the layout (`text`).

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use squall_kernel::fault::{Share, TTL_MAX};
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::NODES_MAX;
use squall_kernel::profile::Profile;
use squall_kernel::registry::Strategy;
use toml::Spanned;

use super::text::{
    BlastText, ClusterText, ExchangeText, ExpectText, FileText, Range as Bounds, SteadyText, StepText, Text,
};
use super::{Deed, ExchangePlan, Expect, Scenario, Steady, Step};
use crate::coverage::Sight;
use crate::fault::amount;
use crate::fault::{Aim, Fault, Links, Nodes, Target, Unreadable};
use crate::radius::Budget;

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
        plans.push(ExchangePlan {
            name,
            strategy: strategy(text.strategy.as_ref())?,
            handlers: within(text.handlers.as_ref(), 1, 1, HANDLERS_MAX)?,
            rate: within(text.rate.as_ref(), 200, 1, RATE_MAX)?,
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

fn within(said: Option<&Spanned<u32>>, otherwise: u32, least: u32, most: u32) -> Read<u32> {
    match said {
        None => Ok(otherwise),
        Some(said) if (least..=most).contains(said.get_ref()) => Ok(*said.get_ref()),
        Some(said) => Err(wrong(said.span(), format!("expected {least} to {most}"))),
    }
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

fn time(said: &Text) -> Read<Duration> {
    let read = amount::duration(said.get_ref()).map_err(|why| wrong(said.span(), why))?;
    if read > LASTS_MAX {
        return Err(wrong(
            said.span(),
            format!("at most {} hours", LASTS_MAX.as_secs() / 3600),
        ));
    }
    Ok(read)
}

fn share(said: &Text) -> Read<Share> {
    match said.get_ref().as_str() {
        "0%" => Ok(Share::NONE),
        text => amount::share(text).map_err(|why| wrong(said.span(), why)),
    }
}

fn or<T>(said: Option<&Text>, otherwise: T, read: impl Fn(&Text) -> Read<T>) -> Read<T> {
    said.map_or(Ok(otherwise), read)
}

fn some<T>(said: Option<&Text>, read: impl Fn(&Text) -> Read<T>) -> Read<Option<T>> {
    said.map(read).transpose()
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

fn step(source: &str, text: Spanned<StepText>, known: &[&str]) -> Read<Step> {
    let whole = text.span();
    let text = text.into_inner();
    let deed = match (&text.fault, &text.moves) {
        (Some(fault), None) => {
            let read: Fault = fault
                .get_ref()
                .parse()
                .map_err(|error| inside(source, fault, error))?;
            let target = target(source, &text.target, read.aim())?;
            Deed::Fault { fault: read, target }
        }
        (None, Some(exchange)) => {
            let Target::Nodes(to) = target(source, &text.target, Aim::Nodes)? else {
                return Err(wrong(text.target.span(), "expected a node"));
            };
            Deed::Move {
                exchange: one_of(exchange, known)?,
                to,
            }
        }
        _ => return Err(wrong(whole, "a step has either a fault or a move")),
    };
    check_names(&deed, &text.target, known)?;
    let ttl = or(text.ttl.as_ref(), Duration::from_secs(5), time)?;
    let most = Duration::from_micros(TTL_MAX.0);
    if ttl.is_zero() || ttl > most {
        let at = text.ttl.as_ref().map_or(whole, Spanned::span);
        return Err(wrong(at, "a fault lives longer than nothing and at most an hour"));
    }
    Ok(Step {
        at: time(&text.at)?,
        deed,
        ttl,
    })
}

fn target(source: &str, said: &Text, aim: Aim) -> Read<Target> {
    Target::parse(said.get_ref(), aim).map_err(|error| inside(source, said, error))
}

/// The place inside of a text that stands between quotes; of the whole where it is written with escapes.
fn inside(source: &str, said: &Text, error: Unreadable) -> Wrong {
    let span = said.span();
    let plain = source
        .get(span.clone())
        .is_some_and(|raw| raw.len() == said.get_ref().len() + 2);
    let at = if plain {
        span.start + 1 + error.at.start..span.start + 1 + error.at.end
    } else {
        span
    };
    wrong(at, error.why)
}

fn one_of(said: &Text, known: &[&str]) -> Read<ExchangeName> {
    let name = said.get_ref();
    if !known.contains(&name.as_str()) {
        let why = format!(
            "the scenario has no exchange '{name}'; it has {}",
            known.join(", ")
        );
        return Err(wrong(said.span(), why));
    }
    ExchangeName::new(name).map_err(|why| wrong(said.span(), why.to_string()))
}

/// Roles are of exchanges that the scenario has.
fn check_names(deed: &Deed, said: &Text, known: &[&str]) -> Read<()> {
    let mut names = Vec::new();
    match deed {
        Deed::Fault { target, .. } => match target {
            Target::Nodes(nodes) => exchanges_of(nodes, &mut names),
            Target::Links(links) => match links {
                Links::Ways { from, to, .. } => {
                    exchanges_of(from, &mut names);
                    exchanges_of(to, &mut names);
                }
                Links::Isolate(nodes) | Links::Mute(nodes) | Links::Deaf(nodes) | Links::Bridge(nodes) => {
                    exchanges_of(nodes, &mut names);
                }
                Links::Halves | Links::Ring => {}
            },
        },
        Deed::Move { to, .. } => exchanges_of(to, &mut names),
    }
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let why = format!(
                "the scenario has no exchange '{name}'; it has {}",
                known.join(", ")
            );
            Err(wrong(said.span(), why))
        }
    }
}

fn exchanges_of(nodes: &Nodes, names: &mut Vec<String>) {
    match nodes {
        Nodes::Owner(of) | Nodes::Leader(of) | Nodes::Follower(of) => names.push(of.clone()),
        Nodes::Listed(all) => all.iter().for_each(|one| exchanges_of(one, names)),
        Nodes::Named(_) | Nodes::MetaLeader | Nodes::Minority | Nodes::All | Nodes::Rest => {}
    }
}

fn expect(text: &ExpectText, known: &[&str]) -> Read<Expect> {
    let of_class = some(text.class.as_ref(), class)?;
    let seen = text.seen.iter().map(sight);
    Ok(Expect {
        exchange: some(text.exchange.as_ref(), |said| one_of(said, known))?,
        gap: some(text.gap.as_ref(), time)?.or(of_class),
        failed: some(text.failed.as_ref(), share)?,
        lost: text.lost,
        doubled: text.doubled,
        owner_changes: text.owner_changes.as_ref().map(bounds).transpose()?,
        elections: text.elections,
        seen: seen.collect::<Read<_>>()?,
    })
}

fn bounds(said: &Spanned<Bounds>) -> Read<(u64, u64)> {
    match *said.get_ref() {
        Bounds::Exactly(count) => Ok((count, count)),
        Bounds::Between(least, most) if least <= most => Ok((least, most)),
        Bounds::Between(..) => Err(wrong(said.span(), "expected the least first, then the most")),
    }
}

/// Longest time without a good reply of a class of failovers: its 99th percentile.
fn class(said: &Text) -> Read<Duration> {
    let classes = [("G0", 30), ("G1", 250), ("G1m", 800), ("G2", 700), ("G3", 800)];
    let found = classes.into_iter().find(|(word, _)| word == said.get_ref());
    let words: Vec<&str> = classes.iter().map(|(word, _)| *word).collect();
    found
        .map(|(_, ms)| Duration::from_millis(ms))
        .ok_or_else(|| wrong(said.span(), format!("expected one of {}", words.join(", "))))
}

fn sight(said: &Text) -> Read<Sight> {
    let found = Sight::all().find(|sight| sight.as_str() == said.get_ref());
    found.ok_or_else(|| {
        let words: Vec<String> = Sight::all().map(|sight| format!("\"{sight}\"")).collect();
        let why = format!(
            "nothing of that name is looked for; there are {}",
            words.join(", ")
        );
        wrong(said.span(), why)
    })
}

#[cfg(test)]
#[path = "file_test.rs"]
mod tests;
