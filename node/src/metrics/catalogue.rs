//! Every metric there is. What does not live here: where its values come from.

use super::{Kind, Metric, Unit};

macro_rules! catalogue {
    ($($ident:ident = $kind:ident $name:literal $unit:ident $(($thing:literal))? [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $ident: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit $(($thing))?,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// All of them.
        pub const CATALOGUE: &[Metric] = &[$($ident),*];
    };
}

catalogue! {
    CPU_TIME = Counter "process.cpu.time" Seconds [] "Processor time that the process has used.";
    MEMORY = Gauge "process.memory.usage" Bytes [] "Resident memory of the process.";
    FILES = Gauge "process.open_fds" Things("file") [] "Open file descriptors of the process.";
    THREADS = Gauge "process.threads" Things("thread") [] "Threads of the process.";
    UPTIME = Gauge "process.uptime" Seconds [] "Time since the node started.";
    RUNTIME_TASKS = Gauge "squall.runtime.tasks" Things("task") ["runtime"] "Tasks alive on a runtime of the node.";
    RUNTIME_THREADS = Gauge "squall.runtime.threads" Things("thread") ["runtime"] "Threads of a runtime of the node that its tasks run on.";
    RUNTIME_BUSY = Counter "squall.runtime.busy" Seconds ["runtime"] "Time for which these threads were busy, all together.";
    TIMER_LATENESS = Gauge "squall.timer.lateness" Seconds [] "Largest delay of the node's own timers in the last second.";

    NODE_INFO = Gauge "squall.node.info" None ["version", "incarnation"] "Always 1: the node's version, and which run of it this is.";
    MEMBERS = Gauge "squall.members" Things("node") ["state"] "Members of the cluster by their state in the eyes of this node.";
    QUORUM = Gauge "squall.quorum" None [] "1 while this node hears from a majority of the voters, else 0.";
    LEASE = Gauge "squall.lease.remaining" Seconds [] "Time left of the lease under which this node acts as owner; 0 without one.";
    META_LEADER = Gauge "squall.meta.leader" None [] "1 on the node that leads the registry, else 0.";
    META_TERM = Gauge "squall.meta.term" None [] "Term of the registry's log: each election begins a new one.";
    REVISION = Gauge "squall.registry.revision" None [] "Revision of the registry that this node has applied.";
    EVENTS = Counter "squall.events" Things("event") ["kind", "severity"] "Rare events that the node's timeline has told of: elections, losses, new owners, links, faults.";
    RECEIVED = Counter "squall.messages.received" Things("message") [] "Requests of the node's own requesters, and messages from other nodes.";
    SENT = Counter "squall.messages.sent" Things("message") [] "Outcomes to the node's own requesters, and messages to other nodes.";
    DROPPED = Counter "squall.messages.dropped" Things("message") ["reason"] "Messages that went no further, by the reason.";
    REFUSALS = Counter "squall.client.refusals" Things("refusal") ["reason"] "What was refused to clients because it broke a rule, by the rule.";

    LINK_UP = Gauge "squall.link.up" None ["peer"] "1 while the link to a node is up and the node is heard, else 0.";
    LINK_ROUND_TRIP = Gauge "squall.link.round_trip" Seconds ["peer", "percentile"] "Round trip to a node over the last ten seconds, at the 50th and the 99th percentile.";
    LINK_PHI = Gauge "squall.link.phi" None ["peer"] "Suspicion of a node by the phi accrual detector.";
    LINK_SILENCE = Gauge "squall.link.silence" Seconds ["peer"] "Time since a node was last heard.";
    LINK_QUEUE = Gauge "squall.link.queue.size" Bytes ["peer"] "Bytes that wait to be written to a node.";
    LINK_FRAMES = Counter "squall.link.frames" Things("frame") ["peer"] "Frames sent to a node.";
    LINK_IO = Counter "squall.link.io" Bytes ["peer"] "Bytes sent to a node.";
    LINK_CONNECTS = Counter "squall.link.connects" Things("connection") ["peer"] "How often the link to a node was connected.";

    EXCHANGE_EPOCH = Gauge "squall.exchange.epoch" None ["exchange"] "Epoch of the ownership of an exchange, as this node's registry has it.";
    EXCHANGE_OWNED = Gauge "squall.exchange.owned" None ["exchange"] "1 on the node that acts as the owner of an exchange under a lease, else 0.";
    EXCHANGE_OWNERLESS = Gauge "squall.exchange.ownerless" None ["exchange"] "1 while this node's registry has no owner that is up for an exchange, else 0.";
    EXCHANGE_HANDLERS = Gauge "squall.exchange.handlers" Things("handler") ["exchange"] "Handlers attached, told by the owner.";
    REQUESTS = Counter "squall.requests" Things("request") ["exchange"] "Requests, publishes and tasks that entered the cluster at this node.";
    OUTCOMES = Counter "squall.request.outcomes" Things("request") ["exchange", "outcome"] "How requests, publishes and tasks that entered here ended, each counted once: replied, declined, refused, timeout, interrupted.";
    REQUESTS_OPEN = Gauge "squall.requests.open" Things("request") ["exchange"] "Requests that entered here and have not ended.";
    REQUEST_TIME = Histogram "squall.request.duration" Seconds ["exchange"] "Time from when a request entered here to its end.";
    SECOND_ANSWERS = Counter "squall.request.second_answers" Things("answer") ["exchange"] "Answers to requests that had been answered, or certainly had not been delivered: never more than 0.";
    LATE_ANSWERS = Counter "squall.request.late_answers" Things("answer") ["exchange"] "Answers to requests that had timed out or been interrupted.";
    DELIVERIES = Counter "squall.deliveries" Things("delivery") ["exchange", "result"] "Deliveries to handlers and subscribers of this node: accepted, rejected, dropped, expired, held, fenced.";

    TASKS = Gauge "squall.tasks" Things("task") ["exchange", "state"] "Tasks that the queue has, told by the owner: waiting, in hand, dead (letters that are kept).";
    TASKS_OLDEST = Gauge "squall.tasks.oldest" Seconds ["exchange"] "Age of the oldest open task, told by the owner; 0 without one.";
    TASK_CHANGES = Counter "squall.task.changes" Things("change") ["exchange", "result"] "What this node did with tasks as their owner: accepted, completed, tried again, dead, lost with their nodes as far as is known.";

    PROCESSES = Gauge "squall.processes" Things("process") ["kind"] "Processes with a mailbox, by their kind.";
    MAILBOX_MESSAGES = Gauge "squall.mailbox.messages" Things("message") ["kind", "exchange"] "Messages in mailboxes, by the kind of their processes and the exchange they serve.";
    MAILBOX_OLDEST = Gauge "squall.mailbox.oldest" Seconds ["kind", "exchange"] "Age of the oldest message in those mailboxes.";

    FAILOVERS = Counter "squall.failovers" Things("failover") ["cause"] "Exchanges that this node has got from another owner: lost, that one had ended; weak, it was there and had no lease; moved, in order.";
    FAILOVER_TIME = Histogram "squall.failover.duration" Seconds ["cause"] "Time from when the owner before was last heard, or began to move, to when the next owner, this node, had it: lost and moved, for nobody knows when a weak owner began to be one.";
    FAULTS = Gauge "squall.faults.active" Things("fault") ["kind"] "Faults that act on this node.";
    FAULTS_LOCKED = Gauge "squall.faults.locked" None [] "1 while this node takes no new faults, since somebody halted them.";
    BREACHES = Counter "squall.invariant.breaches" Things("breach") ["invariant"] "Invariants of the cluster that its judge saw broken, as this node was told: 0 is what should be.";

    SPANS = Counter "squall.spans" Things("span") ["result"] "Spans that ended here: exported, dropped because the queue was full, failed because they could not be sent.";
    EXPORTS = Counter "squall.metrics.exports" Things("export") ["result"] "Exports of metrics to a collector: sent, failed.";
    SERIES_LEFT_OUT = Gauge "squall.metrics.series_left_out" Things("series") [] "Series that were left out of this scrape because there are too many exchanges, or because their metric has too many.";
}
