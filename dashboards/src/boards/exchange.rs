//! One exchange, or some of them: who owns it, what enters, how it ends, where it waits.

use super::row;
use crate::model::{Dashboard, Panel, Row, Unit};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "squall-exchange",
        title: "Squall: exchange",
        about: "One exchange: who owns it, what enters, how it ends, where it waits.",
        scope: r#"job="$cluster",exchange=~"$exchange""#,
        rows: vec![now(), requests(), handlers(), tasks(), ownership()],
    }
}

fn now() -> Row {
    row(
        "Now",
        [
            Panel::name(
                "Owner",
                "The node that acts as its owner. Nothing here: nobody does, and requests are refused (SquallExchangeNotServed).",
            )
            .ask("squall_exchange_owned{@} == 1", "{{exchange}} on {{instance}}"),
            Panel::number(
                "Epoch",
                Unit::Count,
                "Rises by one or two with each new owner. If it rises often, look at the page failover and chaos for why.",
            )
            .ask("max by (exchange) (squall_exchange_epoch{@})", "{{exchange}}"),
            Panel::number(
                "Handlers",
                Unit::Count,
                "Attached, as the owner counts them. Without any, requests are refused; with publish-subscribe there are none.",
            )
            .ask("sum by (exchange) (squall_exchange_handlers{@})", "{{exchange}}"),
            Panel::number(
                "Requests a second",
                Unit::PerSecond,
                "What enters the cluster for it. Nothing, where there should be something: look at its clients, and at Refused to clients of the nodes.",
            )
            .ask("sum by (exchange) (rate(squall_requests_total{@}[$__rate_interval]))", "{{exchange}}"),
            Panel::number(
                "Failed",
                Unit::Share,
                "Share of the requests that were refused, timed out or were interrupted. Outcomes tells which of these, and that tells why.",
            )
            .bad_from(0.05)
            .ask(
                "sum by (exchange) (rate(squall_request_outcomes_total{@,outcome=~\"refused|timeout|interrupted\"}[$__rate_interval])) / sum by (exchange) (rate(squall_request_outcomes_total{@}[$__rate_interval]))",
                "{{exchange}}",
            ),
            Panel::number(
                "Open",
                Unit::Count,
                "Requests that have not ended. Rate times time to the end is what to expect; much more says that they wait somewhere.",
            )
            .ask("sum by (exchange) (squall_requests_open{@})", "{{exchange}}"),
        ],
    )
}

fn requests() -> Row {
    row(
        "Requests",
        [
            Panel::stacked(
                "Requests by node",
                Unit::PerSecond,
                "Where they enter the cluster. A node that takes most of them has most of the clients: give clients several addresses.",
            )
            .ask(
                "sum by (exchange, instance) (rate(squall_requests_total{@}[$__rate_interval]))",
                "{{exchange}} at {{instance}}",
            ),
            Panel::stacked(
                "Outcomes",
                Unit::PerSecond,
                "Refused: nobody serves it, or mailboxes are full. Timeout: handlers too slow, or messages lost. Interrupted: a node or handler ended with it in hand.",
            )
            .ask("sum by (outcome) (rate(squall_request_outcomes_total{@}[$__rate_interval]))", "{{outcome}}"),
            Panel::lines(
                "Time to the end",
                Unit::Seconds,
                "From when requests enter to their end. All curves rise: too few handlers. Only the upper ones: some handler or link is slow.",
            )
            .ask(
                "histogram_quantile(0.5, sum by (le) (rate(squall_request_duration_seconds_bucket{@}[$__rate_interval])))",
                "half of them",
            )
            .ask(
                "histogram_quantile(0.9, sum by (le) (rate(squall_request_duration_seconds_bucket{@}[$__rate_interval])))",
                "9 of 10",
            )
            .ask(
                "histogram_quantile(0.99, sum by (le) (rate(squall_request_duration_seconds_bucket{@}[$__rate_interval])))",
                "99 of 100",
            ),
            Panel::heat(
                "How long they took",
                Unit::Seconds,
                "How many requests ended after how long. Two bands are two kinds of requests or of handlers; a band at the timeout is what never was answered.",
            )
            .wide(12)
            .ask("sum by (le) (increase(squall_request_duration_seconds_bucket{@}[$__rate_interval]))", "{{le}}"),
            Panel::lines(
                "Answers after the end",
                Unit::PerSecond,
                "Late: the requester had given up, so its timeout is too short for the handlers. Second: that must never be, but where a fault duplicates messages.",
            )
            .wide(12)
            .ask("sum(rate(squall_request_late_answers_total{@}[$__rate_interval]))", "late")
            .ask("sum(rate(squall_request_second_answers_total{@}[$__rate_interval]))", "second"),
        ],
    )
}

fn tasks() -> Row {
    row(
        "Tasks",
        [
            Panel::stacked(
                "Tasks in the queue",
                Unit::Count,
                "Waiting: more than workers take, or for their time. In hand: given to workers. Dead: ended without a completion, and kept; squall task dead tells why.",
            )
            .ask("sum by (exchange, state) (squall_tasks{@})", "{{exchange}} {{state}}"),
            Panel::lines(
                "Age of the oldest task",
                Unit::Seconds,
                "Of those that are open. It grows by a second a second where nobody works: too few workers, or one task that holds up its key (SquallTasksOld).",
            )
            .ask("max by (exchange) (squall_tasks_oldest_seconds{@})", "{{exchange}}"),
            Panel::lines(
                "What becomes of tasks",
                Unit::PerSecond,
                "Accepted and completed should be alike. Tried again: workers give them back or run out of time. Dead and lost: somebody has to look.",
            )
            .ask("sum by (exchange, result) (rate(squall_task_changes_total{@}[$__rate_interval]))", "{{exchange}} {{result}}"),
        ],
    )
}

fn handlers() -> Row {
    row(
        "Handlers and mailboxes",
        [
            Panel::lines(
                "Deliveries",
                Unit::PerSecond,
                "What became of deliveries to handlers and subscribers. Rejected or dropped: their mailboxes are full. Fenced: of an owner of before, as it should be.",
            )
            .ask("sum by (result) (rate(squall_deliveries_total{@}[$__rate_interval]))", "{{result}}"),
            Panel::lines(
                "Deliveries by node",
                Unit::PerSecond,
                "Where handlers and subscribers take them. Under round-robin each node has its share by its handlers; one that has none lost its handlers.",
            )
            .ask(
                "sum by (exchange, instance) (rate(squall_deliveries_total{@,result=\"accepted\"}[$__rate_interval]))",
                "{{exchange}} at {{instance}}",
            ),
            Panel::lines(
                "Attached handlers",
                Unit::Count,
                "As the owner counts them. After a failover they come back within moments; those that stay away have lost their node, or ended.",
            )
            .ask("sum by (exchange) (squall_exchange_handlers{@})", "{{exchange}}"),
            Panel::lines(
                "Mailboxes",
                Unit::Count,
                "Messages that wait, by whose mailbox it is. Those of handlers fill when they are slow; each holds 4096 unless it was declared otherwise.",
            )
            .wide(12)
            .ask(
                "sum by (exchange, kind) (squall_mailbox_messages{@})",
                "{{exchange}}: {{kind}}",
            ),
            Panel::lines(
                "Age of the oldest message",
                Unit::Seconds,
                "How long the first in line has waited. It is the least that a request takes from now on; past the requesters' timeout all of them fail.",
            )
            .wide(12)
            .bad_from(10.0)
            .ask(
                "max by (exchange, kind) (squall_mailbox_oldest_seconds{@})",
                "{{exchange}}: {{kind}}",
            ),
        ],
    )
}

fn ownership() -> Row {
    row(
        "Owners",
        [
            Panel::states(
                "Owners over time",
                ["-", "owner"],
                "Which node acted as the owner. A gap is the time of a failover; two at a time must never be (SquallTwoOwners).",
            )
            .wide(12)
            .ask("max by (exchange, instance) (squall_exchange_owned{@})", "{{exchange}} on {{instance}}"),
            Panel::states(
                "Has an owner that is up",
                ["yes", "no"],
                "What each node's registry says. No at all of them: nobody may take over, or nobody of its failover list is there; squall exchange move gives it one.",
            )
            .bad_from(1.0)
            .wide(12)
            .ask("max by (exchange, instance) (squall_exchange_ownerless{@})", "{{exchange}} at {{instance}}"),
        ],
    )
}
