//! Tests of the data planes of up to five nodes, wired in memory through the real codec. Time is paused: it moves on
//! when nothing else can happen.

#[path = "data_test/bad_input.rs"]
mod bad_input;
#[path = "data_test/bindings.rs"]
mod bindings;
#[path = "data_test/cluster.rs"]
mod cluster;
#[path = "data_test/detaching_grpc.rs"]
mod detaching_grpc;
#[path = "data_test/failover.rs"]
mod failover;
#[path = "data_test/faults.rs"]
mod faults;
#[path = "data_test/grpc_session.rs"]
mod grpc_session;
#[path = "data_test/large.rs"]
mod large;
#[path = "data_test/leases.rs"]
mod leases;
#[path = "data_test/mailboxes.rs"]
mod mailboxes;
#[path = "data_test/middleware.rs"]
mod middleware;
#[path = "data_test/middleware_grpc.rs"]
mod middleware_grpc;
#[path = "data_test/middleware_journal.rs"]
mod middleware_journal;
#[path = "data_test/middleware_trouble.rs"]
mod middleware_trouble;
#[path = "data_test/moves.rs"]
mod moves;
#[path = "data_test/proxies.rs"]
mod proxies;
#[path = "data_test/publishing.rs"]
mod publishing;
#[path = "data_test/publishing_journal.rs"]
mod publishing_journal;
#[path = "data_test/refusals_grpc.rs"]
mod refusals_grpc;
#[path = "data_test/requests.rs"]
mod requests;
#[path = "data_test/routing.rs"]
mod routing;
#[path = "data_test/scheduling.rs"]
mod scheduling;
#[path = "data_test/sessions.rs"]
mod sessions;
#[path = "data_test/sessions_journal.rs"]
mod sessions_journal;
#[path = "data_test/supervision.rs"]
mod supervision;
#[path = "data_test/talk_faults.rs"]
mod talk_faults;
#[path = "data_test/talks.rs"]
mod talks;
#[path = "data_test/talks_grpc.rs"]
mod talks_grpc;
#[path = "data_test/task_room.rs"]
mod task_room;
#[path = "data_test/task_tally.rs"]
mod task_tally;
#[path = "data_test/tasks.rs"]
mod tasks;
#[path = "data_test/tasks_grpc.rs"]
mod tasks_grpc;
#[path = "data_test/tasks_journal.rs"]
mod tasks_journal;
#[path = "data_test/tasks_moved.rs"]
mod tasks_moved;
#[path = "data_test/touched.rs"]
mod touched;
#[path = "data_test/traced.rs"]
mod traced;
#[path = "data_test/watching.rs"]
mod watching;
