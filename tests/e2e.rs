//! The real binary, end to end: processes, sockets, signals, a terminal.

#[path = "e2e/bench.rs"]
mod bench;
#[path = "e2e/bindings.rs"]
mod bindings;
#[path = "e2e/chunks.rs"]
mod chunks;
#[path = "e2e/cli.rs"]
mod cli;
#[path = "e2e/controller.rs"]
mod controller;
#[path = "e2e/credential.rs"]
mod credential;
#[path = "e2e/dashboards.rs"]
mod dashboards;
#[path = "e2e/detail.rs"]
mod detail;
#[path = "e2e/failover.rs"]
mod failover;
#[path = "e2e/fake.rs"]
mod fake;
#[path = "e2e/founding.rs"]
mod founding;
#[path = "e2e/judged.rs"]
mod judged;
#[path = "e2e/leases.rs"]
mod leases;
#[path = "e2e/logs.rs"]
mod logs;
#[path = "e2e/membership.rs"]
mod membership;
#[path = "e2e/messaging.rs"]
mod messaging;
#[path = "e2e/metrics.rs"]
mod metrics;
#[path = "e2e/middleware.rs"]
mod middleware;
#[path = "e2e/moves.rs"]
mod moves;
#[path = "e2e/observed.rs"]
mod observed;
#[path = "e2e/odd_names.rs"]
mod odd_names;
#[path = "e2e/odd_nodes.rs"]
mod odd_nodes;
#[path = "e2e/odd_terminals.rs"]
mod odd_terminals;
#[path = "e2e/other_languages.rs"]
mod other_languages;
#[path = "e2e/outages.rs"]
mod outages;
#[path = "e2e/partition.rs"]
mod partition;
#[path = "e2e/proxies.rs"]
mod proxies;
#[path = "e2e/pty.rs"]
mod pty;
#[path = "e2e/publishing.rs"]
mod publishing;
#[path = "e2e/rig.rs"]
mod rig;
#[path = "e2e/running.rs"]
mod running;
#[path = "e2e/scenarios.rs"]
mod scenarios;
#[path = "e2e/scheduler.rs"]
mod scheduler;
#[path = "e2e/supervised.rs"]
mod supervised;
#[path = "e2e/tasks.rs"]
mod tasks;
#[path = "e2e/terminal.rs"]
mod terminal;
#[path = "e2e/traces.rs"]
mod traces;
#[path = "e2e/tracing.rs"]
mod tracing;
