//! What a failover was made of, from the events of the nodes that stayed: pure. What does not live here: collecting them
//! (`watch`).

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::watch::Told;
use crate::bench::nearest_rank;

/// Events of one trial that are kept in the report.
const MOMENTS_MAX: usize = 200;

/// When, in milliseconds since the node was struck; none where it did not happen. They need not come in this order: a
/// meta leader is not always elected, and an owner that hands over is not lost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Phases {
    /// A node that stayed found that something is wrong: it saw the end of the process, suspects the node, or is no
    /// longer acknowledged by it.
    pub detect_ms: Option<f64>,
    /// Another meta leader acts.
    pub elect_ms: Option<f64>,
    /// All promises to the node are known to be over: its loss is proposed.
    pub promises_ms: Option<f64>,
    /// Another node owns the exchange.
    pub assign_ms: Option<f64>,
    /// A handler was told of the new owner.
    pub announce_ms: Option<f64>,
    /// The first good reply after the gap.
    pub reply_ms: Option<f64>,
}

/// In words, without those that did not happen: `detect 3 ms, assign 40 ms`; `handed over within 40 ms` where nobody was lost.
impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (None, None, Some(assigned)) = (self.detect_ms, self.promises_ms, self.assign_ms) {
            return write!(f, "handed over within {assigned:.0} ms");
        }
        let mut before = "";
        for (name, at) in self.named() {
            if let Some(at) = at {
                write!(f, "{before}{name} {at:.0} ms")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

impl Phases {
    /// Names and times, in the usual order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("detect", self.detect_ms),
            ("elect", self.elect_ms),
            ("promises", self.promises_ms),
            ("assign", self.assign_ms),
            ("announce", self.announce_ms),
            ("reply", self.reply_ms),
        ]
    }
}

/// Whose failover it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'c> {
    /// The node that was struck.
    pub(crate) victim: &'c str,
    /// The exchange.
    pub(crate) exchange: &'c str,
    /// When it was struck.
    pub(crate) struck_us: u64,
}

/// An event of a trial, for whoever wants to know why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// Milliseconds since the strike.
    pub at_ms: f64,
    /// Node that told of it.
    pub node: String,
    /// Kind.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// What the nodes told of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Account {
    /// The phases that nodes can tell.
    pub(crate) phases: Phases,
    /// The epoch of the next owner.
    pub(crate) epoch: Option<u64>,
    /// How often another node became owner.
    pub(crate) moves: u32,
    /// How often a node became meta leader in a term in which it was not.
    pub(crate) elections: u32,
    /// Everything they told, up to a bound.
    pub(crate) moments: Vec<Moment>,
}

impl Account {
    /// Events in order of time.
    pub(crate) fn new(case: Case<'_>, told: &[Told]) -> Self {
        let by_others =
            |is: &dyn Fn(&Told) -> bool| told.iter().find(|told| told.node != case.victim && is(told));
        let first =
            |is: &dyn Fn(&Told) -> bool| by_others(is).map(|told| since(case.struck_us, told.unix_us));
        let of_victim =
            |told: &Told, kinds: &[&str]| kinds.contains(&told.kind.as_str()) && told.subject == case.victim;
        let assign_ms = first(&|told| owns(told, case.exchange));
        // That a node was found to be gone after it had handed the exchange over is no part of that.
        let led_to_it = |at: Option<f64>| at.filter(|at| assign_ms.is_none_or(|assigned| *at <= assigned));
        let phases = Phases {
            detect_ms: led_to_it(first(&|told| {
                of_victim(told, &["died", "suspect", "unreached", "node-weak"])
            })),
            elect_ms: first(&leads),
            promises_ms: led_to_it(first(&|told| of_victim(told, &["node-lost", "node-weak"]))),
            assign_ms,
            ..Phases::default()
        };
        let epochs: BTreeSet<u64> = told
            .iter()
            .filter(|told| owns(told, case.exchange))
            .map(|told| told.epoch)
            .collect();
        Self {
            phases,
            epoch: by_others(&|told| owns(told, case.exchange)).map(|told| told.epoch),
            moves: u32::try_from(epochs.len()).unwrap_or(u32::MAX),
            elections: elections(told),
            moments: told
                .iter()
                .take(MOMENTS_MAX)
                .map(|told| moment(case, told))
                .collect(),
        }
    }
}

fn moment(case: Case<'_>, told: &Told) -> Moment {
    Moment {
        at_ms: since(case.struck_us, told.unix_us),
        node: told.node.clone(),
        kind: told.kind.clone(),
        text: told.text.clone(),
    }
}

/// A node became meta leader.
pub(crate) fn leads(told: &Told) -> bool {
    told.kind == "meta-leader" && told.text.starts_with("leads")
}

/// A leader that lost its majority and has it again in the same term was not elected.
pub(crate) fn elections(told: &[Told]) -> u32 {
    let mut known = BTreeSet::new();
    let of_leaders = told.iter().filter(|told| told.kind == "meta-leader");
    let new = of_leaders.filter(|told| known.insert((told.node.as_str(), told.epoch)));
    u32::try_from(new.filter(|told| leads(told)).count()).unwrap_or(u32::MAX)
}

/// A node became owner of the exchange.
pub(crate) fn owns(told: &Told, exchange: &str) -> bool {
    told.kind == "owner-changed" && told.subject == exchange
}

fn since(struck_us: u64, unix_us: u64) -> f64 {
    (unix_us.saturating_sub(struck_us) as f64 / 100.0).round() / 10.0
}

/// p50, p99 and the longest of one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseFigures {
    /// Its name.
    pub phase: &'static str,
    /// Trials in which it happened.
    pub count: usize,
    /// Half came no later.
    pub p50_ms: f64,
    /// 99 in 100 came no later.
    pub p99_ms: f64,
    /// The latest.
    pub max_ms: f64,
}

/// Of each phase that happened in any trial.
pub(crate) fn figures(phases: &[Phases]) -> Vec<PhaseFigures> {
    let names = Phases::default().named().map(|(name, _)| name);
    let figure = |(index, phase): (usize, &'static str)| {
        let times: Vec<f64> = phases.iter().filter_map(|one| one.named()[index].1).collect();
        Some(PhaseFigures {
            phase,
            count: times.len(),
            p50_ms: nearest_rank(&times, 0.5)?,
            p99_ms: nearest_rank(&times, 0.99)?,
            max_ms: nearest_rank(&times, 1.0)?,
        })
    };
    names.into_iter().enumerate().filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(node: &str, us: u64, kind: &str, subject: &str, text: &str, epoch: u64) -> Told {
        Told {
            node: node.into(),
            unix_us: us,
            kind: kind.into(),
            subject: subject.into(),
            text: text.into(),
            epoch,
        }
    }

    #[test]
    fn phases_are_the_first_events_of_those_that_stayed() {
        let case = Case {
            victim: "a",
            exchange: "x",
            struck_us: 1_000_000,
        };
        let events = [
            // The struck node's own view does not count, nor do other nodes and exchanges.
            told("a", 1_001_000, "suspect", "b", "", 0),
            told("b", 1_002_000, "suspect", "c", "", 0),
            told("c", 1_003_000, "died", "a", "", 0),
            told("b", 1_004_000, "suspect", "a", "", 0),
            told(
                "b",
                1_150_000,
                "meta-leader",
                "",
                "leads the registry in term 3",
                3,
            ),
            told(
                "c",
                1_151_000,
                "meta-leader",
                "",
                "no longer leads the registry",
                3,
            ),
            told("b", 1_160_250, "node-lost", "a", "", 0),
            told("b", 1_170_000, "owner-changed", "y", "", 9),
            told("c", 1_171_000, "owner-changed", "x", "", 2),
        ];
        let account = Account::new(case, &events);
        assert_eq!((account.moves, account.elections), (1, 1));
        assert_eq!((account.moments.len(), account.moments[2].at_ms), (9, 3.0));
        let phases = account.phases;
        assert_eq!(
            phases.named().map(|(_, at)| at),
            [Some(3.0), Some(150.0), Some(160.3), Some(171.0), None, None]
        );
        let figures = figures(&[phases, phases]);
        assert_eq!(figures.len(), 4, "a phase that never happened has no figures");
        assert_eq!(
            (figures[0].phase, figures[0].count, figures[0].p50_ms),
            ("detect", 2, 3.0)
        );
    }

    #[test]
    fn an_owner_that_hands_over_and_leaves_was_not_lost() {
        let case = Case {
            victim: "a",
            exchange: "x",
            struck_us: 0,
        };
        let events = [
            told("b", 40_000, "owner-changed", "x", "", 2),
            told("b", 45_000, "meta-leader", "", "leads the registry in term 3", 3),
            told("b", 1_247_000, "died", "a", "", 0),
            told("b", 1_247_100, "node-lost", "a", "", 0),
        ];
        let account = Account::new(case, &events);
        assert_eq!(account.epoch, Some(2));
        assert_eq!(account.phases.to_string(), "handed over within 40 ms");
        let late = told("b", 2_000_000, "owner-changed", "x", "", 2);
        let lost = Account::new(case, &[&events[2..], &[late]].concat()).phases;
        assert_eq!(
            lost.to_string(),
            "detect 1247 ms, promises 1247 ms, assign 2000 ms"
        );
    }

    #[test]
    fn a_leader_that_has_its_majority_again_was_not_elected() {
        let (lost, leads) = ("no longer leads the registry", "leads the registry in term");
        let events = [
            told("a", 10, "meta-leader", "", lost, 1),
            told("a", 20, "meta-leader", "", leads, 1),
            told("a", 30, "meta-leader", "", lost, 2),
            told("b", 40, "meta-leader", "", leads, 2),
            told("b", 50, "meta-leader", "", lost, 2),
            told("b", 60, "meta-leader", "", leads, 2),
        ];
        assert_eq!(elections(&events), 1);
    }

    #[test]
    fn an_exchange_that_comes_back_has_moved_twice() {
        let case = Case {
            victim: "a",
            exchange: "x",
            struck_us: 0,
        };
        let events = [
            told("b", 10, "owner-changed", "x", "", 2),
            told("a", 20, "owner-changed", "x", "", 3),
        ];
        assert_eq!(Account::new(case, &events).moves, 2);
    }
}
