//! A run as plain data: what was done, how requests fared, what nodes told, what was found. What does not live here: its pages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use squall_kernel::id::{ClusterId, Epoch, ExchangeName};
use squall_node::failover::root_of;

use super::deeds::Fired;
use super::drive::Driven;
use super::expect::rule;
use super::judged::Judged;
use super::meter::millis;
use super::upkeep::Holding;
use super::{Ended, Finding, RunOptions, Series};
use crate::bench::Machine;
use crate::bench::failover::phases::{Account, Case, Phases};
use crate::fault::Act;

/// Version of the JSON.
const SCHEMA: u32 = 2;
/// What nodes told that is kept in a report.
const MOMENTS_MAX: usize = 2_000;
/// What nodes tell so long after a fault is still of it.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What a run was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of the JSON.
    pub schema: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// What one learns from it.
    pub teaches: String,
    /// Its file.
    pub text: String,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Timer profile.
    pub profile: &'static str,
    /// Where it ran.
    pub machine: Machine,
    /// When the faults' time began, in microseconds since 1970.
    pub began_us: u64,
    /// How long that was, in milliseconds.
    pub lasted_ms: u64,
    /// How it ended.
    pub ended: Ended,
    /// Everything that was looked at.
    pub findings: Vec<Finding>,
    /// What was done.
    pub deeds: Vec<Deed>,
    /// How requests fared, by exchange.
    pub series: Vec<Series>,
    /// What the nodes told, by time.
    pub moments: Vec<Moment>,
    /// What the invariants say.
    pub judged: Judged,
    /// What the processes held, by name: the nodes, and this program as `scenario`.
    pub held: BTreeMap<String, Vec<Holding>>,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deed {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// When it was over by itself.
    pub ends_ms: u64,
    /// As it is written.
    pub text: String,
    /// What it came to, deed by deed; or why nothing was done.
    pub came: Vec<String>,
    /// True when nothing was done.
    pub undone: bool,
    /// How exchanges went to other owners because of it.
    pub failovers: Vec<Failover>,
}

/// An exchange that went from an owner that was struck to another one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failover {
    /// Exchange.
    pub exchange: String,
    /// Epoch of the next owner.
    pub epoch: u64,
    /// Trace of its spans, in hexadecimal; where nodes send their traces somewhere, they are found there.
    pub trace_id: Option<String>,
    /// When what happened.
    pub phases: Phases,
}

/// Something that a node told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// Node.
    pub node: String,
    /// Kind.
    pub kind: String,
    /// In words.
    pub text: String,
}

impl Report {
    pub(super) fn new(options: &RunOptions, machine: Machine, driven: Driven, judged: Judged) -> Self {
        let scenario = &options.scenario;
        let (findings, ended) = rule(scenario, &driven, &judged, options.untimed);
        let since = |unix_us: u64| unix_us.saturating_sub(driven.began.unix_us) / 1000;
        let moments = driven.told.iter().take(MOMENTS_MAX).map(|told| Moment {
            at_ms: since(told.unix_us),
            node: told.node.clone(),
            kind: told.kind.clone(),
            text: format!("{} {}", told.subject, told.text).trim().to_owned(),
        });
        Self {
            schema: SCHEMA,
            scenario: scenario.name.clone(),
            teaches: scenario.teaches.clone(),
            text: options.text.clone(),
            nodes: scenario.nodes,
            profile: options.profile.unwrap_or(scenario.profile).as_str(),
            machine,
            began_us: driven.began.unix_us,
            lasted_ms: millis(driven.lasted),
            ended,
            findings,
            moments: moments.collect(),
            deeds: driven
                .fired
                .iter()
                .map(|fired| deed(options, &driven, fired))
                .collect(),
            series: driven.series,
            held: driven.held,
            judged,
        }
    }

    /// What went wrong, or cannot be said: a line each.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let wrong = self.findings.iter().filter(|finding| {
            let of_invariant = finding.what.starts_with('I') && finding.ruling == super::Ruling::Unknown;
            finding.ruling != super::Ruling::Ok && !of_invariant
        });
        wrong
            .map(|finding| format!("{}: {}", finding.what, finding.was))
            .collect()
    }
}

fn deed(options: &RunOptions, driven: &Driven, fired: &Fired) -> Deed {
    let step = &options.scenario.steps[fired.step];
    let at_ms = fired.unix_us.saturating_sub(driven.began.unix_us) / 1000;
    let (came, undone) = match &fired.done {
        Ok(_) => (fired.came(), false),
        Err(super::deeds::Undone::Beyond(why)) => (vec![why.to_string()], true),
        Err(super::deeds::Undone::Refused(why)) => (vec![why.clone()], true),
    };
    Deed {
        at_ms,
        ends_ms: at_ms + millis(step.ends() - step.at),
        text: step.deed.to_string(),
        came,
        undone,
        failovers: failovers(options, driven, fired),
    }
}

/// Of the exchanges whose owner was struck.
fn failovers(options: &RunOptions, driven: &Driven, fired: &Fired) -> Vec<Failover> {
    let struck = |node: &str| fired.acts.iter().any(|act| hits(act, node));
    let owned = fired.picture.exchanges.iter().filter_map(|exchange| {
        let owner = exchange.owner.as_deref().filter(|owner| struck(owner))?;
        Some((exchange.name.as_str(), owner))
    });
    let step = &options.scenario.steps[fired.step];
    let until =
        fired.unix_us + u64::try_from((step.ends() - step.at + AFTERWARDS).as_micros()).unwrap_or(u64::MAX);
    let since = driven
        .told
        .iter()
        .filter(|told| (fired.unix_us..until).contains(&told.unix_us));
    let told: Vec<_> = since.cloned().collect();
    let failovers = owned.filter_map(|(exchange, victim)| {
        let case = Case {
            victim,
            exchange,
            struck_us: fired.unix_us,
        };
        let account = Account::new(case, &told);
        let epoch = account.epoch?;
        Some(Failover {
            exchange: exchange.to_owned(),
            epoch,
            trace_id: driven
                .cluster
                .and_then(|cluster| trace_of(cluster, exchange, epoch)),
            phases: account.phases,
        })
    });
    failovers.collect()
}

fn trace_of(cluster: ClusterId, exchange: &str, epoch: u64) -> Option<String> {
    let root = root_of(cluster, &ExchangeName::new(exchange).ok()?, Epoch(epoch));
    Some(format!("{:032x}", u128::from_be_bytes(root.trace_id)))
}

fn hits(act: &Act, node: &str) -> bool {
    match act {
        Act::Node { node: struck, .. } | Act::Hold { node: struck, .. } => struck == node,
        Act::Link { from, to, .. } => from == node || to == node,
    }
}
