//! The tokio shell of a broker node: mesh, meta plane, processes, gRPC services, telemetry, fault shim.

mod clients;
pub mod clock;
pub mod control;
pub mod data;
pub mod datadir;
pub mod death;
pub mod exchanges;
pub mod functions;
pub mod grpc;
pub mod handlers;
pub mod introspect;
pub mod journal;
pub mod lease;
pub mod limits;
pub mod mesh;
pub mod meta;
pub mod node;
pub mod process;
pub mod pubsub;
pub mod router;
pub mod script;
pub mod session;
mod sources;
pub mod spans;
mod system;
pub mod telemetry;
pub mod wire;
