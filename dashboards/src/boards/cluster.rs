//! The whole cluster at a glance: is something wrong, what flows, who leads, how the nodes hear each other.

use super::row;
use crate::model::{Dashboard, Panel, Row, Unit};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "squall-cluster",
        title: "Squall: cluster",
        about: "Is something wrong, what flows, who leads, how the nodes hear each other.",
        scope: r#"job="$cluster""#,
        rows: vec![now(), traffic(), leaders(), mesh(), mailboxes()],
    }
}

fn now() -> Row {
    row(
        "Now",
        [
            Panel::number(
                "Nodes",
                Unit::Count,
                "Nodes that answer Prometheus, and those that should. Where fewer answer: Members by state says whether the others still hear them.",
            )
            .ask("sum(up{@})", "answer")
            .ask("count(up{@})", "there should be"),
            Panel::number(
                "Majority",
                Unit::Count,
                "Whether some node hears a majority of the voters. If not, nothing is served: bring nodes or the network back.",
            )
            .said(["lost", "heard"])
            .bad_below(1.0)
            .ask("max(squall_quorum{@})", "majority"),
            Panel::number(
                "Leaders of the registry",
                Unit::Count,
                "One, but for the moment of an election. With none, exchanges that lose their owner get no other: look at the terms.",
            )
            .bad_below(1.0)
            .ask("sum(squall_meta_leader{@})", "leaders"),
            Panel::number(
                "Exchanges not served",
                Unit::Count,
                "Exchanges that no node acts as the owner of: requests to them are refused. Owners, below, shows which and since when.",
            )
            .bad_from(1.0)
            .ask("sum(1 - max by (exchange) (squall_exchange_owned{@}))", "not served"),
            Panel::number(
                "Alerts",
                Unit::Count,
                "Alerts that fire. docs/alerts.md has a section for each: what it means, where to look, what to do.",
            )
            .bad_from(1.0)
            .ask("count(ALERTS{@,alertstate=\"firing\"}) or vector(0)", "fire"),
            Panel::number(
                "Faults",
                Unit::Count,
                "Faults that somebody set. What is wrong may be their doing; squall chaos halt ends all of them.",
            )
            .bad_from(1.0)
            .ask("sum(squall_faults_active{@}) or vector(0)", "act"),
        ],
    )
}

fn traffic() -> Row {
    row(
        "What flows",
        [
            Panel::stacked(
                "Requests",
                Unit::PerSecond,
                "Requests, publishes and tasks that enter the cluster, by exchange. A gap after a mark is a failover; a click on a series leads to its exchange.",
            )
            .ask("sum by (exchange) (rate(squall_requests_total{@}[$__rate_interval]))", "{{exchange}}"),
            Panel::stacked(
                "Outcomes",
                Unit::PerSecond,
                "How requests end. Replied and declined are answers; what is refused, times out or is interrupted has failed: its exchange's page tells where.",
            )
            .ask("sum by (outcome) (rate(squall_request_outcomes_total{@}[$__rate_interval]))", "{{outcome}}"),
            Panel::lines(
                "Failed requests",
                Unit::Share,
                "Share of the requests that were refused, timed out or were interrupted. Above a twentieth somebody is called (SquallRequestsFail).",
            )
            .bad_from(0.05)
            .ask(
                "sum by (exchange) (rate(squall_request_outcomes_total{@,outcome=~\"refused|timeout|interrupted\"}[$__rate_interval])) / sum by (exchange) (rate(squall_request_outcomes_total{@}[$__rate_interval]))",
                "{{exchange}}",
            ),
            Panel::lines(
                "Time to the end",
                Unit::Seconds,
                "Half of the requests end within the lower time, 99 of 100 within the upper one. When only the upper one rises, look for one slow handler or link.",
            )
            .ask(
                "histogram_quantile(0.5, sum by (le) (rate(squall_request_duration_seconds_bucket{@}[$__rate_interval])))",
                "half of them",
            )
            .ask(
                "histogram_quantile(0.99, sum by (le) (rate(squall_request_duration_seconds_bucket{@}[$__rate_interval])))",
                "99 of 100",
            ),
            Panel::lines(
                "Open requests",
                Unit::Count,
                "Requests that have not ended. A line that only rises says that handlers do not keep up: more of them, or find the one that hangs.",
            )
            .ask("sum by (exchange) (squall_requests_open{@})", "{{exchange}}"),
            Panel::lines(
                "Messages dropped",
                Unit::PerSecond,
                "Messages that went no further, by the reason. Late replies follow timeouts; fenced ones a failover; garbled ones a fault, or broken memory somewhere.",
            )
            .ask("sum by (reason) (rate(squall_messages_dropped_total{@}[$__rate_interval]))", "{{reason}}"),
        ],
    )
}

fn leaders() -> Row {
    row(
        "Who leads",
        [
            Panel::states(
                "Owners",
                ["-", "owner"],
                "Which node acts as the owner of which exchange. Never two at a time; a gap in all of an exchange's bars is a time in which it was not served.",
            )
            .wide(12)
            .ask("max by (exchange, instance) (squall_exchange_owned{@})", "{{exchange}} on {{instance}}"),
            Panel::states(
                "Leader of the registry",
                ["-", "leads"],
                "Which node leads the registry. A change costs nothing but to failovers at that time; many of them mean slow disks, late timers or bad links.",
            )
            .wide(12)
            .ask("max by (instance) (squall_meta_leader{@})", "{{instance}}"),
            Panel::lines(
                "Members by state",
                Unit::Count,
                "Members as the most pessimistic node sees them. Suspect is for moments; down for long wants squall node remove, or the node back.",
            )
            .ask("max by (state) (squall_members{@})", "{{state}}"),
            Panel::lines(
                "Leases",
                Unit::Seconds,
                "What is left of each node's lease when it was asked. A node at 0 owns nothing: it is cut off, paused, or too slow for its profile.",
            )
            .ask("min by (instance) (squall_lease_remaining_seconds{@})", "{{instance}}"),
            Panel::lines(
                "Revisions of the registry",
                Unit::Count,
                "All nodes should be at the same one. One that stays behind sends requests to owners of back then: see SquallRegistryBehind.",
            )
            .ask("max by (instance) (squall_registry_revision{@})", "{{instance}}"),
        ],
    )
}

fn mesh() -> Row {
    row(
        "How the nodes hear each other",
        [
            Panel::states(
                "Links",
                ["down", "up"],
                "Each direction of each link. All links of a node down: the node is gone. Some of them: a partition in part, look at the network between these two.",
            )
            .wide(12)
            .ask("min by (instance, peer) (squall_link_up{@})", "{{instance}} to {{peer}}"),
            Panel::lines(
                "Round trips, 99 of 100",
                Unit::Seconds,
                "With the profile lan a promise holds for 120 ms: a node whose round trips come near that loses its lease. Take a slower profile for links that are far.",
            )
            .wide(12)
            .ask(
                "max by (instance, peer) (squall_link_round_trip_seconds{@,percentile=\"99\"})",
                "{{instance}} to {{peer}}",
            ),
            Panel::lines(
                "Bytes between nodes",
                Unit::BytesPerSecond,
                "What each node sends to the others. One node that sends most of it owns most exchanges: squall exchange move spreads them.",
            )
            .wide(12)
            .ask("sum by (instance) (rate(squall_link_io_bytes_total{@}[$__rate_interval]))", "{{instance}}"),
            Panel::lines(
                "Bytes that wait",
                Unit::Bytes,
                "What waits to be written to each node. It should fall to next to nothing at once; what stays means that the network or the other node is slow.",
            )
            .wide(12)
            .bad_from(1e6)
            .ask("sum by (peer) (squall_link_queue_size_bytes{@})", "to {{peer}}"),
        ],
    )
}

fn mailboxes() -> Row {
    row(
        "What waits",
        [
            Panel::lines(
                "Oldest messages",
                Unit::Seconds,
                "The five mailboxes whose oldest message is oldest. More than some seconds: whoever should take it hangs, or there are too few of them.",
            )
            .bad_from(10.0)
            .ask(
                "topk(5, max by (kind, exchange) (squall_mailbox_oldest_seconds{@}))",
                "{{kind}} {{exchange}}",
            ),
            Panel::lines(
                "Messages in mailboxes",
                Unit::Count,
                "By the kind of process. Handlers' and subscribers' mailboxes fill when they are slow; the exchanges' own only when a node is overloaded.",
            )
            .ask("sum by (kind) (squall_mailbox_messages{@})", "{{kind}}"),
            Panel::table(
                "Runs",
                Unit::Seconds,
                "Each node's version, run and time since its start. Versions should be the same but for a rolling upgrade; a short time is a restart.",
            )
            .ask(
                "process_uptime_seconds{@} * on (job, instance) group_left (version, incarnation) squall_node_info{@}",
                "{{instance}}",
            ),
        ],
    )
}
