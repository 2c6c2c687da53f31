//! The invariants the observer watches over, each with its figure, whether it holds or not. What does not
//! live here: what is wrong in words ([`super::health`]), drawing.

use squall_proto::v1::{LeaderRole, LinkState, MetaRole};

use super::health::{self, Quorum};
use super::{Cluster, State};
use crate::units::{Moment, count, millis};

/// One invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub name: &'static str,
    /// It holds.
    pub holds: bool,
    /// What was found.
    pub figure: String,
}

/// All checks, as far as they can be made now: none while no node answers.
#[must_use]
pub fn checks(cluster: &Cluster, now: Moment) -> Vec<Check> {
    if cluster.fresh(now).next().is_none() {
        return Vec::new();
    }
    vec![
        nodes(cluster, now),
        quorum(cluster, now),
        owners(cluster, now),
        believers(cluster, now),
        links(cluster, now),
        lag(cluster, now),
        timers(cluster, now),
        drops(cluster, now),
        faults(cluster, now),
    ]
}

fn nodes(cluster: &Cluster, now: Moment) -> Check {
    let all = cluster.nodes.values();
    let up = all.filter(|n| cluster.state(n, now) == State::Up).count();
    Check {
        name: "nodes",
        holds: up == cluster.nodes.len(),
        figure: format!("{up} of {} up", cluster.nodes.len()),
    }
}

fn quorum(cluster: &Cluster, now: Moment) -> Check {
    let rows = || cluster.fresh(now).filter_map(|n| n.row.as_ref());
    let members = rows().max_by_key(|r| r.revision).map(|r| r.members.as_slice());
    let votes = |role| matches!(role, MetaRole::Leader | MetaRole::Voter);
    let voters: Vec<_> = members
        .unwrap_or_default()
        .iter()
        .filter(|m| votes(m.role()))
        .collect();
    let hears = |name: &str| rows().any(|r| r.name == name && r.quorum);
    let hearing = voters.iter().filter(|m| hears(&m.name)).count();
    Check {
        name: "quorum",
        holds: health::quorum(cluster, now) == Quorum::Held,
        figure: format!("{hearing} of {} voters hear a majority", voters.len()),
    }
}

fn owners(cluster: &Cluster, now: Moment) -> Check {
    let all = crate::facts::exchange_names(cluster).len();
    let without = health::ownerless(cluster, now).len();
    Check {
        name: "owners",
        holds: without == 0,
        figure: format!("{} of {all} exchanges have one", all.saturating_sub(without)),
    }
}

/// Owners at once, and whether all nodes send to the same one.
fn believers(cluster: &Cluster, now: Moment) -> Check {
    let names = crate::facts::exchange_names(cluster);
    let (mut most, mut agreed) = (0, 0);
    for name in &names {
        let opinions = || cluster.fresh(now).filter_map(|n| n.opinions.get(name));
        most = most.max(opinions().filter(|o| o.row.role() == LeaderRole::Owner).count());
        let mut owners = opinions().map(|o| &o.row.believed_owner);
        let first = owners.next();
        agreed += usize::from(owners.all(|o| Some(o) == first));
    }
    Check {
        name: "opinions",
        holds: health::splits(cluster, now).is_empty() && agreed == names.len(),
        figure: format!("{most} owner at most, {agreed} of {} agreed", names.len()),
    }
}

fn links(cluster: &Cluster, now: Moment) -> Check {
    let all = || cluster.fresh(now).flat_map(|n| n.links.values());
    let up = all().filter(|l| l.state() == LinkState::Up).count();
    let slowest = all().map(|l| l.rtt_p99_us).max().unwrap_or(0);
    Check {
        name: "links",
        holds: up == all().count(),
        figure: format!(
            "{up} of {} up, slowest p99 {}",
            all().count(),
            crate::units::micros(slowest)
        ),
    }
}

fn lag(cluster: &Cluster, now: Moment) -> Check {
    let newest = health::newest_revision(cluster, now);
    let rows = cluster.fresh(now).filter_map(|n| n.row.as_ref());
    let lag = rows.map(|r| newest.saturating_sub(r.revision)).max().unwrap_or(0);
    Check {
        name: "registry",
        holds: lag <= health::LAG_MAX,
        figure: format!("revision {newest}, largest lag {lag}"),
    }
}

fn timers(cluster: &Cluster, now: Moment) -> Check {
    let rows = cluster.fresh(now).filter_map(|n| n.row.as_ref());
    let late = rows.map(|r| r.timer_late_ms).max().unwrap_or(0);
    Check {
        name: "timers",
        holds: late <= health::TIMER_LATE_MS,
        figure: format!("at most {} late", millis(late)),
    }
}

fn drops(cluster: &Cluster, now: Moment) -> Check {
    let rate: f64 = cluster
        .fresh(now)
        .filter_map(|n| n.rate_dropped.per_s(n.taken_ms))
        .sum();
    let rows = cluster.fresh(now).filter_map(|n| n.row.as_ref());
    let all: u64 = rows.map(|r| r.dropped).sum();
    Check {
        name: "drops",
        holds: rate <= 0.0,
        figure: format!(
            "{} now, {} since the start",
            crate::units::rate(Some(rate)),
            count(all)
        ),
    }
}

fn faults(cluster: &Cluster, now: Moment) -> Check {
    let faults = health::faults(cluster, now).count;
    Check {
        name: "faults",
        holds: faults == 0,
        figure: format!("{faults} active"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_before_a_node_answers() {
        assert_eq!(checks(&Cluster::default(), Moment(0)), []);
    }
}
