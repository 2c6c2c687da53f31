//! What was broken, on purpose or not, what came of it, and what it cost.

use super::row;
use crate::model::{Dashboard, Panel, Row, Unit};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "squall-failover",
        title: "Squall: failover and chaos",
        about: "What was broken, on purpose or not, what came of it, and what it cost.",
        scope: r#"job="$cluster""#,
        rows: vec![now(), faults(), failovers(), cost()],
    }
}

fn now() -> Row {
    row(
        "In the time shown",
        [
            Panel::number(
                "Owners lost",
                Unit::Count,
                "Exchanges that went on because their owner was lost, or was weak: it was there and had no lease. Each cost its requesters a gap; the panels below tell how long.",
            )
            .ask("sum(increase(squall_failovers_total{@,cause=\"lost\"}[$__range]))", "lost")
            .ask("sum(increase(squall_failovers_total{@,cause=\"weak\"}[$__range]))", "weak"),
            Panel::number(
                "Moves",
                Unit::Count,
                "Exchanges that went to another node in order: drains, an operator's moves, and back to the node that they prefer. They cost next to nothing.",
            )
            .ask("sum(increase(squall_failovers_total{@,cause=\"moved\"}[$__range]))", "moves"),
            Panel::number(
                "Elections",
                Unit::Count,
                "Of leaders of the registry. Some with each loss of the leader; many more mean slow disks, late timers or bad links.",
            )
            .ask("max(changes(squall_meta_term{@}[$__range]))", "elections"),
            Panel::number(
                "Half took",
                Unit::Seconds,
                "Half of the failovers from lost owners took no longer, from when the owner was last heard to when the next one had the exchange. Below 0.5 s with the profile lan.",
            )
            .ask(
                "histogram_quantile(0.5, sum by (le) (increase(squall_failover_duration_seconds_bucket{@,cause=\"lost\"}[$__range])))",
                "of the failovers",
            ),
            Panel::number(
                "The slowest took",
                Unit::Seconds,
                "The end of the bucket in which the slowest one was. Above 2.5 s somebody is called (SquallFailoverSlow): its trace tells which phase was long.",
            )
            .bad_from(2.5)
            .ask(
                "histogram_quantile(1, sum by (le) (increase(squall_failover_duration_seconds_bucket{@,cause=\"lost\"}[$__range])))",
                "of the failovers",
            ),
            Panel::number(
                "Faults",
                Unit::Count,
                "Faults that act now. squall chaos list tells which, on whom and by whom; squall chaos halt ends all of them.",
            )
            .bad_from(1.0)
            .ask("sum(squall_faults_active{@}) or vector(0)", "act"),
            Panel::lines(
                "Broken",
                Unit::Count,
                "Invariants that the judge of a local cluster saw broken. Never more than 0: SquallInvariantBroken says what to do.",
            )
            .wide(12)
            .ask(
                "max by (invariant) (increase(squall_invariant_breaches_total{@}[$__rate_interval]))",
                "{{invariant}}",
            ),
            Panel::lines(
                "Locked",
                Unit::Count,
                "Nodes that take no new faults, since somebody halted them. squall chaos list says who and why; squall chaos unlock ends it.",
            )
            .wide(12)
            .ask("sum(squall_faults_locked{@})", "nodes"),
        ],
    )
}

fn faults() -> Row {
    row(
        "What was broken",
        [
            Panel::stacked(
                "Faults by kind",
                Unit::Count,
                "What somebody broke on purpose, and when. Kills and pauses are not here, for they are the supervisor's: they show as starts and silence.",
            )
            .ask("sum by (kind) (squall_faults_active{@})", "{{kind}}"),
            Panel::stacked(
                "Faults by node",
                Unit::Count,
                "On which nodes they act. What goes wrong elsewhere at that time is worth a look: a fault should stay where it is.",
            )
            .ask("sum by (instance) (squall_faults_active{@})", "{{instance}}"),
            Panel::lines(
                "Orders",
                Unit::PerSecond,
                "Faults set, ended, halted, by what the nodes' timelines told. Each names who asked: squall observe, view 7.",
            )
            .ask(
                "sum by (kind) (rate(squall_events_total{@,kind=~\"fault-.*\"}[$__rate_interval]))",
                "{{kind}}",
            ),
        ],
    )
}

fn failovers() -> Row {
    row(
        "What came of it",
        [
            Panel::lines(
                "Failovers",
                Unit::PerSecond,
                "By why: lost, the owner before had ended; weak, it had no lease; moved, in order. Losses without a fault: look for the nodes' restarts. Weak: Timers late.",
            )
            .ask("sum by (cause) (rate(squall_failovers_total{@}[$__rate_interval]))", "{{cause}}"),
            Panel::heat(
                "How long failovers took",
                Unit::Seconds,
                "How many took how long. Those above 0.5 s with the profile lan waited for a promise to run out or for an election: their traces tell which.",
            )
            .ask(
                "sum by (le) (increase(squall_failover_duration_seconds_bucket{@,cause=\"lost\"}[$__rate_interval]))",
                "{{le}}",
            ),
            Panel::lines(
                "Changes of owners",
                Unit::Count,
                "Epoch of each exchange: it rises with each new owner. Stairs are exchanges that go to and fro; squall exchange move lets them stay.",
            )
            .ask("max by (exchange) (squall_exchange_epoch{@})", "{{exchange}}"),
            Panel::states(
                "Served",
                ["not served", "served"],
                "Whether some node acted as the owner of each exchange. A bar in red is how long nobody could use it.",
            )
            .wide(12)
            .ask("max by (exchange) (squall_exchange_owned{@})", "{{exchange}}"),
            Panel::lines(
                "Term of the registry",
                Unit::Count,
                "Rises with each election. Where it rises and rises, nobody wins: voters are too slow for their profile, or hear each other in one direction only.",
            )
            .wide(6)
            .ask("max by (instance) (squall_meta_term{@})", "{{instance}}"),
            Panel::lines(
                "Events",
                Unit::PerSecond,
                "What the timelines told of, by kind: suspect, node-lost, owner-changed, isolated and so on, in the order in which a failover goes.",
            )
            .wide(6)
            .ask(
                "sum by (kind) (rate(squall_events_total{@,severity=~\"alert|notice\"}[$__rate_interval]))",
                "{{kind}}",
            ),
        ],
    )
}

fn cost() -> Row {
    row(
        "What it cost",
        [
            Panel::stacked(
                "Requests that failed",
                Unit::PerSecond,
                "By how. Refused ones were certainly not delivered and may be sent again; whoever was interrupted does not know, and has to ask.",
            )
            .ask(
                "sum by (outcome) (rate(squall_request_outcomes_total{@,outcome=~\"refused|timeout|interrupted\"}[$__rate_interval]))",
                "{{outcome}}",
            ),
            Panel::lines(
                "Time to the end",
                Unit::Seconds,
                "Of 99 in 100 requests, by exchange. A failover shows as a peak as high as the gap: requests wait for the next owner for up to two seconds.",
            )
            .ask(
                "histogram_quantile(0.99, sum by (exchange, le) (rate(squall_request_duration_seconds_bucket{@}[$__rate_interval])))",
                "{{exchange}}",
            ),
            Panel::lines(
                "Refused to old owners",
                Unit::PerSecond,
                "Deliveries under an epoch that is over: an owner that did not know yet that it was none any more. After failovers, as it should be; else tell us.",
            )
            .ask(
                "sum by (exchange) (rate(squall_deliveries_total{@,result=\"fenced\"}[$__rate_interval]))",
                "{{exchange}}",
            ),
            Panel::lines(
                "Second answers",
                Unit::Count,
                "Requests that were answered twice since the nodes' start. Never more than 0, but where a fault duplicates messages.",
            )
            .wide(12)
            .bad_from(1.0)
            .ask("sum by (exchange) (squall_request_second_answers_total{@})", "{{exchange}}"),
            Panel::states(
                "Leases held",
                ["no lease", "lease"],
                "Which nodes held a lease. One without it owned nothing at that time: it was cut off, paused, or too slow.",
            )
            .wide(12)
            .ask("squall_lease_remaining_seconds{@} > bool 0", "{{instance}}"),
        ],
    )
}
