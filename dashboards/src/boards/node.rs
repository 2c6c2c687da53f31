//! One node, or some of them: is it well, what does it use, how does it hear the others.

use super::row;
use crate::model::{Dashboard, Panel, Row, Unit};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "squall-node",
        title: "Squall: node",
        about: "One node: is it well, what does it use, how does it hear the others.",
        scope: r#"job="$cluster",instance=~"$node""#,
        rows: vec![now(), process(), messages(), links(), telemetry()],
    }
}

fn now() -> Row {
    row(
        "Now",
        [
            Panel::number(
                "Up since",
                Unit::Seconds,
                "Time since it started. Short, and nobody started it: its log says why it ended before.",
            )
            .ask("process_uptime_seconds{@}", "{{instance}}"),
            Panel::number(
                "Majority",
                Unit::Count,
                "Whether it hears a majority of the voters. If it alone does not, it is cut off: mend the network between it and the others.",
            )
            .said(["lost", "heard"])
            .bad_below(1.0)
            .ask("squall_quorum{@}", "{{instance}}"),
            Panel::number(
                "Lease",
                Unit::Seconds,
                "What is left of it. At 0 the node owns nothing: it is cut off, was paused, or its round trips do not fit a promise.",
            )
            .ask("squall_lease_remaining_seconds{@}", "{{instance}}"),
            Panel::number(
                "Leads the registry",
                Unit::Count,
                "One node does. It has some more work than the others at failovers, and none on the way of messages.",
            )
            .said(["no", "yes"])
            .ask("squall_meta_leader{@}", "{{instance}}"),
            Panel::number(
                "Exchanges owned",
                Unit::Count,
                "Exchanges that it acts as the owner of. Very uneven: squall exchange move, or other failover lists.",
            )
            .ask("sum by (instance) (squall_exchange_owned{@})", "{{instance}}"),
            Panel::number(
                "Registry behind",
                Unit::Count,
                "Revisions between its registry and the newest one. It catches up within moments unless it is cut off or its disk is slow.",
            )
            .bad_from(10.0)
            .ask(
                "max by (job) (squall_registry_revision{job=\"$cluster\"}) - on (job) group_right () squall_registry_revision{@}",
                "{{instance}}",
            ),
        ],
    )
}

fn process() -> Row {
    row(
        "The process",
        [
            Panel::lines(
                "Processor",
                Unit::Share,
                "Processors that it keeps busy: 1 is one of them. Where it uses all there are, timers come late and leases are lost: more nodes, or larger ones.",
            )
            .ask("rate(process_cpu_time_seconds_total{@}[$__rate_interval])", "{{instance}}"),
            Panel::lines(
                "Memory",
                Unit::Bytes,
                "It should level off. A steady rise goes with mailboxes that fill, open requests, or very many exchanges: their panels tell which.",
            )
            .ask("process_memory_usage_bytes{@}", "{{instance}}"),
            Panel::lines(
                "Timers late",
                Unit::Seconds,
                "By how much the node's own timers were late within a second. From 40 ms on a node of the profile lan accuses nobody, at 120 ms leases are lost.",
            )
            .bad_from(0.1)
            .ask("squall_timer_lateness_seconds{@}", "{{instance}}"),
            Panel::lines(
                "Open files",
                Unit::Count,
                "Connections, mostly. A steady rise: clients that connect again and again without closing. Compare with the limit of the process (ulimit -n).",
            )
            .wide(6)
            .ask("process_open_fds{@}", "{{instance}}"),
            Panel::lines(
                "Threads",
                Unit::Count,
                "They stay the same but for a fault that burns processors. If they grow, tell us.",
            )
            .wide(6)
            .ask("process_threads{@}", "{{instance}}"),
            Panel::lines(
                "Live tasks",
                Unit::Count,
                "Tasks of each runtime: one or more for each connection and handler. Rises with clients, falls when they go.",
            )
            .wide(6)
            .ask("squall_runtime_tasks{@}", "{{instance}} {{runtime}}"),
            Panel::lines(
                "Busy threads",
                Unit::Share,
                "Share of each runtime's threads that work. Near 1 for long: it is full, and what comes waits. control is the one whose delay costs leases.",
            )
            .wide(6)
            .bad_from(0.9)
            .ask(
                "sum by (instance, runtime) (rate(squall_runtime_busy_seconds_total{@}[$__rate_interval])) / sum by (instance, runtime) (squall_runtime_threads{@})",
                "{{instance}} {{runtime}}",
            ),
        ],
    )
}

fn messages() -> Row {
    row(
        "Messages and clients",
        [
            Panel::lines(
                "Messages",
                Unit::PerSecond,
                "What comes in from requesters and other nodes, and what goes out to them. In without out: the node takes and does not answer.",
            )
            .ask("rate(squall_messages_received_total{@}[$__rate_interval])", "{{instance}} in")
            .ask("rate(squall_messages_sent_total{@}[$__rate_interval])", "{{instance}} out"),
            Panel::lines(
                "Messages dropped",
                Unit::PerSecond,
                "What went no further, by the reason. Late replies follow timeouts, fenced ones a failover; garbled ones without a fault point to a broken machine.",
            )
            .ask(
                "sum by (instance, reason) (rate(squall_messages_dropped_total{@}[$__rate_interval]))",
                "{{instance}} {{reason}}",
            ),
            Panel::lines(
                "Refused to clients",
                Unit::PerSecond,
                "What clients asked for against a rule, by the rule. It hurts nobody but that client: find it in the Registry view of the observer and mend it.",
            )
            .ask(
                "sum by (instance, reason) (rate(squall_client_refusals_total{@}[$__rate_interval]))",
                "{{instance}} {{reason}}",
            ),
            Panel::lines(
                "Processes",
                Unit::Count,
                "Whatever has a mailbox, by kind. Sessions and requesters are clients; many more of them than there should be are connections that nobody closes.",
            )
            .ask("sum by (instance, kind) (squall_processes{@})", "{{instance}} {{kind}}"),
            Panel::lines(
                "Messages in mailboxes",
                Unit::Count,
                "By kind. A session's fill when its client does not read, a handler's when it is slow, an exchange's when the node is overloaded.",
            )
            .ask("sum by (instance, kind) (squall_mailbox_messages{@})", "{{instance}} {{kind}}"),
            Panel::lines(
                "Events",
                Unit::PerSecond,
                "What the node's timeline told of, by severity. Alerts are losses and lost leases: squall observe, view 7, has each of them in words.",
            )
            .ask(
                "sum by (instance, severity) (rate(squall_events_total{@}[$__rate_interval]))",
                "{{instance}} {{severity}}",
            ),
        ],
    )
}

fn links() -> Row {
    row(
        "Links",
        [
            Panel::states(
                "Links up",
                ["down", "up"],
                "Its links to the others. All down: it is cut off, or they are gone. One of them: what lies between these two is broken, maybe in one direction.",
            )
            .ask("squall_link_up{@}", "{{instance}} to {{peer}}"),
            Panel::lines(
                "Round trip",
                Unit::Seconds,
                "Half of them, and 99 of 100. Near the promise of the profile (120 ms for lan) the node loses its lease.",
            )
            .ask("squall_link_round_trip_seconds{@}", "{{instance}} to {{peer}}, {{percentile}} of 100"),
            Panel::lines(
                "Silence",
                Unit::Seconds,
                "Time since it last heard each node when it was asked. With the profile lan a node is suspect after 250 ms at the latest.",
            )
            .ask("squall_link_silence_seconds{@}", "{{instance}} of {{peer}}"),
            Panel::lines(
                "Suspicion",
                Unit::Count,
                "Of each node, by the phi accrual detector: how unlikely the silence is, as a power of ten. Peaks without a loss mean heartbeats that come unevenly.",
            )
            .ask("squall_link_phi{@}", "{{instance}} of {{peer}}"),
            Panel::lines(
                "Link queues",
                Unit::Bytes,
                "Bytes that wait to be written. What stays above some hundred kilobytes means that the network or the other node is slow.",
            )
            .bad_from(1e6)
            .ask("squall_link_queue_size_bytes{@}", "{{instance}} to {{peer}}"),
            Panel::lines(
                "Bytes sent",
                Unit::BytesPerSecond,
                "To each node. Compare with what the network can carry; publishes cross once for each node with a subscriber.",
            )
            .ask("rate(squall_link_io_bytes_total{@}[$__rate_interval])", "{{instance}} to {{peer}}"),
            Panel::lines(
                "Frames sent",
                Unit::PerSecond,
                "To each node: heartbeats alone are 20 a second with the profile lan. Far more bytes than frames say that payloads are large.",
            )
            .wide(12)
            .ask("rate(squall_link_frames_total{@}[$__rate_interval])", "{{instance}} to {{peer}}"),
            Panel::lines(
                "Connects",
                Unit::Count,
                "Connections made since the start, three for each link. A line that goes on rising is a link that breaks again and again.",
            )
            .wide(12)
            .ask("squall_link_connects_total{@}", "{{instance}} to {{peer}}"),
        ],
    )
}

fn telemetry() -> Row {
    row(
        "Telemetry",
        [
            Panel::lines(
                "Spans",
                Unit::PerSecond,
                "Failed: the collector does not answer. Dropped: it is too slow. Traces have holes then; requests do not wait. Start it, or trace less (--trace-ratio).",
            )
            .ask("sum by (instance, result) (rate(squall_spans_total{@}[$__rate_interval]))", "{{instance}} {{result}}"),
            Panel::lines(
                "Metrics to a collector",
                Unit::PerSecond,
                "Exports over OTLP. Failed: the collector does not answer, or takes no metrics. This page is not concerned: Prometheus reads the nodes itself.",
            )
            .ask("sum by (instance, result) (rate(squall_metrics_exports_total{@}[$__rate_interval]))", "{{instance}} {{result}}"),
            Panel::lines(
                "Series left out",
                Unit::Count,
                "Series of exchanges beyond the first 1 000, or of a metric beyond its 6 000th. Figures and alerts by exchange are not of all exchanges then.",
            )
            .bad_from(1.0)
            .ask("squall_metrics_series_left_out{@}", "{{instance}}"),
        ],
    )
}
