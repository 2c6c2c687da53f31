//! The failover stopwatch (C6): how long each phase of a failover took, from the events of all nodes. Pure.
//!
//! Phases follow each other: something is seen of the loss (*detect*: from the broken link to the first suspicion or the end
//! that was seen), the promises to the lost node run out (*lease end*, at once where its end was proved), another node comes to
//! lead the registry where that one led (*elect*), the exchange gets its next owner (*assign*), a leader of its handlers is
//! appointed where it has one (*announce*), and somebody gets an answer (*first good reply*).
//!
//! Times are those of the nodes' own clocks: a phase that ends before it begins by them counts as nothing, and
//! [`super::health`] says when clocks differ.

use squall_proto::v1;

use super::events::{EventKey, EventLog};

/// Longest time between two phases: what comes later belongs to something else.
const PHASE_US: u64 = 30_000_000;
/// Failovers looked back for at most.
const FAILOVERS_MAX: usize = 200;

/// The phases, in order.
pub const PHASES: [&str; 6] = [
    "detect",
    "lease end",
    "elect",
    "assign",
    "announce",
    "first good reply",
];

/// One failover of one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Exchange.
    pub exchange: String,
    /// Epoch of the next owner.
    pub epoch: u64,
    /// Node that was lost.
    pub from: String,
    /// Next owner.
    pub to: String,
    /// The event by which the next owner told of it.
    pub key: EventKey,
    /// Microseconds of each phase, in the order of [`PHASES`]; none where it did not happen, or is not known.
    pub phases: [Option<u64>; PHASES.len()],
    /// Microseconds from the first sign to the first good reply, or to the last phase that is known.
    pub total_us: u64,
    /// Somebody got an answer.
    pub answered: bool,
}

/// Figures of one phase over all failovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseFigures {
    /// Failovers that had it.
    pub count: usize,
    /// Median in microseconds.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}

/// The failovers that the log tells of, the newest first.
#[must_use]
pub fn failovers(log: &EventLog) -> Vec<Failover> {
    let all: Vec<(&EventKey, &v1::Event)> = log.newest_first().collect();
    let losses: Vec<_> = all
        .iter()
        .filter(|(_, e)| e.kind == "node-lost")
        .copied()
        .collect();
    let assigned = all
        .iter()
        .enumerate()
        .filter(|(_, (_, e))| e.kind == "owner-changed" && e.epoch > 1);
    assigned
        .filter_map(|(i, (key, event))| {
            let lost = loss_before(&losses, key, event)?;
            failover(&all, i, key, event, lost)
        })
        .take(FAILOVERS_MAX)
        .collect()
}

/// Figures of each phase, and of the whole.
#[must_use]
pub fn figures(failovers: &[Failover]) -> ([Option<PhaseFigures>; PHASES.len()], Option<PhaseFigures>) {
    let phases = std::array::from_fn(|i| {
        let known = failovers.iter().filter_map(|f| f.phases[i]);
        of(known.collect())
    });
    (
        phases,
        of(failovers
            .iter()
            .filter(|f| f.answered)
            .map(|f| f.total_us)
            .collect()),
    )
}

fn of(mut all: Vec<u64>) -> Option<PhaseFigures> {
    all.sort_unstable();
    let at = |percent: usize| {
        all.get((all.len() * percent).div_ceil(100).saturating_sub(1))
            .copied()
    };
    Some(PhaseFigures {
        count: all.len(),
        p50_us: at(50)?,
        p99_us: at(99)?,
    })
}

fn time(event: &v1::Event) -> u64 {
    if event.unix_us == 0 {
        event.unix_ms * 1000
    } else {
        event.unix_us
    }
}

/// Clocks of nodes differ a little: what is told as some milliseconds later may have come before.
fn is_near(event: &v1::Event, at: u64) -> bool {
    time(event).abs_diff(at) <= PHASE_US
}

/// The latest loss before an assignment: of the losses, the newest first, only those about that time are looked at.
fn loss_before<'a>(
    losses: &[(&EventKey, &'a v1::Event)],
    key: &EventKey,
    assigned: &v1::Event,
) -> Option<&'a v1::Event> {
    let at = time(assigned);
    let latest_ms = key.unix_ms.saturating_add(SLACK_US / 1000 + 1);
    let first = losses.partition_point(|(k, _)| k.unix_ms > latest_ms);
    let about = losses[first..]
        .iter()
        .take_while(|(k, _)| k.unix_ms.saturating_add(PHASE_US / 1000 + 1) >= key.unix_ms);
    about
        .map(|(_, event)| *event)
        .find(|e| is_near(e, at) && time(e) <= at + SLACK_US)
}

/// `all` has the newest first; what came before the assignment stands behind it.
fn failover(
    all: &[(&EventKey, &v1::Event)],
    i: usize,
    key: &EventKey,
    assigned: &v1::Event,
    lost: &v1::Event,
) -> Option<Failover> {
    let at = time(assigned);
    let near = |event: &v1::Event| is_near(event, at);
    let from = lost.subject.clone();
    let about = |e: &v1::Event| e.subject == from && near(e) && time(e) <= time(lost) + SLACK_US;
    let signs = |kinds: &'static [&'static str]| {
        let of = all
            .iter()
            .filter(move |(_, e)| kinds.contains(&e.kind.as_str()) && about(e));
        of.map(|(_, e)| time(e)).min()
    };
    let first = signs(&["link-down", "died", "suspect"]).unwrap_or(time(lost));
    let detected = signs(&["died", "suspect"]);
    let led = all
        .iter()
        .filter(|(_, e)| e.kind == "meta-leader" && e.text.starts_with("leads"));
    let elected = led
        .map(|(_, e)| time(e))
        .find(|t| *t >= first && *t <= at + SLACK_US);
    let later = |kind: &'static str, epoch: Option<u64>| {
        let of = all[..i].iter().rev().map(|(_, e)| *e);
        let mut of = of.filter(move |e| e.kind == kind && e.subject == assigned.subject && near(e));
        of.find(|e| epoch.is_none_or(|epoch| e.epoch == epoch)).map(time)
    };
    let announced = later("leader-appointed", None);
    let answered = later("first-reply", Some(assigned.epoch));
    let ends = [detected, Some(time(lost)), elected, Some(at), announced, answered];
    let (phases, last) = lengths(first, ends);
    Some(Failover {
        exchange: assigned.subject.clone(),
        epoch: assigned.epoch,
        from,
        to: key.node.clone(),
        key: key.clone(),
        phases,
        total_us: last.saturating_sub(first),
        answered: answered.is_some(),
    })
}

/// Clocks of the nodes of one cluster differ by no more than this, or their events cannot be put in order.
const SLACK_US: u64 = 50_000;

/// Each phase is as long as it ends after the latest one before it.
fn lengths(first: u64, ends: [Option<u64>; PHASES.len()]) -> ([Option<u64>; PHASES.len()], u64) {
    let mut latest = first;
    let phases = ends.map(|end| {
        let end = end?;
        let length = end.saturating_sub(latest);
        latest = latest.max(end);
        Some(length)
    });
    (phases, latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, ms: u64, kind: &str, subject: &str, epoch: u64) -> v1::Event {
        v1::Event {
            seq,
            unix_ms: ms,
            unix_us: ms * 1000,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            text: if kind == "meta-leader" {
                "leads the registry in term 2".to_owned()
            } else {
                String::new()
            },
            epoch,
            ..Default::default()
        }
    }

    fn log(of: &[(&str, Vec<v1::Event>)]) -> EventLog {
        let mut log = EventLog::default();
        for (node, events) in of {
            log.add(node, 1, events.clone(), 0);
        }
        log
    }

    /// Node b, which leads the registry and owns orders, is killed.
    fn killed() -> EventLog {
        log(&[
            (
                "a",
                vec![
                    event(1, 10_000, "link-down", "b", 0),
                    event(2, 10_004, "died", "b", 0),
                    event(3, 10_210, "meta-leader", "", 2),
                    event(4, 10_215, "node-lost", "b", 0),
                ],
            ),
            (
                "c",
                vec![
                    event(1, 10_002, "link-down", "b", 0),
                    event(2, 10_230, "owner-changed", "orders", 8),
                    event(3, 10_290, "leader-appointed", "orders", 3),
                    event(4, 10_296, "first-reply", "orders", 8),
                ],
            ),
        ])
    }

    #[test]
    fn the_phases_of_a_failover_add_up_to_the_whole() {
        let all = failovers(&killed());
        let [f] = &all[..] else { panic!("{all:?}") };
        assert_eq!(
            (f.exchange.as_str(), f.from.as_str(), f.to.as_str(), f.epoch),
            ("orders", "b", "c", 8)
        );
        let ms = f.phases.map(|p| p.map(|us| us / 1000));
        // The election ended before the loss was declared: it took none of the time after that.
        assert_eq!(ms, [Some(4), Some(211), Some(0), Some(15), Some(60), Some(6)]);
        assert_eq!((f.total_us, f.answered), (296_000, true));
        assert_eq!(f.phases.iter().flatten().sum::<u64>(), f.total_us);
    }

    #[test]
    fn what_is_no_failover_is_none() {
        let first = log(&[("a", vec![event(1, 1_000, "owner-changed", "orders", 1)])]);
        assert_eq!(failovers(&first), []);
        let moved = log(&[("a", vec![event(1, 1_000, "owner-changed", "orders", 2)])]);
        assert_eq!(failovers(&moved), [], "a move: nobody was lost");
        let long_ago = log(&[
            ("a", vec![event(1, 1_000, "node-lost", "b", 0)]),
            ("c", vec![event(1, 60_000, "owner-changed", "orders", 2)]),
        ]);
        assert_eq!(failovers(&long_ago), []);
    }

    #[test]
    fn a_failover_that_nobody_noticed_yet_has_no_reply() {
        let so_far = log(&[
            ("a", vec![event(1, 1_000, "node-lost", "b", 0)]),
            ("c", vec![event(1, 1_020, "owner-changed", "orders", 2)]),
        ]);
        let all = failovers(&so_far);
        assert_eq!((all.len(), all[0].answered, all[0].total_us), (1, false, 20_000));
        assert_eq!(all[0].phases, [None, Some(0), None, Some(20_000), None, None]);
        assert_eq!(figures(&all).1, None, "only whole ones count as a whole");
    }

    #[test]
    fn figures_are_of_those_that_had_the_phase() {
        let f = |detect: Option<u64>, total: u64| Failover {
            phases: [detect, Some(total), None, None, None, None],
            total_us: total,
            answered: true,
            ..failovers(&killed()).remove(0)
        };
        let all: Vec<Failover> = (1..=100).map(|n| f((n > 50).then_some(n), n * 1000)).collect();
        let (phases, whole) = figures(&all);
        let figures = |count, p50_us, p99_us| {
            Some(PhaseFigures {
                count,
                p50_us,
                p99_us,
            })
        };
        assert_eq!(phases[0], figures(50, 75, 100));
        assert_eq!((phases[2], whole), (None, figures(100, 50_000, 99_000)));
        assert_eq!(super::figures(&[]).1, None);
    }
}
