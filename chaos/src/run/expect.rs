//! What a run has shown, against what was expected of it: pure. What does not live here: taking the figures.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use squall_kernel::fault::Share;

use super::Ended;
use super::drive::{CutShort, Driven};
use super::judged::Judged;
use super::meter::{Series, share};
use crate::bench::failover::phases::{elections, owns};
use crate::scenario::{Expect, Scenario};

/// How one thing came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// As it was to be.
    Ok,
    /// Not.
    Failed,
    /// Nobody can say.
    Unknown,
    /// It ended before its time, on purpose.
    Halted,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was to be.
    pub what: String,
    /// What was.
    pub was: String,
    /// How it came out.
    pub ruling: Ruling,
}

fn finding(what: impl Into<String>, was: impl Into<String>, ruling: Ruling) -> Finding {
    Finding {
        what: what.into(),
        was: was.into(),
        ruling,
    }
}

fn held(holds: bool) -> Ruling {
    if holds { Ruling::Ok } else { Ruling::Failed }
}

/// Everything that was looked at, and what follows from it.
pub(super) fn rule(
    scenario: &Scenario,
    driven: &Driven,
    judged: &Judged,
    untimed: bool,
) -> (Vec<Finding>, Ended) {
    let mut findings: Vec<Finding> = driven.cut_short.iter().map(cut_short).collect();
    let steps_done = driven.cut_short.is_none();
    findings.extend(judged.verdicts.iter().map(|(id, verdict)| invariant(id, verdict)));
    findings.push(finding(
        "all faults are gone when they were undone",
        if driven.remains.is_empty() {
            "they are"
        } else {
            &driven.remains
        },
        held(driven.remains.is_empty()),
    ));
    if !matches!(driven.cut_short, Some(CutShort::NeverSteady(_))) {
        findings.push(recovered(scenario, driven.recovered));
    }
    if steps_done {
        findings.extend(during(scenario, driven.during).filter(|_| !untimed));
        for expect in &scenario.expects {
            findings.extend(expected(expect, driven, judged, untimed));
        }
    }
    let ended = ended(&findings);
    (findings, ended)
}

fn ended(findings: &[Finding]) -> Ended {
    let any = |ruling| findings.iter().any(|finding| finding.ruling == ruling);
    // What the invariants do not know is told, and decides nothing.
    let unknown = findings
        .iter()
        .any(|finding| finding.ruling == Ruling::Unknown && !finding.what.starts_with('I'));
    if any(Ruling::Failed) {
        Ended::Failed
    } else if any(Ruling::Halted) {
        Ended::Halted
    } else if unknown {
        Ended::Unknown
    } else {
        Ended::Passed
    }
}

fn cut_short(why: &CutShort) -> Finding {
    let to_its_end = |was: &str, ruling| finding("it runs to its end", was, ruling);
    match why {
        CutShort::NeverSteady(why) => finding("all is steady before the first step", why, Ruling::Unknown),
        CutShort::Stopped => to_its_end("somebody ended it", Ruling::Halted),
        CutShort::Halted(who) => to_its_end(who, Ruling::Halted),
        CutShort::Beyond(why) => finding("every step is within the blast limits", why, Ruling::Halted),
        CutShort::Refused(why) => finding("every step can be done", why, Ruling::Unknown),
        CutShort::Breach(_) => to_its_end("halted: an invariant was broken", Ruling::Failed),
        CutShort::Unsteady(why) => to_its_end(&format!("halted: {why}"), Ruling::Failed),
        CutShort::Unjudged => to_its_end("the invariants cannot be judged any more", Ruling::Unknown),
    }
}

fn invariant(id: &str, verdict: &str) -> Finding {
    let ruling = match verdict {
        "ok" => Ruling::Ok,
        verdict if verdict.starts_with("unknown") => Ruling::Unknown,
        _ => Ruling::Failed,
    };
    finding(id, verdict, ruling)
}

fn recovered(scenario: &Scenario, took: Option<Duration>) -> Finding {
    let within = scenario.steady.recover;
    let what = format!("all is steady again within {within:.0?} of the last fault");
    match took {
        Some(took) => finding(what, format!("after {took:.1?}"), Ruling::Ok),
        None => finding(what, "it is not", Ruling::Failed),
    }
}

fn during(scenario: &Scenario, good: Share) -> Option<Finding> {
    let wanted = scenario.steady.during?;
    let what = format!("{wanted} of the requests are answered while faults act");
    Some(finding(what, good.to_string(), held(good >= wanted)))
}

fn expected(expect: &Expect, driven: &Driven, judged: &Judged, untimed: bool) -> Vec<Finding> {
    let named = expect.exchange.as_ref().map(ToString::to_string);
    let series: Vec<&Series> = driven
        .series
        .iter()
        .filter(|series| named.as_ref().is_none_or(|name| *name == series.exchange))
        .collect();
    let of = named.unwrap_or_else(|| "all exchanges".to_owned());
    let sum = |count: fn(&Series) -> u64| -> u64 { series.iter().map(|series| count(series)).sum() };
    let mut findings = Vec::new();
    if let Some(most) = expect.gap.filter(|_| !untimed) {
        let gap = Duration::from_millis(
            series
                .iter()
                .map(|series| series.gap_ms)
                .max()
                .unwrap_or_default(),
        );
        let what = format!("{of}: no silence longer than {most:.1?}");
        findings.push(finding(what, format!("{gap:.1?}"), held(gap <= most)));
    }
    // How many fail is a matter of how long a failover takes.
    if let Some(most) = expect.failed.filter(|_| !untimed) {
        let failed = share(sum(|s| s.outcomes.failed()), sum(|s| s.outcomes.sent));
        let what = format!("{of}: at most {most} of the requests fail");
        findings.push(finding(what, failed.to_string(), held(failed <= most)));
    }
    let counted = |most: u64, count: u64, what: &str| {
        finding(
            format!("{of}: at most {most} {what}"),
            count.to_string(),
            held(count <= most),
        )
    };
    findings.extend(
        expect
            .lost
            .map(|most| counted(most, sum(|s| s.lost), "requests without an end")),
    );
    findings.extend(
        expect
            .doubled
            .map(|most| counted(most, sum(|s| s.doubled), "requests handled twice")),
    );
    findings.push(counted(0, sum(|s| s.wrong), "stale or changed messages"));
    if let Some((least, most)) = expect.owner_changes {
        let changes: u64 = series
            .iter()
            .map(|series| owner_changes(driven, &series.exchange))
            .sum();
        let what = format!("{of}: {least} to {most} changes of the owner");
        findings.push(finding(
            what,
            changes.to_string(),
            held((least..=most).contains(&changes)),
        ));
    }
    if let Some(most) = expect.elections {
        findings.push(counted(
            most,
            u64::from(elections(&driven.told)),
            "elections of a meta leader",
        ));
    }
    findings.extend(expect.seen.iter().map(|sight| {
        let seen = judged.saw(sight.as_str());
        let (was, ruling) = if seen {
            ("it did", Ruling::Ok)
        } else {
            ("it did not", Ruling::Unknown)
        };
        finding(format!("it happened that {sight}"), was, ruling)
    }));
    findings
}

/// Epochs under which a node became the owner.
fn owner_changes(driven: &Driven, exchange: &str) -> u64 {
    let changes = driven.told.iter().filter(|told| owns(told, exchange));
    changes.map(|told| told.epoch).collect::<BTreeSet<u64>>().len() as u64
}
