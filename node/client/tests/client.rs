//! The client against a node that speaks the real frames and the real handshake, and otherwise does what the test says.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "client/fake_node.rs"]
mod fake_node;
#[path = "client/handlers.rs"]
mod handlers;
#[path = "client/leases.rs"]
mod leases;
#[path = "client/requests.rs"]
mod requests;
#[path = "client/talks.rs"]
mod talks;
#[path = "client/works.rs"]
mod works;
