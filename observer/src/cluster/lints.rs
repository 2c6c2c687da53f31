//! What is not broken and may become so, each with its numbers: queues that grow, leaders that flap, links that differ by
//! direction, round trips too long for the heartbeat, mailboxes nearly full, versions and clocks that differ. Pure.
//!
//! What does not live here: what is wrong already ([`super::health`]).

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use squall_proto::v1::{LinkState, ProcessRow};

use super::node::Node;
use super::process::FULL_PERCENT;
use super::{Cluster, ways};
use crate::units::{Moment, count, micros, millis};

/// So many leaders, or owners, within [`FLAPPING_MS`] are too many.
const FLAPPING_MIN: usize = 4;
/// Window in which leaders are counted.
const FLAPPING_MS: u64 = 60_000;
/// Directions of a link differ when one takes so many times as long as the other...
const ASYMMETRY: u64 = 4;
/// ... and so much longer at least, in microseconds.
const ASYMMETRY_US: u64 = 20_000;
/// Clocks of two nodes differ from here on, beyond what frames take on their way.
const SKEW_MS: i64 = 500;
/// Lines of one sort at most: the worst come first, and the others are counted.
const LINES_MAX: usize = 3;

/// One line for each thing that may become worse.
#[must_use]
pub fn lints(cluster: &Cluster, now: Moment) -> Vec<String> {
    let mut all = Vec::new();
    mailboxes(cluster, now, &mut all);
    flapping(cluster, now, &mut all);
    links(cluster, now, &mut all);
    versions(cluster, now, &mut all);
    clocks(cluster, now, &mut all);
    all
}

/// Keeps the worst lines of one sort, and makes no others: there may be as many as there are processes. Among equals the
/// first come first.
fn put<T>(all: &mut Vec<String>, mut found: Vec<(u64, T)>, line: impl Fn(u64, T) -> String) {
    found.sort_by_key(|(how_bad, _)| Reverse(*how_bad));
    let more = found.len().saturating_sub(LINES_MAX);
    let mut kept = found
        .into_iter()
        .take(LINES_MAX)
        .map(|(how_bad, what)| line(how_bad, what));
    let first = kept.next().map(|line| match more {
        0 => line,
        _ => format!("{line} (and {more} more like it)"),
    });
    all.extend(first);
    all.extend(kept);
}

fn mailboxes(cluster: &Cluster, now: Moment, all: &mut Vec<String>) {
    let (mut full, mut growing) = (Vec::new(), Vec::new());
    for node in cluster.fresh(now) {
        // Very few of very many: they are picked out where all lie close together.
        let briefs = node.processes.briefs().iter().enumerate();
        let swelling = briefs.filter(|(_, brief)| brief.swells);
        for process in swelling.filter_map(|(place, _)| node.processes.all().get(place)) {
            let percent = process.fullness();
            if percent >= FULL_PERCENT {
                full.push((percent, (node, process)));
            }
            let grows = process.climb.grown(node.processes_ms(), process.mailbox());
            if let Some((grown, time)) = grows {
                growing.push((grown, (node, process, time)));
            }
        }
    }
    let who = |node: &Node, row: &ProcessRow| format!("{} {} on {}", row.pid, row.name, node.name);
    put(all, full, |percent, (node, process)| {
        let (who, waiting) = (who(node, &process.row), count(process.mailbox()));
        format!(
            "{who}: mailbox {percent}% full, {waiting} of {}",
            count(process.row.bound)
        )
    });
    put(all, growing, |grown, (node, process, time)| {
        let (who, waiting) = (who(node, &process.row), count(process.mailbox()));
        format!(
            "{who}: mailbox grows, by {} in {} to {waiting}",
            count(grown),
            millis(time)
        )
    });
}

fn flapping(cluster: &Cluster, now: Moment, all: &mut Vec<String>) {
    let mut changes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let recent = cluster.events.newest_first();
    for (_, event) in recent.take_while(|(key, _)| now.0.saturating_sub(key.unix_ms) <= FLAPPING_MS) {
        let what = match event.kind.as_str() {
            "leader-appointed" => "leaders",
            "owner-changed" => "owners",
            "meta-leader" if event.text.starts_with("leads") => "registry leaders",
            _ => continue,
        };
        *changes.entry((what, event.subject.as_str())).or_default() += 1;
    }
    let lines = changes
        .into_iter()
        .filter(|(_, n)| *n >= FLAPPING_MIN)
        .map(|((what, subject), n)| {
            let of = if subject.is_empty() {
                String::new()
            } else {
                format!("{subject}: ")
            };
            (n as u64, format!("{of}{n} {what} within a minute"))
        });
    put(all, lines.collect(), made);
}

fn links(cluster: &Cluster, now: Moment, all: &mut Vec<String>) {
    let (mut one_way, mut uneven, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for node in cluster.fresh(now) {
        for link in node.links.values() {
            let (from, to) = (&node.name, &link.peer);
            let half = node.row.as_ref().map_or(0, |row| row.heartbeat_us / 2);
            if half > 0 && link.rtt_p50_us > half {
                let text = format!(
                    "{from} → {to}: round trip {}, above half the heartbeat of {}",
                    micros(link.rtt_p50_us),
                    micros(half * 2)
                );
                slow.push((link.rtt_p50_us, text));
            }
            let Some(back) = back(cluster, node, to, now) else {
                continue;
            };
            let up = |from: &str, to: &str| {
                let way = ways::way(cluster, from, to, now);
                way.is_some_and(|way| way.state == LinkState::Up)
            };
            if up(from, to) && !up(to, from) {
                one_way.push((1, format!("{from} → {to} is up, {to} → {from} is not")));
            }
            let (there, here) = (link.rtt_p50_us, back.rtt_p50_us);
            if here > 0 && there > here.saturating_mul(ASYMMETRY) && there - here > ASYMMETRY_US {
                let text = format!(
                    "{from} → {to} takes {}, {to} → {from} {}",
                    micros(there),
                    micros(here)
                );
                uneven.push((there, text));
            }
        }
    }
    put(all, one_way, made);
    put(all, uneven, made);
    put(all, slow, made);
}

/// There are few of them: a line each is there already.
fn made(_: u64, line: String) -> String {
    line
}

/// The other direction of a link, where the other node was heard in time.
fn back<'a>(
    cluster: &'a Cluster,
    node: &Node,
    peer: &str,
    now: Moment,
) -> Option<&'a squall_proto::v1::LinkRow> {
    let other = cluster.nodes.get(peer)?;
    super::is_fresh(other, now)
        .then(|| other.links.get(&node.name))
        .flatten()
}

fn versions(cluster: &Cluster, now: Moment, all: &mut Vec<String>) {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in cluster.fresh(now) {
        let version = node.row.as_ref().map_or("", |row| row.version.as_str());
        by_version.entry(version).or_default().push(&node.name);
    }
    by_version.remove("");
    if by_version.len() > 1 {
        let of = by_version
            .iter()
            .map(|(version, nodes)| format!("{version} on {}", nodes.join(" ")));
        all.push(format!("versions differ: {}", of.collect::<Vec<_>>().join(", ")));
    }
    for (version, nodes) in &by_version {
        let (who, runs) = (nodes.join(" "), if nodes.len() == 1 { "runs" } else { "run" });
        all.extend(match parts(version).cmp(&parts(OWN_VERSION)) {
            Ordering::Equal => None,
            Ordering::Greater => Some(format!(
                "{who} {runs} {version}, newer than this observer ({OWN_VERSION}): not all of it may show"
            )),
            Ordering::Less => Some(format!(
                "{who} {runs} {version}, older than this observer ({OWN_VERSION}): not all may be told"
            )),
        });
    }
}

const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The numbers of a version; what stands behind them is let be.
fn parts(version: &str) -> Vec<u64> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// By how much clocks differ is seen from when frames arrive: the quickest ones of each node count.
fn clocks(cluster: &Cluster, now: Moment, all: &mut Vec<String>) {
    let skews = || {
        cluster
            .fresh(now)
            .filter_map(|n| Some((n.skew_ms?, n.name.as_str())))
    };
    let (Some(ahead), Some(behind)) = (skews().max(), skews().min()) else {
        return;
    };
    let apart = ahead.0 - behind.0;
    if apart >= SKEW_MS {
        all.push(format!(
            "clocks differ: {} is {} ahead of {}",
            ahead.1,
            millis(apart.unsigned_abs()),
            behind.1
        ));
    }
}

#[cfg(test)]
#[path = "lints_test.rs"]
mod tests;
