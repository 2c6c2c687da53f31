//! Processor time that processes have used, as the system counts it. What does not live here: whose.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::usage::processor_time;

/// Of a second: what Linux tells programs in, whatever its own clock is.
const TICKS: f64 = 100.0;

/// What the system tells of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    parent: u32,
    /// User and system time of the process, in ticks.
    own: f64,
    /// The same of its children that have ended and were waited for.
    ended: f64,
}

/// Processor time, user and system, that these processes and all that descend from them have used, to a hundredth of a second; none where the system does not tell. Processes that have ended count
/// with whoever waited for them.
pub(super) fn of(processes: &[u32]) -> Option<Duration> {
    let all = all();
    let mut ticks = 0.0;
    for pid in family(processes, &all) {
        let stat = all.get(&pid)?;
        ticks += stat.own + stat.ended;
    }
    Some(Duration::from_secs_f64(ticks / TICKS))
}

/// The same, and this process's own.
pub(super) fn with(children: &[u32]) -> Option<Duration> {
    let children = if children.is_empty() {
        Duration::ZERO
    } else {
        of(children)?
    };
    Some(processor_time() + children)
}

/// Microseconds of processor time for each request, between two readings; none without them, or without requests.
pub(super) fn each_us(before: Option<Duration>, after: Option<Duration>, requests: u64) -> Option<f64> {
    let used = after?.checked_sub(before?)?;
    (requests > 0).then(|| (used.as_secs_f64() * 1e8 / requests as f64).round() / 100.0)
}

fn family(roots: &[u32], all: &BTreeMap<u32, Stat>) -> BTreeSet<u32> {
    let mut found: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let children = all.iter().filter(|(_, stat)| found.contains(&stat.parent));
        let more: Vec<u32> = children
            .map(|(pid, _)| *pid)
            .filter(|pid| !found.contains(pid))
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn all() -> BTreeMap<u32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, read(&pid.to_string())?)))
        .collect()
}

fn read(process: &str) -> Option<Stat> {
    parsed(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parsed(stat: &str) -> Option<Stat> {
    // The name may have anything in it; it ends with the last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)? + ticks(12)?,
        ended: ticks(13)? + ticks(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4 5 6 7 8 100 50 25 5 20 0 1 0";
        let expected = Stat {
            parent: 3,
            own: 150.0,
            ended: 30.0,
        };
        assert_eq!(parsed(line), Some(expected));
        for wrong in ["", "7 (a", "7 (a) S 3", "7 (a) S x 7 7 0 -1 4 5 6 7 8 1 1 1 1"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_family_is_all_that_descend() {
        let of = |parent| Stat {
            parent,
            own: 0.0,
            ended: 0.0,
        };
        let all = BTreeMap::from([(1, of(0)), (2, of(1)), (3, of(2)), (4, of(1)), (5, of(4))]);
        assert_eq!(family(&[2, 4], &all), BTreeSet::from([2, 3, 4, 5]));
    }

    #[test]
    fn time_is_told_for_each_request_where_both_readings_are_there() {
        let at = |ms| Some(Duration::from_millis(ms));
        assert_eq!(each_us(at(100), at(350), 1000), Some(250.0));
        assert_eq!(each_us(at(100), at(350), 0), None);
        assert_eq!(each_us(None, at(350), 10), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_of_ones_own_is_seen_and_one_that_is_not_there_is_unknown() {
        assert!(with(&[std::process::id()]).is_some());
        assert_eq!(with(&[u32::MAX]), None);
    }
}
